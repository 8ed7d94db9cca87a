"""Small files: written so that a crash leaves the old content or the new, read so that none harms.

Files that are read may come from anyone: how large they are and what they hold is checked.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import stat
import tempfile
from typing import NamedTuple

from slim_errors import UserError, unknown

# ImageNet's 21,841 classes in three splits and a thousand shards make a dataset.json of 4 MB.
MAX_JSON_BYTES = 16 * 1024**2
_BLOCK = 1024**2  # bytes read at a time
_SHOWN = 40  # characters of a wrong value in a message


def write_atomically(path, data):
  """Writes `data` (str as UTF-8, or bytes) to `path` by a synced temporary file and a rename."""
  if isinstance(data, str):
    data = data.encode('utf-8')
  folder = os.path.dirname(os.path.abspath(path))
  os.makedirs(folder, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=folder, prefix=f'.{os.path.basename(path)}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.chmod(temporary, 0o666 & ~_umask())  # mkstemp gives 0600; the user's own mask decides
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):  # when Ctrl-C came with the rename
      os.unlink(temporary)
    raise
  sync(folder)


def check_can_write(path, flag):
  """Raises UserError when no file can be written to `path`, which a flag named; makes nothing."""
  if os.path.isdir(path):
    raise UserError(f'--{flag}={path} is a folder: name a file.')
  folder = os.path.dirname(os.path.abspath(path))
  while not os.path.lexists(folder):  # it will be made
    folder = os.path.dirname(folder)
  if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
    raise UserError(
      f'--{flag}={path} cannot be written, {folder} is no folder to write to: name another file.'
    )


def sync(path):
  """Returns when the content of a file, or the names in a folder, are on the disk."""
  handle = os.open(path, os.O_RDONLY)
  try:
    os.fsync(handle)
  except OSError as error:
    # File systems that cannot do so for a folder answer so.
    if error.errno != errno.EINVAL:
      raise
  finally:
    os.close(handle)


def sha256(path):
  """Returns the SHA-256 of a file in hexadecimal; reads it block by block."""
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(_BLOCK):
      digest.update(block)
  return digest.hexdigest()


def _umask():
  mask = os.umask(0)
  os.umask(mask)
  return mask


def write_json(path, value):
  """Writes `value` as indented UTF-8 JSON, atomically."""
  write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + '\n')


def read_bytes(path, max_bytes):
  """Returns the content of a plain file; never waits for a pipe, nor reads without end.

  Args:
    path: the file.
    max_bytes: largest file to read.

  Raises:
    OSError: when it cannot be read.
    ValueError: when it is no plain file, or larger.
  """
  with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as file:
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISDIR(mode):
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
      raise ValueError('it is no plain file')
    data = file.read(max_bytes + 1)
  if len(data) > max_bytes:
    raise ValueError(f'it has more than {max_bytes} bytes')
  return data


def read_json(path):
  """Returns what a JSON file of at most MAX_JSON_BYTES holds.

  Raises:
    OSError: when it cannot be read.
    ValueError: when it is no JSON in UTF-8, is nested beyond reason, gives a key twice, or has a
      number that is none (NaN) or beyond all bounds (1e999).
  """
  text = read_bytes(path, MAX_JSON_BYTES).decode('utf-8')
  try:
    return json.loads(
      text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
    )
  except RecursionError:
    raise ValueError('its values are nested too deeply') from None


def _object(pairs):
  value = dict(pairs)
  if len(value) < len(pairs):
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f'it gives {twice!r} twice')
  return value


def _no_number(text):
  raise ValueError(f'{text} is no number')


def _finite(text):
  number = float(text)
  return number if math.isfinite(number) else _no_number(text)


class Field(NamedTuple):
  """What a field of a JSON file may be.

  Attributes:
    kind: 'text', 'texts' (a list of it), 'number', 'whole number', 'true or false' or 'object'.
    low, high: least and greatest number, or length of a list.
    choices: the values there are, None for any.
    is_optional: whether null stands for an unknown value.
  """

  kind: str
  low: float = 0
  high: float = math.inf
  choices: object = None
  is_optional: bool = False


def _is_text(value):
  # A lone half of a surrogate pair can be neither printed nor written.
  return isinstance(value, str) and not any('\ud800' <= c <= '\udfff' for c in value)


_IS_OF_KIND = {
  'text': _is_text,
  'texts': lambda value: isinstance(value, list) and all(map(_is_text, value)),
  'number': lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
  'whole number': lambda value: isinstance(value, int) and not isinstance(value, bool),
  'true or false': lambda value: isinstance(value, bool),
  'object': lambda value: isinstance(value, dict),
}


def read_object(path, fields, fix):
  """Returns what a JSON file holds, an object with fields as they should be; None without a file.

  Args:
    path: the file.
    fields: {name: Field}; a field may be missing.
    fix: what to do about a file that is damaged or wrong, for the message.

  Raises:
    UserError: it cannot be read, or is not as it should be.
  """
  try:
    value = read_json(path)
  except (FileNotFoundError, NotADirectoryError):
    return None
  except (OSError, ValueError) as error:
    raise UserError(f'{path} cannot be read ({error}): {fix}.') from None
  check_fields(value, fields, path, fix)
  return value


def check_fields(value, fields, path, fix):
  """Compares a JSON object with a table of its fields; fields of a later version are let pass.

  Args:
    value: what a JSON file holds.
    fields: {name: Field}; a field may be missing.
    path: the file, for the message.
    fix: what to do about a wrong field, for the message.

  Raises:
    UserError: for a value that is no object, and for the first field that is not as it should be.
  """
  if not isinstance(value, dict):
    raise UserError(f'{path} is not what it should be: a JSON object is expected; {fix}.')
  for name, field in fields.items():
    if name in value and not (field.is_optional and value[name] is None):
      _check_field(value[name], field, name, path, fix)


def _check_field(value, field, name, path, fix):
  wanted = f'a {field.kind}' if field.kind in ('text', 'number', 'whole number') else field.kind
  wanted = {'texts': 'a list of texts', 'object': 'a JSON object'}.get(field.kind, wanted)
  is_right = _IS_OF_KIND[field.kind](value)
  if is_right and field.kind in ('number', 'whole number', 'texts'):
    size = len(value) if field.kind == 'texts' else value
    is_right = field.low <= size <= field.high
    wanted += ' of ' if field.kind == 'texts' else ' from '
    wanted += f'{field.low:g} to {field.high:g}' if field.high < math.inf else f'{field.low:g} up'
  if is_right and field.choices is not None and value not in field.choices:
    raise UserError(f'{path}: {unknown(name, value, field.choices)}')
  if not is_right:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f'{shown[: _SHOWN - 3]}...'
    raise UserError(f'{path}: {name} is {shown}, and should be {wanted}; {fix}.')
