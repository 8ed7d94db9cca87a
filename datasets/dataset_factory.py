"""The data sets there are, by name. Any other name works whose folder holds shards under it."""

import hashlib
import json
import os

from datasets import (
  cifar10,
  flowers,
  imagenet,
  mnist,
  satellite,
  shard_names,
  shards,
  visualwakewords,
)
from slim_errors import UserError, unknown

datasets_map = {
  'cifar10': cifar10,
  'flowers': flowers,
  'imagenet': imagenet,
  'mnist': mnist,
  'satellite': satellite,
  'visualwakewords': visualwakewords,
}


def get_dataset(name, split_name, dataset_dir, file_pattern=None, reader=None):
  """Describes a split of a data set.

  Args:
    name: key of `datasets_map`, or the name that dataset.json or the shards in `dataset_dir` bear;
      None takes that name.
    split_name: 'train', 'validation' ...
    dataset_dir: folder of the shards. None is enough to learn the classes of a registered name.
    file_pattern: glob of the shards with %s for the split; None for the data set's own.
    reader: reader class kept in the description, None for TFRecordReader.

  Returns:
    slim.dataset.Dataset with data_sources (paths), reader, decoder (items 'image', 'label',
    'filename', 'encoded'), num_samples, items_to_descriptions, num_classes and labels_to_names.

  Raises:
    UserError: name, split or folder is wrong, or the shards are damaged.
  """
  if not (name and file_pattern):
    name = _resolved_name(name, dataset_dir)
  if name in datasets_map:
    return datasets_map[name].get_split(split_name, dataset_dir, file_pattern, reader)
  return shards.describe_split(shards.Facts(name), split_name, dataset_dir, file_pattern, reader)


def split_names(name, dataset_dir):
  """Returns the sorted names of the splits that exist, such as ['train', 'validation']."""
  name = _resolved_name(name, dataset_dir)
  facts = datasets_map[name].FACTS if name in datasets_map else shards.Facts(name)
  return shards.split_names(facts, dataset_dir)


def fingerprint(dataset_dir):
  """Returns a text that differs when classes or pictures of the data set do.

  It is the SHA-256 of the classes and shard checksums in dataset.json, without dataset.json of the
  names and sizes of the shards.
  """
  listed, found = shards.read_folder(dataset_dir)
  if listed:
    splits = {
      name: [shard['sha256'] for shard in split['shards']]
      for name, split in listed['splits'].items()
    }
    facts = [listed['classes'], splits]
  else:
    files = [file for splits in found.values() for files in splits.values() for file in files]
    facts = [(file, os.path.getsize(os.path.join(dataset_dir, file))) for file in sorted(files)]
    if not facts:
      raise shards.nothing_found(dataset_dir, 'data set')
  return hashlib.sha256(json.dumps(facts, sort_keys=True).encode('utf-8')).hexdigest()


def _resolved_name(name, dataset_dir):
  """Returns the name of the data set, found in its folder when it is None."""
  if not dataset_dir:
    if name is None:
      raise UserError('Neither the name nor the folder of a data set is given: give dataset_dir.')
    if name not in datasets_map:
      raise UserError(f'Name of dataset unknown {name}: {unknown("data set", name, datasets_map)}')
    return name
  listed, found = shards.read_folder(dataset_dir)
  if listed:
    if name not in (None, listed['name']) and listed['name'] != shard_names.UNNAMED:
      raise UserError(
        f'{dataset_dir} holds the data set {listed["name"]!r}, not {name!r}: '
        f'leave out the name or give {listed["name"]}.'
      )
    return listed['name']
  if name is None:
    if not found:
      raise shards.nothing_found(dataset_dir, 'data set')
    if len(found) > 1:
      raise UserError(
        f'{dataset_dir} holds several data sets ({", ".join(sorted(found))}): '
        'choose one with --dataset_name.'
      )
    return next(iter(found))
  if name not in datasets_map and name not in found:
    if set(found) == {shard_names.UNNAMED}:
      return shard_names.UNNAMED
    there = f'{dataset_dir} holds {", ".join(sorted(found)) or "no shards"}'
    raise UserError(
      f'Name of dataset unknown {name}: {there}, and registered are '
      f'{", ".join(sorted(datasets_map))}.'
    )
  return name
