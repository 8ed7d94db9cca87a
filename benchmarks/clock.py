"""Rates in the steady state: the first repetitions, which prepare the others, do not count."""

import logging
import os
import re
import signal
import time

WARM_UP = 1  # repetitions


def rate(function, seconds):
  """Calls a function again and again for so long; returns calls a second."""
  for _ in range(WARM_UP):
    function()
  start, calls = time.perf_counter(), 0
  while calls < 2 or time.perf_counter() - start < seconds:
    function()
    calls += 1
  return calls / (time.perf_counter() - start)


class LineTimes(logging.Handler):
  """When the lines of TensorFlow's log that match a pattern came; use as a context.

  The group of the pattern is the number of a step or of a batch. With `seconds`, the process gets
  a Ctrl-C so long after the warm-up, at which training ends with its step.
  """

  def __init__(self, pattern, seconds=None):
    super().__init__()
    self._pattern, self._seconds = re.compile(pattern), seconds
    self.times = {}  # number -> seconds on the performance counter

  def __enter__(self):
    logging.getLogger('tensorflow').addHandler(self)
    return self

  def __exit__(self, *unused):
    logging.getLogger('tensorflow').removeHandler(self)

  def emit(self, record):
    found = self._pattern.match(record.getMessage())
    if not found:
      return
    now = time.perf_counter()
    self.times[int(found.group(1))] = now
    if self._seconds is None or len(self.times) < WARM_UP + 2:
      return
    if now - self._start >= self._seconds:
      self._seconds = None
      os.kill(os.getpid(), signal.SIGINT)

  @property
  def _start(self):
    return sorted(self.times.values())[WARM_UP - 1]

  def rate(self, warm_up=WARM_UP):
    """Returns steps or batches a second after the warm-up."""
    numbers = sorted(self.times)
    first, last = numbers[warm_up - 1], numbers[-1]
    return (last - first) / (self.times[last] - self.times[first])
