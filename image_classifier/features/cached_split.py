"""The features of one split: where they are kept, how many are missing, and computing those."""

import os
import shutil
import time

from image_classifier.features import cache
from image_classifier.features.storage import FOLDER_NAME
from slim_errors import RunError, UserError

# Bytes of the disk that a cache leaves free.
_ROOM = 1 << 30


class CachedSplit:
  """The features of a split by one frozen part of a net.

  Attributes:
    store: the storage.FeatureStore.
    records: cache.Records of the split.
    frozen: the cache.Frozen.
  """

  def __init__(self, options, dataset, records, frozen, views):
    """Finds which features are there; computes none.

    Args:
      options: options.TrainingOptions, which say where features are kept.
      dataset: slim.dataset.Dataset of the split.
      records: cache.Records of it.
      frozen: cache.Frozen.
      views: cache.Views.
    """
    self._options, self._dataset, self._views = options, dataset, views
    self.records, self.frozen = records, frozen
    self.store = cache.open_store(_root(options), dataset, frozen, views)

  def keys(self):
    """Returns the image and view of every row, as the store knows them, image by image."""
    return [(image, view) for image in self.records.images for view in range(self._views.count)]

  def num_missing(self):
    """Returns how many rows have to be computed."""
    missing = cache.missing_rows(self.store, self.records.images, self._views.count)
    return int(missing.sum())

  def lacking_room(self):
    """Returns in a sentence that the disk has no room for what is missing, '' when it has."""
    needed = self.num_missing() * self.store.row_type.itemsize
    free = _free_bytes(self.store.folder)
    if not needed or needed + _ROOM <= free:
      return ''
    return (
      f'Features of {needed / 1e9:.1f} GB do not fit into {self.store.folder}, where '
      f'{free / 1e9:.1f} GB are free: name another disk with --cache_dir.'
    )

  def fill(self, what):
    """Computes the features that are missing, and says so before; returns the seconds it took.

    Args:
      what: the line begins with, such as 'Training from cached features'.

    Raises:
      RunError: the disk is full or cannot be written to, or a record cannot be used.
    """
    size, total, missing = self.store.row_type.itemsize, len(self.keys()), self.num_missing()
    print(
      f'{what}: {total:,} of {size:,} bytes, {total * size / 1e6:,.1f} MB in {self.store.folder}, '
      f'{missing:,} to be computed.',
      flush=True,
    )
    start = time.monotonic()
    try:
      cache.fill(
        self.store,
        self._dataset,
        self.frozen,
        self._views,
        self.records.images,
        self._options.labels_offset,
      )
    except OSError as error:
      raise RunError(
        f'The feature cache {self.store.folder} cannot be written to ({error.strerror}): name '
        'another folder with --cache_dir, or give --cache_features=off.'
      ) from None
    return time.monotonic() - start


def _root(options):
  """Returns the folder of the stores; raises UserError when that of --cache_dir is no good."""
  if options.cache_dir:
    try:
      os.makedirs(options.cache_dir, exist_ok=True)
    except OSError as error:
      raise UserError(
        f'--cache_dir={options.cache_dir} cannot be made: {error.strerror}.'
      ) from None
    if not os.access(options.cache_dir, os.W_OK):
      raise UserError(f'--cache_dir={options.cache_dir} cannot be written to.')
    return options.cache_dir
  return root_beside(options.dataset_dir, options.train_dir)


def root_beside(dataset_dir, other_dir):
  """Returns the folder of the stores in that of a data set, or in another when it is read-only."""
  root = os.path.join(dataset_dir, FOLDER_NAME)
  if os.access(root if os.path.exists(root) else dataset_dir, os.W_OK):
    return root
  return os.path.join(other_dir, FOLDER_NAME)


def _free_bytes(folder):
  """Returns how many bytes are free on the disk of a folder that may not exist yet."""
  while not os.path.exists(folder):
    folder = os.path.dirname(os.path.abspath(folder))
  return shutil.disk_usage(folder).free
