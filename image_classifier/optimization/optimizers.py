"""Optimizers: a table, name to builder, and what surrounds an update of the weights."""

import math

from image_classifier import run_length
from image_classifier.optimization import class_weights, mixing, schedules
from image_classifier.optimization.lamb import LambOptimizer
from nets.net_info import net_info
from slim_compat import tf
from slim_errors import UserError, unknown

# What --opt_epsilon and --decoupled_weight_decay are when they are left out: research/slim's, and
# for AdamW and LAMB what their users take.
_EPSILON, _EPSILONS = 1.0, {'adamw': 1e-8, 'lamb': 1e-6}
_WEIGHT_DECAY, _WEIGHT_DECAYS = 0.0, {'adamw': 0.01, 'lamb': 0.01}

# name -> function(options, learning rate) -> tf.train.Optimizer.
OPTIMIZERS = {
  'adadelta': lambda o, rate: tf.train.AdadeltaOptimizer(
    rate, rho=o.adadelta_rho, epsilon=_epsilon(o)
  ),
  'adagrad': lambda o, rate: tf.train.AdagradOptimizer(
    rate, initial_accumulator_value=o.adagrad_initial_accumulator_value
  ),
  'adam': lambda o, rate: tf.train.AdamOptimizer(
    rate, beta1=o.adam_beta1, beta2=o.adam_beta2, epsilon=_epsilon(o)
  ),
  # Loshchilov and Hutter, https://arxiv.org/abs/1711.05101: `_shrink` does the decoupled decay.
  'adamw': lambda o, rate: tf.train.AdamOptimizer(
    rate, beta1=o.adam_beta1, beta2=o.adam_beta2, epsilon=_epsilon(o), name='AdamW'
  ),
  'ftrl': lambda o, rate: tf.train.FtrlOptimizer(
    rate,
    learning_rate_power=o.ftrl_learning_rate_power,
    initial_accumulator_value=o.ftrl_initial_accumulator_value,
    l1_regularization_strength=o.ftrl_l1,
    l2_regularization_strength=o.ftrl_l2,
  ),
  'lamb': lambda o, rate: LambOptimizer(
    rate, o.adam_beta1, o.adam_beta2, _epsilon(o), decoupled_weight_decay(o)
  ),
  'momentum': lambda o, rate: tf.train.MomentumOptimizer(
    rate, momentum=o.momentum, name='Momentum'
  ),
  'nesterov': lambda o, rate: tf.train.MomentumOptimizer(
    rate, momentum=o.momentum, use_nesterov=True, name='Nesterov'
  ),
  'rmsprop': lambda o, rate: tf.train.RMSPropOptimizer(
    rate, decay=o.rmsprop_decay, momentum=o.rmsprop_momentum, epsilon=_epsilon(o)
  ),
  'sgd': lambda o, rate: tf.train.GradientDescentOptimizer(rate),
}

# Learning rates above these, at up to so many images a batch, rarely end well; more images bear
# proportionally more: Goyal et al., Accurate, Large Minibatch SGD, https://arxiv.org/abs/1706.02677
_HIGHEST_USUAL_RATES = {'adadelta': 10.0, 'adam': 0.1, 'adamw': 0.1, 'lamb': 0.1}
_HIGHEST_USUAL_RATE = 1.0
_USUAL_BATCH_SIZE = 256


# (names of options, what they must be, in words); None stands for a default.
_RANGES = (
  (
    ('moving_average_decay', 'drop_path', 'label_smoothing', 'momentum', 'rmsprop_momentum')
    + ('rmsprop_decay', 'adam_beta1', 'adam_beta2', 'adadelta_rho', 'batch_norm_decay'),
    lambda value: 0 <= value < 1,
    'at least 0 and below 1',
  ),
  (('dropout_keep_prob', 'layer_decay'), lambda value: 0 < value <= 1, 'above 0 and at most 1'),
  (
    ('clip_gradient_norm', 'opt_epsilon', 'head_lr_multiplier')
    + ('adagrad_initial_accumulator_value',),
    lambda value: 0 < value < math.inf,
    'above 0',
  ),
  (
    ('weight_decay', 'ftrl_l1', 'ftrl_l2', 'ftrl_initial_accumulator_value'),
    lambda value: 0 <= value < math.inf,
    '0 or more',
  ),
  (('ftrl_learning_rate_power',), lambda value: -math.inf < value <= 0, '0 or less'),
  (('accumulate_steps',), lambda value: value >= 1, 'at least 1'),
)


def check(options):
  """Raises UserError for settings of length, loss, schedule or optimizer that cannot work."""
  for module in (run_length, schedules, mixing):
    module.check(options)
  class_weights.check(options)
  if options.optimizer not in OPTIMIZERS:
    raise unknown('optimizer', options.optimizer, OPTIMIZERS)
  for names, is_good, words in _RANGES:
    for name in names:
      value = getattr(options, name)
      if value is not None and not is_good(value):
        raise UserError(f'--{name}={value} must be {words}.')
  if options.optimizer == 'ftrl':
    _check_ftrl(options)
  if not 0 <= decoupled_weight_decay(options) < 1:
    value = options.decoupled_weight_decay
    raise UserError(f'--decoupled_weight_decay={value} must be at least 0 and below 1.')


def _check_ftrl(options):
  """Raises UserError for what does not go with weights that each step finds anew."""
  if options.decoupled_weight_decay:
    raise UserError(
      '--decoupled_weight_decay does nothing to the weights of ftrl, which finds them anew at each '
      'step: take --ftrl_l2.'
    )
  warms_up = options.warmup_steps or options.warmup_epochs
  if warms_up or options.learning_rate_decay_type in ('cosine', 'one_cycle'):
    raise UserError(
      'The weights of --optimizer=ftrl are proportional to the learning rate, which must not come '
      'near 0: take --learning_rate_decay_type=fixed and no warm-up, or another optimizer.'
    )


def warn(options):
  """Warns of a learning rate at which a run is likely to diverge, and of lost weights."""
  if options.optimizer == 'ftrl' and options.checkpoint_path:
    tf.logging.warning(
      '--optimizer=ftrl finds all trained weights anew from the gradients: those of '
      '--checkpoint_path are gone after a step; take another optimizer to fine-tune.'
    )
  usual = _HIGHEST_USUAL_RATES.get(options.optimizer, _HIGHEST_USUAL_RATE)
  usual *= max(1.0, options.batch_size * options.accumulate_steps / _USUAL_BATCH_SIZE)
  if options.learning_rate > usual:
    tf.logging.warning(
      '--learning_rate=%g is high for %s, whose usual rates are below %g: the loss may soon be no '
      'number any more.',
      options.learning_rate,
      options.optimizer,
      usual,
    )


def _epsilon(options):
  if options.opt_epsilon is not None:
    return options.opt_epsilon
  return _EPSILONS.get(options.optimizer, _EPSILON)


def decoupled_weight_decay(options):
  """Returns the share, times the learning rate, by which weights shrink with every update."""
  if options.decoupled_weight_decay is not None:
    return options.decoupled_weight_decay
  return _WEIGHT_DECAYS.get(options.optimizer, _WEIGHT_DECAY)


def by_rate(options, rate, variables):
  """Makes the optimizers of a run: one for all variables that learn at the same rate.

  Args:
    options: options.TrainingOptions.
    rate: learning rate of the head, scalar tensor.
    variables: to train.

  Returns:
    A list of (tf.train.Optimizer, its rate, [variable]).
  """
  groups = {}
  for variable in variables:
    groups.setdefault(rate_multiplier(options, variable.op.name), []).append(variable)
  rates = {multiplier: rate * multiplier if multiplier != 1 else rate for multiplier in groups}
  build = OPTIMIZERS[options.optimizer]
  return [(build(options, rates[m]), rates[m], group) for m, group in groups.items()]


def rate_multiplier(options, name):
  """Returns what the learning rate of a variable is multiplied by.

  --layer_decay multiplies it once for every block of the net above the variable's, the head
  counting as one: Clark et al., ELECTRA, https://arxiv.org/abs/2003.10555

  Args:
    options: options.TrainingOptions.
    name: of the variable.
  """
  info = net_info(options.model_name)
  if name.startswith(info.head_prefixes):
    return options.head_lr_multiplier
  depth = next((i for i, scope in enumerate(info.blocks) if name.startswith(f'{scope}/')), 0)
  return options.layer_decay ** (len(info.blocks) - depth)


def compute_gradients(optimizers, loss):
  """Returns [(gradient, variable)] of a loss by all variables of `optimizers`."""
  variables = [variable for _, _, group in optimizers for variable in group]
  # One sum of many addends starts with whichever of them nobody else needs any more, by chance.
  return optimizers[0][0].compute_gradients(
    loss, var_list=variables, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE
  )


def apply_gradients(options, optimizers, gradients, gradient_norm, global_step):
  """Updates the weights once.

  Args:
    options: options.TrainingOptions.
    optimizers: what `by_rate` returned.
    gradients: [(gradient, variable)] of all their variables.
    gradient_norm: L2 norm of all gradients, scalar tensor.
    global_step: int64 scalar variable, which counts the update.

  Returns:
    An operation.
  """
  values, variables = zip(*gradients, strict=True)
  if options.clip_gradient_norm is not None:
    values, _ = tf.clip_by_global_norm(values, options.clip_gradient_norm, gradient_norm)
  values = dict(zip([v.op.name for v in variables], values, strict=True))
  updates = []
  for optimizer, rate, group in optimizers:
    # A layer's weights shrink before they move: Adam's step does not depend on where they are.
    with tf.control_dependencies(_shrink(options, rate, group)):
      pairs = [(values[v.op.name], v) for v in group]
      step = global_step if len(optimizers) == 1 else None
      updates.append(optimizer.apply_gradients(pairs, global_step=step))
  if len(updates) == 1:
    return updates[0]
  with tf.control_dependencies(updates):
    return tf.assign_add(global_step, 1).op


def _shrink(options, rate, variables):
  """Decays weights, not biases and what batch norm learns; returns the operations."""
  decay = decoupled_weight_decay(options)
  if not decay or options.optimizer == 'lamb':  # which has it within
    return []
  return [
    tf.assign_sub(v, rate * decay * v.read_value()).op for v in variables if v.shape.ndims > 1
  ]
