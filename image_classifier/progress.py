"""How a person follows training: a bar on a terminal, research/slim's lines elsewhere."""

import contextlib
import logging
import sys
import time

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from slim_compat import tf

_FILL_LINE_SECONDS = 10


class Progress:
  """Reports steps as they end.

  Args:
    first_step, last_step: where the run starts and ends; last_step None for an endless run.
    batch_size: images a step.
    log_every_n_steps: steps between two lines.
  """

  def __init__(self, first_step, last_step, batch_size, log_every_n_steps):
    self._batch_size = batch_size
    self._every = max(1, log_every_n_steps)
    self._bar, self._shown = None, contextlib.ExitStack()
    if sys.stderr.isatty():
      bar = tqdm(total=last_step, initial=first_step, unit='step', dynamic_ncols=True)
      self._bar = self._shown.enter_context(bar)
      messages = logging_redirect_tqdm([logging.getLogger('tensorflow')])  # above the bar
      self._shown.enter_context(messages)
    self._mark = time.monotonic(), first_step

  def step(self, step, loss):
    """Says that a step has ended: its number from 1 and its total loss."""
    if self._bar is not None:
      self._bar.update()
    if step % self._every:
      return
    now = time.monotonic()
    then, since = self._mark
    seconds = (now - then) / max(1, step - since)
    self._mark = now, step
    if self._bar is not None:
      rate = self._batch_size / max(seconds, 1e-9)
      self._bar.set_postfix_str(f'loss {loss:.4f}, {rate:.1f} images/s')
    else:
      tf.logging.info('global step %d: loss = %.4f (%.3f sec/step)', step, loss, seconds)

  def say(self, line):
    """Prints a line, above the bar where there is one."""
    if self._bar is not None:
      self._bar.write(line)
    else:
      print(line, flush=True)

  def close(self):
    """Ends the bar."""
    self._shown.close()


class FillProgress:
  """Reports how far the feature cache is: a bar on a terminal, a line now and then elsewhere.

  Args:
    done, total: rows that are there, and that there will be.
  """

  def __init__(self, done, total):
    self._first, self._done, self._total = done, done, total
    self._start = self._mark = time.monotonic()
    is_hidden = not sys.stderr.isatty()
    self._bar = tqdm(
      desc='features', total=total, initial=done, unit='img', dynamic_ncols=True, disable=is_hidden
    )

  def add(self, count):
    """Says that so many more rows are computed."""
    self._done += count
    self._bar.update(count)
    now = time.monotonic()
    if not self._bar.disable or now - self._mark < _FILL_LINE_SECONDS:
      return
    self._mark = now
    rate = (self._done - self._first) / (now - self._start)
    message = 'Feature cache: %d of %d (%.1f images/s, %.0f s left)'
    left = (self._total - self._done) / rate
    tf.logging.info(message, self._done, self._total, rate, left)

  def close(self):
    """Ends the bar."""
    self._bar.close()
