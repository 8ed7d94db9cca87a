"""The steps of a training run: step, log, summarize, save, stop."""

import contextlib
import math
import os
import re
import time
import typing

from google.protobuf import text_format

import slim_files
from image_classifier import run_length
from image_classifier.progress import Progress
from image_classifier.saving import CheckpointWriter
from image_classifier.training import metrics_log, stop_signals
from image_classifier.training.summaries import EventFile
from image_classifier.training.watchdog import Watchdog
from slim_compat import tf
from slim_errors import RunError

# Histograms and pictures cost about as much as a step; scalars cost nothing.
_DETAIL_SUMMARIES_SECS = 60
_KEPT_CHECKPOINTS = 5
# How long to wait for the answer to what a step that stands still is doing.
_ANSWER_MILLISECONDS = 5000
# How TensorFlow's messages name the operation that a batch comes from.
_INPUT = re.compile(r'\[\[(\{\{node )?IteratorGetNext(\}\})?\]\]')


class NotFinite(RunError):
  """The loss, the gradient or a weight is not a number any more; nothing of that is saved."""


class Result(typing.NamedTuple):
  """How a run ended."""

  step: int
  loss: float | None  # of the last step; None when no step was left to run
  signal: int | None  # the signal that stopped it
  is_stopped_early: bool = False  # as --early_stopping_patience has it


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

  def __init__(
    self, options, graph, session, saver, resumed, first_step, patience, validation=None
  ):
    """Takes what runs.train has prepared.

    Args:
      options, graph, session, saver: of the run; the graph is a train_graph.TrainingGraph.
      resumed: prefix of the checkpoint in the train_dir that was restored, or None.
      first_step: step of the variables.
      patience: seconds without the end of a step after which a line says what the run is doing.
      validation: validation.Validation; None never evaluates.
    """
    self._options, self._graph, self._session = options, graph, session
    self._graph_def = graph.described()
    self._checkpoints = CheckpointWriter(
      session, saver, options.train_dir, resumed, _KEPT_CHECKPOINTS, self._graph_def
    )
    self._events = EventFile(options.train_dir, self._graph_def, first_step)
    self._save = _Every(options.save_interval_secs)
    self._scalars = _Every(options.save_summaries_secs)
    self._details = _Every(
      options.save_summaries_secs and max(options.save_summaries_secs, _DETAIL_SUMMARIES_SECS)
    )
    self._log = metrics_log.MetricsLog(options.train_dir, first_step)
    self._validation = validation
    if validation is not None:
      validation.start(self._log)
    self._step, self._first_step = first_step, first_step  # how many have ended, and at the start
    self._saved_step = first_step if resumed else None
    self._is_saving = self._is_evaluating = False
    self._clock = run_length.Clock(graph.times, session, options.max_minutes)
    self._rate_mark = time.monotonic(), first_step
    self._watchdog = Watchdog(self._where, patience)
    # The scalars come with every step, due or not: they cost less than another form of the graph.
    self._fetches = {
      'loss': graph.train_op,
      'gradient_norm': graph.gradient_norm,
      'accuracy': graph.accuracy,
      'learning_rate': graph.learning_rate,
      'filenames': graph.filenames,
      'scalars': graph.scalar_summaries,
      'float32': graph.float32_ops,
    }
    if graph.loss_scale is not None:
      self._fetches['loss_scale'] = graph.loss_scale
    # A step of a cached head takes a millisecond, of which session.run would take a part to itself.
    self._usual_step = session.make_callable(self._fetches)
    self._num_batches = 0  # that have been used
    if graph.add_batch is not None:
      self._add_batch = session.make_callable([graph.filenames, graph.add_batch, graph.float32_ops])

  def run(self):
    """Steps until the last step or a signal, then saves; returns the Result.

    Raises:
      NotFinite: the last good checkpoint is that of before.
      RunError: no checkpoint can be written.
      tf.errors.OpError: when a batch cannot be made; what was learnt is saved.
    """
    options, loss, last_step = self._options, None, self._options.max_number_of_steps
    images = options.batch_size * options.accumulate_steps
    progress = Progress(self._step, last_step, images, options.log_every_n_steps)
    with (
      contextlib.closing(self._events),
      contextlib.closing(progress),
      stop_signals.collected() as stopped,
      self._watchdog.watching(),
      contextlib.closing(self._validation or contextlib.ExitStack()),
    ):
      if self._saved_step is None:
        self._write_graph()
        self._write_checkpoint()
      tf.logging.info('Starting Queues.')
      self._rate_mark = time.monotonic(), self._step
      if self._is_evaluation_due(self._step):  # and the process before did not live to see it
        self._evaluate(progress)
      while not (self._is_over() or stopped):
        self._clock.tick()
        if self._clock.is_over():
          break
        loss = self._run_step()
        progress.step(self._step, loss)
        self._watchdog.step_ended()
        is_evaluation_due = self._is_evaluation_due(self._step)
        if is_evaluation_due or self._save.is_over():
          self._write_checkpoint()
        if is_evaluation_due:
          self._evaluate(progress)
      tf.logging.info('Stopping Training.')
      if self._step > self._saved_step:
        tf.logging.info('Finished training! Saving model to disk.')
        self._write_checkpoint()
      if self._validation is not None and not stopped:
        self._evaluate(progress)
        for line in self._validation.conclusion(self._step):
          progress.say(line)
      metrics_log.write_csv(options.train_dir, options.dataset_split_name)
    is_early = self._validation is not None and self._validation.is_over()
    return Result(self._step, loss, stopped[0] if stopped else None, is_early)

  def _is_over(self):
    if self._validation is not None and self._validation.is_over():
      return True
    last_step = self._options.max_number_of_steps
    return last_step is not None and self._step >= last_step

  def _is_evaluation_due(self, step):
    return self._validation is not None and self._validation.is_due(step)

  def _evaluate(self, progress):
    """Evaluates the newest checkpoint, which is of the newest step, unless it was before."""
    if self._validation.is_known(self._step):
      return
    self._is_evaluating = True
    rate = float(self._session.run(self._graph.learning_rate))
    progress.say(self._validation.evaluate(self._checkpoints.newest, self._step, rate))
    self._is_evaluating = False

  def _run_step(self):
    """Runs one step with the summaries that are due; returns its loss.

    The first and the last step, and those before an evaluation, have their scalars whatever the
    clock says.
    """
    last_step = self._options.max_number_of_steps
    is_edge = self._step in (self._first_step, (last_step or 0) - 1)
    is_marked = is_edge or self._is_evaluation_due(self._step + 1)
    has_scalars = self._scalars.is_over() or (is_marked and self._options.save_summaries_secs)
    filenames = []
    try:
      for _ in range(self._options.accumulate_steps - 1):
        filenames += list(self._add_batch()[0])
        self._num_batches += 1
      if self._details.is_over():
        details = {'details': self._graph.detail_summaries}
        values = self._session.run({**self._fetches, **details})
      else:
        values = self._usual_step()
    except tf.errors.OpError as error:
      # Without a batch nothing has changed; any other fault may have left half an update.
      is_unchanged = _INPUT.search(error.message) and not filenames
      if is_unchanged and self._step > self._saved_step:
        self._write_checkpoint()
      raise
    self._num_batches += 1
    if not has_scalars:
      del values['scalars']
    filenames += list(values.pop('filenames'))
    loss_scale = values.pop('loss_scale', None)
    del values['float32']
    figures = {n: float(values.pop(n)) for n in ('loss', 'learning_rate', 'gradient_norm')}
    accuracy = float(values.pop('accuracy'))
    step = self._step + 1
    if _is_skipped(loss_scale, **figures):
      figures['gradient_norm'] = 0.0  # of what the weights have changed by
    if not all(map(math.isfinite, figures.values())):
      raise self._not_finite(step, **figures, filenames=filenames)
    self._step = step
    if step in (1, last_step) or step % self._options.log_every_n_steps == 0:
      self._log.add(step=step, **figures, accuracy=accuracy)
    if values:
      self._write_summaries(values)
    return figures['loss']

  def _where(self):
    """Returns in words what the run is doing; called by the watchdog's thread."""
    if self._is_saving:
      return f'the checkpoint of step {self._step} is being saved'
    if self._is_evaluating:
      return f'the checkpoint of step {self._step} is being evaluated'
    step = self._step
    try:
      options = tf.RunOptions(timeout_in_ms=_ANSWER_MILLISECONDS)
      num_batches = self._session.run(self._graph.num_batches, options=options)
    except tf.errors.OpError:  # the session is busy
      num_batches = None
    if num_batches == self._num_batches:
      return f'step {step + 1} waits for its batch to be read from {self._options.dataset_dir}'
    return f'step {step + 1} is being computed'

  def _write_summaries(self, values):
    step = self._step
    tf.logging.info('Recording summary at step %d.', step)
    for name, clock in (('scalars', self._scalars), ('details', self._details)):
      if name in values:
        self._events.add_summary(values[name], step)
        clock.restart()
    now, (then, last_step) = time.monotonic(), self._rate_mark
    self._rate_mark = now, step
    rate = (step - last_step) / max(now - then, 1e-9)
    tf.logging.log_first_n(tf.logging.INFO, 'global_step/sec: %g', 10, rate)
    value = tf.Summary.Value(tag='global_step/sec', simple_value=rate)
    self._events.add_summary(tf.Summary(value=[value]), step)

  def _write_graph(self):
    graph_def = tf.GraphDef.FromString(self._graph_def.SerializeToString())
    for node in graph_def.node:
      node.attr.pop('_output_shapes', None)
    text = text_format.MessageToString(graph_def)
    slim_files.write_atomically(os.path.join(self._options.train_dir, 'graph.pbtxt'), text)

  def _write_checkpoint(self):
    self._is_saving = True
    if not self._session.run(self._graph.is_finite):
      raise self._not_finite(self._step)
    self._log.sync()
    self._clock.tick()
    self._checkpoints.save(self._step)
    self._saved_step = self._step
    self._save.restart()
    self._is_saving = False

  def _not_finite(self, step, *, loss=None, learning_rate=None, gradient_norm=None, filenames=()):
    """Returns the NotFinite of a step, or of weights when no figures are given."""
    what = 'a weight is not a number'
    if loss is not None:
      what = f'the loss is {loss}, the gradient norm {gradient_norm}'
    if learning_rate is None:
      learning_rate = float(self._session.run(self._graph.learning_rate))
    names = [name.decode('utf-8', 'replace') for name in filenames if name]
    batch = f'; the batch was {", ".join(names)}' if names else ''
    newest = self._checkpoints.newest
    if newest is None:
      return NotFinite(
        f'A weight is not a number before the first step: take another '
        f'--checkpoint_path than {self._options.checkpoint_path}.'
      )
    way_out = '' if self._options.retry_on_nan else ', or --retry_on_nan=2'
    return NotFinite(
      f'At step {step} {what} (learning rate {learning_rate:g}): training stopped, {newest} is the '
      'last good checkpoint; try a tenth of the --learning_rate in a new --train_dir'
      f'{way_out}{batch}.'
    )


def _is_skipped(loss_scale, *, loss, gradient_norm, learning_rate):
  """Whether a step found no gradient that fits into float16, and can at a smaller scale."""
  can_shrink = loss_scale is not None and loss_scale > 1
  return can_shrink and math.isfinite(loss) and not math.isfinite(gradient_norm)
