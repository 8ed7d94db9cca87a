"""Turns a published data set into the records that the other commands learn from.

  python scripts/download_and_convert_data.py --dataset_name=flowers --dataset_dir=flowers
  python scripts/download_and_convert_data.py --dataset_name=cifar10 --dataset_dir=cifar10 \\
    --archive=cifar-10-python.tar.gz

Without --archive the data set is fetched from its publisher: each file is announced with its
address and size, a stopped download goes on where it was, and what arrives is compared with the
publisher's checksum. What lies in the folder already is not fetched. Writes shards, label.txt,
labels.txt, skipped.csv and dataset.json.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from image_classifier.downloads import dataset_sources

FLAGS = command.new_flags()

_data = command.FlagGroup(FLAGS, 'Data set')
_data.string('dataset_name', None, 'cifar10, flowers or mnist (required).')
_data.string('dataset_dir', None, 'Folder to write to, and for what is downloaded (required).')
_data.string(
  'archive',
  None,
  'The data set as published, in place of a download: cifar-10-binary.tar.gz or '
  'cifar-10-python.tar.gz, flower_photos.tgz, or the folder of the four files of MNIST; an '
  'unpacked archive will do too.',
)
_data.boolean('overwrite', False, 'Replace the data set that is in the folder.')


def main(flags):
  """Converts and prints a summary."""
  command.require(flags, 'dataset_name', 'You must supply the dataset name with --dataset_name')
  command.require(flags, 'dataset_dir', 'You must supply the dataset directory with --dataset_dir')
  source = dataset_sources.source(flags.dataset_name)
  if flags.archive:
    dataset_sources.check_archive(flags.dataset_name, flags.archive)

  from datasets import conversion_summary
  from image_classifier.downloads import dataset_archives

  result = dataset_archives.convert(
    flags.dataset_name, flags.dataset_dir, flags.archive, flags.overwrite
  )
  if result is None:
    print('Dataset files already exist. Exiting without re-creating them.')
    return
  print(f'\nFinished converting the {source.title} dataset!')
  print(conversion_summary.summary(result, flags.dataset_dir))


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
