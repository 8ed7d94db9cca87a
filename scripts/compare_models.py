"""Says whether one of two models is better than the other, by their answers to the same images.

  python scripts/compare_models.py runs/1 runs/2
  python scripts/compare_models.py runs/1/model.ckpt-300 runs/2 --dataset_split_name=test
  python scripts/compare_models.py old/predictions.csv new/predictions.csv --output=differ.csv

A and B are checkpoints or train_dirs, which are evaluated now, or files predictions.csv of
eval_image_classifier.py. Prints both accuracies, their difference with its 95 % interval, and
McNemar's test of whether chance could have made it.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import slim_files
from image_classifier import command
from slim_errors import UserError

FLAGS = command.new_flags()

_data = command.FlagGroup(FLAGS, 'Data set of checkpoints')
_data.string('dataset_dir', None, "Folder of the shards; None: the training's.")
_data.string(
  'dataset_split_name', 'test', "Split; left out: 'test', or 'validation' where there is no 'test'."
)
_data.integer('batch_size', 100, 'Images at a time; changes the speed, not the result.')

_output = command.FlagGroup(FLAGS, 'Output')
_output.string('output', '', 'CSV file of the images to which A and B give different answers.')
_output.boolean('json', False, 'Print JSON.')


def main(flags, names):
  if len(names) != 2:
    raise UserError(f'Name two models to compare, not {len(names)}; see --help.')
  if flags.batch_size < 1:
    raise UserError(f'--batch_size={flags.batch_size} must be at least 1.')
  if flags.output:
    slim_files.check_can_write(flags.output, 'output')
  from image_classifier.evaluation import comparison, reports
  from slim_text import json_text

  a, b = (
    comparison.read(name) if os.path.isfile(name) and name.endswith('.csv') else _ask(name, flags)
    for name in names
  )
  b = comparison.aligned(a, b)
  figures = comparison.compare(a, b)
  print(json_text(figures) if flags.json else comparison.text(figures))
  if flags.output:
    reports.write_csv(flags.output, comparison.differing_rows(a, b))


def _ask(path, flags):
  """Evaluates a checkpoint on the split, with the settings of its training; returns its Answers."""
  from datasets import dataset_factory, labels
  from image_classifier import checkpoints, run_record
  from image_classifier.evaluation import comparison, predicting, reports, same_data

  loaded = checkpoints.load(path)
  checkpoint = loaded.prefix
  record = run_record.read(os.path.dirname(checkpoint)) or {}
  folder = flags.dataset_dir or record.get('dataset_dir')
  if 'model_name' not in record or not folder:
    raise UserError(
      f'{checkpoint} has no {run_record.FILE_NAME} beside it that names its net and data: evaluate '
      'it with eval_image_classifier.py and give the predictions.csv.'
    )
  name = same_data.name(record, folder)
  present = dataset_factory.split_names(name, folder)
  split = flags.dataset_split_name
  if not command.is_given(flags, 'dataset_split_name') and split not in present:
    split = 'validation'
  dataset = dataset_factory.get_dataset(name, split, folder)
  same_data.check(record, dataset, folder, dataset_factory.fingerprint(folder))
  predictions = predicting.predict(
    loaded,
    dataset,
    record['model_name'],
    preprocessing_name=record.get('preprocessing_name'),
    image_size=record.get('image_size'),
    batch_size=flags.batch_size,
    labels_offset=record.get('labels_offset'),
    use_grayscale=record.get('use_grayscale', False),
  )
  class_names = labels.class_names(dataset, predictions.facts['labels_offset'])
  rows = reports.prediction_rows(predictions, class_names, top_k=1)
  return comparison.from_rows(checkpoint, rows)


def cli():
  return command.run(__doc__, FLAGS, main, takes_files=True)


if __name__ == '__main__':
  sys.exit(cli())
