"""Finding checkpoints and reading what they hold, without a session."""

import contextlib
import dataclasses
import glob
import os
import re
import tempfile

import numpy as np

import slim_files
from image_classifier import run_record
from slim_compat import tf
from slim_errors import UserError

# Ends the name of a moving average, as tf.train.ExponentialMovingAverage has it.
AVERAGE_SUFFIX = '/ExponentialMovingAverage'
_STEP = 'global_step'
# What TensorFlow's reader raises for a file it cannot use, depending on what is wrong with it.
_UNREADABLE = (tf.errors.OpError, RuntimeError, ValueError, IndexError)
# What the name of a checkpoint's file ends in.
PART = re.compile(r'\.(index|meta|data-\d{5}-of-\d{5})$')


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A complete and undamaged checkpoint.

  Attributes:
    prefix: such as `train_dir/model.ckpt-300`.
    values: {variable: array}, without what an optimizer keeps beside a variable.
  """

  prefix: str
  values: dict

  def shapes(self):
    """Returns {variable: shape as a list} of the values."""
    return {name: list(np.shape(value)) for name, value in self.values.items()}


def resolve(path):
  """Returns the prefix of a complete checkpoint.

  Args:
    path: a directory (its newest undamaged checkpoint is taken), a prefix such as
      `train_dir/model.ckpt-300`, one of the prefix's files, or a TensorFlow 0.x checkpoint file.

  Raises:
    UserError: when nothing complete and undamaged is there, naming what is wrong.
  """
  return _found(path, keep=False).prefix


def load(path):
  """Returns the Checkpoint that `resolve` finds at a path; every byte is read once."""
  return _found(path, keep=True)


def check_path(path):
  """Raises UserError for a path at which TensorFlow, to whom it is a pattern, finds nothing."""
  if re.search(r'\[.*\]|\\', path):
    raise UserError(
      f'{path}: TensorFlow takes [ ] and \\ in the path of a checkpoint for a pattern; rename the '
      'folder or the file.'
    )


def _found(path, keep):
  """Returns the Checkpoint at a path, without `keep` one without its values."""
  if not path:
    raise UserError('No checkpoint was named: give --checkpoint_path a directory or a prefix.')
  check_path(path)
  if os.path.isdir(path):
    newest = _newest_intact(path, keep)
    if newest is None:
      raise UserError(f'There is no complete checkpoint in {path}: {_what_is_in(path)}.')
    return newest
  prefix = PART.sub('', path)
  missing = missing_parts(prefix)
  if missing:
    raise UserError(f'Checkpoint {prefix} is not complete: {missing}.')
  values, problem = _read(prefix, keep)
  if problem:
    raise UserError(f'Checkpoint {prefix} is damaged, {problem}: take another, or copy it again.')
  return Checkpoint(prefix, values)


def missing_parts(prefix):
  """Returns what a checkpoint lacks, in words, or '' for a complete one."""
  if os.path.isfile(prefix):
    return ''  # the single file of TensorFlow before 1.0, which is still readable
  folder = os.path.dirname(prefix) or '.'
  if not os.path.exists(prefix + '.index'):
    return f'{prefix}.index does not exist; {folder} holds {_what_is_in(folder)}'
  parts = [path for path in glob.glob(glob.escape(prefix) + '.data-*-of-*') if PART.search(path)]
  if not parts:
    return f'{prefix}.index has no {prefix}.data-00000-of-00001 beside it'
  expected = int(parts[0].rsplit('-', 1)[1])
  if len(parts) < expected:
    return f'{len(parts)} of its {expected} data files exist'
  return ''


def damage(prefix):
  """Returns what is wrong with the content of a complete checkpoint, in words, '' for nothing.

  Reads all of it: TensorFlow keeps a checksum of every tensor and of every block of the index.
  """
  return _read(prefix, keep=False)[1]


def _read(prefix, keep):
  """Returns the values of a Checkpoint, and what is wrong with the content in words.

  Without `keep` the values are read and let go.
  """
  values = {}
  try:
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    for name in names:
      value = reader.get_tensor(name)
      variable, _, last = name.rpartition('/')
      if keep and (variable not in names or f'/{last}' == AVERAGE_SUFFIX):
        values[name] = value
  except _UNREADABLE as error:
    return {}, str(error).strip().splitlines()[0]
  return values, ''


def saved_step(prefix):
  """Returns the step that an undamaged checkpoint is of: by its content, else by its name, else 0.

  The two differ in checkpoints of slim.learning.train, which saved while it trained.
  """
  reader = tf.train.load_checkpoint(prefix)
  return int(reader.get_tensor(_STEP)) if reader.has_tensor(_STEP) else step_of(prefix) or 0


def problem(prefix):
  """Returns why a run cannot go on from a checkpoint, in words, '' when it can. Reads all of it."""
  return missing_parts(prefix) or damage(prefix) or _other_step(prefix)


def _other_step(prefix):
  """Returns in words that a checkpoint of this project bears the name of another step, or ''."""
  is_own = os.path.exists(os.path.join(os.path.dirname(prefix), run_record.FILE_NAME))
  if not is_own or step_of(prefix) is None:
    return ''
  step = saved_step(prefix)
  return f'it is of step {step} by its content' if step != step_of(prefix) else ''


def _what_is_in(folder):
  if not os.path.isdir(folder):
    return 'nothing, for that folder does not exist'
  names = sorted(os.listdir(folder))
  shown = ', '.join(names[:6]) + (', ...' if len(names) > 6 else '')
  return shown or 'nothing'


def newest_intact(folder):
  """Returns the prefix of the newest checkpoint of a run that can be read, or None.

  Says, for every newer one, what is wrong with it.
  """
  newest = _newest_intact(folder, keep=False)
  return newest and newest.prefix


def _newest_intact(folder, keep):
  """Returns the Checkpoint that `newest_intact` speaks of, or None; `keep` as for `_found`."""
  for prefix in reversed(oldest_first(folder)):
    missing = missing_parts(prefix)
    values, found = ({}, missing) if missing else _read(prefix, keep)
    found = found or _other_step(prefix)
    if not found:
      return Checkpoint(prefix, values)
    tf.logging.warning('Checkpoint %s is damaged, the one before it is taken: %s', prefix, found)
  return None


def oldest_first(folder):
  """Returns the prefixes of a folder's checkpoints, complete or not, the newest last.

  The folder's `checkpoint` file says which those are; others, by their steps, are older.
  """
  by_step = sorted(
    (PART.sub('', path) for path in glob.glob(f'{glob.escape(folder)}/*.index')),
    key=lambda prefix: step_of(prefix) or 0,
  )
  named = listed(folder)
  return [*(prefix for prefix in by_step if prefix not in named), *named]


def listed(folder):
  """Returns the prefixes that the folder's `checkpoint` file lists, the newest last.

  They count by their base names, so that a moved folder still works.
  """
  try:
    state = tf.train.get_checkpoint_state(folder)
  except ValueError:  # empty, or not text
    state = None
  if state is None:
    return []
  paths, newest = list(state.all_model_checkpoint_paths), state.model_checkpoint_path
  older = paths[: paths.index(newest)] if newest in paths else paths
  return [os.path.join(folder, os.path.basename(path)) for path in (*older, newest)]


def step_of(prefix):
  """Returns the training step in a checkpoint's name (`model.ckpt-300` is 300), or None."""
  match = re.search(r'-(\d+)$', prefix)
  return int(match.group(1)) if match else None


def variables(prefix):
  """Returns {variable name: shape as a list} of a checkpoint."""
  try:
    return dict(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
  except _UNREADABLE as error:
    first_line = str(error).splitlines()[0]
    raise UserError(f'Checkpoint {prefix} cannot be read: {first_line}') from None


def sha256(prefix):
  """Returns the checksum of a checkpoint's index, which holds the checksums of its tensors."""
  path = prefix + '.index'
  return slim_files.sha256(path if os.path.exists(path) else prefix)


@contextlib.contextmanager
def written(prefix, arrays):
  """Writes a checkpoint that appears, its index last, when the block that goes with it has run.

  Args:
    prefix: of the new checkpoint; its folder is made when missing.
    arrays: {variable: array}.

  Raises:
    UserError: for a path at which the checkpoint could not be read.
  """
  check_path(prefix)
  folder, name = os.path.split(os.path.abspath(prefix))
  os.makedirs(folder, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=folder, prefix=f'.{name}.') as made:
    with tf.Graph().as_default(), tf.Session() as session:
      feeds = {
        tf.placeholder(array.dtype, array.shape): array
        for array in map(np.asarray, arrays.values())
      }
      save = tf.raw_ops.SaveV2(
        prefix=os.path.join(made, name),
        tensor_names=list(arrays),
        shape_and_slices=[''] * len(arrays),
        tensors=list(feeds),
      )
      session.run(save, feeds)
    yield
    for part in ('data-00000-of-00001', 'index'):
      file = os.path.join(made, f'{name}.{part}')
      slim_files.sync(file)
      os.replace(file, f'{prefix}.{part}')
