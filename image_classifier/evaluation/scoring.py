"""Evaluating a checkpoint: what comes out of a pass over a split."""

import dataclasses
import os
import tempfile

import numpy as np

from datasets import labels as label_files
from image_classifier import temperatures
from image_classifier.evaluation import calibration, metrics, predicting, reports, split_pass
from slim_compat import tf
from slim_errors import UserError


def evaluate(
  checkpoint_path,
  dataset,
  model_name,
  *,
  eval_dir=None,
  top_k=None,
  about=None,
  fit_temperature=False,
  is_trained_on=False,
  **settings,
):
  """Evaluates a checkpoint on a split and returns its figures.

  Args:
    checkpoint_path: directory or checkpoint, as `checkpoints.resolve` takes it, or a
      checkpoints.Checkpoint.
    dataset: slim.dataset.Dataset of the split.
    model_name: a name of nets_factory.
    eval_dir: folder for report.json, predictions.csv, the confusion matrix and the event file;
      None writes nothing.
    top_k: the k of recall at k; None is 1 and 5.
    about: dict of facts about the data set, passed on into the figures.
    fit_temperature: whether to fit a temperature on these images and keep it beside the checkpoint.
    is_trained_on: whether the checkpoint was trained on these images, which no temperature fits.
    **settings: the further settings of `predicting.predict`.

  Returns:
    A dict that JSON can hold: the figures of `metrics.compute`, `confident_mistakes`,
    `calibration`, `selective`, the `temperature` of all probabilities (1 without one), what was
    run, and `about`.

  Raises:
    UserError, RunError: as `predicting.predict`.
  """
  top_k = top_k or (1, 5)
  if eval_dir:
    _make_folder(eval_dir)
  predictions = predicting.predict(checkpoint_path, dataset, model_name, **settings)
  names = label_files.class_names(dataset, predictions.facts['labels_offset'])
  labels, logits = predictions.labels, predictions.logits
  calibrated, temperature = _calibration(predictions, fit_temperature, is_trained_on)
  # In float64 no two scores become one, so that no ranking changes.
  cooled = predictions
  if temperature != 1:
    cooled = dataclasses.replace(predictions, logits=np.float64(logits) / temperature)
  figures = {
    **(about or {}),
    **predictions.facts,
    **metrics.compute(labels, logits, names, top_k),
    'confident_mistakes': metrics.confident_mistakes(
      labels, cooled.logits, names, predictions.files
    ),
    'temperature': temperature,
    'calibration': calibrated,
    'selective': calibration.selective(labels, logits, temperature),
  }
  if temperature != 1 and predictions.facts['test_time_augmentation'] != 'none':
    figures['warnings'].append(
      'The temperature beside the checkpoint was fitted to single views, not to means over '
      'several, which are less sure: the temperature that fits these is under Calibration.'
    )
  if figures['only_prediction'] is not None:
    figures['warnings'].append(
      f'The network predicts {figures["only_prediction"]!r} for every image: it has hardly been '
      'trained, its batch-norm statistics are stale, or the preprocessing is not that of training.'
    )
  reports.print_old_lines(figures, top_k, len(names))
  if eval_dir:
    reports.write(eval_dir, figures, cooled, names, min(max(top_k), len(names)))
    _write_events(eval_dir, figures)
  if fit_temperature and temperature != 1:
    _write_temperature(figures, about or {})
  tf.logging.info('Finished evaluation at %s', split_pass.now())
  return figures


def _calibration(predictions, fit_temperature, is_trained_on):
  """Returns the figures of `calibration.compute`, and the temperature of all probabilities.

  It is the one that fits these images when that was asked for, and 1 with a warning if none does.
  """
  labels, logits, facts = predictions.labels, predictions.logits, predictions.facts
  if not fit_temperature:
    stored = temperatures.read(facts['checkpoint'], facts['moving_averages'])
    return calibration.compute(labels, logits, stored, is_trained_on), stored or 1.0
  figures = calibration.compute(labels, logits, None, is_trained_on)
  fitted = figures['fitted']['temperature']
  if calibration.LOWEST_TEMPERATURE < fitted < calibration.HIGHEST_TEMPERATURE:
    return figures, fitted
  is_right = fitted <= calibration.LOWEST_TEMPERATURE
  why = 'all answers are right' if is_right else 'the scores say nothing about the classes'
  facts['warnings'].append(
    f'No temperature fits these images, because {why}: none was written; fit it to more images.'
  )
  return figures, 1.0


def _write_temperature(figures, about):
  """Writes the fitted temperature beside the checkpoint."""
  prefix, calibrated = figures['checkpoint'], figures['calibration']
  path = temperatures.path(prefix)
  try:
    temperatures.write(
      prefix,
      figures['temperature'],
      figures['moving_averages'],
      num_examples=figures['num_examples'],
      expected_calibration_error=calibrated['fitted']['expected_calibration_error'],
      expected_calibration_error_before=calibrated['as_it_is']['expected_calibration_error'],
      **about,
    )
  except OSError as error:
    raise UserError(f'{path} cannot be written ({error.strerror}): copy the checkpoint.') from None
  tf.logging.info(
    'Wrote the temperature %.4f to %s: freeze_graph.py takes it into the sidecar.',
    figures['temperature'],
    path,
  )


def _make_folder(eval_dir):
  """Makes the folder, and tries to write there before the work rather than after it."""
  try:
    os.makedirs(eval_dir, exist_ok=True)
    with tempfile.TemporaryFile(dir=eval_dir):
      pass
  except OSError as error:
    raise UserError(f'--eval_dir={eval_dir} cannot be written to: {error.strerror}.') from None


def _write_events(eval_dir, figures):
  scalars = {'eval/Accuracy': figures['accuracy'], 'eval/loss': figures['loss']}
  scalars |= {f'eval/Recall_{k}': recall for k, recall in figures['recall_at_k'].items() if k > 1}
  values = [tf.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
  with tf.Graph().as_default(), tf.summary.FileWriter(eval_dir) as writer:
    writer.add_summary(tf.Summary(value=values), figures['step'])
