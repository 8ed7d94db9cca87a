"""The graph of a training run: inputs, net, losses, optimizer and what is written of them."""

import typing

from image_classifier import (
  clips,
  inputs,
  optimization,
  run_length,
  schedules,
  scopes,
  summaries,
)
from nets import nets_factory
from nets.net_info import net_info
from preprocessing import preprocessing_factory
from slim_compat import slim, tf
from slim_errors import UserError

# Weight of the auxiliary head's loss: Szegedy et al., Rethinking the Inception Architecture.
_AUXILIARY_LOSS_WEIGHT = 0.4
# Batch norm's moving averages must forget their start within the run: after a tenth of it only
# 1/e is left. Bounded by what is still smooth and by what research/slim's nets use at most.
_BATCH_NORM_TIME_CONSTANTS = 10
_MIN_BATCH_NORM_DECAY, _MAX_BATCH_NORM_DECAY = 0.9, 0.997

BATCH_NORM_MODES = ('auto', 'update', 'frozen')


class TrainingGraph(typing.NamedTuple):
  """What the loop runs, and what its start needs to know."""

  train_op: typing.Any  # one step; its value is the total loss, float32 scalar
  gradient_norm: typing.Any  # float32 scalar, L2 norm of the gradient of all trained weights
  filenames: typing.Any  # string [batch size], of the batch
  learning_rate: typing.Any  # float32 scalar
  elapsed_seconds: typing.Any  # variable of a run that is bounded by time, else None
  num_batches: typing.Any  # int64 scalar: how many batches this process has read
  is_finite: typing.Any  # bool scalar: whether every variable is a number
  scalar_summaries: typing.Any  # serialized, cheap
  detail_summaries: typing.Any  # serialized, histograms and pictures
  initializer: typing.Any  # starts the inputs and the count of batches
  model_variables: list  # of the net
  trained: set  # names of the variables that the optimizer changes
  update_scopes: set  # scopes of the batch norms whose statistics are updated
  slowest_decay: float | None  # of those batch norms; None without one


def build(options, dataset, image_size, first_step=0):
  """Builds the graph into the default one.

  Args:
    options: options.TrainingOptions.
    dataset: slim.dataset.Dataset of the split to train on.
    image_size: height and width of the net's input, pixels.
    first_step: where the input starts, in steps.

  Returns:
    TrainingGraph.
  """
  global_step = tf.train.get_or_create_global_step()  # before the net, whose dropout follows it
  num_classes = dataset.num_classes - options.labels_offset
  patterns = trainable_patterns(options)
  images, labels, filenames, initializer = _batches(options, dataset, image_size, first_step)
  network_fn = nets_factory.get_network_fn(
    options.model_name,
    num_classes=num_classes,
    weight_decay=options.weight_decay,
    is_training=True,
    batch_norm_decay=batch_norm_decay(options),
    is_frozen=_frozen_batch_norm(options.batch_norm, patterns),
  )
  logits, end_points = network_fn(clips.as_input(images, options.model_name))
  one_hot = slim.one_hot_encoding(labels, num_classes)
  classification_loss = _classification_loss(logits, end_points, one_hot, options)
  regularization_loss = tf.losses.get_regularization_loss()
  total_loss = tf.add(classification_loss, regularization_loss, name='total_loss')

  elapsed = run_length.elapsed_seconds() if options.max_minutes else None
  rate = schedules.learning_rate(options, dataset.num_samples, global_step, elapsed)
  model_variables = slim.get_model_variables()
  trained = _trained_variables(patterns)
  statistics = [
    getattr(update, 'op', update) for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  ]
  optimizers = optimization.optimizers(options, rate, trained)
  gradients = optimization.compute_gradients(optimizers, total_loss)
  gradient_norm = tf.global_norm([gradient for gradient, _ in gradients])
  # The loss counts the weights as they were: without the order it is by chance those of after.
  with tf.control_dependencies([total_loss, gradient_norm]):
    update = optimization.apply_gradients(
      options, optimizers, gradients, gradient_norm, global_step
    )
  num_batches, count_batch = _batch_counter(images)

  losses = {
    'total_loss': total_loss,
    'Losses/clone_loss': classification_loss,
    'Losses/regularization_loss': regularization_loss,
  }
  return TrainingGraph(
    train_op=_train_op(options, total_loss, global_step, [update, *statistics, count_batch]),
    gradient_norm=gradient_norm,
    filenames=filenames,
    learning_rate=rate,
    elapsed_seconds=elapsed,
    num_batches=num_batches,
    is_finite=tf.reduce_all(
      [tf.reduce_all(tf.is_finite(v)) for v in tf.global_variables() if v.dtype.is_floating]
    ),
    scalar_summaries=summaries.scalars(rate, losses),
    detail_summaries=summaries.details(images, end_points, model_variables),
    initializer=tf.group(initializer, num_batches.initializer),
    model_variables=model_variables,
    trained={v.op.name for v in trained},
    update_scopes={op.inputs[0].op.name.rsplit('/', 1)[0] for op in statistics},
    slowest_decay=max(map(_moving_average_decay, statistics), default=None),
  )


def trainable_patterns(options):
  """Returns the scopes to train as a tuple of patterns, None for everything."""
  if options.finetune:
    if options.trainable_scopes:
      raise UserError('--finetune and --trainable_scopes say the same thing: give one of them.')
    return scopes.finetune_scopes(options.finetune, net_info(options.model_name))
  return scopes.split_list(options.trainable_scopes) or None


def batch_norm_decay(options):
  """Returns the decay of batch norm's moving averages, None for the net's own.

  Left to itself it fits the run: with research/slim's 0.9997 a run of some hundred steps evaluates
  with averages that are still those of its start (tensorflow/models issues 391 and 3556).
  """
  if options.batch_norm_decay is not None or options.batch_norm != 'auto':
    return options.batch_norm_decay
  steps = options.max_number_of_steps
  if not steps:
    return _MAX_BATCH_NORM_DECAY
  fitted = 1 - _BATCH_NORM_TIME_CONSTANTS / steps
  return min(_MAX_BATCH_NORM_DECAY, max(_MIN_BATCH_NORM_DECAY, fitted))


def _batches(options, dataset, image_size, first_step):
  preprocessing_fn = preprocessing_factory.get_preprocessing(
    options.preprocessing_name or options.model_name,
    is_training=True,
    use_grayscale=options.use_grayscale,
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
      start_step=first_step,
    )


def _batch_counter(images):
  """Returns a variable that no checkpoint holds, and the operation that counts a batch in it."""
  counter = tf.Variable(
    tf.zeros([], tf.int64),
    trainable=False,
    collections=[tf.GraphKeys.LOCAL_VARIABLES],
    name='num_batches',
  )
  with tf.control_dependencies([images]):
    return counter, tf.assign_add(counter, 1).op


def _frozen_batch_norm(mode, patterns):
  """Returns the predicate of nets_factory: which batch norms run on stored statistics."""
  if mode == 'frozen':
    return lambda scope: True
  if mode == 'update' or patterns is None:
    return None
  return lambda scope: not scopes.matches_any(f'{scope}/beta', patterns)


def _trained_variables(patterns):
  variables = tf.trainable_variables()
  if patterns is None:
    return variables
  scopes.check_trainable_scopes(patterns, [v.op.name for v in variables])
  return [v for v in variables if scopes.matches_any(v.op.name, patterns)]


def _classification_loss(logits, end_points, one_hot, options):
  """Sum of the cross-entropies of the head and, weighted, of the auxiliary head."""
  if 'AuxLogits' in end_points:
    tf.losses.softmax_cross_entropy(
      one_hot,
      end_points['AuxLogits'],
      weights=_AUXILIARY_LOSS_WEIGHT,
      label_smoothing=options.label_smoothing,
      scope='aux_loss',
    )
  tf.losses.softmax_cross_entropy(one_hot, logits, label_smoothing=options.label_smoothing)
  return tf.add_n(tf.losses.get_losses(), name='clone_loss')


def _train_op(options, total_loss, global_step, updates):
  """One step: the updates, then the moving averages; evaluates to the total loss."""
  if options.moving_average_decay is not None:
    average = tf.train.ExponentialMovingAverage(options.moving_average_decay, global_step)
    with tf.control_dependencies(updates):
      updates = [average.apply(slim.get_model_variables())]
  with tf.control_dependencies(updates):
    return tf.identity(total_loss, name='train_op')


def _moving_average_decay(update):
  """Decay of a batch norm's update, which is variable -= (variable - value) * (1 - decay)."""
  one_minus_decay = update.inputs[1].op.inputs[1]
  if one_minus_decay.op.type == 'Sub':  # of a fused batch norm
    return float(tf.get_static_value(one_minus_decay.op.inputs[1]))
  return 1 - float(tf.get_static_value(one_minus_decay))
