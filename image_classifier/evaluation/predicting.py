"""What a checkpoint says about every image of a split, in one exact pass over it."""

import dataclasses

import numpy as np

from image_classifier import checkpoints, inputs
from image_classifier import precision as precisions
from image_classifier.evaluation import (
  batch_norm_probe,
  restoring,
  split_pass,
  test_time_views,
  trained_net,
)
from nets import net_info
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError

# Images a run of the network: with more the processor's caches hold less of what is computed.
_RUN_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What the network said: one row an example, in the order of the records.

  Attributes:
    files: list of n names, '' where the record has none.
    labels: int64 [n], network classes (labels_offset taken off).
    logits: float32 [n, classes].
    facts: dict of what was run: checkpoint, step, net, sizes, seconds, warnings.
  """

  files: list
  labels: np.ndarray
  logits: np.ndarray
  facts: dict


def predict(
  checkpoint_path,
  dataset,
  model_name,
  *,
  preprocessing_name=None,
  image_size=None,
  batch_size=100,
  max_num_batches=None,
  labels_offset=None,
  use_grayscale=False,
  use_moving_averages=None,
  num_threads=None,
  precision='auto',
  test_time_augmentation='none',
  probes_batch_norm=True,
):
  """Runs the network over a split once: every example exactly once, the last batch kept.

  Args:
    checkpoint_path, dataset, model_name: as those of `scoring.evaluate`.
    preprocessing_name: a name of preprocessing_factory; None is the net's own.
    image_size: pixels; None is the net's default.
    batch_size: images that count as a batch in the messages and for `max_num_batches`; the network
      takes as many at a time, at most 32.
    max_num_batches: stop after so many batches; None is the whole split.
    labels_offset: subtracted from the labels; the network has that many classes less. None is 1
      for a checkpoint that lacks the background class of the data set, else 0.
    use_grayscale: whether images have one channel.
    use_moving_averages: True or False; None takes them when the checkpoint holds them.
    num_threads: images prepared at the same time; None: one a core, at least 4.
    precision: one of precision.PRECISIONS.
    test_time_augmentation: key of test_time_views.VIEWS: which views of a picture are averaged.
    probes_batch_norm: whether to look for stale statistics, which takes a second network.

  Returns:
    Predictions.

  Raises:
    UserError: for a checkpoint that does not fit the net or the classes, an empty split, or outputs
      that are not finite.
    RunError: for a damaged record or a label outside the classes.
  """
  checkpoint = checkpoint_path
  if not isinstance(checkpoint, checkpoints.Checkpoint):
    checkpoint = checkpoints.load(checkpoint_path)
  prefix = checkpoint.prefix
  labels_offset = restoring.labels_offset(checkpoint, model_name, dataset, labels_offset)
  num_classes = dataset.num_classes - labels_offset
  preprocessing_name = preprocessing_name or model_name
  tf.logging.info('Evaluating %s', prefix)
  image_size = image_size or net_info.net_info(model_name).default_image_size
  net_info.check_image_size(model_name, image_size)
  preprocessing_fn = preprocessing_factory.get_preprocessing(
    preprocessing_name, False, use_grayscale
  )
  channels = 1 if use_grayscale else 3
  net = trained_net.load(
    checkpoint, model_name, num_classes, image_size, channels, use_moving_averages
  )
  precision = precisions.of_net(precision, [node.op for node in net.graph_def.node])
  tf.logging.info('Restoring parameters from %s', prefix)
  tf.logging.info(precisions.describe(precision))
  with tf.Graph().as_default(), _session(precision) as session:
    batch = inputs.evaluation_batches(
      dataset,
      preprocessing_fn,
      min(batch_size, _RUN_SIZE),
      image_size,
      labels_offset=labels_offset,
      num_threads=num_threads,
      max_images=max_num_batches and max_num_batches * batch_size,
    )
    views = test_time_views.Views(test_time_augmentation)
    try:
      images, rows, seconds = split_pass.run(
        session, net, batch, views, dataset, batch_size, max_num_batches
      )
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
      raise inputs.damaged_record(dataset, labels_offset) or error from None
  check_finite(rows['logits'], prefix)
  stale = probes_batch_norm and batch_norm_probe.warning(
    checkpoint, model_name, num_classes, images, rows, use_moving_averages
  )
  facts = {
    'checkpoint': prefix,
    'step': checkpoints.step_of(prefix),
    'model_name': model_name,
    'preprocessing_name': preprocessing_name,
    'image_size': image_size,
    'labels_offset': labels_offset,
    'use_grayscale': use_grayscale,
    'moving_averages': net.moving_averages,
    'precision': precision,
    'test_time_augmentation': test_time_augmentation,
    'batch_size': batch_size,
    'seconds': round(seconds, 3),
    'images_per_second': round(len(rows['labels']) / seconds, 2),
    'warnings': [text for text in (_wrong_count(dataset, rows, max_num_batches), stale) if text],
  }
  files = [name.decode('utf-8', 'replace') for name in rows['filenames']]
  return Predictions(files, rows['labels'], rows['logits'], facts)


def _session(precision):
  config = tf.ConfigProto()
  precisions.configure(config, precision)
  return tf.Session(config=config)


def check_finite(logits, checkpoint):
  """Raises UserError for logits of which some are not finite."""
  broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
  if broken:
    raise UserError(
      f'The outputs for {broken} of {len(logits)} images are not finite: the training of '
      f'{checkpoint} has diverged; evaluate an earlier checkpoint.'
    )


def _wrong_count(dataset, rows, max_num_batches):
  """Returns a warning when a whole pass met another number of records than the data set states."""
  if max_num_batches or len(rows['labels']) == dataset.num_samples:
    return None
  return (
    f'The shards hold {len(rows["labels"])} records and the data set states {dataset.num_samples}: '
    'a shard may be cut short.'
  )
