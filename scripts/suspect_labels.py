"""Ranks training images that look like another class than their label says.

  python scripts/suspect_labels.py --dataset_dir=pic --model_name=inception_v3 \\
    --checkpoint_path=inception_v3.ckpt --output_dir=suspects

The net of the checkpoint is used up to its head, whatever classes that knows. A linear classifier
on its features is fitted to all folds of the split but one and asked about that one, so that no
image is judged by a classifier that has seen it or a copy. Prints a summary and writes
suspects.csv, all images that look like another class, by p(looks like) - p(label), and
suspects.html with the first of them. Likely wrong is what looks like its guess at least as surely
as the average image labelled so (confident learning, https://arxiv.org/abs/1911.00068). No picture
and no label is changed.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from image_classifier.precision import PRECISIONS
from slim_errors import UserError

FLAGS = command.new_flags()

_data = command.FlagGroup(FLAGS, 'Data set')
_data.string('dataset_dir', None, 'Folder of the shards (required).')
_data.string('dataset_name', None, 'Name of the data set; left out: the name its files bear.')
_data.string('dataset_split_name', 'train', 'Split whose labels are looked at.')

_net = command.FlagGroup(FLAGS, 'Net')
_net.string('model_name', 'inception_v3', 'Net by name.')
_net.string('checkpoint_path', '', 'A checkpoint or a train_dir (required).')
_net.string(
  'preprocessing_name', None, "Preprocessing by name; left out: the training's, else the net's own."
)
_net.enum(
  'precision',
  'auto',
  PRECISIONS,
  'What the features are computed in; auto: as in training, bfloat16 where it is fast.',
)

_work = command.FlagGroup(FLAGS, 'Judging')
_work.integer('folds', 5, 'Parts of the split that take turns in being judged, 2 to 100.')

_output = command.FlagGroup(FLAGS, 'Output')
_output.string('output_dir', '', 'Folder for suspects.csv and suspects.html (required).')
_output.integer('limit', 100, 'Images on the page at most.')


def main(flags):
  _check(flags)
  import slim_files
  from datasets import dataset_factory, labels
  from image_classifier.evaluation import reports
  from image_classifier.suspects import head_features, html_output, search

  dataset = dataset_factory.get_dataset(
    flags.dataset_name, flags.dataset_split_name, flags.dataset_dir
  )
  names = labels.class_names(dataset, 0)
  _make_folder(flags.output_dir)
  records, features, count = head_features.compute(
    dataset,
    flags.dataset_dir,
    flags.model_name,
    flags.checkpoint_path,
    flags.output_dir,
    flags.preprocessing_name,
    flags.precision,
  )
  print(
    f'{features.shape[1]} features of {len(features)} images, of which {count} were computed now.'
  )
  findings = search.find(records, features, names, flags.folds)
  page = html_output.page(findings, dataset, flags.limit)
  paths = [os.path.join(flags.output_dir, f'suspects.{suffix}') for suffix in ('csv', 'html')]
  reports.write_csv(paths[0], search.rows(findings))
  slim_files.write_atomically(paths[1], page)
  print(search.summary(findings))
  print(f'Wrote {paths[0]} and {paths[1]}; pictures and labels are as they were.')


def _check(flags):
  """Raises UserError for flags that cannot work, before TensorFlow is imported."""
  from nets import net_info
  from preprocessing import families

  command.check_dataset_dir(flags.dataset_dir)
  command.require(flags, 'checkpoint_path', 'Name the checkpoint with --checkpoint_path.')
  command.require(flags, 'output_dir', 'Name a folder for what is found with --output_dir.')
  net_info.net_info(flags.model_name)
  if flags.preprocessing_name:
    families.family_of(flags.preprocessing_name)
  if not 2 <= flags.folds <= 100:
    raise UserError(f'--folds={flags.folds} must be 2 to 100.')
  if flags.limit < 0:
    raise UserError(f'--limit={flags.limit} must be 0 or more.')


def _make_folder(path):
  try:
    os.makedirs(path, exist_ok=True)
    if not os.access(path, os.W_OK):
      raise PermissionError(13, 'Permission denied')
  except OSError as error:
    raise UserError(f'--output_dir={path} cannot be written to: {error.strerror}.') from None


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
