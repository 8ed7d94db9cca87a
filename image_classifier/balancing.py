"""Balanced sampling: every class as often as any other, with epochs as long as they were."""

from slim_compat import tf

# Which images of a class come once more or less often differs from epoch to epoch: by the golden
# ratio, whose multiples fill [0, 1) evenly.
_SHIFT = 0.6180339887498949
_as_it_is = tf.autograph.experimental.do_not_convert


def images_per_class(class_counts):
  """Returns how many images each class has in an epoch.

  Args:
    class_counts: images of every class in the split, of which some may have none.
  """
  present = sum(count > 0 for count in class_counts)
  return -(-sum(class_counts) // present)


def epoch_size(class_counts):
  """Returns how many images an epoch has: those of the split, rounded up to whole classes."""
  return images_per_class(class_counts) * sum(count > 0 for count in class_counts)


def balanced(records, epoch, label_of, class_counts):
  """Repeats the images of small classes, and leaves out some of large ones.

  Args:
    records: tf.data.Dataset of one pass over the split, in a fixed order.
    epoch: int64 scalar tensor, number of the pass.
    label_of: function of a record that returns its class, int64 scalar from 0.
    class_counts: images of every class in the split.

  Returns:
    tf.data.Dataset of `epoch_size` records, as many of each class, those of an image in a row.
  """
  wanted = images_per_class(class_counts)
  shift = tf.math.floormod(tf.cast(epoch, tf.float64) * _SHIFT, 1.0)

  @_as_it_is
  def count(seen, record):
    """Says how often a record comes; `seen` counts those of its class before it."""
    label = label_of(record)
    place, images = tf.gather(seen, label), tf.gather(tf.constant(class_counts, tf.int64), label)
    begin = tf.cast(shift * tf.cast(images, tf.float64), tf.int64)
    # In whole numbers, whose rounding loses no image: resuming counts on the size of an epoch.
    before, after = ((n * wanted + begin) // images for n in (place, place + 1))
    return seen + tf.one_hot(label, len(class_counts), dtype=tf.int64), (record, after - before)

  @_as_it_is
  def repeat(record, times):
    return tf.data.Dataset.from_tensors(record).repeat(times)

  return records.scan(tf.zeros([len(class_counts)], tf.int64), count).flat_map(repeat)
