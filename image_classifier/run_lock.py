"""One process at a time in a train_dir."""

import contextlib
import errno
import fcntl
import os
import socket

from slim_compat import tf
from slim_errors import UserError

FILE_NAME = '.lock'
# What file systems answer that know no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(train_dir):
  """Keeps other processes out of a train_dir while the context lasts.

  The lock ends with the process that holds it, however that ends; the file stays and says whose it
  was.

  Raises:
    UserError: another process trains there; it is named.
  """
  handle = os.open(os.path.join(train_dir, FILE_NAME), os.O_RDWR | os.O_CREAT, 0o666)
  with open(handle, 'r+', encoding='utf-8', errors='replace') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      owner = file.read().strip() or 'another process'
      raise UserError(
        f'{train_dir} is in use by {owner}: wait for it to end, or choose another --train_dir.'
      ) from None
    except OSError as error:
      if error.errno not in NO_LOCKS:
        raise
      tf.logging.warning('%s cannot be locked: keep other runs out of it yourself.', train_dir)
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    yield
