"""Turns data sets as their publishers give them into records, downloading them when asked to."""

import functools
import os

from datasets import (
  cifar10,
  cifar10_files,
  flower_files,
  flowers,
  mnist,
  mnist_files,
  original_conversion,
  output_folder,
)
from image_classifier.downloads import archives, dataset_sources
from slim_errors import UserError

# {data set: (its Facts, function of the folder of its files that returns ({split:
# original_files.Split}, class names), settings of original_conversion.convert)}
_READERS = {
  'cifar10': (cifar10.FACTS, cifar10_files.read, {}),
  'flowers': (flowers.FACTS, flower_files.read, {'num_shards': 5, 'seed': flower_files.SEED}),
  'mnist': (mnist.FACTS, mnist_files.read, {}),
}


def convert(dataset_name, dataset_dir, archive=None, overwrite=False):
  """Writes a published data set as records, downloading it when no archive is given.

  Args:
    dataset_name: key of dataset_sources.SOURCES.
    dataset_dir: where the records go, and what is downloaded.
    archive: file or folder that holds the data set as published; None downloads what dataset_dir
      does not hold already.
    overwrite: whether to replace a data set that is there.

  Returns:
    conversion.Result, or None when the data set is there already and is left alone.

  Raises:
    UserError: for a wrong archive, or another data set in the folder.
    RunError: when something cannot be fetched or is damaged.
  """
  facts, read, settings = _READERS[dataset_name]
  if not overwrite and original_conversion.is_converted(facts, dataset_dir):
    return None
  if not archive:
    if not overwrite:
      output_folder.refuse_existing(dataset_dir, facts.name)
    archive = dataset_sources.fetch(dataset_name, dataset_dir)
  read_splits = functools.partial(_read, read, archive)
  return original_conversion.convert(
    facts, dataset_dir, read_splits, overwrite=overwrite, **settings
  )


def _read(read, archive, unpacked):
  """Returns what the data set's reader makes of an archive, unpacked if need be, or of a folder."""
  if os.path.isdir(archive):
    return read(archive)
  archives.extract(archive, unpacked)
  try:
    return read(unpacked)
  except UserError as error:
    # The user does not know the folder it is in for the moment.
    raise UserError(str(error).replace(unpacked, archive)) from None
