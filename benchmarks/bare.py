"""Bare decoding: what conversion and input cannot do without, and nothing else."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import time

from PIL import Image

_FILES_AT_ONCE = 32
_THREADS = 4  # as many as training prepares images with


def files(material):
  """Decodes all image files with Pillow, a process a core; the processes are there already."""
  paths = sorted(map(str, pathlib.Path(material.images).rglob('*.jpg')))
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context) as pool:
    list(pool.map(_decode, paths[: 4 * _FILES_AT_ONCE], chunksize=_FILES_AT_ONCE))
    start = time.perf_counter()
    list(pool.map(_decode, paths, chunksize=_FILES_AT_ONCE))
    seconds = time.perf_counter() - start
  return {'images_per_second': len(paths) / seconds}


def _decode(path):
  with Image.open(path) as image:
    image.convert('RGB')


def crops(material):
  """Decodes random crops, of the distribution that inception's preprocessing has, by tf.data."""
  from benchmarks import clock, reference
  from slim_compat import tf

  def decode(record):
    encoded = tf.parse_single_example(record, reference.FEATURES)['image/encoded']
    begin, size, _ = tf.image.sample_distorted_bounding_box(
      tf.image.extract_jpeg_shape(encoded), [[[0.0, 0.0, 1.0, 1.0]]], **reference.CROP
    )
    window = tf.concat([begin[:2], size[:2]], 0)
    return tf.size(tf.image.decode_and_crop_jpeg(encoded, window, channels=3))

  with tf.Graph().as_default(), tf.Session() as session:
    records = reference.records(material, 'train').repeat()
    sizes = records.map(decode, num_parallel_calls=_THREADS).batch(material.batch_size)
    batch = tf.data.make_one_shot_iterator(sizes.prefetch(2)).get_next()
    rate = clock.rate(lambda: session.run(batch), material.seconds)
  return {'images_per_second': rate * material.batch_size}
