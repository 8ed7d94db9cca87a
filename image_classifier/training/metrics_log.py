"""metrics.jsonl: a line of JSON for every logged step and evaluation of a run; and metrics.csv."""

import csv
import io
import json
import os

import slim_files
from image_classifier import saving
from slim_compat import tf

FILE_NAME = 'metrics.jsonl'
CSV_NAME = 'metrics.csv'
_INTERVAL = ('accuracy_low', 'accuracy_high')
_COLUMNS = ('step', 'split', 'loss', 'accuracy', 'learning_rate', *_INTERVAL)


class MetricsLog:
  """Appends lines; a resumed run first drops those after the step it starts from."""

  def __init__(self, train_dir, first_step):
    self._path = os.path.join(train_dir, FILE_NAME)
    self._waiting = []
    self._size = _size_of_lines(self._path, first_step)
    if os.path.exists(self._path):
      os.truncate(self._path, self._size)  # which a full disk allows

  def add(self, **values):
    """Adds a line; with a full disk it waits for the next one, or for `sync`."""
    self._waiting.append(json.dumps(values) + '\n')
    self._write()

  def sync(self):
    """Returns when all lines are on the disk, as far as there is room."""
    if self._waiting:
      self._write()
    if os.path.exists(self._path):
      slim_files.sync(self._path)

  def _write(self):
    content = ''.join(self._waiting).encode()
    try:
      with open(self._path, 'ab') as file:
        file.write(content)
    except OSError as error:
      if not saving.is_disk_full(error):
        raise
      if os.path.exists(self._path):
        os.truncate(self._path, self._size)
      message = '%s cannot be written, the disk is full: its lines wait for room.'
      tf.logging.log_first_n(tf.logging.WARN, message, 1, self._path)
    else:
      self._size += len(content)
      self._waiting.clear()


def read(train_dir):
  """Returns the lines of a run as dicts; those of evaluations have a 'split'."""
  path = os.path.join(train_dir, FILE_NAME)
  if not os.path.exists(path):
    return []
  with open(path, encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def write_csv(train_dir, train_split):
  """Writes metrics.csv anew; where the disk is full the old one stays, and the run goes on.

  Args:
    train_dir: folder of the run.
    train_split: name of the split that is trained on.
  """
  text = io.StringIO()
  table = csv.DictWriter(text, _COLUMNS, restval='', extrasaction='ignore', lineterminator='\n')
  table.writeheader()
  for line in read(train_dir):
    ends = dict(zip(_INTERVAL, line.get('accuracy_interval', ()), strict=False))
    table.writerow({'split': train_split, **line, **ends})
  path = os.path.join(train_dir, CSV_NAME)
  try:
    slim_files.write_atomically(path, text.getvalue())
  except OSError as error:
    if not saving.is_disk_full(error):
      raise
    tf.logging.log_first_n(tf.logging.WARN, '%s cannot be written, the disk is full.', 1, path)


def _size_of_lines(path, last_step):
  """Returns how many bytes of the file are whole lines of steps up to `last_step`."""
  size = 0
  if os.path.exists(path):
    with open(path, 'rb') as file:
      for line in file:
        if not (line.endswith(b'\n') and _step(line) <= last_step):
          break
        size += len(line)
  return size


def _step(line):
  """Returns the step of a line; one that a power cut has spoilt is after all steps."""
  try:
    return json.loads(line)['step']
  except (ValueError, KeyError, TypeError):
    return float('inf')
