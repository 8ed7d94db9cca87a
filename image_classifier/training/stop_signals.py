"""Ctrl-C and SIGTERM: the first asks a run to stop, the second ends the process."""

import contextlib
import os
import signal
import threading

from slim_compat import tf

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def collected(what_follows='saving after this step'):
  """Collects SIGINT and SIGTERM in the list it yields; a second one ends the process at once.

  Python's own handlers wait for the end of the step in TensorFlow, which may never come where the
  input hangs; therefore a thread reads the signals.

  Args:
    what_follows: what the first signal leads to, for the message.
  """
  received = []
  reader, writer = os.pipe()
  os.set_blocking(writer, False)  # as signal.set_wakeup_fd wants it
  thread = threading.Thread(target=_collect, args=(reader, received, what_follows), daemon=True)
  thread.start()
  # In an order in which no signal falls between two ways of hearing it.
  old_writer = signal.set_wakeup_fd(writer)
  old = {number: signal.signal(number, lambda number, frame: None) for number in _NUMBERS}
  try:
    yield received
  finally:
    for number, handler in old.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(old_writer)
    os.close(writer)  # which ends the thread
    thread.join()
    os.close(reader)


def _collect(reader, received, what_follows):
  while data := os.read(reader, 1):
    number = data[0]
    if number not in _NUMBERS:
      continue
    if received:
      os._exit(128 + number)
    received.append(number)
    tf.logging.info('Signal %d: %s; once more stops at once.', number, what_follows)
