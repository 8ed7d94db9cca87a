"""Saying where a run stands still, rather than leaving its user to guess."""

import contextlib
import threading
import time

from slim_compat import tf

# Stillness is worth a line after so many usual steps.
_USUAL_STEPS = 10
# Share of the newest step in what counts as usual.
_NEWEST_SHARE = 0.1


class Watchdog:
  """A thread that prints a line when nothing has ended for a while, and at growing intervals again.

  Args:
    where: function without arguments that says in words what the run is doing.
    patience: seconds without an end of a step that are fine whatever a step usually takes.
  """

  def __init__(self, where, patience):
    self._where, self._patience = where, patience
    self._usual, self._last = 0.0, time.monotonic()
    self._stopped = threading.Event()
    self._thread = threading.Thread(target=self._watch, daemon=True)

  @contextlib.contextmanager
  def watching(self):
    """Watches while the context lasts."""
    self._last = time.monotonic()
    self._thread.start()
    try:
      yield
    finally:
      self._stopped.set()
      self._thread.join()

  def step_ended(self):
    now = time.monotonic()
    self._usual += _NEWEST_SHARE * (now - self._last - self._usual)
    self._last = now

  def _watch(self):
    still_since, times = self._last, 1
    while True:
      if still_since != self._last:
        still_since, times = self._last, 1
      patience = times * max(self._patience, _USUAL_STEPS * self._usual)
      if self._stopped.wait(max(0.0, still_since + patience - time.monotonic())):
        return
      if still_since == self._last:
        seconds = time.monotonic() - still_since
        tf.logging.warning('No step has ended for %.0f s: %s.', seconds, self._where())
        times *= 2
