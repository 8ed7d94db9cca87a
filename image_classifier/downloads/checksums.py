"""SHA-256 of files, recorded in `<file>.sha256` as `sha256sum -c` reads it."""

import os
import re

import slim_files
from slim_errors import UserError

_MAX_RECORD = 4096  # bytes of a file that holds one checksum
_DIGEST = re.compile('[0-9a-fA-F]{64}')


def known(path, given=None):
  """Returns the SHA-256 that a file must have: the given one, else the recorded one, else None.

  Raises:
    UserError: when what is recorded is no SHA-256.
  """
  if given is not None:
    return given.lower()
  try:
    digest = slim_files.read_bytes(record_path(path), _MAX_RECORD).decode('ascii').split()[0]
  except FileNotFoundError:
    return None
  except (ValueError, IndexError):
    digest = ''
  if not _DIGEST.fullmatch(digest):
    raise UserError(f'{record_path(path)} holds no SHA-256: delete it, or write one.')
  return digest.lower()


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
