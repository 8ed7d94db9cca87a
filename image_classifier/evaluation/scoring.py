"""Evaluating a checkpoint: one exact pass over a split, and what comes out of it."""

import dataclasses
import functools
import itertools
import os
import tempfile
import time

import numpy as np

from datasets import labels as label_files
from image_classifier import checkpoints, inputs, temperatures
from image_classifier import precision as precisions
from image_classifier.evaluation import (
  batch_norm_probe,
  calibration,
  metrics,
  reports,
  restoring,
  split_pass,
  test_time_views,
  trained_net,
)
from nets import net_info
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError

# Images a run of the network: with more the processor's caches hold less of what is computed.
_RUN_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What the network said: one row an example, in the order of the records.

  Attributes:
    files: list of n names, '' where the record has none.
    labels: int64 [n], network classes (labels_offset taken off).
    logits: float32 [n, classes].
    facts: dict of what was run: checkpoint, step, net, sizes, seconds, warnings.
  """

  files: list
  labels: np.ndarray
  logits: np.ndarray
  facts: dict


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
    **settings: the further settings of `predict`.

  Returns:
    A dict that JSON can hold: the figures of `metrics.compute`, `confident_mistakes`,
    `calibration`, `selective`, the `temperature` of all probabilities (1 without one), what was
    run, and `about`.

  Raises:
    UserError, RunError: as `predict`.
  """
  top_k = top_k or (1, 5)
  if eval_dir:
    _make_folder(eval_dir)
  predictions = predict(checkpoint_path, dataset, model_name, **settings)
  names = label_files.class_names(dataset, predictions.facts['labels_offset'])
  labels, logits = predictions.labels, predictions.logits
  calibrated, temperature = _calibration(predictions, fit_temperature, is_trained_on, about or {})
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
  if figures['only_prediction'] is not None:
    figures['warnings'].append(
      f'The network predicts {figures["only_prediction"]!r} for every image: it has hardly been '
      'trained, its batch-norm statistics are stale, or the preprocessing is not that of training.'
    )
  reports.print_old_lines(figures, top_k, len(names))
  if eval_dir:
    reports.write(eval_dir, figures, cooled, names, min(max(top_k), len(names)))
    _write_events(eval_dir, figures)
  tf.logging.info('Finished evaluation at %s', _now())
  return figures


def _calibration(predictions, fit_temperature, is_trained_on, about):
  """Returns the figures of `calibration.compute`, and the temperature of all probabilities.

  Fits the temperature, and writes it beside the checkpoint, when that was asked for.
  """
  prefix, averages = predictions.facts['checkpoint'], predictions.facts['moving_averages']
  stored = None if fit_temperature else temperatures.read(prefix, averages)
  figures = calibration.compute(predictions.labels, predictions.logits, stored, is_trained_on)
  if not fit_temperature:
    return figures, stored or 1.0
  before, fitted = figures['as_it_is'], figures['fitted']
  temperatures.write(
    prefix,
    fitted['temperature'],
    averages,
    num_examples=len(predictions.labels),
    expected_calibration_error=fitted['expected_calibration_error'],
    expected_calibration_error_before=before['expected_calibration_error'],
    **about,
  )
  tf.logging.info(
    'Wrote the temperature %.4f to %s: freeze_graph.py takes it into the sidecar.',
    fitted['temperature'],
    temperatures.path(prefix),
  )
  return figures, fitted['temperature']


def predict(
  checkpoint_path,
  dataset,
  model_name,
  *,
  preprocessing_name=None,
  image_size=None,
  batch_size=100,
  max_num_batches=None,
  labels_offset=None,
  use_grayscale=False,
  use_moving_averages=None,
  num_threads=None,
  precision='auto',
  test_time_augmentation='none',
  probes_batch_norm=True,
):
  """Runs the network over a split once: every example exactly once, the last batch kept.

  Args:
    checkpoint_path, dataset, model_name: as those of `evaluate`.
    preprocessing_name: a name of preprocessing_factory; None is the net's own.
    image_size: pixels; None is the net's default.
    batch_size: images that count as a batch in the messages and for `max_num_batches`; the network
      takes as many at a time, at most 32.
    max_num_batches: stop after so many batches; None is the whole split.
    labels_offset: subtracted from the labels; the network has that many classes less. None is 1
      for a checkpoint that lacks the background class of the data set, else 0.
    use_grayscale: whether images have one channel.
    use_moving_averages: True or False; None takes them when the checkpoint holds them.
    num_threads: images prepared at the same time; None: one a core, at least 4.
    precision: one of precision.PRECISIONS.
    test_time_augmentation: key of test_time_views.VIEWS: which views of a picture are averaged.
    probes_batch_norm: whether to look for stale statistics, which takes a second network.

  Returns:
    Predictions.

  Raises:
    UserError: for a checkpoint that does not fit the net or the classes, an empty split, or outputs
      that are not finite.
    RunError: for a damaged record or a label outside the classes.
  """
  checkpoint = checkpoint_path
  if not isinstance(checkpoint, checkpoints.Checkpoint):
    checkpoint = checkpoints.load(checkpoint_path)
  prefix = checkpoint.prefix
  labels_offset = restoring.labels_offset(prefix, model_name, dataset, labels_offset)
  num_classes = dataset.num_classes - labels_offset
  preprocessing_name = preprocessing_name or model_name
  tf.logging.info('Evaluating %s', prefix)
  image_size = image_size or net_info.net_info(model_name).default_image_size
  net_info.check_image_size(model_name, image_size)
  preprocessing_fn = preprocessing_factory.get_preprocessing(
    preprocessing_name, False, use_grayscale
  )
  channels = 1 if use_grayscale else 3
  net = trained_net.load(
    checkpoint, model_name, num_classes, image_size, channels, use_moving_averages
  )
  precision = precisions.of_net(precision, [node.op for node in net.graph_def.node])
  tf.logging.info('Restoring parameters from %s', prefix)
  tf.logging.info(precisions.describe(precision))
  config = tf.ConfigProto()
  precisions.configure(config, precision)
  with tf.Graph().as_default(), tf.Session(config=config) as session:
    batch = inputs.evaluation_batches(
      dataset,
      preprocessing_fn,
      min(batch_size, _RUN_SIZE),
      image_size,
      labels_offset=labels_offset,
      num_threads=num_threads,
      max_images=max_num_batches and max_num_batches * batch_size,
    )
    batch['logits'], kept_float32 = trained_net.answers(net, batch['images'])
    views = test_time_views.Views(test_time_augmentation)
    tf.logging.info('Starting evaluation at %s', _now())
    start = time.monotonic()
    try:
      read = functools.partial(split_pass.run_batch, session, batch, kept_float32, views)
      images, rows = split_pass.read_all(read, dataset, batch_size, max_num_batches)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
      raise inputs.damaged_record(dataset, labels_offset) or error from None
    seconds = time.monotonic() - start
  check_finite(rows['logits'], prefix)
  stale = probes_batch_norm and batch_norm_probe.warning(
    checkpoint, model_name, num_classes, images, rows, use_moving_averages
  )
  facts = {
    'checkpoint': prefix,
    'step': checkpoints.step_of(prefix),
    'model_name': model_name,
    'preprocessing_name': preprocessing_name,
    'image_size': image_size,
    'labels_offset': labels_offset,
    'use_grayscale': use_grayscale,
    'moving_averages': net.moving_averages,
    'precision': precision,
    'test_time_augmentation': test_time_augmentation,
    'batch_size': batch_size,
    'seconds': round(seconds, 3),
    'images_per_second': round(len(rows['labels']) / seconds, 2),
    'warnings': [text for text in (_wrong_count(dataset, rows, max_num_batches), stale) if text],
  }
  files = [name.decode('utf-8', 'replace') for name in rows['filenames']]
  return Predictions(files, rows['labels'], rows['logits'], facts)


def check_same_data(record, dataset, dataset_dir, fingerprint):
  """Raises UserError when the data set is not the one a checkpoint was trained for.

  Other images of the same classes are welcome in a folder of their own. In the very folder of the
  training they mean that it was converted anew, and may test on what was trained on.

  Args:
    record: the run's record, as `run_record.read` returns it.
    dataset: the slim.dataset.Dataset to evaluate on.
    dataset_dir: its folder.
    fingerprint: of that folder, by dataset_factory.
  """
  trained = record.get('class_names')
  if trained:
    labels_offset = record.get('labels_offset', 0)
    present = label_files.class_names(dataset, labels_offset)
    for label, (old, new) in enumerate(itertools.zip_longest(trained, present), labels_offset):
      if old != new:
        raise UserError(
          f'The classes of {dataset_dir} are not those of the training: class {label} is '
          f'{_quoted(new)} in the data set and {_quoted(old)} in the checkpoint '
          f'({len(present)} and {len(trained)} classes); evaluate on the data of the training.'
        )
  old = record.get('data_fingerprint')
  if old and old != fingerprint and _same_folder(record.get('dataset_dir'), dataset_dir):
    raise UserError(
      f'{dataset_dir} has changed since the training (fingerprint {fingerprint} now, {old} then), '
      'so images may have moved between its splits: restore it, or put the new data in a folder of '
      'its own and name that with --dataset_dir.'
    )


def _make_folder(eval_dir):
  """Makes the folder, and tries to write there before the work rather than after it."""
  try:
    os.makedirs(eval_dir, exist_ok=True)
    with tempfile.TemporaryFile(dir=eval_dir):
      pass
  except OSError as error:
    raise UserError(f'--eval_dir={eval_dir} cannot be written to: {error.strerror}.') from None


def _quoted(name):
  return 'missing' if name is None else repr(name)


def _same_folder(one, other):
  return bool(one) and os.path.realpath(one) == os.path.realpath(other)


def _now():
  return time.strftime('%Y-%m-%d-%H:%M:%S')


def check_finite(logits, checkpoint):
  """Raises UserError for logits of which some are not finite."""
  broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
  if broken:
    raise UserError(
      f'The outputs for {broken} of {len(logits)} images are not finite: the training of '
      f'{checkpoint} has diverged; evaluate an earlier checkpoint.'
    )


def _wrong_count(dataset, rows, max_num_batches):
  """Returns a warning when a whole pass met another number of records than the data set states."""
  if max_num_batches or len(rows['labels']) == dataset.num_samples:
    return None
  return (
    f'The shards hold {len(rows["labels"])} records and the data set states {dataset.num_samples}: '
    'a shard may be cut short.'
  )


def _write_events(eval_dir, figures):
  scalars = {'eval/Accuracy': figures['accuracy'], 'eval/loss': figures['loss']}
  scalars |= {f'eval/Recall_{k}': recall for k, recall in figures['recall_at_k'].items() if k > 1}
  values = [tf.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
  with tf.Graph().as_default(), tf.summary.FileWriter(eval_dir) as writer:
    writer.add_summary(tf.Summary(value=values), figures['step'])
