"""Converts a folder of pictures into TFRecord shards that the other commands learn from.

Reads FOLDER/train/<class>/* and FOLDER/validation/<class>/*, or FOLDER/<class>/*, which it splits
itself. Writes shards, label.txt, skipped.csv and dataset.json.

  python data_convert.py -t pic/
  python data_convert.py -t pic/ --train-shards 2 --validation-shards 2 --num-threads 2 \\
    --dataset-name satellite
"""

import sys

from image_classifier import command

FLAGS = command.new_flags()

_input = command.FlagGroup(FLAGS, 'Pictures')
_input.string(
  'tensorflow_data_dir',
  'pic/',
  'Folder of the pictures: one folder a class, under train/ and validation/ or directly in it.',
  short_name='t',
)
_input.boolean('recursive', False, 'Take pictures from folders inside a class folder too.')
_input.integer(
  'max_pixels',
  89_478_485,
  'Skip pictures of more pixels, width times height; JPEGs up to 16 times as large are reduced.',
  lower_bound=1,
  upper_bound=10**11,
)
_input.boolean(
  'strict',
  False,
  'Stop at the first file that cannot be read, or picture that lies in two classes.',
)
_input.float(
  'max_skipped_fraction',
  0.1,
  'Exit with code 1 when a larger share of the files, 0 to 1, could not be read.',
  lower_bound=0.0,
  upper_bound=1.0,
)

_output = command.FlagGroup(FLAGS, 'Data set')
_output.string('output_dir', None, 'Folder to write to; the folder of the pictures by default.')
_output.string('dataset_name', 'satellite', "First part of the shards' names.")
_output.integer('train_shards', 2, 'Number of training files.', lower_bound=1)
_output.integer('validation_shards', 2, 'Number of validation files.', lower_bound=1)
_output.float(
  'validation_fraction',
  0.2,
  'Share of the pictures for validation, 0 to 1, when there is no train/ and validation/. '
  'A class of two or more pictures is always in both.',
  lower_bound=0.0,
  upper_bound=1.0,
)
_output.integer('seed', 0, 'Seed of the order of the pictures.')
_output.boolean('overwrite', False, 'Replace the data set that is in the output folder.')

_work = command.FlagGroup(FLAGS, 'Work')
_work.integer(
  'num_threads',
  None,
  'Processes that decode pictures; any number, by default one a core. Changes no result.',
  lower_bound=1,
)

# Flags that conversion.Options calls by the same name.
_SAME_NAME = (
  'dataset_name',
  'train_shards',
  'validation_shards',
  'num_threads',
  'validation_fraction',
  'seed',
  'max_pixels',
  'recursive',
  'strict',
  'overwrite',
)


def main(flags):
  """Converts and prints a summary; returns the exit code."""
  from tqdm.contrib.logging import logging_redirect_tqdm

  from datasets import conversion, conversion_summary

  options = conversion.Options(
    image_dir=flags.tensorflow_data_dir,
    output_dir=flags.output_dir or flags.tensorflow_data_dir,
    **{name: flags[name].value for name in _SAME_NAME},
  )
  with command.python_messages(flags.v, sys.stderr), logging_redirect_tqdm():
    result = conversion.convert(options)
  print(conversion_summary.summary(result, options.output_dir))
  share = conversion_summary.skipped_fraction(result)
  return command.exit_code_for_skipped(share, flags.max_skipped_fraction, options.output_dir)


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
