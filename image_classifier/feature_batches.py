"""Cached features of a split as training batches: gathered in memory, or from the memory maps."""

import os

import numpy as np

from image_classifier import inputs
from slim_compat import tf

# Share of the machine's memory that features may take; more of them stay on the disk.
_MEMORY_SHARE = 0.25


def training_batches(store, records, num_views, batch_size, *, seed=0, start_step=0):
  """Endless shuffled batches of features, starting where a run of `start_step` steps left off.

  Every epoch holds every image once, in an order that depends on `seed` and the epoch only; from
  epoch to epoch an image shows its views in turn.

  Args:
    store: a feature_store.FeatureStore that holds all rows of the split.
    records: feature_cache.Records of the split.
    num_views: views of each image in the store.
    batch_size: images a batch; may exceed the size of the split.
    seed: whole number that decides the order.
    start_step: batches to leave out from the beginning.

  Returns:
    features: list of float32 tensors [batch_size, ...].
    labels: int64 tensor [batch_size].
    filenames: string tensor [batch_size].
    initializer: operation to run once before the first batch.
  """
  places = store.places((image, view) for image in records.images for view in range(num_views))
  types = store.feature_types
  in_memory = fits_in_memory(len(places) * store.row_type.itemsize)
  batches = _rows(len(records.images), num_views, batch_size, seed, start_step)
  if not in_memory:
    batches = batches.map(_from_disk(store, places), num_parallel_calls=2)
  iterator = tf.data.make_initializable_iterator(batches.prefetch(2))
  if in_memory:
    rows = iterator.get_next()
    tables = _tables(lambda: store.gather(places), types, len(places))
    features = [tf.gather(table, rows) for table in tables]
  else:
    tables, (rows, *features) = [], iterator.get_next()
  features = [
    tf.ensure_shape(_as_float32(array), [batch_size, *dtype.shape])
    for array, dtype in zip(features, types, strict=True)
  ]
  known = [np.dtype(np.int64), np.dtype(object)]
  known = _tables(lambda: [records.labels, records.filenames], known, len(records.images))
  labels, filenames = (tf.gather(table, rows // num_views) for table in known)
  initializers = [table.initializer for table in (*tables, *known)]
  return features, labels, filenames, tf.group(iterator.initializer, *initializers)


def fits_in_memory(num_bytes):
  """Whether features of so many bytes are gathered from memory rather than from the disk."""
  return num_bytes <= _MEMORY_SHARE * os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def _rows(num_images, num_views, batch_size, seed, start_step):
  """Returns a tf.data.Dataset of batches of row numbers, int64 [batch_size]; view v of image i is
  row i * num_views + v."""
  first_epoch, skipped = divmod(start_step * batch_size, num_images)

  @inputs.as_it_is
  def rows_of(epoch):
    images = tf.random.experimental.stateless_shuffle(
      tf.range(num_images, dtype=tf.int64), tf.stack([tf.constant(seed, tf.int64), epoch])
    )
    rows = images * num_views + (images + epoch) % num_views
    return rows[tf.where(tf.equal(epoch, first_epoch), skipped, 0) :]

  epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
  return epochs.map(rows_of).rebatch(batch_size, drop_remainder=True)


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
      name='cached',
    )
    for value, dtype in zip(values, types, strict=True)
  ]


def _from_disk(store, places):
  """Returns the function from row numbers, int64 [b], to those and the features, for tf.data."""
  dtypes = [tf.as_dtype(dtype.base) for dtype in store.feature_types]

  @inputs.as_it_is
  def gathered(rows):
    return (rows, *tf.numpy_function(lambda rows: store.gather(places[rows]), [rows], dtypes))

  return gathered


def _as_float32(array):
  return tf.cast(tf.bitcast(array, tf.bfloat16), tf.float32) if array.dtype == tf.uint16 else array
