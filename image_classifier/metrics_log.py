"""metrics.jsonl: one line of JSON for every logged step of a run, for scripts and spreadsheets."""

import json
import os

import slim_files
from image_classifier import saving
from slim_compat import tf

FILE_NAME = 'metrics.jsonl'


class MetricsLog:
  """Appends lines; a resumed run first drops those after the step it starts from."""

  def __init__(self, train_dir, first_step):
    self._path = os.path.join(train_dir, FILE_NAME)
    self._waiting = []
    if os.path.exists(self._path):
      kept = [line for line in _lines(self._path) if json.loads(line)['step'] <= first_step]
      slim_files.write_atomically(self._path, ''.join(kept))

  def add(self, **values):
    """Adds a line; with a full disk it waits for the next call."""
    self._waiting.append(json.dumps(values) + '\n')
    size = os.path.getsize(self._path) if os.path.exists(self._path) else 0
    try:
      with open(self._path, 'a', encoding='utf-8') as file:
        file.write(''.join(self._waiting))
    except OSError as error:
      if not saving.is_disk_full(error):
        raise
      os.truncate(self._path, size)
      message = '%s cannot be written, the disk is full: its lines wait for room.'
      tf.logging.log_first_n(tf.logging.WARNING, message, 1, self._path)
    else:
      self._waiting.clear()


def _lines(path):
  """Returns the lines of the file without one that a crash has cut."""
  with open(path, encoding='utf-8') as file:
    return [line for line in file if line.endswith('\n')]
