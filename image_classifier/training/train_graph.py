"""The graph that trains a net: what is frozen of it, losses, optimizer, and what is written."""

import typing

from image_classifier import precision, run_length, scopes
from image_classifier.features import frozen_part
from image_classifier.optimization import (
  accumulation,
  class_weights,
  loss_scaling,
  optimizers,
  schedules,
)
from image_classifier.training import summaries, train_net
from nets.net_info import net_info
from slim_compat import tf

# Weight of the auxiliary head's loss: Szegedy et al., Rethinking the Inception Architecture.
_AUXILIARY_LOSS_WEIGHT = 0.4
# End point with the logits of the auxiliary head, where a net has one.
_AUXILIARY = 'AuxLogits'


class TrainingGraph(typing.NamedTuple):
  """What the loop runs, and what its start needs to know."""

  train_op: typing.Any  # one step; its value is the total loss, float32 scalar
  gradient_norm: typing.Any  # float32 scalar, L2 norm of the gradient of all trained weights
  accuracy: typing.Any  # float32 scalar, of the step's images as they were trained on
  filenames: typing.Any  # string [batch size], of the batch
  loss_scale: typing.Any  # float32 scalar, None but for float16
  float32_ops: list  # to run with each step, so that the logits are not rounded
  learning_rate: typing.Any  # float32 scalar
  times: typing.Any  # run_length.Times of a run that is bounded by time, else None
  add_batch: typing.Any  # operation for all batches of a step but the last, None where it has one
  num_batches: typing.Any  # int64 scalar: how many batches this process has read
  is_finite: typing.Any  # bool scalar: whether every variable is a number
  scalar_summaries: typing.Any  # serialized, cheap
  detail_summaries: typing.Any  # serialized, histograms and pictures; None without summaries
  initializer: typing.Any  # starts the inputs and what follows from the restored variables
  trained: set  # names of the variables that the optimizer changes
  update_scopes: set  # scopes of the batch norms whose statistics are updated
  left_out: tuple  # scopes of the auxiliary head when its loss does not count
  slowest_decay: float | None  # of those batch norms; None without one
  described: typing.Callable  # returns the tf.GraphDef to write, with shapes and without constants


def build(options, dataset, net, checkpoint=None, given=(), cached=None):
  """Builds what trains a net into its graph.

  What the run does not change of it, and a checkpoint gives, becomes constants, its batch norms
  folded, or gives way to cached features; the variables stay for the checkpoints to come.

  Args:
    options: options.TrainingOptions.
    dataset: slim.dataset.Dataset of the split to train on.
    net: train_net.Net.
    checkpoint: prefix of the checkpoint that the run starts from, if there is one.
    given: names of the net's variables that it gives.
    cached: what `train_net.build` was given.

  Returns:
    TrainingGraph.

  Raises:
    cached_inputs.NotCached: the features had better not be cached.
  """
  trained, left_out = _what_is_trained(options, net)
  statistics = _statistics(options, left_out)
  changing = {v.op.name for v in trained} | {update.inputs[0].op.name for update in statistics}
  net, part, described = _freeze(options, net, left_out, checkpoint, set(given) - changing, cached)
  of_classes = class_weights.of_classes(options, dataset)
  classification_loss = _classification_loss(net, options, left_out, of_classes)
  regularization_loss, start_regularization = _regularization_loss(trained)
  total_loss = tf.add(classification_loss, regularization_loss, name='total_loss')

  times = run_length.times() if options.max_minutes else None
  rate = schedules.learning_rate(options, dataset.num_samples, tf.train.get_global_step(), times)
  figures = {
    'total_loss': total_loss,
    'Losses/clone_loss': classification_loss,
    # Under the tags of an evaluation, which TensorBoard draws into the same charts.
    'loss': _cross_entropy(net),
    'accuracy': _accuracy(net),
  }
  update = _update(options, net, figures, rate, trained, statistics, changing)
  return TrainingGraph(
    train_op=update.train_op,
    gradient_norm=update.gradient_norm,
    accuracy=update.figures['accuracy'],
    filenames=net.filenames,
    loss_scale=update.loss_scale,
    float32_ops=_float32_ops(net, options, left_out),
    learning_rate=rate,
    times=times,
    add_batch=update.add_batch,
    num_batches=update.num_batches,
    is_finite=tf.reduce_all(
      [tf.reduce_all(tf.is_finite(v)) for v in tf.global_variables() if v.dtype.is_floating]
    ),
    scalar_summaries=summaries.scalars(
      rate, {**update.figures, 'Losses/regularization_loss': regularization_loss}
    ),
    detail_summaries=_details(options, net, part, cached),
    initializer=tf.group(net.initializer, start_regularization, update.initializer),
    trained={v.op.name for v in trained},
    update_scopes={update.inputs[0].op.name.rsplit('/', 1)[0] for update in statistics},
    left_out=left_out,
    slowest_decay=max(map(_moving_average_decay, statistics), default=None),
    described=described,
  )


class _Update(typing.NamedTuple):
  """How a step changes the weights; the fields that TrainingGraph has are those."""

  train_op: typing.Any
  figures: dict  # of the step: name -> float32 scalar, the mean over its batches
  gradient_norm: typing.Any
  loss_scale: typing.Any
  add_batch: typing.Any
  num_batches: typing.Any
  initializer: typing.Any  # operation, to be run once the variables are restored


def _update(options, net, figures, rate, trained, statistics, changing):
  """Builds the update of the weights from the loss of a batch.

  Args:
    options, net: as those of `build`.
    figures: of a batch: name -> float32 scalar; the `total_loss` makes the gradients.
    rate: float32 scalar, the learning rate.
    trained: list of the variables that the optimizer changes.
    statistics: operations that every batch comes with.
    changing: names of all variables that do not stay what they are.

  Returns:
    _Update.
  """
  global_step = tf.train.get_global_step()
  groups = optimizers.by_rate(options, rate, trained)
  loss_scale = loss_scaling.new(options.precision)
  gradients = loss_scaling.gradients(
    loss_scale, figures['total_loss'], lambda loss: optimizers.compute_gradients(groups, loss)
  )
  num_batches, count_batch = _batch_counter(net.labels)
  updates, step = [*statistics, count_batch], None
  if options.accumulate_steps > 1:
    step = accumulation.step_of(
      options.accumulate_steps, net.batch_in_step, [*figures.values()], gradients, updates
    )
    figures, gradients = dict(zip(figures, step.figures, strict=True)), step.gradients
  gradient_norm = tf.global_norm([gradient for gradient, _ in gradients])
  # The loss counts the weights as they were: without the order it is by chance those of after.
  with tf.control_dependencies([*figures.values(), gradient_norm]):
    update = loss_scaling.update(
      loss_scale,
      gradients,
      global_step,
      lambda: optimizers.apply_gradients(options, groups, gradients, gradient_norm, global_step),
    )
  if step:
    with tf.control_dependencies([update]):
      updates.append(accumulation.reset(step))
  updates, start_averages = _with_averages(
    options, global_step, [update, *updates], net.variables, changing
  )
  with tf.control_dependencies(updates):
    train_op = tf.identity(figures['total_loss'], name='train_op')
  return _Update(
    train_op=train_op,
    figures=figures,
    gradient_norm=gradient_norm,
    loss_scale=None if loss_scale is None else loss_scale(),
    add_batch=step and step.add,
    num_batches=num_batches,
    initializer=tf.group(
      num_batches.initializer,
      start_averages,
      *(variable.initializer for variable in (step.sums if step else ())),
    ),
  )


def _details(options, net, part, cached):
  if not options.save_summaries_secs:
    return None
  variables = [v for v in net.variables if v.op.name not in part.variables]
  return summaries.details(None if cached else net.images, net.end_points, variables)


def _batch_counter(of_batch):
  """Returns a variable that no checkpoint holds, and the operation that counts a batch in it."""
  counter = _local_variable('num_batches', tf.int64)
  with tf.control_dependencies([of_batch]):
    return counter, tf.assign_add(counter, 1).op


def _trained_variables(patterns):
  variables = tf.trainable_variables()
  if patterns is None:
    return variables
  scopes.check_trainable_scopes(patterns, [v.op.name for v in variables])
  return [v for v in variables if scopes.matches_any(v.op.name, patterns)]


def _what_is_trained(options, net):
  """Returns the trained variables, and the scopes of an auxiliary head whose loss does not count.

  Its loss is there to teach what lies below: it counts when something of that is trained, or when
  the user names its own weights.
  """
  trained = _trained_variables(train_net.trainable_patterns(options))
  if _AUXILIARY not in net.end_points:
    return trained, ()
  of_head = net_info(options.model_name).auxiliary_prefixes
  others = [v for v in trained if not v.op.name.startswith(of_head)]
  below = frozen_part.ancestors([net.end_points[_AUXILIARY]], stop=[net.images.op])
  is_named = options.trainable_scopes and len(others) < len(trained)
  if is_named or not below.isdisjoint(v.op for v in others):
    return trained, ()
  return others, tuple(prefix.removesuffix('/') for prefix in of_head)


def _statistics(options, left_out):
  """Returns the operations that update the statistics of batch norms."""
  updates = [getattr(update, 'op', update) for update in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
  if options.batch_norm == 'update':
    return updates
  scopes_left_out = tuple(f'{scope}/' for scope in left_out)
  return [u for u in updates if not u.inputs[0].op.name.startswith(scopes_left_out)]


def _freeze(options, net, left_out, checkpoint, fixed, cached):
  """Puts constants or cached features in the place of the part of a net that a run does not change.

  Returns:
    Net, with those end points that are still computed; the frozen_part.FrozenPart; and the function
    that returns the GraphDef to write.
  """
  outputs = {'Logits': net.logits}
  if _AUXILIARY in net.end_points and not left_out:
    outputs[_AUXILIARY] = net.end_points[_AUXILIARY]
  part = frozen_part.find(net.images, list(outputs.values()), fixed)
  features = []
  if part.variables or cached:
    graph_def = frozen_part.with_weights(part, checkpoint)
    if cached:
      features, started = cached.features(part, graph_def, options.precision, net.rows)
      net = net._replace(initializer=tf.group(net.initializer, started))
    else:
      features = frozen_part.imported(part, graph_def)
    frozen_part.replace(part, features)
    new = {old.name: feature for old, feature in zip(part.boundary, features, strict=True)}
    outputs = {name: new.get(tensor.name, tensor) for name, tensor in outputs.items()}
    missing = {*part.variables, *([net.images.op.name] if cached else [])}
    end_points = _computed({**net.end_points, **outputs}, missing, [net.images, *features])
    net = net._replace(logits=outputs['Logits'], end_points=end_points)

  def described():
    graph_def = net.images.graph.as_graph_def(add_shapes=True)
    return frozen_part.described(graph_def, part, features) if features else graph_def

  return net, part, described


def _computed(end_points, missing, stop):
  """Returns the end points that are computed without the operations of some names.

  Args:
    end_points: {name: tensor}.
    missing: set of the names.
    stop: tensors behind which nothing is looked at.
  """
  stop = [tensor.op for tensor in stop]
  return {
    name: tensor
    for name, tensor in end_points.items()
    if missing.isdisjoint(op.name for op in frozen_part.ancestors([tensor], stop))
  }


def _classification_loss(net, options, left_out, of_classes):
  """Sum of the cross-entropies of the head and, weighted, of the auxiliary head.

  Each image counts by `of_classes`, the weights of the classes, unless that is None.
  """
  weights = 1.0
  if of_classes is not None:
    weights = tf.reduce_sum(net.labels * tf.constant(of_classes, tf.float32), axis=1)
  if _AUXILIARY in net.end_points and not left_out:
    tf.losses.softmax_cross_entropy(
      net.labels,
      net.end_points[_AUXILIARY],
      weights=_AUXILIARY_LOSS_WEIGHT * weights,
      label_smoothing=options.label_smoothing,
      scope='aux_loss',
    )
  tf.losses.softmax_cross_entropy(
    net.labels, net.logits, weights, label_smoothing=options.label_smoothing
  )
  return tf.add_n(tf.losses.get_losses(), name='clone_loss')


def _cross_entropy(net):
  """Returns the loss that an evaluation has of a batch: of the head alone, with labels as given."""
  return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(net.labels, net.logits))


def _accuracy(net):
  """Returns the share of a batch that is right, by the larger share where a label is mixed."""
  is_right = tf.equal(tf.argmax(net.logits, axis=1), tf.argmax(net.labels, axis=1))
  return tf.reduce_mean(tf.cast(is_right, tf.float32))


def _float32_ops(net, options, left_out):
  """Returns the operations to run with each step, so that no logits are rounded."""
  if options.precision == 'float32':
    return []
  has_auxiliary = _AUXILIARY in net.end_points and not left_out
  auxiliary = [net.end_points[_AUXILIARY]] if has_auxiliary else []
  return precision.float32_ops([net.logits, *auxiliary])


def _regularization_loss(trained):
  """Returns the sum of the regularization losses, and the operation that starts it.

  Those of variables that are not trained are computed once: they stay what they are.
  """
  losses, weights = tf.losses.get_regularization_losses(), {v.op for v in trained}
  fixed = [loss for loss in losses if weights.isdisjoint(frozen_part.ancestors([loss]))]
  if not fixed:
    return tf.losses.get_regularization_loss(), tf.no_op()
  total = _local_variable('frozen_regularization_loss', tf.float32)
  others = [loss for loss in losses if not any(loss is other for other in fixed)]
  started = tf.assign(total, tf.add_n(fixed)).op
  return tf.add_n([total, *others], name='total_regularization_loss'), started


def _local_variable(name, dtype):
  """Returns a scalar variable that no checkpoint holds."""
  local = [tf.GraphKeys.LOCAL_VARIABLES]
  return tf.Variable(tf.zeros([], dtype), trainable=False, collections=local, name=name)


def _with_averages(options, global_step, updates, variables, changing):
  """Returns the updates of a step with moving averages if asked for, and what starts these.

  Every variable has one, for evaluation; one that does not change is its own average.
  """
  if options.moving_average_decay is None:
    return updates, tf.no_op()
  average = tf.train.ExponentialMovingAverage(options.moving_average_decay, global_step)
  fixed = [v for v in variables if v.op.name not in changing]
  if fixed:
    average.apply(fixed)
  started = tf.group([tf.assign(average.average(v), v) for v in fixed])
  with tf.control_dependencies(updates):
    return [average.apply([v for v in variables if v.op.name in changing])], started


def _moving_average_decay(update):
  """Decay of a batch norm's update, which is variable -= (variable - value) * (1 - decay)."""
  one_minus_decay = update.inputs[1].op.inputs[1]
  if one_minus_decay.op.type == 'Sub':  # of a fused batch norm
    return float(tf.get_static_value(one_minus_decay.op.inputs[1]))
  return 1 - float(tf.get_static_value(one_minus_decay))
