"""Cached features of a split as training batches: gathered in memory, or from the memory maps."""

import functools
import os
import typing

import numpy as np

from image_classifier import balancing, inputs
from slim_compat import tf

# Share of the machine's memory that features may take; more of them stay on the disk.
_MEMORY_SHARE = 0.25


class Rows(typing.NamedTuple):
  """Which views of which images the batches hold; view v of image i is row i * num_views + v."""

  batches: typing.Any  # tf.data.Dataset of row numbers, int64 [batch_size]
  numbers: typing.Any  # int64 tensor [batch_size], the next batch
  labels: typing.Any  # int64 tensor [batch_size], of it
  filenames: typing.Any  # string tensor [batch_size], of it
  initializer: typing.Any  # operation to run once before the first batch


def training_rows(records, num_views, batch_size, *, seed=0, start_step=0, class_counts=None):
  """Endless shuffled batches of rows, starting where a run of `start_step` batches left off.

  Every epoch holds every image once, in an order that depends on `seed` and the epoch only; from
  epoch to epoch an image shows its views in turn.

  Args:
    records: cache.Records of the split.
    num_views: views of each image.
    batch_size: images a batch; may exceed the size of the split.
    seed: whole number that decides the order.
    start_step: batches to leave out from the beginning.
    class_counts: images of every class in the split, for epochs with as many of each class; None
      for epochs with every image once.

  Returns:
    Rows.
  """
  num_images = len(records.images)
  epoch_size = balancing.epoch_size(class_counts) if class_counts else num_images
  first_epoch, skipped = divmod(start_step * batch_size, epoch_size)

  @inputs.as_it_is
  def images_of(epoch):
    if not class_counts:
      return tf.range(num_images, dtype=tf.int64)
    images = balancing.balanced(
      tf.data.Dataset.range(num_images),
      epoch,
      lambda image: tf.gather(tf.constant(records.labels), image),
      class_counts,
    )
    return images.batch(epoch_size).get_single_element()

  @inputs.as_it_is
  def rows_of(epoch):
    images = tf.random.experimental.stateless_shuffle(
      images_of(epoch), tf.stack([tf.constant(seed, tf.int64), epoch])
    )
    rows = images * num_views + (images + epoch) % num_views
    return rows[tf.where(tf.equal(epoch, first_epoch), skipped, 0) :]

  with tf.name_scope('cached'):
    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    batches = epochs.map(rows_of).rebatch(batch_size, drop_remainder=True)
    iterator = tf.data.make_initializable_iterator(inputs.without_autotuning(batches.prefetch(2)))
    numbers = iterator.get_next()
    known = [np.dtype(np.int64), np.dtype(object)]
    known = _tables(lambda: [records.labels, records.filenames], known, num_images)
    labels, filenames = (tf.gather(table, numbers // num_views) for table in known)
    initializer = tf.group(iterator.initializer, *(table.initializer for table in known))
  return Rows(batches, numbers, labels, filenames, initializer)


def features(rows, store, keys):
  """Returns the features of the batches, which the store may still lack until they are started.

  Args:
    rows: Rows.
    store: storage.FeatureStore.
    keys: list of the image and view of every row number, as the store knows them.

  Returns:
    features: list of float32 tensors [batch_size, ...].
    initializer: operation to run once before the first batch.
  """
  places = functools.cache(lambda: store.places(keys))
  batch_size = rows.numbers.shape[0]
  with tf.name_scope('cached'):
    if fits_in_memory(len(keys) * store.row_type.itemsize):
      tables = _tables(lambda: store.gather(places()), store.feature_types, len(keys))
      found = [tf.gather(table, rows.numbers) for table in tables]
      initializer = tf.group([table.initializer for table in tables])
    else:  # in step with the other iterator: each step takes a batch of both
      batches = rows.batches.map(_from_disk(store, places), num_parallel_calls=2)
      iterator = tf.data.make_initializable_iterator(inputs.without_autotuning(batches.prefetch(2)))
      found, initializer = iterator.get_next(), iterator.initializer
    found = [
      tf.ensure_shape(_as_float32(array), [batch_size, *dtype.shape])
      for array, dtype in zip(found, store.feature_types, strict=True)
    ]
  return found, initializer


def fits_in_memory(num_bytes):
  """Whether features of so many bytes are gathered from memory rather than from the disk."""
  return num_bytes <= _MEMORY_SHARE * os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def _tables(read, types, num_rows):
  """Returns variables outside every checkpoint, whose initializers read their values.

  Args:
    read: function that returns a list of arrays [num_rows, ...].
    types: NumPy's types of their rows.
    num_rows: length of the arrays.
  """
  dtypes = [tf.string if dtype.hasobject else tf.as_dtype(dtype.base) for dtype in types]
  values = tf.numpy_function(read, [], dtypes)
  return [
    tf.Variable(
      tf.ensure_shape(value, [num_rows, *dtype.shape]),
      trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES],
      use_resource=True,
      name='table',
    )
    for value, dtype in zip(values, types, strict=True)
  ]


def _from_disk(store, places):
  """Returns the function from row numbers, int64 [b], to the features, for tf.data."""
  dtypes = [tf.as_dtype(dtype.base) for dtype in store.feature_types]

  @inputs.as_it_is
  def gathered(rows):
    return tuple(tf.numpy_function(lambda rows: store.gather(places()[rows]), [rows], dtypes))

  return gathered


def _as_float32(array):
  return tf.cast(tf.bitcast(array, tf.bfloat16), tf.float32) if array.dtype == tf.uint16 else array
