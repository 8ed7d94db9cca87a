"""SHA-256 of files, recorded in `<file>.sha256` as `sha256sum -c` reads it."""

import hashlib
import os

import slim_files

_BLOCK = 1024**2  # bytes read at a time


def of(path):
  """Returns the SHA-256 of a file in hexadecimal."""
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    for block in iter(lambda: file.read(_BLOCK), b''):
      digest.update(block)
  return digest.hexdigest()


def known(path, given=None):
  """Returns the SHA-256 that a file must have: the given one, else the recorded one, else None."""
  if given is not None:
    return given.lower()
  try:
    with open(record_path(path), encoding='utf-8') as file:
      return (file.read().split() or [None])[0]
  except FileNotFoundError:
    return None


def source(path, given=None):
  """Returns where `known` has its answer from, in words before the SHA-256 itself."""
  return 'its publisher says' if given is not None else f'{record_path(path)} says'


def record(path, digest):
  """Writes down a file's SHA-256 unless one stands there."""
  if not os.path.exists(record_path(path)):
    slim_files.write_atomically(record_path(path), f'{digest}  {os.path.basename(path)}\n')


def record_path(path):
  """Returns where the SHA-256 of a file is recorded."""
  return f'{path}.sha256'
