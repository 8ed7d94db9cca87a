r"""Converts folders of pictures into the records of tensorflow/inception's build_image_data.

Reads DIRECTORY/<class>/* for training and validation, and writes train-00000-of-00002 and so on:
JPEGs whose label is the line of their class in the labels file, from 1; 0 is the background.
labels.txt, skipped.csv and dataset.json beside them tell the other commands all about them.

  python scripts/build_image_data.py --train_directory=pic/train \
    --validation_directory=pic/validation --output_directory=records --labels_file=names.txt
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from slim_errors import UserError

FLAGS = command.new_flags()

_input = command.FlagGroup(FLAGS, 'Pictures')
_input.string('train_directory', '/tmp/', 'Folder of the training pictures, one folder a class.')
_input.string(
  'validation_directory', '/tmp/', 'The same of the validation pictures; empty for none.'
)
_input.string(
  'labels_file',
  '',
  'One class name a line, without numbers: the first gets label 1. Empty: the class folders, '
  'sorted.',
)
_input.integer(
  'max_pixels',
  89_478_485,
  'Skip pictures of more pixels, width times height; JPEGs up to 16 times as large are reduced.',
  lower_bound=1,
  upper_bound=10**11,
)
_input.float(
  'max_skipped_fraction',
  0.1,
  'Exit with code 1 when a larger share of the files, 0 to 1, could not be read.',
  lower_bound=0.0,
  upper_bound=1.0,
)

_output = command.FlagGroup(FLAGS, 'Data set')
_output.string('output_directory', '/tmp/', 'Folder to write to.')
_output.integer(
  'train_shards', 2, 'Number of training files, at most one a picture.', lower_bound=1
)
_output.integer('validation_shards', 2, 'Number of validation files.', lower_bound=1)
_output.boolean('overwrite', False, 'Replace the data set that is in the output folder.')

_work = command.FlagGroup(FLAGS, 'Work')
_work.integer(
  'num_threads',
  None,
  'Processes that decode pictures; any number, by default one a core. Changes no result.',
  lower_bound=1,
)

# Flags that inception_records.Options calls by the same name.
_SAME_NAME = (
  'train_directory',
  'validation_directory',
  'output_directory',
  'train_shards',
  'validation_shards',
  'num_threads',
  'labels_file',
  'max_pixels',
  'overwrite',
)


def main(flags):
  """Converts; returns the exit code."""
  if not flags.labels_file:
    for name in ('train_directory', 'validation_directory'):
      if not command.is_given(flags, name):
        raise UserError(f'Neither --{name} nor --labels_file is given: give the folder.')

  from datasets import inception_records

  options = inception_records.Options(**{name: flags[name].value for name in _SAME_NAME})
  with command.python_messages(flags.v, sys.stdout, '%(message)s'):
    result = inception_records.convert(options)
  written = sum(split['num_images'] for split in result.manifest['splits'].values())
  share = len(result.skipped) / (len(result.skipped) + written)
  return command.exit_code_for_skipped(share, flags.max_skipped_fraction, options.output_directory)


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
