r"""Writes CIFAR-10 as folders of pictures, for build_image_data.py, data_convert.py or your eyes.

Reads cifar-10-python.tar.gz or cifar-10-binary.tar.gz, or the folder of what is in them. Writes
FOLDER/train/<class>/*.png, FOLDER/validation/<class>/*.png (the test batch) and FOLDER/labels.txt
with one of the ten class names a line. Nothing is downloaded.

  python scripts/cifar10_to_folders.py --archive=cifar-10-python.tar.gz --output_directory=pictures
"""

import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from slim_errors import UserError, not_writable

FLAGS = command.new_flags()

_group = command.FlagGroup(FLAGS, 'CIFAR-10')
_group.string('archive', None, 'The archive of CIFAR-10, or the folder of its batches (required).')
_group.string('output_directory', None, 'Folder to write to; must not be there yet (required).')

_SPLITS = {'train': 'train', 'test': 'validation'}


def main(flags):
  """Writes the pictures and says how many."""
  command.require(flags, 'archive', 'You must supply the CIFAR-10 archive with --archive.')
  command.require(flags, 'output_directory', 'You must supply a folder with --output_directory.')
  output = os.path.abspath(flags.output_directory)
  if os.path.lexists(output):
    raise UserError(f'{flags.output_directory} is there already: choose another folder.')
  if not os.path.exists(flags.archive):
    raise UserError(f'--archive={flags.archive} is not there: give the archive or its folder.')
  with _work_folder(os.path.dirname(output)) as work:
    counts = _write_pictures(flags.archive, work)
    # All or nothing: the folder appears when it is complete.
    os.rename(os.path.join(work, 'pictures'), output)
  for split, count in counts.items():
    print(f'{count} pictures in {flags.output_directory}/{split}')


def _work_folder(parent):
  try:
    os.makedirs(parent, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=parent, prefix='.cifar10-')
  except OSError as error:
    raise not_writable(parent, error) from None


def _write_pictures(archive, work):
  """Writes WORK/pictures; returns {split: number of pictures}."""
  from datasets import cifar10_files, labels
  from image_classifier.downloads import archives

  pictures, batches = os.path.join(work, 'pictures'), archive
  if not os.path.isdir(archive):
    batches = archives.extract(archive, os.path.join(work, 'batches'))
  splits, class_names = cifar10_files.read(batches)
  counts = {}
  for published, split in _SPLITS.items():
    for name in class_names:
      os.makedirs(os.path.join(pictures, split, name))
    for image, picture in splits[published].pictures:
      path = os.path.join(pictures, split, image.class_name, image.name.replace('/', '_'))
      with open(path, 'wb') as file:
        file.write(picture.encoded)
    counts[split] = len(splits[published].images)
  labels.write_label_file(os.path.join(pictures, labels.SLIM_LABEL_FILE), class_names)
  return counts


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
