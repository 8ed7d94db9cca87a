"""A split of a data set as batches of images and labels, by tf.data."""

import dataclasses
import os

from image_classifier import balancing
from preprocessing import augmentation, preprocessing_factory
from slim_compat import tf
from slim_errors import RunError, UserError, reason_of

# Up to this many bytes of shards a whole epoch is shuffled in memory; beyond, a part of it.
_SHUFFLE_BYTES = 1 << 30
_LEAST_THREADS = 4  # research/slim's --num_preprocessing_threads
# AutoGraph would take seconds to translate functions that have no Python control flow on tensors.
as_it_is = tf.autograph.experimental.do_not_convert


def preprocessing_settings(options):
  """Returns the arguments of get_preprocessing by options.TrainingOptions."""
  return {
    'name': options.preprocessing_name or options.model_name,
    'use_grayscale': options.use_grayscale,
    **dataclasses.asdict(augmentation.of(options)),
  }


def check(options):
  """Raises UserError for preprocessing settings that cannot work."""
  preprocessing_factory.get_preprocessing(**preprocessing_settings(options))


def training_batches(
  dataset,
  preprocessing_fn,
  batch_size,
  image_size,
  *,
  labels_offset=0,
  num_readers=4,
  num_threads=None,
  seed=0,
  start_step=0,
  class_counts=None,
):
  """Endless shuffled batches of a split, starting where a run of `start_step` steps left off.

  Every epoch holds every image once, in an order that depends on `seed` and the epoch only; an
  image's view depends on `seed` and on how many images came before it.

  Args:
    dataset: a slim.dataset.Dataset whose decoder knows the items `image`, `label` and `filename`.
    preprocessing_fn: of preprocessing_factory: a picture, not yet decoded where the decoder has the
      item `picture`, to float32 [size, size, c], with the keyword `seed`.
    batch_size: images a batch; may exceed the size of the split.
    image_size: height and width of the images, in pixels.
    labels_offset: subtracted from every label.
    num_readers: shards read at the same time, which decides the order too.
    num_threads: images decoded and preprocessed at the same time; None: one a core, at least 4.
      Changes no batch.
    seed: whole number that decides order and augmentation.
    start_step: batches to leave out from the beginning.
    class_counts: images of every class in the split, for epochs with as many of each class; None
      for epochs with every image once.

  Returns:
    images: float32 tensor [batch_size, image_size, image_size, channels].
    labels: int64 tensor [batch_size].
    filenames: string tensor [batch_size].
    initializer: operation to run once before the first batch.
  """
  view_of = view_function(dataset, preprocessing_fn, image_size, labels_offset)
  files = shards(dataset)
  epoch_size = balancing.epoch_size(class_counts) if class_counts else dataset.num_samples
  buffer_size = _shuffle_buffer(files, epoch_size)
  first_epoch, skipped = divmod(start_step * batch_size, epoch_size)

  @as_it_is
  def class_of(record):
    (label,) = dataset.decoder.decode(record, ['label'])
    return _class_of(label, dataset.num_classes, labels_offset)

  @as_it_is
  def epoch_records(epoch):
    records = tf.data.TFRecordDataset(files, num_parallel_reads=num_readers)
    if class_counts:
      records = balancing.balanced(records, epoch, class_of, class_counts)
    return records.shuffle(buffer_size, seed=seed + epoch, reshuffle_each_iteration=False)

  @as_it_is
  def prepare(number, record):
    view = view_of(record, seed=tf.stack([seed, number]))
    return view['images'], view['labels'], view['filenames']

  records = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(epoch_records).skip(skipped)
  numbered = records.enumerate(start=start_step * batch_size)
  batches = numbered.map(prepare, num_parallel_calls=num_threads or default_threads())
  batches = batches.batch(batch_size, drop_remainder=True).prefetch(2)
  iterator = tf.data.make_initializable_iterator(without_autotuning(batches))
  images, labels, filenames = iterator.get_next()
  return images, labels, filenames, iterator.initializer


def view_function(dataset, preprocessing_fn, image_size, labels_offset=0):
  """Returns the function that makes a view of a record, for tf.data's map or a graph of its own.

  Args: as those of `training_batches`.

  Returns:
    fn(record, **kwargs): record is a serialized tf.train.Example, string scalar; the keyword
    arguments are those of preprocessing_fn (a training view's `seed` is an int64 tensor [2]: the
    run's seed and the image's number). The result is a dict of tensors: `images` float32
    [image_size, image_size, channels], `labels` int64 scalar, `filenames` string scalar.
  """
  items = dataset.decoder.list_items()
  picture = 'picture' if 'picture' in items else 'image'  # a decoder in slim's way has no other

  def view_of(record, **kwargs):
    image, label, filename = dataset.decoder.decode(record, [picture, 'label', 'filename'])
    return {
      'images': preprocessing_fn(image, image_size, image_size, **kwargs),
      'labels': _class_of(label, dataset.num_classes, labels_offset),
      'filenames': filename,
    }

  return view_of


def evaluation_batches(
  dataset,
  preprocessing_fn,
  batch_size,
  image_size,
  *,
  labels_offset=0,
  num_threads=None,
  max_images=None,
):
  """One pass over a split: every image exactly once, in the order of the shards.

  Args: as those of `training_batches`, and
    max_images: how many to take from the beginning; None is all.

  Returns:
    dict of tensors, the last batch as short as it is: `images` float32 [b, size, size, c],
    `labels` int64 [b], `filenames` string [b]. They raise tf.errors.OutOfRangeError at the end.
  """

  view_of = as_it_is(view_function(dataset, preprocessing_fn, image_size, labels_offset))
  records = tf.data.TFRecordDataset(shards(dataset)).take(-1 if max_images is None else max_images)
  views = records.map(view_of, num_parallel_calls=num_threads or default_threads())
  batches = views.batch(batch_size).prefetch(2)
  return one_pass(batches)


def one_pass(dataset):
  """Returns the tensors of a tf.data.Dataset; they raise tf.errors.OutOfRangeError at its end."""
  return tf.data.make_one_shot_iterator(without_autotuning(dataset)).get_next()


def without_autotuning(dataset):
  """Returns a tf.data.Dataset whose numbers of threads stay as they are.

  The thread that tunes them looks up once a minute in the end, and closing a session waits for it.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.with_options(options)


def default_threads():
  """Returns how many threads decode images where no flag says it."""
  return max(_LEAST_THREADS, len(os.sched_getaffinity(0)))


def _class_of(label, num_classes, labels_offset):
  """Takes the offset off a label; fails for one that is then outside the net's classes."""
  inside = tf.logical_and(label >= labels_offset, label < num_classes)
  check = tf.Assert(inside, ['label', label, 'is outside', labels_offset, 'to', num_classes - 1])
  with tf.control_dependencies([check]):
    return label - labels_offset


def damaged_record(dataset, labels_offset=0, first=0):
  """Finds the record that made a batch fail.

  Args:
    dataset: the slim.dataset.Dataset.
    labels_offset: subtracted from every label.
    first: number of records at the start that are known to be good.

  Returns:
    RunError that names the shard and the record, or None when every record is good.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    record = tf.placeholder(tf.string, [])
    image, label = dataset.decoder.decode(record, ['image', 'label'])
    items = [image, _class_of(label, dataset.num_classes, labels_offset)]
    seen = 0
    for path in shards(dataset):
      before = seen
      try:
        for content in tf.io.tf_record_iterator(path):
          if seen >= first:
            session.run(items, {record: content})
          seen += 1
      except tf.errors.OpError as error:
        return RunError(
          f'{path}: record {seen - before} cannot be used ({reason_of(error)}): check '
          '--labels_offset and label.txt, or convert the images anew.'
        )
  return None


def shards(dataset):
  """Returns the paths of the shards; dataset modules in slim's way give a file pattern."""
  sources = dataset.data_sources
  patterns = [sources] if isinstance(sources, str) else list(sources)
  files = [
    path
    for pattern in patterns
    for path in ([pattern] if tf.gfile.Exists(pattern) else sorted(tf.gfile.Glob(pattern)))
  ]
  if not files:
    raise UserError(f'No shard matches {sources}.')
  return files


def _shuffle_buffer(files, num_samples):
  """Returns how many records to shuffle at a time: all of them when their bytes fit in memory."""
  total_bytes = sum(os.path.getsize(path) for path in files)
  share = min(1.0, _SHUFFLE_BYTES / max(total_bytes, 1))
  return max(1, int(num_samples * share))
