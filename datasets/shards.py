"""Describes a split of a data set from the files in its folder."""

import dataclasses
import glob
import itertools
import os

from datasets import labels, manifest, records, shard_names
from slim_compat import slim, tf
from slim_errors import UserError

# Without dataset.json, the labels of so many records a split are compared with the class names.
RECORDS_CHECKED = 10_000


@dataclasses.dataclass(frozen=True)
class Facts:
  """What a registered data set knows about itself, whatever folder it lies in."""

  name: str
  class_names: tuple[str, ...] | None = None
  # Whether class_names only stand in where neither a label file nor the records name a class.
  has_stand_in_names: bool = False
  # {split: number of pictures as published}; a folder says itself how many it holds.
  split_sizes: dict[str, int] = dataclasses.field(default_factory=dict)
  file_pattern: str | None = None  # with %s for the split
  channels: int = 3
  extra_items: dict[str, records.ExtraItem] = dataclasses.field(default_factory=dict)

  def pattern(self):
    return self.file_pattern or f'{glob.escape(self.name)}_%s_*.tfrecord'


def describe_split(facts, split_name, dataset_dir, file_pattern=None, reader=None):
  """Describes a split. The shards that dataset.json lists decide, else those of the pattern.

  Args:
    facts: Facts of the data set.
    split_name: 'train', 'validation' ...
    dataset_dir: folder of the shards; None when only the classes are wanted.
    file_pattern: glob of the shards with %s for the split, used instead of dataset.json.
    reader: reader class kept in the description, None for TFRecordReader.

  Returns:
    slim.dataset.Dataset with data_sources, reader, decoder, num_samples, items_to_descriptions,
    num_classes, labels_to_names, channels (3, or 1 where pictures are gray) and smallest_label (of
    the records; None when it is not known). Without a folder num_samples is what was published.

  Raises:
    UserError: there is no such split, a shard is missing, damaged or empty, or a record's label
      has no class; the message says what is there.
  """
  if dataset_dir:
    paths, num_samples, labels_to_names, smallest_label = _read_split(
      facts, split_name, dataset_dir, file_pattern
    )
  else:
    if split_name not in facts.split_sizes:
      raise _unknown_split(split_name, facts.name, facts.split_sizes)
    paths, num_samples = [], facts.split_sizes[split_name]
    labels_to_names = dict(enumerate(facts.class_names))
    smallest_label = None
  return slim.dataset.Dataset(
    data_sources=paths,
    reader=reader or tf.TFRecordReader,
    decoder=records.make_decoder(facts.channels, facts.extra_items),
    num_samples=num_samples,
    items_to_descriptions=_descriptions(facts),
    num_classes=max(labels_to_names) + 1,
    labels_to_names=labels_to_names,
    channels=facts.channels,
    smallest_label=smallest_label,
  )


def read_folder(dataset_dir):
  """Returns (dataset.json or None, {data set: {split: [file name]}}) of a data set's folder.

  Raises:
    UserError: it is no folder, or dataset.json is wrong.
  """
  if not os.path.isdir(dataset_dir):
    raise UserError(
      f'dataset_dir {dataset_dir} is not a folder: give the one that data_convert.py wrote to.'
    )
  return manifest.read_manifest(dataset_dir), shard_names.families(dataset_dir)


def split_names(facts, dataset_dir):
  """Returns the sorted names of the splits that exist; of a registered set without folder, all."""
  if not dataset_dir:
    return sorted(facts.split_sizes)
  listed, found = read_folder(dataset_dir)
  if listed:
    return sorted(listed['splits'])
  of_pattern = {name for name in facts.split_sizes if _paths(facts, name, dataset_dir)}
  return sorted(of_pattern | set(found.get(facts.name, {})))


def _descriptions(facts):
  extra = {item: extra.description for item, extra in facts.extra_items.items()}
  gray = {'image': 'A gray picture, uint8 [height, width, 1].'} if facts.channels == 1 else {}
  return records.ITEMS_TO_DESCRIPTIONS | gray | extra


def nothing_found(dataset_dir, wanted):
  """Returns the UserError for a folder without the wanted shards; it says what is there."""
  there = sorted(os.listdir(dataset_dir))
  shown = ', '.join(there[:8]) + (' ...' if len(there) > 8 else '') if there else 'nothing'
  return UserError(
    f'{dataset_dir} holds no {wanted}, it holds {shown}: give the folder that data_convert.py '
    'wrote to, or convert a folder of pictures with data_convert.py -t FOLDER.'
  )


def _read_split(facts, split_name, dataset_dir, file_pattern):
  """Returns (paths, number of records, {label: class name}, smallest label) of a split."""
  listed, _ = read_folder(dataset_dir)
  if listed and not file_pattern:
    if split_name not in listed['splits']:
      raise _unknown_split(split_name, dataset_dir, listed['splits'])
    split = listed['splits'][split_name]
    paths = [manifest.check_shard(dataset_dir, shard) for shard in split['shards']]
    counts = split['images_per_class']
    with_pictures = (label for label, name in enumerate(listed['classes']) if counts.get(name))
    labels_to_names = dict(enumerate(listed['classes']))
    return paths, split['num_images'], labels_to_names, min(with_pictures, default=None)
  paths = _paths(facts, split_name, dataset_dir, file_pattern)
  if not paths:
    there = split_names(facts, dataset_dir)
    if there and not file_pattern:
      raise _unknown_split(split_name, dataset_dir, there)
    pattern = (file_pattern or facts.pattern()).replace('%s', split_name)
    raise nothing_found(dataset_dir, f'shards {pattern}')
  shard_names.check_complete([os.path.basename(path) for path in paths], dataset_dir)
  counts = {path: records.count_records(path) for path in paths}
  for path, count in counts.items():
    if not count:
      raise UserError(f'{path} holds no records: copy it again or convert the data set again.')
  splits = [paths]
  if not file_pattern:
    others = [name for name in split_names(facts, dataset_dir) if name != split_name]
    splits += [_paths(facts, name, dataset_dir) for name in others]
  labels_to_names, source = _class_names(facts, dataset_dir, listed, splits)
  # Records of a set with stand-in names may name classes by another list, such as WordNet's codes.
  smallest = _check_labels(
    paths, labels_to_names, source, compare_names=not facts.has_stand_in_names
  )
  return paths, sum(counts.values()), labels_to_names, smallest


def _paths(facts, split_name, dataset_dir, file_pattern=None):
  """Returns the sorted paths of a split's shards."""
  pattern = file_pattern or facts.file_pattern
  if pattern:
    return _glob(dataset_dir, pattern, split_name)
  files = shard_names.families(dataset_dir).get(facts.name, {}).get(split_name, [])
  return [os.path.join(dataset_dir, file) for file in files]


def _class_names(facts, dataset_dir, listed, splits):
  """Returns ({label: class name}, where that is said).

  All splits are asked what their labels count from, so that they agree.
  """
  if listed:
    return dict(enumerate(listed['classes'])), manifest.MANIFEST_FILE
  label_path = labels.find_labels(dataset_dir)
  if label_path:
    names = labels.read_labels(label_path)
    plain = not labels.is_numbered(label_path) and not labels.has_background(names)
    if plain and _counts_from_one(facts, list(names.values()), splits):
      names = labels.behind_background(names.values())
    return names, os.path.basename(label_path)
  if facts.class_names:
    names = dict(enumerate(facts.class_names))
    if facts.has_stand_in_names:
      in_records = _labels(sorted(splits), RECORDS_CHECKED)
      names |= {label: name for label, name in in_records if name and label in names}
    return names, f'the data set {facts.name}'
  names = {}
  for label, name in _labels(splits):
    if name is None:
      raise UserError(
        f'{dataset_dir} has no label.txt, and its records hold no class names: '
        'write label.txt with one class name a line.'
      )
    names.setdefault(label, name)
  if min(names) == 1:
    names[0] = labels.BACKGROUND
  return dict(sorted(names.items())), 'an earlier record'


def _counts_from_one(facts, names, splits):
  """Whether labels count from 1 behind a background that a list of class names leaves out."""
  known = facts.class_names
  if known and known[0] == labels.BACKGROUND and len(names) == len(known) - 1:
    return True
  return labels.find_base(names, _labels(splits, RECORDS_CHECKED)) == 1


def _labels(splits, limit=None):
  """Yields (label, class name or None) of the first `limit` (None: all) records of each split."""
  for paths in splits:
    for label, name, _ in itertools.islice(_located_labels(paths), limit):
      yield label, name


def _located_labels(paths):
  for path in paths:
    for index, example in enumerate(records.read_examples(path)):
      where = f'Record {index} of {path}'
      label, name = records.example_label(example, where)
      yield label, name, where


def _check_labels(paths, labels_to_names, source, compare_names):
  """Compares the first RECORDS_CHECKED records with the classes; returns their smallest label."""
  smallest = None
  for label, name, where in itertools.islice(_located_labels(paths), RECORDS_CHECKED):
    wrong = None
    if label not in labels_to_names:
      wrong = (
        f'{where} has the label {label}, {source} has {len(labels_to_names)} classes '
        f'({min(labels_to_names)} to {max(labels_to_names)})'
      )
    elif compare_names and name is not None and labels.normalized(name) != labels_to_names[label]:
      wrong = (
        f'{where} says that label {label} is {name!r}, {source} says {labels_to_names[label]!r}'
      )
    if wrong:
      raise UserError(f'{wrong}: {_fix(paths, labels_to_names)}.')
    smallest = label if smallest is None else min(label, smallest)
  return smallest


def _fix(paths, labels_to_names):
  """Returns what to do about classes that do not fit: are they shifted by the background?"""
  background = labels.has_background(labels_to_names)
  names = [name for label, name in sorted(labels_to_names.items()) if label or not background]
  base = labels.find_base(names, _labels([paths], RECORDS_CHECKED))
  if base == 1 and not background:
    return f'the records count from 1, so write {labels.BACKGROUND} as the name of label 0'
  if base == 0 and background:
    return 'the records count from 0, so leave the background out of the class names'
  return 'use the labels of these records'


def _glob(dataset_dir, pattern, split_name):
  pattern = pattern.replace('%s', glob.escape(split_name))
  return sorted(filter(os.path.isfile, glob.glob(os.path.join(glob.escape(dataset_dir), pattern))))


def _unknown_split(split_name, where, choices):
  return UserError(
    f'split name {split_name} was not recognized: {where} has {", ".join(sorted(choices))}.'
  )
