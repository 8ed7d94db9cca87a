"""How shards are called: the naming schemes of the tools that write them.

pets_train_00000-of-00002.tfrecord   data_convert.py and research/slim's flowers
cifar10_train.tfrecord               research/slim's cifar10 and mnist: one file a split
train-00000-of-00002                 tensorflow/inception's build_image_data and ImageNet
train.record-00000-of-00100          research/slim's visualwakewords; also NAME_train.record-...
"""

import os
import re
from typing import NamedTuple

from slim_errors import UserError

# The name of a data set whose shards bear none; the user may call it anything.
UNNAMED = 'unnamed'

_NUMBER = r'(?P<index>\d{5})-of-(?P<count>\d{5})'
# No dots in a bare split: model.ckpt.data-00000-of-00001 is no shard.
_SCHEMES = tuple(
  re.compile(pattern)
  for pattern in (
    rf'(?P<name>.+)_(?P<split>[^_]+)_{_NUMBER}\.tfrecord',
    rf'(?P<split>[^.]+)-{_NUMBER}',
    rf'((?P<name>.+)_)?(?P<split>[^._]+)\.record-{_NUMBER}',
    r'(?P<name>.+)_(?P<split>[^_.]+)\.tfrecord',
  )
)


class Shard(NamedTuple):
  """What a file name says; `index` and `count` are None for the only file of a split."""

  file: str
  scheme: int
  name: str
  split: str
  index: int | None
  count: int | None


def shard_name(dataset_name, split_name, index, count):
  """Returns the file name of a shard; tensorflow/inception's when the data set's name is None."""
  if dataset_name is None:
    return f'{split_name}-{index:05d}-of-{count:05d}'
  return f'{dataset_name}_{split_name}_{index:05d}-of-{count:05d}.tfrecord'


def parse(file):
  """Returns the Shard that a file name of any scheme describes, None when it is no shard's."""
  for number, scheme in enumerate(_SCHEMES):
    match = scheme.fullmatch(file)
    if match:
      found = {'name': None, 'index': None, 'count': None} | match.groupdict()
      index, count = (found[key] and int(found[key]) for key in ('index', 'count'))
      return Shard(file, number, found['name'] or UNNAMED, found['split'], index, count)
  return None


def families(folder):
  """Returns {data set: {split: [file name, ...]}} of the shards in a folder, all sorted.

  A data set without a name in its shards is called UNNAMED.
  """
  found = {}
  for shard in map(parse, sorted(os.listdir(folder))):
    if shard:
      found.setdefault(shard.name, {}).setdefault(shard.split, []).append(shard.file)
  return found


def check_complete(files, folder):
  """Raises UserError when the shards of a split miss one, or mix sets of different counts."""
  shards = [shard for shard in map(parse, files) if shard]
  sets = {(shard.count or 1, shard.scheme): shard.file for shard in reversed(shards)}
  if len(sets) > 1:
    raise UserError(
      f'{folder} mixes shards of {" and of ".join(str(count) for count, _ in sorted(sets))} for '
      f'one split ({", ".join(sorted(sets.values()))} ...): keep the files of one conversion.'
    )
  for (count, _), first in sets.items():
    there = {shard.index for shard in shards}
    if len(shards) > count:
      raise UserError(
        f'{folder} holds {len(shards)} shards where their names say {count} '
        f'({", ".join(shard.file for shard in shards)}): keep the files of one conversion.'
      )
    if len(shards) < count:
      missing = next(index for index in range(count) if index not in there)
      before, _, after = first.rpartition(f'{shards[0].index:05d}-of-')
      raise UserError(
        f'{before}{missing:05d}-of-{after} is missing in {folder}: '
        f'copy all {count} shards of the split.'
      )
