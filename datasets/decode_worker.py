"""The process in which decoders run: what a file does to them ends here.

Started by datasets/decoders.py as `python -c`, with one end of a socket. It imports Pillow, and no
TensorFlow. A decoder that computes for too long is killed by the kernel, in the middle of its work.
"""

import ctypes
import functools
import importlib
import os
import resource
import signal
import sys
import time
from multiprocessing import connection

from PIL import Image

from datasets import image_files, pictures

# Bytes of memory that repairing takes for a pixel, at worst: five pictures of four bytes, the
# encoded one and its copies.
_BYTES_PER_PIXEL = 32
_COPIES_OF_A_FILE = 6
_OWN_BYTES = 512 << 20
# Encoding of larger pictures takes so long that the parent is told that it goes on.
_LARGE_PIXELS = 4_000_000
# The same, after so long, between two files of a list.
_SIGN_OF_LIFE_SECONDS = 1

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


def address_space(max_pixels, file_bytes=0):
  """Returns how many bytes of memory a worker may take to read one file."""
  return _OWN_BYTES + _BYTES_PER_PIXEL * max_pixels + _COPIES_OF_A_FILE * file_bytes


def main(descriptor, notes, parent, seconds, max_pixels, jpeg_quality, reader):
  """Answers lists of jobs, (path as bytes, ...), with lists of results until the parent is gone.

  Args:
    descriptor: number of the open socket.
    notes: number of an open file, to write in which file of a list is being read.
    parent: process id of the parent.
    seconds: of computing after which a decoder is killed.
    max_pixels: as for image_files.readable_bytes.
    jpeg_quality: the same.
    reader: 'MODULE:FUNCTION' that makes the result of a job.
  """
  _die_with(parent)
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
  link = connection.Connection(descriptor)
  Image.init()
  module, _, function = reader.partition(':')
  read = getattr(importlib.import_module(module), function)
  # C libraries print their remarks about a damaged file.
  os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
  try:
    link.send('ready')
    while True:
      answers, sign_of_life = [], time.monotonic()
      for position, job in enumerate(link.recv()):
        os.pwrite(notes, b'%08x' % position, 0)
        answers.append(_answer(link, read, job, seconds, max_pixels, jpeg_quality))
        if time.monotonic() > sign_of_life + _SIGN_OF_LIFE_SECONDS:
          link.send(None)
          sign_of_life = time.monotonic()
      link.send(answers)
  except (EOFError, OSError):  # the parent is done, or gone
    sys.exit()


def _die_with(parent):
  """Has the kernel kill this process when its parent ends, however that ends."""
  if sys.platform == 'linux':
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
  if os.getppid() != parent:
    sys.exit()


def _answer(link, read, job, seconds, max_pixels, jpeg_quality):
  def when_decoded(image):
    signal.setitimer(signal.ITIMER_PROF, 0)
    if image.width * image.height > _LARGE_PIXELS:
      link.send(None)

  try:
    _limit_memory(address_space(max_pixels, _size(job[0])))
    # Nobody handles SIGPROF: it ends the process.
    signal.setitimer(signal.ITIMER_PROF, seconds)
    return read(*job, max_pixels=max_pixels, jpeg_quality=jpeg_quality, when_decoded=when_decoded)
  except MemoryError:
    return image_files.TOO_LITTLE_MEMORY
  finally:
    signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory(size):
  """Limits what this process may take beyond what its modules, such as NumPy, have reserved."""
  size += _reserved()
  _, most = resource.getrlimit(resource.RLIMIT_AS)
  if most != resource.RLIM_INFINITY:
    size = min(size, most)
  resource.setrlimit(resource.RLIMIT_AS, (size, most))


@functools.cache
def _reserved():
  """Returns the bytes of address space that were taken when the first file came."""
  try:
    with open('/proc/self/statm', encoding='ascii') as file:
      return int(file.read().split()[0]) * os.sysconf('SC_PAGE_SIZE')
  except OSError:  # no Linux
    return 0


def _size(path):
  try:
    return min(os.path.getsize(path), pictures.MAX_FILE_BYTES)
  except OSError:
    return 0
