r"""Evaluates a checkpoint: accuracy, per-class figures and the confusion matrix of a split.

  python eval_image_classifier.py --checkpoint_path=satellite/train_dir \
    --dataset_dir=satellite/data

Every image of the split counts exactly once. What is left out is taken from the run.json beside the
checkpoint and from the data set's own description. --eval_dir gets report.json, predictions.csv,
confusion_matrix.csv, confusion_matrix.png and events for TensorBoard.
"""

import os
import sys

import slim_text
from image_classifier import command, precision, run_record
from slim_errors import UserError

FLAGS = command.new_flags()

_data = command.FlagGroup(FLAGS, 'Data set')
_data.string('dataset_dir', None, "Folder of the shards (required); left out: the training's.")
_data.string(
  'dataset_name',
  'imagenet',
  'Name of the data set; left out: the name that the files in --dataset_dir bear.',
)
_data.string(
  'dataset_split_name',
  'test',
  "Split to evaluate on; left out: 'test', or 'validation' where there is no 'test'.",
)
_data.integer(
  'labels_offset',
  0,
  'Subtracted from every label: 1 for a data set with a background class 0 and a net without; left '
  "out: the training's, else what the checkpoint's number of classes says.",
)
_data.integer(
  'batch_size',
  100,
  'Images between two messages; the network takes as many at a time, at most 32.',
)
_data.integer('max_num_batches', None, 'Stop after so many batches; None is the whole split.')
_data.integer(
  'num_preprocessing_threads',
  4,
  'Images decoded and preprocessed at the same time; left out: one a core, at least 4.',
)

_net = command.FlagGroup(FLAGS, 'Checkpoint and net')
_net.string(
  'checkpoint_path',
  '/tmp/tfmodel/',
  'A train_dir (its newest checkpoint) or a checkpoint such as train_dir/model.ckpt-300.',
)
_net.string('model_name', 'inception_v3', "Net by name; left out: the training's.")
_net.string(
  'preprocessing_name', None, "Preprocessing by name; None is the training's, else the net's own."
)
_net.integer(
  'eval_image_size',
  None,
  "Height and width in pixels; None is the training's, else the net's own.",
)
_net.boolean('use_grayscale', False, 'Images of one channel; left out: as in the training.')
_net.float(
  'moving_average_decay',
  None,
  'Any value asks for the moving averages of the weights, whatever decay made them; see '
  '--use_moving_averages.',
)
_net.enum(
  'use_moving_averages',
  'auto',
  ['auto', 'true', 'false'],
  'Moving averages of the weights in place of the weights; auto: when the checkpoint holds them.',
)
_net.enum(
  'precision',
  'auto',
  precision.PRECISIONS,
  'What the network computes in; auto: bfloat16 where the processor is fast at it, else float32. '
  'Weights and outputs are float32.',
)

_net.enum(
  'test_time_augmentation',
  'none',
  ['none', 'flip', 'rotations', 'crops'],
  'Average over views of each picture: flip: it and its mirror image; rotations: those in all '
  'quarter turns (8); crops: it and its corners, mirrored too (10). Takes as many times as long.',
)

_results = command.FlagGroup(FLAGS, 'Results')
_results.boolean(
  'fit_temperature',
  False,
  'Fit the temperature of its probabilities on this split, not that of the training, and keep it '
  'beside the checkpoint, for freeze_graph.py to take into the sidecar.',
)
_results.string(
  'eval_dir',
  '/tmp/tfmodel/',
  'Folder of the results; left out, and the checkpoint is of a run: eval_SPLIT in its train_dir.',
)
_results.list(
  'top_k',
  '1,5',
  'The k of Recall_k, the share of images whose class is among the k best; predictions.csv lists '
  'as many classes as the largest. Where there are not more than k classes Recall_k is always 1: '
  'its old line is still printed, and the report leaves it out.',
)

_unsupported = command.FlagGroup(FLAGS, 'Only the defaults work')
_unsupported.string('master', '', 'Address of a TensorFlow master.')
_unsupported.boolean('quantize', False, 'Evaluate a graph of quantized training.')


def main(flags):
  command.refuse_changed(flags, ['master'], 'evaluation runs on this machine')
  command.refuse_changed(flags, ['quantize'], 'there is no quantization-aware training')
  _check_numbers(flags)
  if flags.fit_temperature and flags.test_time_augmentation != 'none':
    raise UserError('--fit_temperature is for one view a picture: leave out one of the two flags.')
  top_k = _top_k(flags.top_k)

  from datasets import dataset_factory  # imports TensorFlow
  from image_classifier import checkpoints
  from image_classifier.evaluation import reports, same_data, scoring

  checkpoint = checkpoints.load(flags.checkpoint_path)
  train_dir = os.path.dirname(checkpoint.prefix)
  record = run_record.read(train_dir) or {}
  dataset_dir = flags.dataset_dir or record.get('dataset_dir')
  if not dataset_dir:
    raise UserError('You must supply the dataset directory with --dataset_dir.')
  name = same_data.name(record, dataset_dir)
  if command.is_given(flags, 'dataset_name'):
    name = flags.dataset_name
  split = _split(flags, dataset_factory.split_names(name, dataset_dir))
  dataset = dataset_factory.get_dataset(name, split, dataset_dir)
  fingerprint = dataset_factory.fingerprint(dataset_dir)
  same_data.check(record, dataset, dataset_dir, fingerprint)
  eval_dir = flags.eval_dir
  if record and not command.is_given(flags, 'eval_dir'):
    eval_dir = os.path.join(train_dir, f'eval_{split}')

  is_trained_on = same_data.is_trained_on(record, split, dataset_dir, fingerprint)
  if flags.fit_temperature and is_trained_on:
    raise UserError(
      f'--fit_temperature on {split!r}, which the training has seen, would make its probabilities '
      'too sure: name another split with --dataset_split_name.'
    )

  figures = scoring.evaluate(
    checkpoint,
    dataset,
    _value(flags, record, 'model_name'),
    eval_dir=eval_dir,
    top_k=top_k,
    about={
      'dataset_dir': dataset_dir,
      'dataset_split_name': split,
      'data_fingerprint': fingerprint,
    },
    preprocessing_name=_value(flags, record, 'preprocessing_name'),
    image_size=_value(flags, record, 'eval_image_size', 'image_size'),
    batch_size=flags.batch_size,
    max_num_batches=flags.max_num_batches,
    labels_offset=_labels_offset(flags, record),
    use_grayscale=_value(flags, record, 'use_grayscale'),
    use_moving_averages=_moving_averages(flags),
    num_threads=_num_threads(flags),
    precision=flags.precision,
    test_time_augmentation=flags.test_time_augmentation,
    fit_temperature=flags.fit_temperature,
    is_trained_on=is_trained_on,
  )
  print(reports.summary(figures, eval_dir))


def _num_threads(flags):
  is_given = command.is_given(flags, 'num_preprocessing_threads')
  return flags.num_preprocessing_threads if is_given else None


def _check_numbers(flags):
  for name in ('batch_size', 'max_num_batches', 'num_preprocessing_threads', 'eval_image_size'):
    if flags[name].value is not None and flags[name].value < 1:
      raise UserError(f'--{name}={flags[name].value} must be at least 1.')
  if flags.labels_offset < 0:
    raise UserError(f'--labels_offset={flags.labels_offset} must be 0 or more.')


def _top_k(texts):
  """Returns the sorted numbers of --top_k."""
  if not texts or not all(text.isdecimal() and int(text) for text in texts):
    raise UserError(f'--top_k={",".join(texts)} must be numbers from 1, such as --top_k=1,5.')
  return sorted({int(text) for text in texts})


def _split(flags, present):
  split = flags.dataset_split_name
  if command.is_given(flags, 'dataset_split_name'):
    return split
  # What a temperature was fitted to cannot test it.
  wanted = ('validation', split) if flags.fit_temperature else (split, 'validation')
  return next((name for name in wanted if name in present), 'validation')


def _value(flags, record, name, key=None):
  """Returns the flag when it was given, else what the run's record says, else its default."""
  value, recorded = flags[name].value, record.get(key or name)
  if recorded is None:
    return value
  if not command.is_given(flags, name):
    return recorded
  if value != recorded:
    sentence = f'--{name}={value} although the training used {recorded}.'
    print(slim_text.shown(sentence), file=sys.stderr)
  return value


def _labels_offset(flags, record):
  is_known = command.is_given(flags, 'labels_offset') or 'labels_offset' in record
  return _value(flags, record, 'labels_offset') if is_known else None


def _moving_averages(flags):
  """Returns True, False, or None for whatever the checkpoint holds."""
  if flags.use_moving_averages == 'auto':
    return True if flags.moving_average_decay else None
  return flags.use_moving_averages == 'true'


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
