"""How long a run is: in steps, in epochs, in minutes; the first of them to end ends it."""

import math
import time
import typing

from slim_compat import tf
from slim_errors import UserError

# Seconds of the run so far, in the checkpoints of a run that is bounded by time.
ELAPSED_SECONDS = 'elapsed_seconds'
# Those of them that went by before its first step, for an earlier stage or a feature cache.
EARLIER_SECONDS = 'seconds_before_first_step'
TIMES = (ELAPSED_SECONDS, EARLIER_SECONDS)


def check(options):
  """Raises UserError for a length that is none."""
  steps = options.max_number_of_steps
  if steps is not None and steps < 0:
    raise UserError(f'--max_number_of_steps={steps} must be 0 or more; leave it out for no limit.')
  for name in ('max_epochs', 'max_minutes'):
    value = getattr(options, name)
    if value is not None and not 0 < value < math.inf:
      raise UserError(f'--{name}={value} must be above 0; leave it out for no limit.')


def is_bounded(options):
  """Whether the run ends by itself."""
  limits = (options.max_number_of_steps, options.max_epochs, options.max_minutes)
  return any(limit is not None for limit in limits)


def steps_per_epoch(options, num_samples):
  """Returns how many steps (updates of the weights) pass over the split once; no whole number."""
  return num_samples / (options.batch_size * options.accumulate_steps)


def last_step(options, num_samples):
  """Returns the step to stop after, by --max_number_of_steps and --max_epochs; None for neither.

  Args:
    options: options.TrainingOptions.
    num_samples: images in the training split.
  """
  limits = [options.max_number_of_steps]
  if options.max_epochs is not None:
    limits.append(math.ceil(options.max_epochs * steps_per_epoch(options, num_samples)))
  return min((limit for limit in limits if limit is not None), default=None)


class Times(typing.NamedTuple):
  """The variables, float64 scalars, of a run that is bounded by time."""

  elapsed: typing.Any  # seconds of the run so far
  earlier: typing.Any  # those of them before its first step


def times():
  """Returns new Times."""
  return Times(
    *(
      tf.get_variable(name, [], tf.float64, initializer=tf.zeros_initializer(), trainable=False)
      for name in TIMES
    )
  )


def spend(times, session, seconds, is_new):
  """Adds seconds that went by before a step to the Times of a run.

  Args:
    times: Times.
    session: of the run.
    seconds: how many.
    is_new: whether no step of the run was before them.
  """
  for variable in times if is_new else times[:1]:
    variable.load(session.run(variable) + seconds, session)


def share(times, minutes):
  """Returns the share of the time for steps that is over: float64 scalar tensor."""
  left = tf.maximum(60 * minutes - times.earlier, 1.0)  # a run whose time is over has a rate too
  return (times.elapsed - times.earlier) / left


def seconds_of(prefix):
  """Returns how long the run of a checkpoint had trained, 0 for one that was not bounded by time.

  Args:
    prefix: of the checkpoint.
  """
  reader = tf.train.load_checkpoint(prefix)
  return float(reader.get_tensor(ELAPSED_SECONDS)) if reader.has_tensor(ELAPSED_SECONDS) else 0.0


class Clock:
  """Keeps Times up to date: the time of earlier processes counts too.

  Args:
    times: as restored; None in a run that is not bounded by time.
    session: of the run.
    minutes: after which the run is over.
  """

  def __init__(self, times, session, minutes):
    variable = times and times.elapsed
    self._variable, self._session = variable, session
    if variable is not None:
      self._seconds = 60 * minutes
      self._start = time.monotonic() - float(session.run(variable))

  def tick(self):
    """Sets the variable."""
    if self._variable is not None:
      self._variable.load(time.monotonic() - self._start, self._session)

  def is_over(self):
    """Whether the run has had its time."""
    return self._variable is not None and time.monotonic() - self._start >= self._seconds
