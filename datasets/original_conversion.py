"""Writes a data set, read from its publisher's files, as research/slim's converters do."""

import bisect
import os
import shutil

import slim_files
from datasets import conversion, labels, manifest, output_folder, shard_names, shard_writer, shards
from slim_errors import UserError

# Pictures between two lines that say how far the conversion is.
_LINE_EVERY = 100


def is_converted(facts, folder):
  """Whether a folder, which may not exist, holds all splits of a data set."""
  if not os.path.isdir(folder):
    return False
  listed, found = shards.read_folder(folder)
  if listed:
    return listed['name'] == facts.name
  return set(facts.split_sizes) <= set(found.get(facts.name, {}))


def convert(facts, output_dir, read_splits, *, num_shards=1, seed=None, overwrite=False):
  """Writes shards, label.txt, labels.txt, skipped.csv and dataset.json.

  The new data set is complete on disk before the first file of an old one is replaced.

  Args:
    facts: shards.Facts of the data set.
    output_dir: where to write.
    read_splits: function of an unused path, where it may unpack things, that returns
      ({split: original_files.Split}, class names).
    num_shards: files a split, where the names of the data set's files have numbers.
    seed: of the order of the pictures, for dataset.json.
    overwrite: whether to replace a data set that is there.

  Returns:
    conversion.Result.

  Raises:
    UserError, RunError: of read_splits; or a data set or other classes are in the folder.
  """
  if not overwrite:
    output_folder.refuse_existing(output_dir, facts.name)
  with output_folder.partial_folder(output_dir) as partial:
    unpacked = os.path.join(partial, 'unpacked')
    splits, class_names = read_splits(unpacked)
    if not overwrite:
      _refuse_other_labels(output_dir, class_names)
    written = {
      split_name: _write_split(partial, facts, split_name, split, num_shards, class_names)
      for split_name, split in splits.items()
    }
    shutil.rmtree(unpacked, ignore_errors=True)
    skipped = {name: why for split in written.values() for name, why in split.skipped.items()}
    value = output_folder.describe(facts.name, class_names, written, skipped, seed=seed)
    labels.write_label_file(os.path.join(partial, labels.LABEL_FILE), class_names)
    numbered = ''.join(f'{label}:{name}\n' for label, name in enumerate(class_names))
    slim_files.write_atomically(os.path.join(partial, labels.SLIM_LABEL_FILE), numbered)
    output_folder.write_skipped(partial, skipped)
    manifest.write_manifest(partial, value)
    output_folder.publish(output_dir, partial)
  return conversion.Result(value, skipped, [])


def _refuse_other_labels(output_dir, class_names):
  for file in (labels.LABEL_FILE, labels.SLIM_LABEL_FILE):
    path = os.path.join(output_dir, file)
    if os.path.isfile(path) and list(labels.read_labels(path).values()) != list(class_names):
      raise UserError(f'{path} names other classes: choose another folder, or add --overwrite.')


def _write_split(partial, facts, split_name, split, num_shards, class_names):
  if not split.images:
    raise UserError(f'There are no pictures for the split {split_name} of {facts.name}.')
  pattern = facts.pattern()
  is_single = '*' not in pattern
  num_shards = 1 if is_single else min(num_shards, len(split.images))
  written = shard_writer.write_split(
    partial,
    facts.name,
    split_name,
    split.images,
    num_shards,
    {name: label for label, name in enumerate(class_names)},
    _announced(split, num_shards),
    threads=1,
    name_shard=(lambda *_: pattern % split_name) if is_single else shard_names.shard_name,
  )
  if not written.images:
    raise UserError(f'No picture of the split {split_name} of {facts.name} can be read.')
  return written


def _announced(split, num_shards):
  """Passes the pictures on, and prints research/slim's line for some of them."""
  total = len(split.images)
  ends = [total * number // num_shards for number in range(1, num_shards)]
  for number, (image, picture) in enumerate(split.pictures):
    if number % _LINE_EVERY == 0 or number + 1 == total:
      shard = bisect.bisect_right(ends, number)
      end = '\n' if number + 1 == total else ''
      print(f'\r>> Converting image {number + 1}/{total} shard {shard}', end=end, flush=True)
    yield image, picture
