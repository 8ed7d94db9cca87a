"""dataset.json: what a converted data set consists of. Whoever finds it finds a complete set."""

import contextlib
import os
import shutil

import slim_files
from datasets import shard_names
from slim_errors import UserError

MANIFEST_FILE = 'dataset.json'
FORMAT_VERSION = 1

# A new data set is complete in this folder before the first file of the old one is replaced.
READY_FOLDER = '.data_convert-ready'


def read_manifest(dataset_dir):
  """Reads and validates dataset.json.

  Args:
    dataset_dir: folder of a data set.

  Returns:
    None when there is no dataset.json, else a dict: format_version, name, classes [name, ...],
    splits {split: {num_images, images_per_class {name: count}, shards [{file, num_images, bytes,
    sha256}]}}, skipped {reason: count}, repaired {reason: count}, ignored {reason: count}, seed.

  Raises:
    UserError: a field is missing or wrong; the message names it.
  """
  finish_swap(dataset_dir)
  path = os.path.join(dataset_dir, MANIFEST_FILE)
  try:
    value = slim_files.read_json(path)
  except FileNotFoundError:
    return None
  except (OSError, ValueError) as error:
    raise UserError(f'{path} cannot be read ({error}): convert the data set again.') from None
  _validate(value, path)
  return value


def write_manifest(folder, value):
  """Writes dataset.json, atomically."""
  slim_files.write_json(os.path.join(folder, MANIFEST_FILE), value)


def check_shard(dataset_dir, shard):
  """Returns the path of a shard of dataset.json, or raises UserError when it is not that file."""
  path = os.path.join(dataset_dir, shard['file'])
  if not os.path.isfile(path):
    raise UserError(f'{path} is missing, though {MANIFEST_FILE} lists it: copy the whole data set.')
  size = os.path.getsize(path)
  if size != shard['bytes']:
    raise UserError(
      f'{path} has {size} bytes, {MANIFEST_FILE} says {shard["bytes"]}: '
      'copy it again or convert the data set again.'
    )
  return path


def finish_swap(dataset_dir):
  """Moves a complete new data set from READY_FOLDER into its place, dataset.json last.

  Does nothing when there is none. Killed at any moment, the next call goes on where it stopped.
  """
  ready = os.path.join(dataset_dir, READY_FOLDER)
  if not os.path.isdir(ready):
    return
  names = sorted(os.listdir(ready), key=lambda name: (name == MANIFEST_FILE, name))
  try:
    # Another process may be moving the same files.
    with contextlib.suppress(FileNotFoundError):
      new = slim_files.read_json(os.path.join(ready, MANIFEST_FILE))
      _delete_old_shards(dataset_dir, new)
    for name in names:
      with contextlib.suppress(FileNotFoundError):
        os.replace(os.path.join(ready, name), os.path.join(dataset_dir, name))
  except PermissionError as error:
    raise UserError(
      f'{dataset_dir} holds a conversion that was interrupted, and cannot be written to '
      f'({error.strerror}): make it writable, for the conversion to be finished.'
    ) from None
  slim_files.sync(dataset_dir)
  shutil.rmtree(ready, ignore_errors=True)


def _delete_old_shards(dataset_dir, new):
  """Deletes the shards of the old data set that the new one does not replace.

  They are those that dataset.json lists. Without one they are the numbered shards under the new
  set's name, of the splits that conversion writes: those of another split are the user's own.
  """
  new_files = _shard_files(new)
  path = os.path.join(dataset_dir, MANIFEST_FILE)
  try:
    old = slim_files.read_json(path)
    _validate(old, path)
    old_files = _shard_files(old)
  except (OSError, ValueError):
    schemes = {shard.scheme for shard in map(shard_names.parse, new_files) if shard}
    splits = shard_names.families(dataset_dir).get(new['name'], {})
    old_files = {
      shard.file
      for name in {'train', 'validation', *new['splits']} & splits.keys()
      for shard in map(shard_names.parse, splits[name])
      if shard.scheme in schemes and shard.count is not None
    }
  for name in old_files - new_files:
    path = os.path.join(dataset_dir, name)
    if os.path.isfile(path):
      os.unlink(path)


def _shard_files(value):
  return {shard['file'] for split in value['splits'].values() for shard in split['shards']}


def _validate(value, path):
  def check(condition, field, wanted):
    if not condition:
      raise UserError(f'{path}: {field} should be {wanted}; convert the data set again.')

  check(isinstance(value, dict), 'the file', 'a JSON object')
  version = value.get('format_version')
  check(version == FORMAT_VERSION, 'format_version', f'{FORMAT_VERSION}, not {version!r}')
  check(isinstance(value.get('name'), str) and value['name'], 'name', 'a text')
  classes = value.get('classes')
  check(_is_list_of_names(classes), 'classes', 'a list of different names')
  check(isinstance(value.get('splits'), dict) and value['splits'], 'splits', 'an object')
  for split_name, split in value['splits'].items():
    field = f'splits.{split_name}'
    check(isinstance(split, dict), field, 'an object')
    check(_is_count(split.get('num_images')), f'{field}.num_images', 'a whole number')
    per_class = split.get('images_per_class')
    check(
      isinstance(per_class, dict)
      and set(per_class) <= set(classes)
      and all(map(_is_count, per_class.values())),
      f'{field}.images_per_class',
      'a whole number for each class',
    )
    check(isinstance(split.get('shards'), list), f'{field}.shards', 'a list')
    for index, shard in enumerate(split['shards']):
      _validate_shard(shard, f'{field}.shards[{index}]', check)
    total = sum(shard['num_images'] for shard in split['shards'])
    check(total == split['num_images'], f'{field}.num_images', f'the sum over its shards, {total}')


def _validate_shard(shard, field, check):
  check(isinstance(shard, dict), field, 'an object')
  file = shard.get('file')
  is_plain = isinstance(file, str) and file not in ('', '.', '..') and not set(file) & {'/', '\0'}
  check(is_plain, f'{field}.file', 'a file name without folder')
  check(_is_count(shard.get('num_images')), f'{field}.num_images', 'a whole number')
  check(_is_count(shard.get('bytes')), f'{field}.bytes', 'a whole number')
  check(isinstance(shard.get('sha256'), str), f'{field}.sha256', 'a text')


def _is_count(value):
  return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_names(value):
  return (
    isinstance(value, list)
    and bool(value)
    and all(isinstance(name, str) and name for name in value)
    and len(set(value)) == len(value)
  )
