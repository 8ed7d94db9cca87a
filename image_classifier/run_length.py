"""How long a run is: in steps, in epochs, in minutes; the first of them to end ends it."""

import math
import time

from slim_compat import tf
from slim_errors import UserError

# Seconds of the run so far, in the checkpoints of a run that is bounded by time.
ELAPSED_SECONDS = 'elapsed_seconds'


def check(options):
  """Raises UserError for a length that is none."""
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


def elapsed_seconds():
  """Returns a new variable, float64 scalar, that says how long the run has trained."""
  return tf.get_variable(
    ELAPSED_SECONDS, [], tf.float64, initializer=tf.zeros_initializer(), trainable=False
  )


def spend(variable, session, seconds):
  """Adds the seconds that went by before the first step to the variable of `elapsed_seconds`."""
  variable.load(session.run(variable) + seconds, session)


class Clock:
  """Keeps the variable of `elapsed_seconds` up to date: the time of earlier processes counts too.

  Args:
    variable: of `elapsed_seconds`, as restored; None in a run that is not bounded by time.
    session: of the run.
    minutes: after which the run is over.
  """

  def __init__(self, variable, session, minutes):
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
