"""Writing small files so that a crash leaves the old content or the new, never half of it."""

import json
import os
import tempfile


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
    os.unlink(temporary)
    raise
  sync(folder)


def sync(path):
  """Returns when the content of a file, or the names in a folder, are on the disk."""
  handle = os.open(path, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)


def _umask():
  mask = os.umask(0)
  os.umask(mask)
  return mask


def write_json(path, value):
  """Writes `value` as indented UTF-8 JSON, atomically."""
  write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + '\n')


def read_json(path):
  """Returns what a JSON file holds; raises OSError or ValueError (json.JSONDecodeError)."""
  with open(path, encoding='utf-8') as file:
    return json.load(file)
