"""Learning-rate schedules and optimizers: two tables, name to builder."""

from slim_compat import tf
from slim_errors import UserError, unknown

# research/slim's default for staircases; a polynomial fits the run unless told otherwise.
_EPOCHS_PER_DECAY = 2.0

# name -> function(options, global step, steps per decay) -> scalar tensor. The node names are
# those that research/slim gave them.
SCHEDULES = {
  'fixed': lambda o, step, decay_steps: tf.constant(o.learning_rate, name='fixed_learning_rate'),
  'exponential': lambda o, step, decay_steps: tf.train.exponential_decay(
    o.learning_rate,
    step,
    decay_steps,
    o.learning_rate_decay_factor,
    staircase=True,
    name='exponential_decay_learning_rate',
  ),
  'polynomial': lambda o, step, decay_steps: tf.train.polynomial_decay(
    o.learning_rate,
    step,
    decay_steps,
    o.end_learning_rate,
    power=1.0,
    cycle=False,
    name='polynomial_decay_learning_rate',
  ),
}

# name -> function(options, learning rate) -> tf.train.Optimizer.
OPTIMIZERS = {
  'adadelta': lambda o, rate: tf.train.AdadeltaOptimizer(
    rate, rho=o.adadelta_rho, epsilon=o.opt_epsilon
  ),
  'adagrad': lambda o, rate: tf.train.AdagradOptimizer(
    rate, initial_accumulator_value=o.adagrad_initial_accumulator_value
  ),
  'adam': lambda o, rate: tf.train.AdamOptimizer(
    rate, beta1=o.adam_beta1, beta2=o.adam_beta2, epsilon=o.opt_epsilon
  ),
  'ftrl': lambda o, rate: tf.train.FtrlOptimizer(
    rate,
    learning_rate_power=o.ftrl_learning_rate_power,
    initial_accumulator_value=o.ftrl_initial_accumulator_value,
    l1_regularization_strength=o.ftrl_l1,
    l2_regularization_strength=o.ftrl_l2,
  ),
  'momentum': lambda o, rate: tf.train.MomentumOptimizer(
    rate, momentum=o.momentum, name='Momentum'
  ),
  'rmsprop': lambda o, rate: tf.train.RMSPropOptimizer(
    rate, decay=o.rmsprop_decay, momentum=o.rmsprop_momentum, epsilon=o.opt_epsilon
  ),
  'sgd': lambda o, rate: tf.train.GradientDescentOptimizer(rate),
}

# Learning rates above these, at up to so many images a batch, rarely end well; more images bear
# proportionally more: Goyal et al., Accurate, Large Minibatch SGD, https://arxiv.org/abs/1706.02677
_HIGHEST_USUAL_RATES = {'adadelta': 10.0, 'adam': 0.1}
_HIGHEST_USUAL_RATE = 1.0
_USUAL_BATCH_SIZE = 256


def check(options):
  """Raises UserError for an unknown schedule or optimizer, or a rate that cannot work."""
  if options.learning_rate_decay_type not in SCHEDULES:
    raise unknown('learning_rate_decay_type', options.learning_rate_decay_type, SCHEDULES)
  if options.optimizer not in OPTIMIZERS:
    raise unknown('optimizer', options.optimizer, OPTIMIZERS)
  if options.learning_rate <= 0:
    raise UserError(f'--learning_rate={options.learning_rate} must be above 0.')
  decay = options.moving_average_decay
  if decay is not None and not 0 <= decay < 1:
    raise UserError(f'--moving_average_decay={decay} must be at least 0 and below 1.')


def warn_of_high_rate(options):
  """Warns of a learning rate at which a run is likely to diverge."""
  usual = _HIGHEST_USUAL_RATES.get(options.optimizer, _HIGHEST_USUAL_RATE)
  usual *= max(1.0, options.batch_size / _USUAL_BATCH_SIZE)
  if options.learning_rate > usual:
    tf.logging.warning(
      '--learning_rate=%g is high for %s, whose usual rates are below %g: the loss may soon be no '
      'number any more.',
      options.learning_rate,
      options.optimizer,
      usual,
    )


def learning_rate(options, num_samples, global_step):
  """The learning rate of the current step.

  Args:
    options: options.TrainingOptions.
    num_samples: images in the training split, which turns epochs into steps.
    global_step: int64 scalar variable.

  Returns:
    float32 scalar tensor.
  """
  steps_per_epoch = num_samples / options.batch_size
  schedule = SCHEDULES[options.learning_rate_decay_type]
  rate = schedule(options, global_step, decay_steps(options, num_samples))
  warmup_steps = options.warmup_epochs * steps_per_epoch
  if warmup_steps > 0:
    step = tf.cast(global_step, tf.float32)
    warming = options.learning_rate * step / warmup_steps
    rate = tf.where(step < warmup_steps, warming, rate)
  return rate


def decay_steps(options, num_samples):
  """Returns over how many steps the rate decays once, at least 1.

  A polynomial ends with the run when --num_epochs_per_decay is left out: research/slim's two epochs
  left the rest of a run at the end rate.
  """
  fits_run = options.learning_rate_decay_type == 'polynomial' and options.max_number_of_steps
  if options.num_epochs_per_decay is None and fits_run:
    return options.max_number_of_steps
  epochs = options.num_epochs_per_decay or _EPOCHS_PER_DECAY
  return max(1, int(num_samples * epochs / options.batch_size))


def optimizer(options, rate):
  """Returns the tf.train.Optimizer that the options name, at the given rate (scalar tensor)."""
  return OPTIMIZERS[options.optimizer](options, rate)
