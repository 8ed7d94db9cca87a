"""Converts folders of images into the records of tensorflow/inception's build_image_data.

Their shards are called train-00000-of-00002, every picture is a JPEG, and the labels count from 1:
0 is left to a background class. What is beside them is the project's own: dataset.json, labels.txt
in research/slim's form and skipped.csv.
"""

import collections
import dataclasses
import datetime
import logging
import os
import random

from datasets import (
  decoders,
  image_files,
  image_folder,
  labels,
  manifest,
  output_folder,
  shard_names,
  shard_writer,
)
from slim_errors import UserError

# All three are build_image_data's own; its messages speak of threads.
_SEED = 12345
_JPEG_QUALITY = 100
_THREADS = 2
_PROGRESS_EVERY = 1000  # images
_CLASSES_EVERY = 100


@dataclasses.dataclass(frozen=True)
class Options:
  """How to convert; see the flags of scripts/build_image_data.py."""

  train_directory: str
  validation_directory: str
  output_directory: str
  train_shards: int = 2
  validation_shards: int = 2
  num_threads: int | None = None
  labels_file: str = ''
  max_pixels: int = image_files.MAX_PIXELS
  overwrite: bool = False


@dataclasses.dataclass(frozen=True)
class Result:
  """What a conversion did: dataset.json's content, and {image name: why it was left out}."""

  manifest: dict
  skipped: dict


def convert(options):
  """Converts DIRECTORY/<class>/* of both splits; messages go to Python's logging.

  The new data set is complete on disk before the first file of an old one is replaced.

  Args:
    options: Options.

  Returns:
    Result.

  Raises:
    UserError: the images, the label file or the options do not fit, or a data set is there already.
  """
  logging.info('Saving results to %s', options.output_directory)
  _check_output(options)
  directories = {
    # build_image_data's order.
    'validation': options.validation_directory,
    'train': options.train_directory,
  }
  directories = {split: path for split, path in directories.items() if path}
  class_names = _class_names(options.labels_file, directories)
  writes_labels = _writes_labels(options, class_names)
  ignored = collections.Counter()
  with output_folder.partial_folder(options.output_directory) as partial:
    written, skipped = {}, {}
    for split_name, directory in directories.items():
      images = _list_images(options.labels_file, split_name, directory, class_names, ignored)
      written[split_name] = _write_split(options, partial, split_name, images, class_names, skipped)
    by_label = labels.behind_background(class_names)
    value = output_folder.describe(
      shard_names.UNNAMED,
      by_label.values(),
      dict(sorted(written.items())),
      skipped,
      ignored=ignored,
      seed=_SEED,
    )
    output_folder.write_skipped(partial, skipped)
    if writes_labels:
      path = os.path.join(partial, labels.SLIM_LABEL_FILE)
      labels.write_numbered_file(path, by_label)
    manifest.write_manifest(partial, value)
    output_folder.publish(options.output_directory, partial)
  return Result(value, skipped)


def _check_output(options):
  """Raises UserError for folders that do not fit, or a data set that is there already."""
  if not options.train_directory:
    raise UserError('--train_directory is empty: give the folder of the training pictures.')
  for name in ('train_directory', 'validation_directory'):
    directory = getattr(options, name)
    if directory and not os.path.isdir(directory):
      raise UserError(f'--{name}={directory} is not a folder: give the folder of the classes.')
  if not options.overwrite:
    output_folder.refuse_existing(options.output_directory, shard_names.UNNAMED)


def _class_names(labels_file, directories):
  """Returns the names of the label file, or of the class folders, in the order of the labels."""
  if labels_file:
    return _without_background(labels.read_plain_names(labels_file), f'the line from {labels_file}')
  folders = [
    os.path.join(directory, name)
    for directory in directories.values()
    for name in image_folder.list_class_folders(directory, collections.Counter())
  ]
  image_folder.check_class_names(folders)
  names = sorted({labels.normalized(os.path.basename(path)) for path in folders})
  if not names:
    raise UserError(
      f'{directories["train"]} holds no class folders: put the pictures of each class into a '
      'folder of its own.'
    )
  return _without_background(names, 'or rename the folder')


def _without_background(names, where):
  if labels.BACKGROUND in names:
    raise UserError(
      f'The class {labels.BACKGROUND} cannot be told from label 0, which is left to it: '
      f'take out {where}.'
    )
  return names


def _writes_labels(options, class_names):
  """Whether labels.txt is to be written: a user's own list of the names stays."""
  path = os.path.join(options.output_directory, labels.SLIM_LABEL_FILE)
  if not os.path.exists(path):
    return True
  if options.labels_file and os.path.samefile(path, options.labels_file):
    return False
  by_label = labels.behind_background(class_names)
  if not options.overwrite and labels.read_labels(path) != by_label:
    raise UserError(f'{path} names other classes: move it away, or --overwrite replaces it.')
  return True


def _list_images(labels_file, split_name, directory, class_names, ignored):
  """Returns the ImageFiles of a split in the order of writing."""
  logging.info(
    'Determining list of input files and labels from %s.', labels_file or f'{directory} itself'
  )
  folders = {
    labels.normalized(name): name for name in image_folder.list_class_folders(directory, ignored)
  }
  images = []
  for number, name in enumerate(class_names, 1):
    found = []
    if name in folders:
      found = image_folder.list_class_images(directory, directory, folders[name], False, ignored)
    if not found:
      logging.warning('Warning: %s has no pictures of the class %s.', directory, name)
    images += sorted(found)
    if number % _CLASSES_EVERY == 0:
      logging.info('Finished finding files in %d of %d classes.', number, len(class_names))
  if not images:
    raise _no_pictures(labels_file, split_name, directory, class_names, folders)
  for name in sorted(set(folders) - set(class_names)):
    logging.warning('Warning: %s lacks %s, which is left out.', labels_file, folders[name])
    ignored['folder of no listed class'] += 1
  random.Random(_SEED).shuffle(images)
  logging.info(
    'Found %d JPEG files across %d labels inside %s.', len(images), len(class_names), directory
  )
  return images


def _no_pictures(labels_file, split_name, directory, class_names, folders):
  """Returns the UserError for a folder without any picture of the classes."""
  of_what = f' of any class of {labels_file} ({class_names[0]} ...)' if labels_file else ''
  there = ', '.join(sorted(folders)[:8]) or 'none'
  fix = f'check --{split_name}_directory and --labels_file'
  if labels_file and labels.is_numbered(labels_file):
    fix = 'write one class name a line without numbers, for the line is the label'
  elif split_name == 'validation':
    fix += ', or give --validation_directory= to write no validation split'
  return UserError(f'{directory} holds no pictures{of_what}, its folders are {there}: {fix}.')


def _write_split(options, partial, split_name, images, class_names, skipped):
  """Writes the shards of a split and adds to `skipped`; returns shard_writer.Written."""
  num_shards = getattr(options, f'{split_name}_shards')
  total = len(images)
  while True:
    threads = min(options.num_threads or _THREADS, num_shards, len(images))
    spacings = _spacings(len(images), threads, min(num_shards, len(images)))
    logging.info('Launching %d threads for spacings: %s', threads, spacings)
    count = options.num_threads or decoders.default_count(options.max_pixels)
    with decoders.Decoders(min(count, len(images)), options.max_pixels, _JPEG_QUALITY) as workers:
      written = shard_writer.write_split(
        partial,
        None,
        split_name,
        images,
        num_shards,
        {name: label for label, name in enumerate(class_names, 1)},
        _reporting(workers.in_order(images), spacings),
        threads,
        name_picture=lambda image: os.path.basename(image.name),
      )
    skipped.update({f'{split_name}/{name}': why for name, why in written.skipped.items()})
    if not written.images:
      raise UserError(
        f'None of the {total} files for {split_name} can be read as a picture, '
        f'such as {images[0].path}: {written.skipped[images[0].name]}.'
      )
    if all(shard['num_images'] for shard in written.shards):
      break
    # Files that cannot be read have left a shard empty, which readers refuse.
    for shard in written.shards:
      os.unlink(os.path.join(partial, shard['file']))
    images = written.images
  logging.info(
    '%s: Finished writing all %d images in data set.', datetime.datetime.now(), len(written.images)
  )
  return written


def _spacings(count, threads, num_shards):
  """Returns [[first, end], ...]: the images in the shards of each thread."""
  first_shards = [-(-thread * num_shards // threads) for thread in range(threads + 1)]
  bounds = [count * shard // num_shards for shard in first_shards]
  return [list(bound) for bound in zip(bounds, bounds[1:], strict=False)]


def _reporting(pictures, spacings):
  """Passes pictures on and says what became of each, in build_image_data's words."""
  for thread, (first, end) in enumerate(spacings):
    for done in range(1, end - first + 1):
      image, picture = next(pictures)
      if isinstance(picture, str):
        logging.info('%s', picture)
        logging.info('SKIPPED: Unexpected error while decoding %s.', image.path)
      elif (picture.note or '').partition(',')[0] == 'PNG':
        logging.info('Converting PNG to JPEG for %s', image.path)
      yield image, picture
      if done % _PROGRESS_EVERY == 0:
        logging.info(
          '%s [thread %d]: Processed %d of %d images in thread batch.',
          datetime.datetime.now(),
          thread,
          done,
          end - first,
        )
