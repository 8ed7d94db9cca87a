"""Converts a folder of images into TFRecord shards, label.txt, skipped.csv and dataset.json."""

import dataclasses
import datetime
import itertools
import logging
import os
import random
import re
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

import slim_files
from datasets import (
  decoders,
  image_files,
  image_folder,
  labels,
  manifest,
  output_folder,
  shard_writer,
  splitting,
)
from slim_errors import UserError

_DATASET_NAME = re.compile(r'\w[\w.\- ]*')
_LONGEST_NAME = 200  # bytes; file systems take 255 for all of a file's name
COPY_REASON = 'the picture is in train too'


@dataclasses.dataclass(frozen=True)
class Options:
  """How to convert; see the flags of data_convert.py."""

  image_dir: str
  output_dir: str
  dataset_name: str = 'satellite'
  train_shards: int = 2
  validation_shards: int = 2
  num_threads: int | None = None
  validation_fraction: float = 0.2
  seed: int = 0
  max_pixels: int = image_files.MAX_PIXELS
  recursive: bool = False
  strict: bool = False
  overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
  """What a conversion did: dataset.json's content, files left out by reason, and warnings."""

  manifest: dict
  skipped: dict
  warnings: list


def convert(options):
  """Converts a folder of images.

  The new data set is complete on disk before the first file of an old one is replaced.

  Args:
    options: Options.

  Returns:
    Result.

  Raises:
    UserError: the images, the label file or the options do not fit, or a data set is there already.
  """
  folder = image_folder.read_image_folder(options.image_dir, options.recursive)
  _check_output(options, folder)
  with output_folder.partial_folder(options.output_dir) as partial:
    class_names = _number_classes(options, folder)
    for split_name, images in folder.splits.items():
      where = os.path.join(options.image_dir, split_name or '')
      logging.info(
        'Found %d JPEG files across %d labels inside %s.', len(images), len(class_names), where
      )
    with _decoders(options, folder) as workers:
      hashes, unreadable = _hash_all(folder, workers.count)
      _refuse_unreadable(unreadable, options)
      warnings = _folder_warnings(folder, hashes, options)
      written, skipped = _write_splits(
        options, workers, partial, folder, class_names, hashes, unreadable
      )
    value = output_folder.describe(
      options.dataset_name,
      class_names,
      written,
      skipped,
      ignored=folder.ignored,
      seed=options.seed,
      validation_fraction=options.validation_fraction if None in folder.splits else None,
    )
    warnings += _missing_classes(value, folder)
    _write_small_files(options, partial, class_names, value, skipped)
    output_folder.publish(options.output_dir, partial)
  total = sum(split['num_images'] for split in value['splits'].values())
  logging.info('%s: Finished writing all %d images in data set.', datetime.datetime.now(), total)
  return Result(value, skipped, warnings)


def _check_output(options, folder):
  """Raises UserError when the data set may not be written where it should."""
  if not _DATASET_NAME.fullmatch(options.dataset_name):
    raise UserError(
      f'--dataset_name={options.dataset_name!r} becomes part of file names: use letters, digits, '
      'spaces, dots, - and _.'
    )
  if len(os.fsencode(options.dataset_name)) > _LONGEST_NAME:
    raise UserError(
      f'--dataset_name has more than {_LONGEST_NAME} bytes and becomes part of file names: '
      'shorten it.'
    )
  for class_folder in folder.class_folders:
    if _path_below(options.output_dir, class_folder):
      raise UserError(
        f'--output_dir={options.output_dir} lies in the class folder {class_folder}: '
        'choose a folder outside the images.'
      )
  for root in {os.path.dirname(class_folder) for class_folder in folder.class_folders}:
    if not (_path_below(options.output_dir, root) or '.').startswith('.'):
      raise UserError(
        f'--output_dir={options.output_dir} lies among the class folders of {root}, and would be '
        'a class next time: choose a folder outside the images.'
      )
  if not options.overwrite:
    output_folder.refuse_existing(options.output_dir, options.dataset_name)


def _path_below(path, folder):
  """Returns the path relative to a folder that it is, or lies below; None when it does not."""
  path, folder = os.path.realpath(path), os.path.realpath(folder)
  return os.path.relpath(path, folder) if os.path.commonpath([path, folder]) == folder else None


def _number_classes(options, folder):
  """Returns the class names in the order of their labels: an existing label.txt decides."""
  for where in (options.output_dir, options.image_dir):
    path = os.path.join(where, labels.LABEL_FILE)
    if os.path.isfile(path):
      listed = labels.read_class_names(path)
      break
  else:
    logging.warning("Can't find label.txt. Now create it.")
    listed = []
  missing = [name for name in listed if name not in folder.class_names]
  if missing:
    raise UserError(
      f'{path} lists the class {missing[0]!r}, {options.image_dir} has no pictures of it: '
      'add them, or remove the line (which renumbers the classes after it).'
    )
  new = [name for name in folder.class_names if name not in listed]
  if listed and new:
    logging.warning('label.txt lacks %s: appended.', ', '.join(new))
  return listed + new


def _all_images(folder):
  return [image for images in folder.splits.values() for image in images]


def _decoders(options, folder):
  count = options.num_threads or decoders.default_count(options.max_pixels)
  return decoders.Decoders(min(count, len(_all_images(folder))), options.max_pixels)


def _hash_all(folder, num_threads):
  """Returns ({image name: SHA-256}, {image name: reason why it cannot be read})."""
  images = _all_images(folder)
  hashes, unreadable = {}, {}
  parts = [images[first::num_threads] for first in range(num_threads)]
  with ThreadPoolExecutor(num_threads) as pool:
    for part, found in zip(parts, pool.map(_file_hashes, parts), strict=True):
      for image, (digest, why) in zip(part, found, strict=True):
        (hashes if digest else unreadable)[image.name] = digest or why
  return hashes, unreadable


def _refuse_unreadable(unreadable, options):
  if options.strict:
    for name, why in unreadable.items():
      raise UserError(f'{name} {why}; remove it (--strict).')


def _file_hashes(images):
  return [_file_hash(image) for image in images]


def _file_hash(image):
  try:
    return slim_files.sha256(image.path), None
  except OSError as error:
    return None, f'cannot be read: {error.strerror}'


def _folder_warnings(folder, hashes, options):
  """Returns what a user should know about the images; raises UserError when --strict forbids it."""
  warnings = [
    f'The class folder {name} holds no pictures and is left out.'
    for name in image_folder.empty_classes(folder)
  ]
  if folder.folders_beside and None in folder.splits:
    warnings.append(
      f'Not used: {", ".join(folder.folders_beside)} beside train/. The pictures to validate on '
      'are taken from train/; a folder of your own for them is called validation/.'
    )
  images = [image for image in _all_images(folder) if image.name in hashes]
  for group in splitting.shared_pictures(images, hashes):
    names = ' and '.join(image.name for image in group)
    if options.strict:
      raise UserError(f'{names} are the same picture in different classes: keep one (--strict).')
    warnings.append(f'{names} are the same picture in different classes.')
  return warnings


def _plan(options, folder, hashes, skipped):
  """Returns ({split: shuffled images}, {image: reason}) of what can be written."""
  splits = {
    name: [image for image in images if image.name not in skipped]
    for name, images in folder.splits.items()
  }
  copies = {}
  if None in splits:
    splits = splitting.split_by_content(splits[None], hashes, options.validation_fraction)
  else:
    copies = splitting.validation_copies(splits, hashes)
    splits['validation'] = [image for image in splits['validation'] if image.name not in copies]
  for images in splits.values():
    images.sort()
    random.Random(options.seed).shuffle(images)
  return splits, {name: f'{COPY_REASON}: {other}' for name, other in copies.items()}


def _write_splits(options, workers, partial, folder, class_names, hashes, skipped):
  """Writes all shards; once more when images left out have unbalanced what was planned.

  Returns:
    ({split: shard_writer.Written}, {image name: reason it was left out}).
  """
  skipped = dict(skipped)
  while True:
    splits, copies = _plan(options, folder, hashes, skipped)
    _check_training(folder, splits['train'], class_names, skipped)
    pictures = workers.in_order([image for images in splits.values() for image in images])
    written = {
      name: _write_split(
        options, partial, name, images, class_names, itertools.islice(pictures, len(images))
      )
      for name, images in splits.items()
      if images
    }
    new = {name: why for split in written.values() for name, why in split.skipped.items()}
    skipped.update(new)
    replanned, _ = _plan(options, folder, hashes, skipped)
    is_as_planned = all(
      {image.name for image in images} == {image.name for image in splits[name]} - set(new)
      for name, images in replanned.items()
    )
    has_empty_shard = any(
      not shard['num_images'] for split in written.values() for shard in split.shards
    )
    if is_as_planned and not has_empty_shard:
      _check_training(folder, written['train'].images, class_names, skipped)
      return written, skipped | copies
    for file in os.listdir(partial):
      os.unlink(os.path.join(partial, file))


def _write_split(options, partial, split_name, images, class_names, pictures):
  if options.strict:
    pictures = _refusing(pictures)
  progress = tqdm(pictures, split_name, len(images), unit=' images', leave=False, disable=None)
  return shard_writer.write_split(
    partial,
    options.dataset_name,
    split_name,
    images,
    getattr(options, f'{split_name}_shards'),
    {name: label for label, name in enumerate(class_names)},
    iter(progress),
    options.num_threads or getattr(options, f'{split_name}_shards'),
  )


def _refusing(pictures):
  """Passes pictures on, and raises UserError for the first that cannot be read."""
  for image, picture in pictures:
    if isinstance(picture, str):
      raise UserError(f'{image.path} cannot be used: {picture}; remove it (--strict).')
    yield image, picture


def _check_training(folder, train_images, class_names, skipped):
  """Raises UserError for a class without any picture to train on."""
  in_train = {image.class_name for image in train_images}
  for name in class_names:
    if name not in in_train:
      why = next(
        (
          f'{image.name} is left out: {skipped[image.name]}'
          for image in _all_images(folder)
          if image.class_name == name and image.name in skipped
        ),
        'they are all in validation/',
      )
      raise UserError(f'The class {name!r} has no readable pictures to train on; {why}.')


def _missing_classes(value, folder):
  """Returns warnings about classes without pictures to validate on."""
  if 'validation' not in value['splits']:
    why = 'No class has two different pictures'
    if None not in folder.splits:
      why = 'validation/ holds no picture that can be read and is not in train/ too'
    return [f'{why}, so there is no validation split.']
  counts = value['splits']['validation']['images_per_class']
  return [f'The class {name} has no pictures in validation.' for name in counts if not counts[name]]


def _write_small_files(options, partial, class_names, value, skipped):
  """Writes label.txt (unless the one there says the same), skipped.csv and dataset.json."""
  label_path = os.path.join(options.output_dir, labels.LABEL_FILE)
  if not (
    os.path.isfile(label_path) and list(labels.read_labels(label_path).values()) == class_names
  ):
    labels.write_label_file(os.path.join(partial, labels.LABEL_FILE), class_names)
  output_folder.write_skipped(partial, skipped)
  manifest.write_manifest(partial, value)
