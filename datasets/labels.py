"""Label files: `label.txt` holds one class name a line, research/slim's `labels.txt` `id:name`."""

import os
import re
import unicodedata

import slim_files
from slim_errors import UserError

LABEL_FILE = 'label.txt'
SLIM_LABEL_FILE = 'labels.txt'
_ID_AND_NAME = re.compile(r'(\d+):(.*)', re.DOTALL)


def normalized(name):
  """Returns a class name in the form that is compared and stored: Unicode NFC."""
  return unicodedata.normalize('NFC', name)


def read_labels(path):
  """Reads a label file of either kind; a byte-order mark, CRLF and blank last lines are fine.

  A file called label.txt holds names only. In any other, `id:name` is taken apart when every line
  has that form; only the first colon separates.

  Args:
    path: the label file.

  Returns:
    {label (int): class name (str)}, in the order of the file.

  Raises:
    UserError: the file is missing, is not UTF-8, or gives a label twice or not at all.
  """
  lines = _lines(path)
  matches = [_ID_AND_NAME.fullmatch(line) for line in lines]
  if os.path.basename(path) != LABEL_FILE and all(matches):
    pairs = [(int(match[1]), match[2]) for match in matches]
  else:
    pairs = list(enumerate(lines))
  _check_unique(path, [label for label, _ in pairs], 'label')
  return dict(pairs)


def read_class_names(path):
  """Returns the names of a label file in the order of their labels, each of them once.

  Folders of pictures need that; ImageNet's own list names two classes 'crane'.
  """
  names = list(read_labels(path).values())
  _check_unique(path, names, 'class')
  return names


def class_names(dataset, labels_offset=0):
  """Returns the names of a net's classes; a class without a name gets its label.

  Args:
    dataset: slim.dataset.Dataset.
    labels_offset: the first label that the net knows.
  """
  names = dataset.labels_to_names or {}
  return [str(names.get(label, label)) for label in range(labels_offset, dataset.num_classes)]


def find_labels(folder):
  """Returns the path of the label file in a folder, label.txt before labels.txt, or None."""
  for name in (LABEL_FILE, SLIM_LABEL_FILE):
    path = os.path.join(folder, name)
    if os.path.isfile(path):
      return path
  return None


def write_label_file(path, class_names):
  """Writes one class name a line, in the order of the labels 0, 1, 2 ..."""
  slim_files.write_atomically(path, ''.join(f'{name}\n' for name in class_names))


def _lines(path):
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      text = file.read()
  except UnicodeDecodeError:
    raise UserError(f'{path} is not UTF-8 text: save it as UTF-8.') from None
  except OSError as error:
    raise UserError(f'{path} cannot be read ({error.strerror}).') from None
  # Not splitlines(), which would cut names at other Unicode separators.
  lines = [normalized(line.removesuffix('\r')) for line in text.split('\n')]
  while lines and not lines[-1].strip():
    lines.pop()
  if not lines:
    raise UserError(f'{path} is empty: write one class name a line.')
  for number, line in enumerate(lines, 1):
    if not line.strip():
      raise UserError(f'{path} line {number} is blank, so the labels after it are unclear.')
  return lines


def _check_unique(path, values, kind):
  first = {}
  for number, value in enumerate(values, 1):
    if value in first:
      raise UserError(f'{path} has {kind} {value!r} twice, in lines {first[value]} and {number}.')
    first[value] = number
