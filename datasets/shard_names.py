"""How shards are called: `<data set>_<split>_<index>-of-<count>.tfrecord`."""

import os
import re

from slim_errors import UserError

_SHARD = re.compile(r'(?P<name>.+)_(?P<split>[^_]+)_(?P<index>\d{5})-of-(?P<count>\d{5})\.tfrecord')


def shard_name(dataset_name, split_name, index, count):
  """Returns the file name of a shard."""
  return f'{dataset_name}_{split_name}_{index:05d}-of-{count:05d}.tfrecord'


def families(folder):
  """Returns {data set: {split: [file name, ...]}} of the shards in a folder, all sorted."""
  found = {}
  for file in sorted(os.listdir(folder)):
    match = _SHARD.fullmatch(file)
    if match:
      found.setdefault(match['name'], {}).setdefault(match['split'], []).append(file)
  return found


def check_complete(files, folder):
  """Raises UserError when the shards of a split miss one, or mix sets of different counts."""
  matches = [match for match in map(_SHARD.fullmatch, files) if match]
  counts = sorted({int(match['count']) for match in matches})
  if len(counts) > 1:
    raise UserError(
      f'{folder} mixes shards of {" and of ".join(map(str, counts))} for one split '
      f'({files[0]} ...): keep the files of one conversion.'
    )
  if counts and len(matches) != counts[0]:
    there = {int(match['index']) for match in matches}
    first = matches[0]
    missing = next(index for index in range(counts[0]) if index not in there)
    name = shard_name(first['name'], first['split'], missing, counts[0])
    raise UserError(f'{name} is missing in {folder}: copy all {counts[0]} shards of the split.')
