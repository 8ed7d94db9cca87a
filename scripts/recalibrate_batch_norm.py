"""Works out the batch-norm statistics of a checkpoint again, from training images.

  python scripts/recalibrate_batch_norm.py --checkpoint_path=run --output_dir=run/recalibrated

For a model that is good in training and poor in evaluation. The weights stay as they are: batches
of the training split run through the net, and each batch norm gets the plain mean of the means and
of the variances that it saw. The result is a new checkpoint in --output_dir; the old one is only
read. What is left out is taken from the run.json beside the checkpoint.
"""

import dataclasses
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command, run_record
from image_classifier.options import TrainingOptions
from image_classifier.training import resuming
from preprocessing.augmentation import Augmentation
from slim_errors import UserError

FLAGS = command.new_flags()

_files = command.FlagGroup(FLAGS, 'Checkpoints')
_files.string('checkpoint_path', '', 'A train_dir (its newest checkpoint) or a checkpoint.')
_files.string('output_dir', '', 'Folder of the new checkpoint (required); must not hold one.')
_files.enum(
  'use_moving_averages',
  'auto',
  ['auto', 'true', 'false'],
  'Statistics for the moving averages of the weights; auto: when the checkpoint holds them.',
)
_files.boolean('all_layers', False, 'Also work out statistics that the training kept as they were.')

_data = command.FlagGroup(FLAGS, 'Data set')
_data.string('dataset_dir', None, "Folder of the shards; left out: the training's.")
_data.string('dataset_name', None, 'Name of the data set; left out: the name its files bear.')
_data.string('dataset_split_name', 'train', 'Split; take the one the training took.')
_data.integer('num_batches', None, 'Batches to run; None is one pass over the split, at most 100.')
_data.integer('batch_size', 32, "Images a batch; left out: the training's.")
_data.integer('labels_offset', 0, "Subtracted from every label; left out: the training's.")
_data.integer(
  'num_preprocessing_threads',
  None,
  'Images prepared at the same time; None: one a core, 4 or more.',
)
_data.integer('seed', 0, 'Decides the order of the images and their augmentation.')

_net = command.FlagGroup(FLAGS, 'Net')
_net.string('model_name', None, "Net by name; left out: the training's.")
_net.string(
  'preprocessing_name', None, "Preprocessing by name; left out: the training's, else the net's own."
)
_net.integer(
  'train_image_size', None, "Height and width in pixels; left out: the training's, else the net's."
)
_net.boolean('use_grayscale', False, 'Images of one channel; left out: as in the training.')

# Settings of a run that say what it trains, and what its batches look like.
_OF_BATCHES = {
  *('batch_norm', 'batch_size', 'finetune', 'trainable_scopes', 'balanced_sampling'),
  *(field.name for field in dataclasses.fields(Augmentation)),
}


def main(flags):
  command.require(flags, 'checkpoint_path', 'Name the checkpoint with --checkpoint_path.')
  command.require(flags, 'output_dir', 'Name a folder for the new checkpoint with --output_dir.')
  for name in ('num_batches', 'batch_size', 'num_preprocessing_threads', 'train_image_size'):
    if flags[name].value is not None and flags[name].value < 1:
      raise UserError(f'--{name}={flags[name].value} must be at least 1.')

  from datasets import dataset_factory
  from image_classifier import checkpoints
  from image_classifier.evaluation import same_data
  from image_classifier.training import batch_norm_statistics, train_net

  checkpoint = checkpoints.resolve(flags.checkpoint_path)
  train_dir = os.path.dirname(checkpoint)
  batch_norm_statistics.check_output(checkpoint, flags.output_dir)
  record = run_record.read(train_dir) or {}
  dataset_dir = _value(flags, record, 'dataset_dir')
  model_name = _value(flags, record, 'model_name')
  if not dataset_dir or not model_name:
    raise UserError(
      f'{checkpoint} has no run.json beside it that names its net and data: give --model_name and '
      '--dataset_dir.'
    )
  name = flags.dataset_name or same_data.name(record, dataset_dir)
  dataset = dataset_factory.get_dataset(name, flags.dataset_split_name, dataset_dir)
  same_data.check(record, dataset, dataset_dir, dataset_factory.fingerprint(dataset_dir))
  options = _options(flags, train_dir, record, model_name)
  statistics = batch_norm_statistics.estimate(
    checkpoint,
    dataset,
    options,
    num_batches=flags.num_batches,
    use_moving_averages={'auto': None, 'true': True, 'false': False}[flags.use_moving_averages],
    keeps_statistics=None if flags.all_layers else train_net.keeps_statistics(options),
  )
  written = batch_norm_statistics.write(checkpoint, statistics, flags.output_dir)
  weights = 'the moving averages of the weights' if statistics.moving_averages else 'the weights'
  print(
    f'Wrote {written}: {statistics.num_layers} batch norms with the statistics of '
    f'{statistics.num_images} images for {weights}; evaluate it with '
    f'eval_image_classifier.py --checkpoint_path={flags.output_dir}.'
  )


def _value(flags, record, name, key=None):
  """Returns the flag when it was given, else what the run's record says, else its default."""
  recorded = record.get(key or name)
  if command.is_given(flags, name) or recorded is None:
    return flags[name].value
  return recorded


def _options(flags, train_dir, record, model_name):
  """Returns the TrainingOptions that say what the run trained, on which batches."""
  known = resuming.recorded(train_dir, record, _OF_BATCHES)
  if command.is_given(flags, 'batch_size'):
    known['batch_size'] = flags.batch_size
  return TrainingOptions(
    dataset_dir=_value(flags, record, 'dataset_dir'),
    dataset_split_name=flags.dataset_split_name,
    model_name=model_name,
    preprocessing_name=_value(flags, record, 'preprocessing_name'),
    train_image_size=_value(flags, record, 'train_image_size', 'image_size'),
    labels_offset=_value(flags, record, 'labels_offset'),
    use_grayscale=_value(flags, record, 'use_grayscale'),
    num_preprocessing_threads=flags.num_preprocessing_threads,
    seed=flags.seed,
    precision='float32',
    **known,
  )


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
