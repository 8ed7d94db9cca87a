"""Writes the pictures of a split, in order, into its shards."""

import collections
import datetime
import logging
import operator
import os
from typing import NamedTuple

import slim_files
from datasets import record_writer, shard_names


class Written(NamedTuple):
  """What became of a split: entries of dataset.json, and why images were left out."""

  shards: list  # [{'file', 'num_images', 'bytes', 'sha256'}, ...]
  images: list  # the ImageFiles that are in the shards
  notes: collections.Counter  # repaired images by what was repaired
  skipped: dict  # {ImageFile.name: reason}

  def listing(self, class_names):
    """Returns the split as dataset.json holds it."""
    counts = collections.Counter(image.class_name for image in self.images)
    return {
      'num_images': len(self.images),
      'images_per_class': {name: counts[name] for name in class_names},
      'shards': self.shards,
    }


def write_split(
  folder,
  dataset_name,
  split_name,
  images,
  num_shards,
  labels_of,
  pictures,
  threads,
  name_shard=shard_names.shard_name,
  name_picture=operator.attrgetter('name'),
):
  """Writes the shards of a split, each with an equal share of the images.

  Args:
    folder: where to write.
    dataset_name: first part of the shards' names.
    split_name: second part.
    images: list of ImageFile in the order of writing.
    num_shards: how many shards; fewer are written when there are fewer images.
    labels_of: {class name: label}.
    pictures: iterator over (ImageFile, pictures.Picture or reason) of `images`.
    threads: number of threads, for the lines that are logged.
    name_shard: function of data set, split, index and number of shards that returns a file's name.
    name_picture: function of an ImageFile that returns the image/filename of its record.

  Returns:
    Written.
  """
  num_shards = min(num_shards, len(images))
  written = Written([], [], collections.Counter(), {})
  for index in range(num_shards):
    first, last = (len(images) * number // num_shards for number in (index, index + 1))
    file = name_shard(dataset_name, split_name, index, num_shards)
    path = os.path.join(folder, file)
    before = len(written.images)
    with record_writer.RecordWriter(path) as writer:
      for _ in range(first, last):
        _write_picture(writer, *next(pictures), labels_of, name_picture, written)
    count = len(written.images) - before
    slim_files.sync(path)
    size, checksum = os.path.getsize(path), slim_files.sha256(path)
    written.shards.append({'file': file, 'num_images': count, 'bytes': size, 'sha256': checksum})
    logging.info(
      '%s [thread %d]: Wrote %d images to %s',
      datetime.datetime.now(),
      index * min(threads, num_shards) // num_shards,
      count,
      os.path.join(os.path.dirname(folder), file),
    )
  return written


def _write_picture(writer, image, picture, labels_of, name_picture, written):
  if isinstance(picture, str):
    written.skipped[image.name] = picture
    return
  example = record_writer.example(
    picture.encoded,
    picture.image_format,
    labels_of[image.class_name],
    image.class_name,
    picture.height,
    picture.width,
    name_picture(image),
    picture.channels,
  )
  writer.write(example)
  written.images.append(image)
  if picture.note:
    written.notes[picture.note] += 1
