"""A learning-rate range test: the loss while the rate grows from too low to too high.

Smith, Cyclical Learning Rates for Training Neural Networks, https://arxiv.org/abs/1506.01186
"""

import dataclasses
import math
import statistics
import tempfile
import typing

import numpy as np

from image_classifier.training import runs, stop_signals
from slim_compat import tf

# The loss has exploded when it is so many times the lowest one, both smoothed.
_EXPLODED = 4.0
# Shares of the test over which the loss is smoothed, and compared before and after a step.
_SMOOTHED_SHARE = 0.05
_COMPARED_SHARE = 0.1
# A loss that falls by less than this share of itself, or by less than so many standard errors, has
# not learnt.
_LEAST_FALL = 0.02
_LEAST_ERRORS = 2


class Curve(typing.NamedTuple):
  """The loss at each rate that was tried."""

  rates: list  # of the steps
  losses: list  # before the step at that rate
  smoothed: list  # bias-corrected exponential averages of the losses
  exploded: bool
  signal: int | None  # that stopped the test

  @property
  def lowest(self):
    """The number of the step with the lowest smoothed loss."""
    return int(np.argmin(self.smoothed))


def run(options, *, num_steps, min_rate, max_rate):
  """Trains some steps at growing rates, in a folder that does not stay.

  Args:
    options: options.TrainingOptions; its train_dir, learning rate and evaluations do not count.
    num_steps: how many steps at most.
    min_rate, max_rate: the rates of the first and the last step; those between grow by a constant
      factor.

  Returns:
    Curve.

  Raises:
    UserError, RunError: as runs.train.
  """
  rates = np.geomspace(min_rate, max_rate, num_steps).tolist()
  with (
    stop_signals.collected('the test ends after this step') as stopped,
    tempfile.TemporaryDirectory(prefix='lr_find.') as folder,
  ):
    evaluations = ('eval_every_steps', 'eval_every_epochs', 'early_stopping_patience')
    options = dataclasses.replace(
      options,
      train_dir=folder,
      retry_on_nan=0,
      recalibrate_batch_norm=False,
      **dict.fromkeys(evaluations),
    )

    def loop(options, graph, session, *unused):
      return _Steps(graph, session, rates, stopped, options.accumulate_steps)

    return runs.train(options, loop=loop)


class _Steps:
  """Takes the steps of the test in place of a loop.Loop."""

  def __init__(self, graph, session, rates, stopped, num_batches):
    self._graph, self._session, self._rates, self._stopped = graph, session, rates, stopped
    self._num_batches = num_batches  # a step

  def run(self):
    """Returns the Curve."""
    losses, exploded, every = [], False, max(1, len(self._rates) // 10)
    for step, rate in enumerate(self._rates, 1):
      if self._stopped:
        break
      for _ in range(self._num_batches - 1):
        self._session.run(self._graph.add_batch)
      loss = self._session.run(self._graph.train_op, {self._graph.learning_rate: rate})
      if not math.isfinite(loss):
        exploded = True
        break
      losses.append(float(loss))
      smoothed = smooth(losses, len(self._rates))
      if step % every == 0:
        tf.logging.info('step %d of %d: rate %.3g, loss %.4f', step, len(self._rates), rate, loss)
      if smoothed[-1] > _EXPLODED * min(smoothed):
        exploded = True
        break
    signal = self._stopped[0] if self._stopped else None
    smoothed = smooth(losses, len(self._rates))
    return Curve(self._rates[: len(losses)], losses, smoothed, exploded, signal)


def smooth(losses, num_steps):
  """Returns exponential averages of the losses over about a twentieth of the test."""
  decay = 1 - 1 / max(1.0, _SMOOTHED_SHARE * num_steps)
  average, averages = 0.0, []
  for count, loss in enumerate(losses, 1):
    average = decay * average + (1 - decay) * loss
    averages.append(average / (1 - decay**count))
  return averages


def suggestion(curve, num_steps):
  """Returns the rate around which the loss falls most, None if it never clearly does.

  At each step up to the lowest smoothed loss the median loss of a tenth of the test before it is
  compared with that of a tenth after it: medians let single batches decide nothing.
  """
  width = max(3, round(_COMPARED_SHARE * num_steps))
  falls = {
    i: np.median(curve.losses[i - width : i]) - np.median(curve.losses[i : i + width])
    for i in range(width, min(curve.lowest + 1, len(curve.losses) - width + 1))
  }
  if not falls:
    return None
  steepest = max(falls, key=falls.get)
  before = np.median(curve.losses[steepest - width : steepest])
  least = max(_LEAST_FALL * abs(before), _LEAST_ERRORS * _error_of_fall(curve, width))
  return curve.rates[steepest] if falls[steepest] > least else None


def _error_of_fall(curve, width):
  """Returns the standard error of the difference of two medians of `width` losses each.

  As if they were normally distributed; how far they scatter is read off neighbours up to the
  lowest, which no trend and no explosion tears apart.
  """
  differences = np.median(np.abs(np.diff(curve.losses[: curve.lowest + 1])))
  scatter = differences / (math.sqrt(2) * statistics.NormalDist().inv_cdf(0.75))
  return scatter * math.sqrt(math.pi / width)
