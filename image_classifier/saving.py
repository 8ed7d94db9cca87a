"""Saving a run so that, whatever happens, its newest checkpoint is whole and on the disk.

A checkpoint and the file `checkpoint` that names it are written into a folder of their own, read
back and synced; then they are renamed into the train_dir, the index last. From then on the
checkpoint exists: what is left to do, a start after a crash does. Before, a crash leaves nothing.
"""

import contextlib
import errno
import glob
import itertools
import os
import re
import shutil

from google.protobuf import text_format

import slim_files
from image_classifier import checkpoints, temperatures
from slim_compat import tf
from slim_errors import RunError

STAGING_FOLDER = '.saving'
_POINTER_FILE = 'checkpoint'
_NO_SPACE = ('No space left', 'Disk quota exceeded')
_OF_CHECKPOINT = re.compile(r'model\.ckpt-\d+')
# Temporary files of slim_files.write_atomically.
_TEMPORARY_FILE = re.compile(r'\.(run\.json|graph\.pbtxt|metrics\.csv)\.\w{8}')


class CheckpointWriter:
  """Writes the checkpoints `model.ckpt-STEP` of one run and keeps the newest of them.

  What an earlier process of the run has left is kept and rotated as if this one had written it.
  """

  def __init__(self, session, saver, train_dir, resumed, num_kept, graph_def=None):
    """Starts where a run starts.

    Args:
      session, saver: what to save, and a tf.train.Saver without rotation.
      train_dir: folder of the checkpoints.
      resumed: prefix of the checkpoint in it that the run goes on from, or None; newer ones are
        damaged.
      num_kept: how many checkpoints stay, at least 2: what comes before them is what goes.
      graph_def: tf.GraphDef for the .meta files; None: the graph of the session.
    """
    self._session, self._saver = session, saver
    self._train_dir, self._num_kept = train_dir, num_kept
    self._staging = os.path.join(train_dir, STAGING_FOLDER)
    self._kept = []
    if resumed:
      older = itertools.takewhile(lambda prefix: prefix != resumed, checkpoints.listed(train_dir))
      self._kept = [*(prefix for prefix in older if not checkpoints.missing_parts(prefix)), resumed]
    self._graph_def, self._meta_graph = graph_def, None

  @property
  def newest(self):
    """The prefix of the newest checkpoint, None before the first."""
    return self._kept[-1] if self._kept else None

  def save(self, step):
    """Saves all variables as of `step`; when the disk is full, at the price of old checkpoints.

    Raises:
      RunError: it cannot be saved; the newest checkpoint there is stays as it is.
    """
    tf.logging.info('Saving checkpoint to path %s', os.path.join(self._train_dir, 'model.ckpt'))
    while True:
      try:
        return self._save(step)
      except (OSError, tf.errors.OpError) as error:
        with contextlib.suppress(OSError):
          recover(self._train_dir)
        if not (is_disk_full(error) and self._free_oldest()):
          raise self._failed(step, error) from None

  def _save(self, step):
    shutil.rmtree(self._staging, ignore_errors=True)
    os.mkdir(self._staging)
    written = self._saver.save(
      self._session,
      os.path.join(self._staging, 'model.ckpt'),
      global_step=step,
      write_meta_graph=False,
      write_state=False,
    )
    _write(f'{written}.meta', self._serialized_meta_graph())
    problem = checkpoints.damage(written)
    if problem:
      raise OSError(errno.EIO, f'what was written cannot be read back, {problem}')
    prefix = os.path.join(self._train_dir, os.path.basename(written))
    kept = [*(other for other in self._kept if other != prefix), prefix][-self._num_kept :]
    names = [os.path.basename(prefix) for prefix in kept]
    state = tf.train.generate_checkpoint_state_proto('', names[-1], names)
    _write(os.path.join(self._staging, _POINTER_FILE), text_format.MessageToString(state).encode())
    _move(self._staging, self._train_dir)
    self._kept = kept
    _finish(self._staging, self._train_dir)

  def _serialized_meta_graph(self):
    """Returns the content of a .meta file, which is the same for all checkpoints of a run."""
    if self._meta_graph is None:
      graph_def = self._graph_def or self._session.graph.as_graph_def(add_shapes=True)
      saver_def = self._saver.as_saver_def()
      meta_graph = tf.train.export_meta_graph(graph_def=graph_def, saver_def=saver_def)
      self._meta_graph = meta_graph.SerializeToString()
    return self._meta_graph

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
    fix = 'mend that'
    if is_disk_full(error):
      reason, fix = 'the disk is full', 'make room there'
    left = f'{self.newest} is the last good one' if self.newest else 'there is none before it'
    return RunError(
      f'The checkpoint of step {step} cannot be saved in {self._train_dir} ({reason}); {left}: '
      f'{fix} and give the same command again.'
    )


def keep_only(prefix, folder, files):
  """Makes a checkpoint the only one of another folder: the one before goes when this one is whole.

  A crash leaves one or the other; `recover_only` then ends or undoes what was begun.

  Args:
    prefix: of a checkpoint on the same disk or another.
    folder: made when missing.
    files: {name: bytes} of what belongs to the checkpoint and is replaced along with it.
  """
  os.makedirs(folder, exist_ok=True)
  recover_only(folder)
  staging, name = os.path.join(folder, STAGING_FOLDER), os.path.basename(prefix)
  os.mkdir(staging)
  for path in _parts(prefix):
    _link_or_copy(path, os.path.join(staging, os.path.basename(path)))
  for file, content in files.items():
    _write(os.path.join(staging, file), content)
  state = tf.train.generate_checkpoint_state_proto('', name, [name])
  _write(os.path.join(staging, _POINTER_FILE), text_format.MessageToString(state).encode())
  _move(staging, folder)
  _finish(staging, folder)
  _delete_unlisted(folder)


def recover_only(folder):
  """Does for a folder of `keep_only`, if it exists, what `recover` does for a train_dir."""
  if os.path.isdir(folder):
    recover(folder)
    _delete_unlisted(folder)


def recover(train_dir):
  """Ends or undoes the save during which an earlier process of the run died, if it did.

  The train_dir must be locked.
  """
  staging = os.path.join(train_dir, STAGING_FOLDER)
  names = os.listdir(staging) if os.path.isdir(staging) else []
  indexes = [name for name in names if name.endswith('.index')]
  if _POINTER_FILE in names and not indexes:
    _finish(staging, train_dir)
  for name in indexes:  # its data may have been renamed already
    if not os.path.exists(os.path.join(train_dir, name)):
      _delete(os.path.join(train_dir, name.removesuffix('.index')))
  shutil.rmtree(staging, ignore_errors=True)
  for name in filter(_TEMPORARY_FILE.fullmatch, os.listdir(train_dir)):
    os.unlink(os.path.join(train_dir, name))


def is_disk_full(error):
  """Whether an OSError or tf.errors.OpError says that there is no room for more."""
  if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
    return True
  return any(text in str(error) for text in _NO_SPACE)


def _write(path, content):
  with open(path, 'wb') as file:
    file.write(content)


def _move(staging, folder):
  """Syncs all files and renames those of the checkpoint, its index last: it exists with that."""
  names = sorted(os.listdir(staging), key=lambda name: name.endswith('.index'))
  for name in names:
    slim_files.sync(os.path.join(staging, name))
  slim_files.sync(staging)
  for name in names:
    if checkpoints.PART.search(name):
      os.replace(os.path.join(staging, name), os.path.join(folder, name))
  slim_files.sync(folder)


def _finish(staging, folder):
  """Deletes the checkpoints before those that the new `checkpoint` lists, and renames that last."""
  old, new = checkpoints.listed(folder), [os.path.basename(p) for p in checkpoints.listed(staging)]
  first = next((i for i, prefix in enumerate(old) if os.path.basename(prefix) in new), 0)
  for prefix in old[:first]:
    _delete(prefix)
  for name in sorted(os.listdir(staging), key=lambda name: name == _POINTER_FILE):
    os.replace(os.path.join(staging, name), os.path.join(folder, name))
  os.rmdir(staging)
  slim_files.sync(folder)


def _parts(prefix):
  """Returns the files that there are of a checkpoint, its index first."""
  paths = [f'{prefix}.index', *glob.glob(f'{glob.escape(prefix)}.data-*'), f'{prefix}.meta']
  return [path for path in paths if os.path.exists(path)]


def _delete(prefix):
  for path in [*_parts(prefix), temperatures.path(prefix)]:
    if os.path.exists(path):
      os.unlink(path)


def _delete_unlisted(folder):
  """Deletes the checkpoints of a run that `checkpoint` does not list, as far as it lists any."""
  listed = checkpoints.listed(folder)
  names = filter(None, map(_OF_CHECKPOINT.match, os.listdir(folder) if listed else ()))
  for prefix in {os.path.join(folder, name[0]) for name in names} - set(listed):
    _delete(prefix)


def _link_or_copy(source, target):
  """A checkpoint is never written to again, so that one file may bear two names."""
  try:
    os.link(source, target)
  except OSError:  # a file system without such links
    shutil.copyfile(source, target)
