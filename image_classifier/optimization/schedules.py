"""Learning-rate schedules: a table, name to builder."""

import dataclasses
import math

from image_classifier import run_length
from slim_compat import tf
from slim_errors import UserError, unknown

# research/slim's default for staircases; the others fit the run unless told otherwise.
_EPOCHS_PER_DECAY = 2.0
# Those that fit the run, and where they end when --end_learning_rate is left out.
_ENDS = {'polynomial': 0.0001, 'cosine': 0.0, 'one_cycle': 0.0}
# One cycle rises from a 25th of its rate over the first 30 % of the run: Smith and Topin,
# Super-Convergence, https://arxiv.org/abs/1708.07120; the numbers and the cosines are fast.ai's.
_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_RISE = 0.3


def _cosine(options, step, decay_steps):
  """Loshchilov and Hutter, SGDR, https://arxiv.org/abs/1608.03983, without restarts."""
  end = _end(options)
  return tf.train.cosine_decay(
    options.learning_rate, step, decay_steps, end / options.learning_rate, 'cosine_decay'
  )


def _one_cycle(options, step, decay_steps):
  """A rise and a fall, each half a period of a cosine."""
  highest, end = options.learning_rate, _end(options)
  share = tf.minimum(tf.cast(step, tf.float32) / decay_steps, 1.0)
  rising = _half_wave(highest * _ONE_CYCLE_START, highest, share / _ONE_CYCLE_RISE)
  falling = _half_wave(highest, end, (share - _ONE_CYCLE_RISE) / (1 - _ONE_CYCLE_RISE))
  return tf.where(share < _ONE_CYCLE_RISE, rising, falling, name='one_cycle_learning_rate')


def _end(options):
  if options.end_learning_rate is not None:
    return options.end_learning_rate
  return _ENDS[options.learning_rate_decay_type]


def _half_wave(begin, end, share):
  return end + (begin - end) * (1 + tf.cos(math.pi * share)) / 2


# name -> function(options, step, steps per decay) -> scalar tensor. The node names are those that
# research/slim gave them. In a run bounded by time the step is the share of it, of 1.0.
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
    _end(o),
    power=1.0,
    cycle=False,
    name='polynomial_decay_learning_rate',
  ),
  'cosine': _cosine,
  'one_cycle': _one_cycle,
}
_NEEDING_A_LENGTH = ('cosine', 'one_cycle')


def check(options):
  """Raises UserError for a schedule that is unknown or cannot work."""
  kind = options.learning_rate_decay_type
  if kind not in SCHEDULES:
    raise unknown('learning_rate_decay_type', kind, SCHEDULES)
  for name in ('learning_rate', 'learning_rate_decay_factor', 'num_epochs_per_decay'):
    value = getattr(options, name)
    if value is not None and not 0 < value < math.inf:
      raise UserError(f'--{name}={value} must be above 0.')
  for name in ('end_learning_rate', 'warmup_steps', 'warmup_epochs'):
    value = getattr(options, name)
    if value is not None and not 0 <= value < math.inf:
      raise UserError(f'--{name}={value} must be 0 or more.')
  has_length = run_length.is_bounded(options) or options.num_epochs_per_decay
  if kind in _NEEDING_A_LENGTH and not has_length:
    raise UserError(
      f'--learning_rate_decay_type={kind} must know when it ends: give --max_number_of_steps, '
      '--max_epochs or --max_minutes.'
    )
  if options.warmup_steps and options.warmup_epochs:
    raise UserError('--warmup_steps and --warmup_epochs say the same thing: give one of them.')
  if kind == 'one_cycle' and (options.warmup_steps or options.warmup_epochs):
    raise UserError(
      '--learning_rate_decay_type=one_cycle warms up by itself: leave out --warmup_steps and '
      '--warmup_epochs.'
    )


def learning_rate(options, num_samples, global_step, times=None):
  """The learning rate of the current step.

  Args:
    options: options.TrainingOptions.
    num_samples: images in the training split, which turns epochs into steps.
    global_step: int64 scalar variable.
    times: run_length.Times of a run that is bounded by time; None without.

  Returns:
    float32 scalar tensor.
  """
  schedule = SCHEDULES[options.learning_rate_decay_type]
  if times is None or not _fits_run(options):
    rate = schedule(options, global_step, decay_steps(options, num_samples))
  else:
    share = run_length.share(times, options.max_minutes)
    last_step = run_length.last_step(options, num_samples)
    if last_step:
      share = tf.maximum(share, tf.cast(global_step, tf.float64) / last_step)
    rate = schedule(options, tf.cast(share, tf.float32), 1.0)
  warmup = _warmup_steps(options, num_samples)
  if warmup > 0:
    step = tf.cast(global_step, tf.float32)
    rate = tf.where(step < warmup, options.learning_rate * step / warmup, rate)
  return rate


def _warmup_steps(options, num_samples):
  """Returns how many steps the rate warms up for; no whole number."""
  if options.warmup_epochs:
    return options.warmup_epochs * run_length.steps_per_epoch(options, num_samples)
  return options.warmup_steps


def warn_of_long_warmup(options, num_samples):
  """Warns of a run that ends before its learning rate has warmed up."""
  warmup = _warmup_steps(options, num_samples)
  last_step = run_length.last_step(options, num_samples)
  if last_step and warmup >= last_step:
    tf.logging.warning(
      'The warm-up takes %g steps, the run ends after %d: it never trains at --learning_rate=%g.',
      warmup,
      last_step,
      options.learning_rate,
    )


def decay_steps(options, num_samples):
  """Returns over how many steps the rate decays once, at least 1.

  A schedule that fits the run ends with it when --num_epochs_per_decay is left out: research/slim's
  two epochs left the rest of a run at the end rate of a polynomial.
  """
  last_step = run_length.last_step(options, num_samples)
  if _fits_run(options) and last_step:
    return last_step
  epochs = options.num_epochs_per_decay or _EPOCHS_PER_DECAY
  return max(1, int(num_samples * epochs / (options.batch_size * options.accumulate_steps)))


def slower(options, divisor):
  """Returns the options with a learning rate that is this many times lower, from start to end."""
  changed = {'learning_rate': options.learning_rate / divisor}
  if options.learning_rate_decay_type in _ENDS:
    changed['end_learning_rate'] = _end(options) / divisor
  return dataclasses.replace(options, **changed)


def _fits_run(options):
  kind = options.learning_rate_decay_type
  return options.num_epochs_per_decay is None and kind in _ENDS
