"""Fetching a file: an announced download that resumes, retries and is checked. No TensorFlow here.

A file on its way is `<file>.part`, with `<file>.part.json` beside it; once it is here, its SHA-256
stands in `<file>.sha256`, as `sha256sum -c` reads it.
"""

import contextlib
import fcntl
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request

from tqdm import tqdm

import slim_files
from image_classifier.downloads import checksums, web
from slim_errors import RunError, UserError, not_writable

MAX_BYTES = 8 * 1024**3  # no net and no data set of this project comes in a larger file
_BLOCK = 256 * 1024  # bytes read at a time
_PROGRESS = 1024**2  # an attempt that brought so many bytes makes the earlier failures forgotten
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # HTTP status codes after which it may work again
_RANGE_REFUSED = 416


def fetch(
  url, path, *, size=None, sha256=None, max_bytes=MAX_BYTES, timeout=30, attempts=5, pause=1
):
  """Makes sure that the file of an address is at `path`: downloads what is missing, checks it.

  A file that is there already, fetched by hand perhaps, is only checked. Says on standard error
  what is fetched, from where and how large it is before it starts; what a stopped call has received
  is where the next one goes on.

  Args:
    url: http or https address.
    path: where the file goes; its folder is made.
    size: bytes the file is known to have, None when only the server knows.
    sha256: the file's known SHA-256 in hexadecimal; None takes what is recorded beside the file,
      and records it at the first use.
    max_bytes: largest file to accept.
    timeout: seconds without a byte after which a connection counts as broken.
    attempts: broken connections in a row, none of which brought much, before it gives up.
    pause: seconds before the second attempt; every further pause is twice as long.

  Returns:
    path.

  Raises:
    UserError: for an address that is not http or https, or a file that is too large or in the way.
    RunError: when the file cannot be fetched, or differs from its checksum.
  """
  path = os.fspath(path)
  web.check_address(url)
  if os.path.isdir(path):
    raise UserError(f'{path} is a folder: name the file that {url} is to be saved as.')
  digest = None
  if not os.path.exists(path):
    with _locked(path) as file:
      if not os.path.exists(path):  # else another process has just fetched it
        download = _Download(url, path, file, size, max_bytes, timeout)
        _receive_all(download, attempts, pause)
        os.fsync(file.fileno())
        digest = slim_files.sha256(download.part)
        known = checksums.known(path, sha256)
        if known not in (None, digest):
          download.forget()
          raise RunError(
            f'{url} has the SHA-256 {digest}, where {checksums.source(path, sha256)} {known}: it '
            'is not kept.'
          )
        os.replace(download.part, path)
        _remove(download.note)
  digest = digest or slim_files.sha256(path)
  known = checksums.known(path, sha256)
  if known not in (None, digest):
    raise RunError(
      f'{path} has the SHA-256 {digest}, where {checksums.source(path, sha256)} {known}: move it '
      'away to fetch it again.'
    )
  checksums.record(path, digest)
  return path


def describe_size(num_bytes):
  """Returns a number of bytes in words: '512 bytes', '95.1 MB'."""
  for unit, one in (('GB', 1000**3), ('MB', 1000**2), ('kB', 1000)):
    if num_bytes >= one:
      return f'{num_bytes / one:.1f} {unit}'
  return f'{num_bytes} bytes'


def _is_note(value):
  """Whether a JSON value is what `_Download` notes of a file on its way."""
  kinds = {'url': str, 'validator': str, 'size': (int, type(None))}
  return isinstance(value, dict) and all(
    key in value and isinstance(value[key], kind) for key, kind in kinds.items()
  )


class _Broken(Exception):
  """A connection that ended before the file did; trying again may help."""


class _Download:
  """One file on its way: what is known of it, and the part of it that is here."""

  def __init__(self, url, path, file, size, max_bytes, timeout):
    self.url, self.path, self.size = url, path, size
    self.part, self.note = f'{path}.part', f'{path}.part.json'
    self.reached = False  # whether the server has answered in this call
    self._file, self._known_size = file, size
    self._max_bytes, self._timeout = max_bytes, timeout
    self._validator = None  # the ETag or date by which the server knows the file as it was
    self._recall()

  def _recall(self):
    try:
      note = slim_files.read_json(self.note)
    except (OSError, ValueError):
      note = {}
    if _is_note(note) and note['url'] == self.url:
      self._validator, self.size = note['validator'], note['size']
    else:
      self._start_over()

  def _start_over(self):
    self._file.truncate(0)
    self._validator, self.size = None, self._known_size

  def forget(self):
    """Removes what has been received."""
    self._start_over()
    _remove(self.note)

  def received(self):
    """Returns how many bytes are here."""
    return self._file.seek(0, os.SEEK_END)

  def is_complete(self):
    return bool(self.size) and self.received() == self.size

  def receive(self):
    """Receives what is missing in one connection; raises _Broken when that is cut."""
    headers = {'Accept-Encoding': 'identity', 'User-Agent': 'slim-finetune'}
    if self.received() and self._validator:
      headers |= {'Range': f'bytes={self.received()}-', 'If-Range': self._validator}
    request = urllib.request.Request(self.url, headers=headers)
    try:
      with web.opener().open(request, timeout=self._timeout) as response:
        self.reached = True
        self._take_headers(response)
        self._take_body(response)
    except urllib.error.HTTPError as error:
      error.close()
      if error.code == _RANGE_REFUSED:
        self._start_over()
      elif error.code not in _BUSY:
        raise
      self.reached = True
      raise _Broken(_answer(error)) from None

  def _take_headers(self, response):
    """Compares the answer with the part that is here, and says what begins."""
    if response.headers.get_content_type() == 'text/html':
      raise RunError(
        f'{self.url} answers with a web page in place of a file: is a login or a proxy in between?'
      )
    resumes = response.status == http.client.PARTIAL_CONTENT
    if resumes:
      start, size = web.content_range(response)
      if start != self.received() or size != self.size or self._is_other(response):
        self._start_over()
        raise _Broken('the file has changed on the server')
    else:
      self._start_over()
      self._validator = web.validator(response)
      length = response.headers.get('Content-Length')
      if not response.chunked and not (length or '').isdecimal():
        raise RunError(f'{self.url} comes without its size, so that a cut would go unnoticed.')
      self._take_size(None if response.chunked else int(length))
    slim_files.write_json(
      self.note, {'url': self.url, 'validator': self._validator, 'size': self.size}
    )
    size = describe_size(self.size) if self.size is not None else 'size unknown'
    begins = f', from {describe_size(self.received())} on' if resumes else ''
    print(f'Fetching {os.path.basename(self.path)} ({size}{begins}): {self.url}', file=sys.stderr)

  def _is_other(self, response):
    """Whether a server that overlooks If-Range sends the rest of another file."""
    validator = web.validator(response)
    return validator is not None and validator != self._validator

  def _take_size(self, size):
    if self._known_size is not None and size not in (None, self._known_size):
      raise RunError(f'{self.url} has {size} bytes, where {self._known_size} are expected.')
    self.size = self._known_size if size is None else size
    if self.size is None:
      return
    self._check_limit(self.size)
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(self.path))).free
    if self.size > free:
      raise RunError(
        f'{self.url} has {describe_size(self.size)}, and {describe_size(free)} are free for '
        f'{self.path}: make room, or choose another folder.'
      )

  def _check_limit(self, size):
    if size > self._max_bytes:
      raise UserError(
        f'{self.url} has {"more than " if self.size is None else ""}{describe_size(size)}, above '
        f'the limit of {describe_size(self._max_bytes)} for a download.'
      )

  def _take_body(self, response):
    received = self.received()
    bar = tqdm(
      total=self.size,
      initial=received,
      unit='B',
      unit_scale=True,
      dynamic_ncols=True,
      disable=not sys.stderr.isatty(),
    )
    with bar:
      for block in iter(lambda: response.read1(_BLOCK), b''):
        received += len(block)
        if self.size is None and received > self._max_bytes:
          self._start_over()
          self._check_limit(received)
        if self.size is not None and received > self.size:
          size = self.size
          self.forget()
          raise RunError(f'{self.url} sends more than the {size} bytes it has: it is not kept.')
        self._write(block)
        bar.update(len(block))
    if self.size is not None and received < self.size:
      raise _Broken(f'it ended after {received} of {self.size} bytes')

  def _write(self, block):
    try:
      while block:
        block = block[self._file.write(block) :]
    except OSError as error:
      raise RunError(f'{self.part} cannot be written: {error.strerror}.') from None


def _receive_all(download, attempts, pause):
  """Receives the whole file, in several connections if need be."""
  failures = 0
  while not download.is_complete():
    before = download.received()
    try:
      download.receive()
      break
    except (_Broken, http.client.HTTPException, OSError) as error:
      if download.received() - before >= _PROGRESS:
        failures = 0
      failures += 1
      if failures >= attempts or _is_final(error, download):
        raise RunError(_by_hand(download, _reason(error))) from None
      seconds = pause * 2 ** (failures - 1)
      print(
        f'The connection broke ({_reason(error)}): once more in {seconds:g} s.', file=sys.stderr
      )
      time.sleep(seconds)


def _is_final(error, download):
  """Whether trying again is no use: a refusal, or a server that cannot even be reached."""
  refused = isinstance(error, urllib.error.HTTPError)
  return refused or (isinstance(error, urllib.error.URLError) and not download.reached)


def _reason(error):
  if isinstance(error, urllib.error.HTTPError):
    return _answer(error)
  error = getattr(error, 'reason', error)
  return getattr(error, 'strerror', None) or str(error) or type(error).__name__


def _answer(error):
  return f'the server answers {error.code} {error.reason}'


def _by_hand(download, reason):
  """Returns the sentence that says what to do when a file cannot be fetched."""
  size = f' ({describe_size(download.size)})' if download.size else ''
  kept = f', or try again: {download.part} is kept' if download.received() else ''
  return (
    f'{download.url} cannot be fetched ({reason}): fetch it by hand{size} and put it at '
    f'{download.path}{kept}.'
  )


@contextlib.contextmanager
def _locked(path):
  """Opens `<path>.part` for this process alone, in a new folder maybe; an empty one goes."""
  part = f'{path}.part'
  try:
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    opened = open(part, 'a+b', buffering=0)  # noqa: SIM115 (closed below)
  except OSError as error:
    raise not_writable(part, error) from None
  with opened as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise UserError(f'Another process is fetching {path}: wait for it.') from None
    try:
      yield file
    finally:
      if os.path.exists(part) and not os.path.getsize(part):
        _remove(part)
        _remove(f'{path}.part.json')


def _remove(path):
  with contextlib.suppress(FileNotFoundError):
    os.unlink(path)
