"""The net of a run in its training form, on the batches of the run."""

import typing

from image_classifier import clips, inputs, scopes
from image_classifier.optimization import accumulation, class_weights, mixing
from nets import nets_factory
from nets.net_info import net_info
from preprocessing import preprocessing_factory
from slim_compat import slim, tf
from slim_errors import UserError

# Batch norm's moving averages must forget their start within the run: after a tenth of it only
# 1/e is left. Bounded by what is still smooth and by what research/slim's nets use at most.
_BATCH_NORM_TIME_CONSTANTS = 10
_MIN_BATCH_NORM_DECAY, _MAX_BATCH_NORM_DECAY = 0.9, 0.997
# Nobody knows how many steps the minutes will hold: from 0.98 a tenth is left after 114.
_MAX_BATCH_NORM_DECAY_OF_MINUTES = 0.98

BATCH_NORM_MODES = ('auto', 'update', 'frozen')


class Net(typing.NamedTuple):
  """A net in its training form on the batches of a run, before anything is trained."""

  images: typing.Any  # float32 [b, h, w, c]
  labels: typing.Any  # float32 [b, classes], the shares of the classes
  filenames: typing.Any  # string [b]
  initializer: typing.Any  # starts the inputs
  logits: typing.Any  # float32 [b, classes]
  end_points: dict  # name -> tensor
  num_classes: int
  variables: list  # all of the net
  batch_in_step: typing.Any = None  # int64 scalar variable, where a step has several batches
  rows: typing.Any = None  # row_batches.Rows where features take the place of the images


def build(options, dataset, image_size, first_step=0, cached=None):
  """Builds inputs and net into the default graph.

  Args:
    options: options.TrainingOptions.
    dataset: slim.dataset.Dataset of the split to train on.
    image_size: height and width of the net's input, pixels.
    first_step: where the input starts, in steps.
    cached: cached_inputs.CachedInputs, whose features the run trains on; None for images.

  Returns:
    Net.
  """
  global_step = tf.train.get_or_create_global_step()  # before the net, whose dropout follows it
  in_step = None
  if options.accumulate_steps > 1:
    in_step = accumulation.number_batches(global_step, options.accumulate_steps)
  num_classes = dataset.num_classes - options.labels_offset
  rows = cached and cached.rows(first_step * options.accumulate_steps)
  if rows:
    labels, filenames, initializer = rows.labels, rows.filenames, rows.initializer
    channels = 1 if options.use_grayscale else 3
    images = tf.placeholder(tf.float32, [None, image_size, image_size, channels], 'images')
  else:
    images, labels, filenames, initializer = batches(options, dataset, image_size, first_step)
  labels = slim.one_hot_encoding(labels, num_classes)
  if mixing.is_on(options):
    images, labels = mixing.mixed(options, images, labels)
  network_fn = nets_factory.get_network_fn(
    options.model_name,
    num_classes=num_classes,
    weight_decay=options.weight_decay,
    is_training=True,
    batch_norm_decay=batch_norm_decay(options),
    is_frozen=keeps_statistics(options),
    dropout_keep_prob=options.dropout_keep_prob,
    drop_path=options.drop_path,
    # A run of unknown length drops from its second step on.
    drop_path_steps=None if options.drop_path is None else options.max_number_of_steps or 1,
  )
  logits, end_points = network_fn(clips.as_input(images, options.model_name))
  variables = slim.get_model_variables()
  return Net(
    *(images, labels, filenames, initializer, logits, end_points, num_classes, variables),
    *(in_step, rows),
  )


def batches(options, dataset, image_size, first_step=0):
  """Builds the batches of a run from a step on; returns what inputs.training_batches does."""
  preprocessing_fn = preprocessing_factory.get_preprocessing(
    is_training=True, **inputs.preprocessing_settings(options)
  )
  with tf.device('/cpu:0'):
    return inputs.training_batches(
      dataset,
      preprocessing_fn,
      options.batch_size,
      image_size,
      labels_offset=options.labels_offset,
      num_readers=options.num_readers,
      num_threads=options.num_preprocessing_threads,
      seed=options.seed,
      start_step=first_step * options.accumulate_steps,
      class_counts=class_weights.counts_to_balance(options, dataset),
    )


def trainable_patterns(options):
  """Returns the scopes to train as a tuple of patterns, None for everything."""
  if options.finetune:
    if options.trainable_scopes:
      raise UserError('--finetune and --trainable_scopes say the same thing: give one of them.')
    return scopes.finetune_scopes(options.finetune, net_info(options.model_name))
  return scopes.split_list(options.trainable_scopes) or None


def keeps_statistics(options):
  """Returns a function of a batch norm's scope, true where a run keeps its statistics, or None."""
  return _frozen_batch_norm(options.batch_norm, trainable_patterns(options))


def batch_norm_decay(options):
  """Returns the decay of batch norm's moving averages, None for the net's own.

  Left to itself it fits the run: with research/slim's 0.9997 a run of some hundred steps evaluates
  with averages that are still those of its start (tensorflow/models issues 391 and 3556).
  """
  if options.batch_norm_decay is not None or options.batch_norm != 'auto':
    return options.batch_norm_decay
  most = _MAX_BATCH_NORM_DECAY_OF_MINUTES if options.max_minutes else _MAX_BATCH_NORM_DECAY
  if not options.max_number_of_steps:
    return most
  num_batches = options.max_number_of_steps * options.accumulate_steps
  fitted = 1 - _BATCH_NORM_TIME_CONSTANTS / num_batches
  return min(most, max(_MIN_BATCH_NORM_DECAY, fitted))


def _frozen_batch_norm(mode, patterns):
  """Returns the predicate of nets_factory: which batch norms run on stored statistics."""
  if mode == 'frozen':
    return lambda scope: True
  if mode == 'update' or patterns is None:
    return None
  return lambda scope: not scopes.matches_any(f'{scope}/beta', patterns)
