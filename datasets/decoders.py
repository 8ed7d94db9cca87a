"""Reads pictures in worker processes, so that a file that crashes or hangs one costs only itself.

The workers are plain subprocesses: those of `multiprocessing` would import the user's own main
module again, and run it where it does not expect that.
"""

import collections
import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor  # a signal during a later import would be lost
from multiprocessing import connection

from datasets import decode_worker
from slim_errors import RunError

# Of computing, after which a decoder hangs.
DECODE_SECONDS = 10
# Without a sign of life, for a worker that waits rather than computes.
SILENCE_SECONDS = 60

# What workers do with a file.
READ_PICTURE = 'datasets.pictures:read_picture'

# A worker gets several files at once, for each answer wakes up the parent.
_FILES_AT_ONCE, _BYTES_AT_ONCE = 32, 1 << 20
# Files are read ahead until they have so many bytes.
_AHEAD_BYTES = 32 << 20

_REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PROGRAM = (
  'import sys; arguments = eval(sys.argv[1]); sys.path[:] = arguments[0]; '
  'from datasets import decode_worker; decode_worker.main(*arguments[1:])'
)


def default_count(max_pixels):
  """Returns how many workers to use: one a core, while their memory has room in the machine's."""
  cores = len(os.sched_getaffinity(0))
  memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  return max(1, min(cores, memory // decode_worker.address_space(max_pixels)))


class Decoders:
  """So many worker processes. Use as a context, at whose end they are gone."""

  def __init__(
    self,
    count,
    max_pixels,
    jpeg_quality=None,
    decode_seconds=DECODE_SECONDS,
    silence_seconds=SILENCE_SECONDS,
    reader=READ_PICTURE,
  ):
    """Starts the workers.

    Args:
      count: of workers.
      max_pixels: as for image_files.readable_bytes.
      jpeg_quality: the same.
      decode_seconds: of computing after which a decoder counts as hanging.
      silence_seconds: the same for one that waits for something.
      reader: 'MODULE:FUNCTION' that workers call instead of pictures.read_picture. It is given the
        path (bytes), what `span` of an image holds, max_pixels, jpeg_quality and when_decoded.
    """
    self._is_closed = False
    self._workers = []
    try:
      for _ in range(count):
        self._workers.append(
          _Worker(decode_seconds, silence_seconds, max_pixels, jpeg_quality, reader)
        )
    except BaseException:
      self._end_workers()
      raise
    self._idle = queue.SimpleQueue()
    for worker in self._workers:
      self._idle.put(worker)
    self._threads = ThreadPoolExecutor(count)

  @property
  def count(self):
    """Number of workers."""
    return len(self._workers)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._is_closed = True
    self._threads.shutdown(wait=False, cancel_futures=True)
    self._end_workers()
    self._threads.shutdown()
    for worker in self._workers:
      worker.close()

  def _end_workers(self):
    for worker in self._workers:
      worker.kill()

  def in_order(self, images):
    """Starts reading, and returns an iterator over (image, Picture or reason) in the same order.

    Args:
      images: iterable of image_folder.ImageFile, or of others with a `path`, and with `span`, the
        (start, length) of the picture in that file, when it does not fill it.
    """
    parts = _parts(images)
    pending, sizes = collections.deque(), collections.deque()

    def read_ahead():
      while sum(sizes) < _AHEAD_BYTES or len(sizes) < 2 * len(self._workers):
        part, size = next(parts, (None, None))
        if part is None:
          return
        pending.append((part, self._threads.submit(self._read, list(map(_job, part)))))
        sizes.append(size)

    def results():
      while pending:
        part, future = pending.popleft()
        yield from zip(part, future.result(), strict=True)
        sizes.popleft()
        read_ahead()

    read_ahead()
    return results()

  def _read(self, jobs):
    """Returns a list of Pictures and reasons. Runs in one of the threads."""
    worker = self._idle.get()
    found, tries, left = {}, collections.Counter(), list(range(len(jobs)))
    try:
      while left:
        try:
          found.update(zip(left, worker.read([jobs[number] for number in left]), strict=True))
          left = []
        except _WorkerEnded as ended:
          if self._is_closed:
            raise
          worker.start()
          number = left[ended.position]
          tries[number] += 1
          # Whoever was killed from outside is innocent, and gets through the second time.
          if ended.took_too_long or tries[number] == 2:
            found[number] = str(ended)
            left.remove(number)
    finally:
      self._idle.put(worker)
    return [found[number] for number in range(len(jobs))]


class _WorkerEnded(Exception):
  """A worker is gone; the message says why."""

  def __init__(self, message, position, took_too_long):
    super().__init__(message)
    self.position = position  # of the file in the list that the worker was given
    self.took_too_long = took_too_long


class _Worker:
  """One process and the socket to it."""

  def __init__(self, decode_seconds, silence_seconds, max_pixels, jpeg_quality, reader):
    self._decode_seconds, self._silence_seconds = decode_seconds, silence_seconds
    self._arguments = (decode_seconds, max_pixels, jpeg_quality, reader)
    self._process = None
    # The worker notes here which of its files it reads.
    self._notes = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
    try:
      self.start()
    except BaseException:
      self._notes.close()
      raise

  def start(self):
    """Starts a process, in place of one that ended."""
    if self._process:
      self._link.close()
    ours, its = socket.socketpair()
    self._link, self._is_ready = connection.Connection(ours.detach()), False
    with its:
      open_files = (its.fileno(), self._notes.fileno())
      arguments = ([_REPO, *map(str, sys.path)], *open_files, os.getpid(), *self._arguments)
      try:
        self._process = subprocess.Popen(
          [sys.executable, '-c', _PROGRAM, repr(arguments)],
          stdin=subprocess.DEVNULL,
          stdout=subprocess.DEVNULL,
          pass_fds=open_files,
          start_new_session=True,  # Ctrl-C is for the parent, who ends its workers
        )
      except OSError as error:
        raise RunError(f'No process to decode pictures can be started: {error.strerror}.') from None

  def read(self, jobs):
    """Returns what is in files: a list of Pictures and reasons.

    Raises:
      _WorkerEnded: the worker has crashed, or hung and was killed.
      RunError: it ended before it could read anything.
    """
    silent = False
    try:
      self._wait_for_start()
      os.ftruncate(self._notes.fileno(), 0)  # it is of the files before
      self._link.send(jobs)
      answer = None
      while answer is None and not silent:
        silent = not self._link.poll(self._silence_seconds)
        answer = None if silent else self._link.recv()
      if not silent:
        return answer
    except (EOFError, OSError):
      pass
    self.kill()
    raise self._ended(silent)

  def _wait_for_start(self):
    if self._is_ready:
      return
    try:
      self._link.recv()
    except (EOFError, OSError):
      code = self._process.wait()
      raise RunError(f'A process to decode pictures ended at its start with code {code}.') from None
    self._is_ready = True

  def _ended(self, silent):
    code = self._process.returncode
    if silent:
      message = f'decoding stood still for {self._silence_seconds} s'
    elif code == -signal.SIGPROF:
      message = f'decoding takes more than {self._decode_seconds} s'
    else:
      how = signal.Signals(-code).name if code < 0 else f'exit code {code}'
      message = f'its decoder crashes: {how}'
    position = int(os.pread(self._notes.fileno(), 8, 0) or b'0', 16)
    return _WorkerEnded(message, position, silent or code == -signal.SIGPROF)

  def kill(self):
    """Ends the process, whatever it does."""
    self._process.kill()
    self._process.wait()

  def close(self):
    self.kill()
    self._link.close()
    self._notes.close()


def _job(image):
  """Returns what a worker is told of an image: its path, and its span if it has one."""
  return os.fsencode(image.path), *(getattr(image, 'span', None) or ())


def _size(image):
  """Returns the number of bytes of an image."""
  span = getattr(image, 'span', None)
  return span[1] if span else os.path.getsize(image.path)


def _parts(images):
  """Yields (up to _FILES_AT_ONCE images of some _BYTES_AT_ONCE together, their bytes)."""
  part, size = [], 0
  for image in images:
    part.append(image)
    with contextlib.suppress(OSError):
      size += _size(image)
    if len(part) == _FILES_AT_ONCE or size >= _BYTES_AT_ONCE:
      yield part, size
      part, size = [], 0
  if part:
    yield part, size
