"""The steps of a training run: step, log, summarize, save, stop."""

import contextlib
import math
import signal
import time
import typing

from image_classifier import checkpoints
from image_classifier.metrics_log import MetricsLog
from image_classifier.progress import Progress
from image_classifier.saving import CheckpointWriter
from slim_compat import tf
from slim_errors import RunError

# Histograms and pictures cost about as much as a step; scalars cost nothing.
_DETAIL_SUMMARIES_SECS = 60
_KEPT_CHECKPOINTS = 5


class NotFinite(RunError):
  """The loss, the gradient or a weight is not a number any more; nothing of that is saved."""


class Result(typing.NamedTuple):
  """How a run ended."""

  step: int
  loss: float | None  # of the last step; None when no step was left to run
  signal: int | None  # the signal that stopped it


class _Every:
  """Says when a period of so many seconds is over; a period of 0 never is."""

  def __init__(self, seconds):
    self._seconds = seconds
    self.restart()

  def restart(self):
    self._start = time.monotonic()

  def is_over(self):
    return self._seconds > 0 and time.monotonic() - self._start >= self._seconds


class Loop:
  """The steps of one run: its session, its files and its clocks."""

  def __init__(self, options, graph, session, saver, first_step):
    self._options, self._graph, self._session = options, graph, session
    self._checkpoints = CheckpointWriter(session, saver, options.train_dir, _KEPT_CHECKPOINTS)
    self._writer = tf.summary.FileWriter(options.train_dir, session.graph)
    self._save = _Every(options.save_interval_secs)
    self._scalars = _Every(options.save_summaries_secs)
    self._details = _Every(
      options.save_summaries_secs and max(options.save_summaries_secs, _DETAIL_SUMMARIES_SECS)
    )
    self._log = MetricsLog(options.train_dir, first_step)
    self._first_step, self._rate_mark = first_step, (time.monotonic(), first_step)

  def run(self):
    """Steps until the last step or a signal, then saves; returns the Result.

    Raises:
      NotFinite: the last good checkpoint is that of before.
      RunError: no checkpoint can be written.
      tf.errors.OpError: when a batch cannot be made; what was learnt is saved.
    """
    options, first_step = self._options, self._first_step
    step, loss, last_step = first_step, None, options.max_number_of_steps
    if first_step == 0:
      self._write_checkpoint(0)
      tf.train.write_graph(self._session.graph, options.train_dir, 'graph.pbtxt')
    tf.logging.info('Starting Queues.')
    self._rate_mark = time.monotonic(), first_step
    progress = Progress(first_step, last_step, options.batch_size, options.log_every_n_steps)
    saved_step = first_step
    with _stop_signals() as stopped, contextlib.closing(progress):
      while (last_step is None or step < last_step) and not stopped:
        try:
          loss = self._step(step)
        except tf.errors.OpError:
          if step > saved_step:
            self._write_checkpoint(step)
          raise
        step += 1
        progress.step(step, loss)
        if self._save.is_over():
          self._write_checkpoint(step)
          saved_step = step
    tf.logging.info('Stopping Training.')
    if step > saved_step:
      tf.logging.info('Finished training! Saving model to disk.')
      self._write_checkpoint(step)
    self._writer.close()
    return Result(step, loss, stopped[0] if stopped else None)

  def _step(self, step):
    """Runs one step with the summaries that are due; returns its loss.

    The first and the last step have their scalars whatever the clock says.
    """
    graph = self._graph
    fetches = {
      'loss': graph.train_op,
      'gradient_norm': graph.gradient_norm,
      'learning_rate': graph.learning_rate,
      'filenames': graph.filenames,
    }
    is_edge = step in (self._first_step, (self._options.max_number_of_steps or 0) - 1)
    if self._scalars.is_over() or (is_edge and self._options.save_summaries_secs):
      fetches['scalars'] = graph.scalar_summaries
    if self._details.is_over():
      fetches['details'] = graph.detail_summaries
    values = self._session.run(fetches)
    filenames = values.pop('filenames')
    figures = {n: float(values.pop(n)) for n in ('loss', 'learning_rate', 'gradient_norm')}
    if not all(map(math.isfinite, figures.values())):
      raise self._not_finite(step + 1, **figures, filenames=filenames)
    is_last = step + 1 == self._options.max_number_of_steps
    if step == 0 or is_last or (step + 1) % self._options.log_every_n_steps == 0:
      self._log.add(step=step + 1, **figures)
    if values:
      self._write_summaries(values, step + 1)
    return figures['loss']

  def _write_summaries(self, values, step):
    tf.logging.info('Recording summary at step %d.', step)
    for name, clock in (('scalars', self._scalars), ('details', self._details)):
      if name in values:
        self._writer.add_summary(values[name], step)
        clock.restart()
    now, (then, last_step) = time.monotonic(), self._rate_mark
    self._rate_mark = now, step
    rate = (step - last_step) / max(now - then, 1e-9)
    tf.logging.log_first_n(tf.logging.INFO, 'global_step/sec: %g', 10, rate)
    value = tf.Summary.Value(tag='global_step/sec', simple_value=rate)
    self._writer.add_summary(tf.Summary(value=[value]), step)

  def _write_checkpoint(self, step):
    if not self._session.run(self._graph.is_finite):
      raise self._not_finite(step)
    self._checkpoints.save(step)
    self._save.restart()

  def _not_finite(self, step, *, loss=None, learning_rate=None, gradient_norm=None, filenames=()):
    """Returns the NotFinite of a step, or of weights when no figures are given."""
    what = 'a weight is not a number'
    if loss is not None:
      what = f'the loss is {loss}, the gradient norm {gradient_norm}'
    if learning_rate is None:
      learning_rate = float(self._session.run(self._graph.learning_rate))
    names = [name.decode('utf-8', 'replace') for name in filenames if name]
    batch = f'; the batch was {", ".join(names)}' if names else ''
    last = checkpoints.latest(self._options.train_dir)
    return NotFinite(
      f'At step {step} {what} (learning rate {learning_rate:g}): training stopped, {last} is the '
      'last good checkpoint; try a tenth of the --learning_rate in a new --train_dir, or '
      f'--retry_on_nan=2{batch}.'
    )


@contextlib.contextmanager
def _stop_signals():
  """Collects SIGINT and SIGTERM in the list it yields; a second one stops the process at once."""
  received = []

  def receive(number, frame):
    received.append(number)
    tf.logging.info('Signal %d: saving after this step; once more stops at once.', number)
    signal.signal(number, signal.SIG_DFL)

  old = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield received
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
