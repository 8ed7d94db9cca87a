"""Describes a split of a data set from the files in its folder."""

import dataclasses
import glob
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
  split_names: tuple[str, ...] = ()
  file_pattern: str | None = None  # with %s for the split

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
    num_classes and labels_to_names.

  Raises:
    UserError: there is no such split, a shard is missing, damaged or empty, or a record's label
      has no class; the message says what is there.
  """
  if dataset_dir:
    paths, num_samples, labels_to_names = _read_split(facts, split_name, dataset_dir, file_pattern)
  else:
    if split_name not in facts.split_names:
      raise _unknown_split(split_name, facts.name, facts.split_names)
    paths, num_samples, labels_to_names = [], 0, dict(enumerate(facts.class_names))
  return slim.dataset.Dataset(
    data_sources=paths,
    reader=reader or tf.TFRecordReader,
    decoder=records.make_decoder(),
    num_samples=num_samples,
    items_to_descriptions=records.ITEMS_TO_DESCRIPTIONS,
    num_classes=max(labels_to_names) + 1,
    labels_to_names=labels_to_names,
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
    return sorted(facts.split_names)
  listed, found = read_folder(dataset_dir)
  if listed:
    return sorted(listed['splits'])
  of_pattern = {name for name in facts.split_names if _glob(dataset_dir, facts.pattern(), name)}
  return sorted(of_pattern | set(found.get(facts.name, {})))


def nothing_found(dataset_dir, wanted):
  """Returns the UserError for a folder without the wanted shards; it says what is there."""
  there = sorted(os.listdir(dataset_dir))
  shown = ', '.join(there[:8]) + (' ...' if len(there) > 8 else '') if there else 'nothing'
  return UserError(
    f'{dataset_dir} holds no {wanted}, it holds {shown}: give the folder that data_convert.py '
    'wrote to, or convert a folder of pictures with data_convert.py -t FOLDER.'
  )


def _read_split(facts, split_name, dataset_dir, file_pattern):
  """Returns (paths, number of records, {label: class name}) of a split in a folder."""
  listed, _ = read_folder(dataset_dir)
  if listed and not file_pattern:
    if split_name not in listed['splits']:
      raise _unknown_split(split_name, dataset_dir, listed['splits'])
    split = listed['splits'][split_name]
    paths = [manifest.check_shard(dataset_dir, shard) for shard in split['shards']]
    return paths, split['num_images'], dict(enumerate(listed['classes']))
  pattern = file_pattern or facts.pattern()
  paths = _glob(dataset_dir, pattern, split_name)
  if not paths:
    there = split_names(facts, dataset_dir)
    if there and not file_pattern:
      raise _unknown_split(split_name, dataset_dir, there)
    raise nothing_found(dataset_dir, f'shards {pattern.replace("%s", split_name)}')
  shard_names.check_complete([os.path.basename(path) for path in paths], dataset_dir)
  counts = {path: records.count_records(path) for path in paths}
  for path, count in counts.items():
    if not count:
      raise UserError(f'{path} holds no records: copy it again or convert the data set again.')
  labels_to_names, source = _class_names(facts, dataset_dir, listed, paths)
  _check_labels(paths, labels_to_names, source)
  return paths, sum(counts.values()), labels_to_names


def _class_names(facts, dataset_dir, listed, paths):
  """Returns ({label: class name}, where that is said)."""
  if listed:
    return dict(enumerate(listed['classes'])), manifest.MANIFEST_FILE
  label_path = labels.find_labels(dataset_dir)
  if label_path:
    return labels.read_labels(label_path), os.path.basename(label_path)
  if facts.class_names:
    return dict(enumerate(facts.class_names)), f'the data set {facts.name}'
  names = {}
  for path in paths:
    for index, example in enumerate(records.read_examples(path)):
      label, name = records.example_label(example, f'record {index} of {path}')
      if name is None:
        raise UserError(
          f'{dataset_dir} has no label.txt, and its records hold no class names: '
          'write label.txt with one class name a line.'
        )
      names.setdefault(label, name)
  return dict(sorted(names.items())), 'an earlier record'


def _check_labels(paths, labels_to_names, source):
  left = RECORDS_CHECKED
  for path in paths:
    for index, example in enumerate(records.read_examples(path, left)):
      where = f'Record {index} of {path}'
      label, name = records.example_label(example, where)
      if label not in labels_to_names:
        raise UserError(
          f'{where} has the label {label}, {source} has {len(labels_to_names)} classes '
          f'({min(labels_to_names)} to {max(labels_to_names)}): use the labels of these records.'
        )
      if name is not None and labels.normalized(name) != labels_to_names[label]:
        raise UserError(
          f'{where} says that label {label} is {name!r}, {source} says '
          f'{labels_to_names[label]!r}: use the labels of these records.'
        )
      left -= 1


def _glob(dataset_dir, pattern, split_name):
  pattern = pattern.replace('%s', glob.escape(split_name))
  return sorted(glob.glob(os.path.join(glob.escape(dataset_dir), pattern)))


def _unknown_split(split_name, where, choices):
  return UserError(
    f'split name {split_name} was not recognized: {where} has {", ".join(sorted(choices))}.'
  )
