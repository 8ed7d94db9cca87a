"""A fresh process for every measurement: memory, sessions and threads of none outlive it."""

import concurrent.futures
import multiprocessing
import os
import sys
import tempfile

_SHOWN_BYTES = 4000  # of the output of what failed


def in_own_process(function, **arguments):
  """Calls a function in a fresh process and returns its result.

  Its output is held back, and the end of it shown when the function raises or the process dies.
  """
  context = multiprocessing.get_context('spawn')
  with (
    tempfile.NamedTemporaryFile() as output,
    concurrent.futures.ProcessPoolExecutor(
      1, context, initializer=_write_to, initargs=(output.name,)
    ) as pool,
  ):
    try:
      return pool.submit(function, **arguments).result()
    except BaseException:
      sys.stderr.write(output.read()[-_SHOWN_BYTES:].decode('utf-8', 'replace'))
      raise


def _write_to(path):
  """Sends standard output and error of this process to a file."""
  file = os.open(path, os.O_WRONLY | os.O_APPEND)
  for stream in (1, 2):
    os.dup2(file, stream)
  for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(line_buffering=True)  # else the parent may look before it is written
