"""Features of images on the disk: computed once, found by what they were computed from.

A store is a folder that belongs to one identity: everything but the image that decides a feature.
In it are blocks, `.npy` files of rows: the SHA-256 of an image's bytes, the number of its view, and
the features. The name of a block ends in a checksum of identity and content, so that one that is
damaged, cut short or from elsewhere is recognized; a block is there completely or not at all.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re

import numpy as np

import slim_files
from image_classifier import run_lock, saving
from slim_compat import tf
from slim_errors import RunError

# Hidden, because a data set may lie in the folder of its pictures, where folders are classes.
FOLDER_NAME = '.feature_cache'
_LOCK_NAME = '.lock'
_BLOCK_NAME = re.compile(r'(\d{6})-([0-9a-f]{32})\.npy')
# Temporary files of slim_files.write_atomically.
_TEMPORARY_NAME = re.compile(r'\.(\d{6}-[0-9a-f]{32}\.npy|identity\.json)\.\w{8}')


class FeatureStore:
  """Rows of features, of which several processes may read and write the same.

  Attributes:
    folder: path of the store.
    row_type: NumPy's type of a row: image (32 bytes), view, and features0, features1 ...
    feature_types: those of the features in it, with their shapes.
  """

  def __init__(self, root, identity, features):
    """Names the store; nothing is read or made yet.

    Args:
      root: folder of the stores of all identities.
      identity: JSON value of everything but image and view that decides the features.
      features: [(shape, dtype)] of the features of one row, such as [((2048,), '<f4')].
    """
    named = [(f'features{i}', dtype, shape) for i, (shape, dtype) in enumerate(features)]
    self.row_type = np.dtype([('image', 'u1', (32,)), ('view', '<i4'), *named])
    self.feature_types = [self.row_type[name] for name, *_ in named]
    self._identity = {**identity, 'row': str(self.row_type)}
    text = json.dumps(self._identity, sort_keys=True)
    self._digest = hashlib.sha256(text.encode('utf-8')).hexdigest()
    self.folder = os.path.join(root, self._digest[:16])
    self._blocks = []  # memory maps
    self._names = {}  # of the blocks that are open
    self._places = {}  # (SHA-256 of an image, view) -> (number of the block, row in it)

  def refresh(self):
    """Reads which rows are there; blocks that cannot be used are removed, and said so."""
    dropped = 0
    for name in sorted(os.listdir(self.folder) if os.path.isdir(self.folder) else []):
      if _BLOCK_NAME.fullmatch(name) and name not in self._names:
        block = self._opened(name)
        if block is None:
          dropped += 1
          with contextlib.suppress(OSError):  # it is not used, whether or not it can be removed
            os.unlink(os.path.join(self.folder, name))
        else:
          self._take(name, block)
    if dropped:
      message = 'Damaged blocks of the feature cache %s, left out and computed anew: %d.'
      tf.logging.warning(message, self.folder, dropped)

  def has(self, image, view):
    """Whether there is a row of the image with this SHA-256 (32 bytes) and view (int)."""
    return (image, view) in self._places

  def places(self, keys):
    """Returns where the rows of n pairs (image, view) are, int64 [n, 2], for `gather`."""
    return np.array([self._places[key] for key in keys], np.int64).reshape(-1, 2)

  def gather(self, places):
    """Returns the features of rows.

    Args:
      places: int64 [n, 2], from `places`.

    Returns:
      list of arrays [n, ...], one for each of the features.
    """
    found = [np.empty((len(places), *dtype.shape), dtype.base) for dtype in self.feature_types]
    for number in np.unique(places[:, 0]):
      of_block = places[:, 0] == number
      rows = places[of_block, 1]
      for i, array in enumerate(found):
        array[of_block] = self._blocks[number][f'features{i}'][rows]
    return found

  @contextlib.contextmanager
  def filling(self):
    """Keeps other processes from filling the store; waits while one does, and takes in its rows.

    Raises:
      OSError: the folder cannot be written to.
    """
    os.makedirs(self.folder, exist_ok=True)
    with open(os.path.join(self.folder, _LOCK_NAME), 'ab') as file:
      if self._is_locked(file):
        self._remove_leftovers()
      self.refresh()
      path = os.path.join(self.folder, 'identity.json')
      if not os.path.exists(path):
        slim_files.write_json(path, self._identity)
      yield

  def add(self, rows):
    """Writes a block of rows, atomically, and takes it in.

    Args:
      rows: array [n] of `row_type`.

    Raises:
      RunError: the disk is full; what was there before is good.
    """
    content = io.BytesIO()
    np.save(content, rows, allow_pickle=False)
    content = content.getvalue()
    last = max((int(name[:6]) for name in self._names), default=0)
    name = f'{last + 1:06d}-{self._checksum(hashlib.sha256(content).hexdigest())}.npy'
    try:
      slim_files.write_atomically(os.path.join(self.folder, name), content)
    except OSError as error:
      if not saving.is_disk_full(error):
        raise
      raise RunError(
        f'There is no room left for the feature cache in {self.folder}, whose {len(self._places)} '
        'rows stay good: free some, name another disk with --cache_dir, or give '
        '--cache_features=off.'
      ) from None
    self._take(name, self._opened(name))

  def _opened(self, name):
    """Returns the memory map of a block, None for one that cannot be used."""
    path = os.path.join(self.folder, name)
    try:
      if self._checksum(slim_files.sha256(path)) != _BLOCK_NAME.fullmatch(name)[2]:
        return None
      block = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError):
      return None
    return block if block.dtype == self.row_type and block.ndim == 1 else None

  def _take(self, name, block):
    number = self._names[name] = len(self._blocks)
    self._blocks.append(block)
    keys = zip(map(bytes, np.array(block['image'])), block['view'].tolist(), strict=True)
    for row, key in enumerate(keys):
      self._places.setdefault(key, (number, row))

  def _checksum(self, content_digest):
    return hashlib.sha256(f'{self._digest} {content_digest}'.encode()).hexdigest()[:32]

  def _is_locked(self, file):
    """Locks the store by a file of it; returns whether its file system knows locks."""
    try:
      try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        message = 'Another process fills the feature cache %s: waiting for it.'
        tf.logging.info(message, self.folder)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in run_lock.NO_LOCKS:
        raise
      return False  # two processes may compute the same then
    return True

  def _remove_leftovers(self):
    """Removes the temporary files of processes that died; the lock says that none is alive."""
    for name in filter(_TEMPORARY_NAME.fullmatch, os.listdir(self.folder)):
      os.unlink(os.path.join(self.folder, name))


def as_float32(features):
  """Returns features of `gather` as float32: bfloat16, kept as uint16, is the upper half of it."""
  if features.dtype != np.uint16:
    return features
  return (features.astype(np.uint32) << 16).view(np.float32)
