"""Unpacking archives that came from elsewhere: nothing lands outside, nothing is half there.

Every member is checked by this module, because the filters of tarfile exist in late releases of
Python alone.
"""

import contextlib
import functools
import gzip
import os
import posixpath
import shutil
import struct
import tarfile
import tempfile
import zipfile
import zlib
from typing import NamedTuple

from slim_errors import RunError, UserError, not_writable

ENDINGS = ('.tar.gz', '.tgz', '.tar', '.zip')
MAX_FILES = 1_000_000
MAX_BYTES = 64 * 1024**3  # all files together
# Deflate cannot shrink a file further than to 1/1032 (zlib's technical notes); what photographs
# and weights come in is far from it, and a small archive may be of text.
_MAX_RATIO, _SMALL = 200, 64 * 1024**2
_BLOCK = 1024**2  # bytes copied at a time
_MAX_HEADER = 1024**2  # bytes of a long name or of notes on a member; tarfile reads them as a whole
_DAMAGED = (
  tarfile.TarError,
  zipfile.BadZipFile,
  zlib.error,
  EOFError,
  NotImplementedError,  # zipfile's word for what came after it
  OSError,  # gzip's own; those of the disk are told apart by their number
  struct.error,  # zipfile's of a field that is cut short
  UnicodeDecodeError,  # zipfile's of a name
  OverflowError,
)


# In a zip archive: the file type in the upper bits of the attributes (none, folder, file), a flag.
_PLAIN_KINDS, _ENCRYPTED = (0, 0o4, 0o10), 1


class _Member(NamedTuple):
  path: str  # below the folder that is made, with '/'
  size: int  # bytes
  open: object  # function that returns a readable file; None for a folder


def extract(archive, folder, *, max_files=MAX_FILES, max_bytes=MAX_BYTES):
  """Extracts an archive to a folder that is not there yet.

  The files go to a temporary folder beside it first: `folder` exists only once it is complete.
  Owners, times, permissions and empty names such as `.` are not taken over.

  Args:
    archive: path of a .tar.gz, .tgz, .tar or .zip file.
    folder: where its members go; must not exist, or be an empty folder.
    max_files: members the archive may have.
    max_bytes: bytes all members together may have.

  Returns:
    folder.

  Raises:
    UserError: when the archive is missing or of another kind, when something is at `folder`, or
      when a member would land elsewhere, is no plain file or folder, or goes beyond the limits.
    RunError: when the archive is damaged, or the disk is full.
  """
  archive, folder = os.fspath(archive), os.fspath(folder)
  if not os.path.isfile(archive):
    raise UserError(f'There is no archive {archive}.')
  if not archive.endswith(ENDINGS):
    raise UserError(f'{archive} is no archive that can be read: {", ".join(ENDINGS)} are.')
  check_free(folder)
  parent = os.path.dirname(os.path.abspath(folder))
  try:
    os.makedirs(parent, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=parent, prefix=f'.{os.path.basename(folder)}.')
  except OSError as error:
    raise not_writable(parent, error) from None
  try:
    unpacked = os.path.join(temporary, 'unpacked')  # made with the permissions of the user's mask
    os.mkdir(unpacked)
    _extract_to(archive, unpacked, max_files, max_bytes)
    os.replace(unpacked, folder)
  finally:
    shutil.rmtree(temporary)
  return folder


def check_free(folder):
  """Raises UserError when something is where a folder is to be made; an empty one may be."""
  if os.path.lexists(folder) and not (os.path.isdir(folder) and not os.listdir(folder)):
    raise UserError(f'{folder} is already there: move it away, or choose another folder.')


def _extract_to(archive, folder, max_files, max_bytes):
  limits = _Limits(archive, max_files, max_bytes)
  members = (_zip_members if archive.endswith('.zip') else _tar_members)(archive, limits)
  try:
    with contextlib.closing(members):
      for member in members:
        limits.count_file(member.size)
        _write(archive, member, os.path.join(folder, *member.path.split('/')))
  except _DAMAGED as error:
    if isinstance(error, OSError) and error.errno is not None:
      raise RunError(f'{archive} cannot be extracted: {error.strerror}.') from None
    raise RunError(
      f'{archive} is damaged ({str(error) or type(error).__name__}): move it away and fetch it '
      'again.'
    ) from None


def _tar_members(archive, limits):
  """Yields the _Members of a tar archive, each to be read before the next."""
  open_plain = open if archive.endswith('.tar') else gzip.open
  with open_plain(archive, 'rb') as plain:
    counted = _Counted(plain, limits)
    with tarfile.open(fileobj=counted, mode='r|', tarinfo=_StrictInfo) as file:
      for info in iter(file.next, None):
        path = _safe_path(archive, info.name)
        if not (info.isreg() or info.isdir()) or info.size < 0:
          raise UserError(f'{archive} holds {info.name!r}, no plain file: not extracted.')
        if path:
          read = functools.partial(file.extractfile, info) if info.isreg() else None
          yield _Member(path, info.size, read)
        file.members = []  # else every member ever seen stays in memory
      while counted.read(_BLOCK):  # to where gzip compares its checksum
        pass


class _StrictInfo(tarfile.TarInfo):
  """A header that must be sound: tarfile takes the first that is not for the archive's end."""

  @classmethod
  def frombuf(cls, buf, encoding, errors):
    info = super().frombuf(buf, encoding, errors)
    if info.size < 0 or (info.type not in tarfile.REGULAR_TYPES and info.size > _MAX_HEADER):
      raise tarfile.InvalidHeaderError(f'a header of {info.size} bytes')
    return info

  @classmethod
  def fromtarfile(cls, tarfile_):
    try:
      return super().fromtarfile(tarfile_)
    except tarfile.EOFHeaderError:  # the empty block at the end
      raise
    except tarfile.HeaderError as error:
      raise tarfile.ReadError(str(error)) from None


class _Counted:
  """The stream that tarfile reads: everything counts, headers and what follows the end too."""

  def __init__(self, stream, limits):
    self._stream, self._limits, self._size = stream, limits, 0

  def read(self, count):
    data = self._stream.read(count)
    self._size += len(data)
    self._limits.check_size(self._size)
    return data


def _zip_members(archive, _):
  """Yields the _Members of a zip archive."""
  with zipfile.ZipFile(archive) as file:
    for info in file.infolist():
      path = _safe_path(archive, info.filename)
      kind = info.external_attr >> 28  # file type of st_mode where made on Unix, else 0
      if kind not in _PLAIN_KINDS or info.flag_bits & _ENCRYPTED:
        raise UserError(
          f'{archive} holds {info.filename!r}, no plain file or an encrypted one: not extracted.'
        )
      if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f'{archive} is compressed in an unusual way: extract it by hand.')
      if path:
        read = None if info.is_dir() else functools.partial(file.open, info)
        yield _Member(path, info.file_size, read)


def _safe_path(archive, name):
  """Returns a member's path in its plainest form, '' for the folder itself."""
  unsafe = name.startswith('/') or '\\' in name or '\0' in name or name[1:2] == ':'
  if unsafe or '..' in name.split('/'):
    raise UserError(f'{archive} holds {name!r}, a name outside of its folder: not extracted.')
  path = posixpath.normpath(name)
  return '' if path == '.' else path


class _Limits:
  """Counts what comes out of an archive."""

  def __init__(self, archive, max_files, max_bytes):
    self._archive = archive
    self._max_files = max_files
    self._max_bytes = min(max_bytes, max(_MAX_RATIO * os.path.getsize(archive), _SMALL))
    self._files = self._bytes = 0

  def count_file(self, size):
    self._files += 1
    self._bytes += size
    if self._files > self._max_files:
      raise UserError(f'{self._archive} holds more than {self._max_files} files: not extracted.')
    self.check_size(self._bytes)

  def check_size(self, size):
    if size > self._max_bytes:
      raise UserError(
        f'{self._archive} would grow to more than {self._max_bytes} bytes: not extracted.'
      )


def _write(archive, member, path):
  try:
    if member.open is None:
      os.makedirs(path, exist_ok=True)
      return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with member.open() as source, open(path, 'xb') as file:
      shutil.copyfileobj(source, file, _BLOCK)
  except (FileExistsError, NotADirectoryError):
    raise UserError(f'{archive} holds {member.path!r} twice: not extracted.') from None
