"""Saving a run so that, whatever happens, its newest checkpoint is whole and on the disk."""

import errno
import glob
import os
import shutil

from google.protobuf import text_format

import slim_files
from image_classifier import checkpoints
from slim_compat import tf
from slim_errors import RunError

_STAGING_FOLDER = '.saving'
_POINTER_FILE = 'checkpoint'
_NO_SPACE = ('No space left', 'Disk quota exceeded')


class CheckpointWriter:
  """Writes the checkpoints `model.ckpt-STEP` of one run and keeps the newest of them.

  A checkpoint is written into a folder of its own, read back, synced and renamed; only then does
  the file `checkpoint` name it. What an earlier run of the train_dir has left is kept and rotated
  as if this one had written it.
  """

  def __init__(self, session, saver, train_dir, num_kept):
    """Takes a session, a tf.train.Saver without rotation, the folder, and how many to keep."""
    self._session, self._saver = session, saver
    self._train_dir, self._num_kept = train_dir, num_kept
    listed = checkpoints.listed(train_dir)
    self._kept = [prefix for prefix in listed if not checkpoints.missing_parts(prefix)]
    self._meta_graph = None

  def save(self, step):
    """Saves all variables as of `step`; when the disk is full, at the price of old checkpoints.

    Raises:
      RunError: it cannot be saved; the checkpoints there are stay as they are.
    """
    tf.logging.info('Saving checkpoint to path %s', os.path.join(self._train_dir, 'model.ckpt'))
    while True:
      try:
        return self._save(step)
      except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(self._staging(), ignore_errors=True)
        if not (is_disk_full(error) and self._free_oldest()):
          raise self._failed(step, error) from None

  def _save(self, step):
    staging = self._staging()
    shutil.rmtree(staging, ignore_errors=True)
    os.mkdir(staging)
    written = self._saver.save(
      self._session,
      os.path.join(staging, 'model.ckpt'),
      global_step=step,
      write_meta_graph=False,
      write_state=False,
    )
    with open(f'{written}.meta', 'wb') as file:
      file.write(self._serialized_meta_graph())
    problem = checkpoints.damage(written)
    if problem:
      raise OSError(errno.EIO, f'what was written cannot be read back, {problem}')
    prefix = os.path.join(self._train_dir, os.path.basename(written))
    _move(staging, self._train_dir)
    self._kept = [*(kept for kept in self._kept if kept != prefix), prefix]
    self._write_pointer(self._kept[-self._num_kept :])
    while len(self._kept) > self._num_kept:
      _delete(self._kept.pop(0))

  def _staging(self):
    return os.path.join(self._train_dir, _STAGING_FOLDER)

  def _serialized_meta_graph(self):
    """Returns the content of a .meta file, which is the same for all checkpoints of a run."""
    if self._meta_graph is None:
      self._meta_graph = self._saver.export_meta_graph().SerializeToString()
    return self._meta_graph

  def _write_pointer(self, prefixes):
    names = [os.path.basename(prefix) for prefix in prefixes]
    state = tf.train.generate_checkpoint_state_proto('', names[-1], names)
    path = os.path.join(self._train_dir, _POINTER_FILE)
    slim_files.write_atomically(path, text_format.MessageToString(state))

  def _free_oldest(self):
    """Deletes the oldest checkpoint unless it is the only one; returns whether it did."""
    if len(self._kept) < 2:
      return False
    oldest = self._kept.pop(0)
    tf.logging.warning('The disk is full: %s is deleted to save a newer one.', oldest)
    _delete(oldest)
    return True

  def _failed(self, step, error):
    reason = getattr(error, 'strerror', None) or str(error).strip().splitlines()[0]
    left = f'{self._kept[-1]} is the last good one' if self._kept else 'there is none before it'
    return RunError(
      f'The checkpoint of step {step} cannot be saved in {self._train_dir} ({reason}); {left}: '
      'make room there and give the same command again.'
    )


def is_disk_full(error):
  """Whether an OSError or tf.errors.OpError says that there is no room for more."""
  if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
    return True
  return any(text in str(error) for text in _NO_SPACE)


def _move(staging, folder):
  """Syncs and renames the files of a checkpoint, its index last: without one it does not exist."""
  names = sorted(os.listdir(staging), key=lambda name: name.endswith('.index'))
  for name in names:
    slim_files.sync(os.path.join(staging, name))
  for name in names:
    os.replace(os.path.join(staging, name), os.path.join(folder, name))
  os.rmdir(staging)
  slim_files.sync(folder)


def _delete(prefix):
  """Deletes a checkpoint, its index first."""
  for path in [f'{prefix}.index', *glob.glob(f'{glob.escape(prefix)}.data-*'), f'{prefix}.meta']:
    if os.path.exists(path):
      os.unlink(path)
