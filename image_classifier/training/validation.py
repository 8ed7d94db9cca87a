"""Evaluating a run while it trains: when, what becomes of the best checkpoint, when to stop early.

The lines of evaluations in metrics.jsonl are all that a resumed run has to know: they end, as those
of its steps, where its checkpoint is. The best checkpoint is in a folder of its own, where no
rotation reaches it.
"""

import contextlib
import json
import math
import os

import slim_files
from datasets import dataset_factory
from datasets import labels as label_files
from image_classifier import checkpoints, run_length, run_record, saving
from image_classifier.evaluation import metrics, predicting
from image_classifier.training import metrics_log
from image_classifier.training.summaries import EventFile
from slim_compat import tf
from slim_errors import UserError, unknown
from slim_files import Field

BEST_FOLDER = 'best'
METRICS_FILE = 'metrics.json'
_BEST_METRICS = ('accuracy', 'loss')
_FIELDS = {
  'checkpoint': Field('text'),
  'step': Field('whole number'),
  'split': Field('text'),
  'accuracy': Field('number', 0, 1),
  'loss': Field('number'),
  'correct': Field('whole number'),
  'num_examples': Field('whole number', 1),
}
# A period in epochs may miss a whole number of steps by the rounding of its last digit.
_ROUNDING = 1e-9


def is_on(options):
  """Whether a run evaluates while it trains."""
  return options.eval_every_steps is not None or options.eval_every_epochs is not None


def check(options):
  """Raises UserError for settings that cannot work."""
  if options.eval_every_steps is not None and options.eval_every_epochs is not None:
    raise UserError('--eval_every_steps and --eval_every_epochs exclude each other: give one.')
  if options.eval_every_steps is not None and options.eval_every_steps < 1:
    raise UserError(f'--eval_every_steps={options.eval_every_steps} must be at least 1.')
  epochs = options.eval_every_epochs
  if epochs is not None and not 0 < epochs < math.inf:
    raise UserError(f'--eval_every_epochs={epochs} must be above 0; leave it out for none.')
  if options.best_metric not in _BEST_METRICS:
    raise unknown('best_metric', options.best_metric, _BEST_METRICS)
  patience = options.early_stopping_patience
  if patience is not None and patience < 1:
    raise UserError(f'--early_stopping_patience={patience} must be at least 1.')
  if patience is not None and not is_on(options):
    raise UserError('--early_stopping_patience counts evaluations: add --eval_every_steps=100.')


class Validation:
  """Evaluates the checkpoints of one run and keeps the best of them."""

  def __init__(self, options, num_samples, record, is_resumed):
    """Finds the split, and what earlier processes of the run have kept.

    Args:
      options: options.TrainingOptions, with a period of evaluations.
      num_samples: images in the training split.
      record: what run.json says.
      is_resumed: whether the train_dir holds a run that goes on.

    Raises:
      UserError: there is no such split, or the best checkpoint is of another run or split.
    """
    self._options, self._record = options, record
    self._dataset = dataset_factory.get_dataset(
      options.dataset_name, options.eval_split, options.dataset_dir
    )
    self._names = label_files.class_names(self._dataset, options.labels_offset)
    self._period = options.eval_every_steps or options.eval_every_epochs * (
      run_length.steps_per_epoch(options, num_samples)
    )
    self._folder = os.path.join(options.train_dir, BEST_FOLDER)
    saving.recover_only(self._folder)
    self._best = read_best(self._folder)
    if self._best and not is_resumed:
      raise UserError(
        f'{self._folder} holds the best checkpoint of a run whose others are gone: move it away, '
        'or choose another --train_dir.'
      )
    if self._best and self._best['split'] != options.eval_split:
      raise UserError(
        f'{self._folder} holds the best checkpoint by the split {self._best["split"]!r}, which '
        f'--eval_split={options.eval_split} cannot be compared with: move it away.'
      )
    if self._best and self._best.get('best_metric', options.best_metric) != options.best_metric:
      raise UserError(
        f'{self._folder} holds the best checkpoint by {self._best["best_metric"]}, which may not '
        f'be the best by --best_metric={options.best_metric}: move it away.'
      )
    self._log = self._events = self._cached = self._recalibration = None
    self._past = []  # the lines of all evaluations up to now

  def use_cache(self, cached):
    """Evaluates from features from now on, as the run trains: cached_inputs.CachedInputs."""
    self._cached = cached.evaluation(self._dataset)

  def recalibrate(self, recalibration):
    """Evaluates and keeps copies by recalibration.Recalibration from now on."""
    self._recalibration = recalibration

  def start(self, log):
    """Takes up what a resumed run knows.

    Args:
      log: the run's metrics_log.MetricsLog.
    """
    self._log = log
    lines = metrics_log.read(self._options.train_dir)
    self._past = [line for line in lines if line.get('split') == self._options.eval_split]

  def is_due(self, step):
    """Whether a period of evaluations ends with a step."""
    periods, before = (math.floor(s / self._period + _ROUNDING) for s in (step, step - 1))
    return step > 0 and periods > before

  def is_known(self, step):
    """Whether the checkpoint of a step has been evaluated."""
    return any(line['step'] == step for line in self._past)

  def is_over(self):
    """Whether so many evaluations that training is to end have been worse than the best."""
    patience = self._options.early_stopping_patience
    if patience is None or not self._past:
      return False
    scores = [self._score(line) for line in self._past]
    return len(scores) - 1 - scores.index(max(scores)) >= patience

  def evaluate(self, prefix, step, learning_rate):
    """Evaluates a checkpoint, keeps it when it is the best, and writes what came of it.

    Args:
      prefix: of the checkpoint.
      step: its step.
      learning_rate: after that step.

    Returns:
      The line to print.
    """
    with self._copied(prefix) as copy:
      figures = self._figures(copy)
      found = {'checkpoint': os.path.basename(prefix), 'step': step, **figures}
      if self._best is None or self._score(found) > self._score(self._best):
        self._keep(copy, found)
    accuracy, loss = figures['accuracy'], figures['loss']
    line = {'step': step, 'split': figures['split'], 'loss': loss, 'accuracy': accuracy}
    # From here on it has been evaluated; a process that dies before does all of it again.
    interval = figures['accuracy_interval']
    self._log.add(**line, accuracy_interval=interval, learning_rate=learning_rate)
    self._log.sync()
    self._past.append(line)
    metrics_log.write_csv(self._options.train_dir, self._options.dataset_split_name)
    self._write_events(step, {'accuracy': accuracy, 'loss': loss})
    is_best = self._best['step'] == step
    return f'step {step}: {figures["split"]} {_accuracy_text(figures)}, loss {loss:.2f}, ' + (
      'best so far' if is_best else f'the best is step {self._best["step"]}'
    )

  def conclusion(self, step):
    """Returns the lines that end a run: whether it was stopped early, and its best checkpoint."""
    best, metric, lines = self._best, self._options.best_metric, []
    if self.is_over():
      lines.append(
        f'Stopped early at step {step}: --early_stopping_patience='
        f'{self._options.early_stopping_patience} evaluations brought no better {metric}.'
      )
    if best is not None:
      lines.append(
        f'The best checkpoint by {metric} is {os.path.join(self._folder, best["checkpoint"])}: '
        f'{best["split"]} {_accuracy_text(best)}, loss {best["loss"]:.2f}.'
      )
    return lines

  def _copied(self, prefix):
    """Returns a context of the checkpoint to evaluate and keep in place of one of the run."""
    if self._recalibration is None:
      return contextlib.nullcontext(prefix)
    return self._recalibration.copied(prefix)

  def _figures(self, prefix):
    """Returns what metrics.json says of a checkpoint, without its name and step."""
    predictions = self._cached and self._cached.predict(prefix)
    if predictions is None:
      predictions = self._predictions(prefix)
    figures = metrics.compute(predictions.labels, predictions.logits, self._names)
    kept = ('accuracy', 'accuracy_interval', 'loss', 'correct', 'num_examples')
    return {
      'split': self._options.eval_split,
      **{name: figures[name] for name in kept},
      'moving_averages': predictions.facts['moving_averages'],
      'precision': predictions.facts['precision'],
    }

  def _predictions(self, prefix):
    """Returns the predicting.Predictions of a checkpoint, from the images of the split."""
    options = self._options
    return predicting.predict(
      prefix,
      self._dataset,
      options.model_name,
      preprocessing_name=self._record['preprocessing_name'],
      image_size=self._record['image_size'],
      batch_size=self._dataset.num_samples,
      labels_offset=options.labels_offset,
      use_grayscale=options.use_grayscale,
      num_threads=options.num_preprocessing_threads,
      precision=self._record['flags']['precision'],
      probes_batch_norm=False,
    )

  def _score(self, figures):
    """Returns the number that is greatest for the best."""
    name = self._options.best_metric
    return -figures[name] if name == 'loss' else figures[name]

  def _keep(self, prefix, found):
    path = os.path.join(self._options.train_dir, run_record.FILE_NAME)
    with open(path, 'rb') as file:
      record = file.read()
    text = json.dumps({**found, 'best_metric': self._options.best_metric}, indent=2)
    files = {run_record.FILE_NAME: record, METRICS_FILE: f'{text}\n'.encode()}
    saving.keep_only(prefix, self._folder, files)
    self._best = found

  def _write_events(self, step, scalars):
    if self._events is None:
      folder = os.path.join(self._options.train_dir, f'eval_{self._options.eval_split}')
      self._events = EventFile(folder, None, step)
    values = [tf.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    self._events.add_summary(tf.Summary(value=values), step)

  def close(self):
    """Ends the event file, and what features are evaluated with."""
    if self._cached is not None:
      self._cached.close()
    if self._events is not None:
      self._events.close()


def _accuracy_text(figures):
  """Returns an accuracy in words, with what it is worth."""
  correct, number = figures['correct'], figures['num_examples']
  low, high = metrics.interval(correct, number)
  return (
    f'accuracy {100 * figures["accuracy"]:.1f} % ({correct} of {number}; 95 % interval '
    f'{100 * low:.1f} to {100 * high:.1f} %)'
  )


def read_best(folder):
  """Returns what metrics.json says of the best checkpoint in its folder, None where none is whole.

  Raises:
    UserError: it cannot be read.
  """
  path = os.path.join(folder, METRICS_FILE)
  best = slim_files.read_object(path, _FIELDS, f'move {folder} away')
  if best is None or not best.keys() >= _FIELDS.keys():
    return None
  is_whole = not checkpoints.missing_parts(
    os.path.join(folder, os.path.basename(best['checkpoint']))
  )
  return best if is_whole else None
