"""Label files: `label.txt` holds one class name a line, research/slim's `labels.txt` `id:name`.

The labels of records count from 0, or from 1 behind a background class 0, as those of
tensorflow/inception and ImageNet do.
"""

import os
import re
import unicodedata

import slim_files
import slim_text
from slim_errors import UserError

LABEL_FILE = 'label.txt'
SLIM_LABEL_FILE = 'labels.txt'
BACKGROUND = 'background'
_ID_AND_NAME = re.compile(r'\d{1,9}:.*', re.DOTALL)
_MAX_BYTES = 16 * 1024**2  # of a label file; ImageNet's longest list of 21,841 names has 1 MB


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
  if _is_numbered(path, lines):
    pairs = [(int(number), name) for number, _, name in (line.partition(':') for line in lines)]
  else:
    pairs = list(enumerate(lines))
  _check_unique(path, [label for label, _ in pairs], 'label')
  return dict(pairs)


def is_numbered(path):
  """Whether a label file says which number each name has, in lines `id:name`."""
  return _is_numbered(path, _lines(path))


def _is_numbered(path, lines):
  is_plain = os.path.basename(path) == LABEL_FILE
  return not is_plain and all(_ID_AND_NAME.fullmatch(line) for line in lines)


def read_class_names(path):
  """Returns the names of a label file in the order of their labels, each of them once.

  Folders of pictures need that; ImageNet's own list names two classes 'crane'.
  """
  return _unique_names(path, list(read_labels(path).values()))


def read_plain_names(path):
  """Returns the lines of a file of class names without blanks around them, each of them once."""
  return _unique_names(path, [line.strip() for line in _lines(path)])


def _unique_names(path, names):
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


def behind_background(names):
  """Returns {label: class name} of names in the order of the labels 1, 2, 3 ..."""
  return dict(enumerate([BACKGROUND, *names]))


def find_base(names, labels_and_names):
  """Finds out whether records count their labels from 0 or from 1.

  Args:
    names: list of the class names without background, in the order of their labels.
    labels_and_names: iterable of (label, class name or None) of records.

  Returns:
    0 or 1; None when the records do not decide.
  """
  bases = {0, 1}
  for label, name in labels_and_names:
    if label <= 0:
      return 0
    if name is None:
      bases -= {0} if label == len(names) else set()
    else:
      bases = {base for base in bases if names[label - base : label - base + 1] == [name]}
  return bases.pop() if len(bases) == 1 else None


def has_background(labels_to_names):
  """Whether label 0 stands for no class: it is called background, or has no name."""
  return labels_to_names.get(0, BACKGROUND) == BACKGROUND


def base_of(dataset):
  """Returns what the labels of a slim.dataset.Dataset count from: 1 behind a background, else 0.

  A class that is called background and has pictures is a class like others.
  """
  names = dataset.labels_to_names
  has_pictures = getattr(dataset, 'smallest_label', None) == 0
  return int(bool(names) and has_background(names) and not has_pictures)


def describe_base(dataset, labels_offset=0):
  """Returns one sentence on the number that the labels of a data set count from.

  Args:
    dataset: slim.dataset.Dataset.
    labels_offset: what training takes off every label.
  """
  names = dataset.labels_to_names or dict(enumerate(class_names(dataset)))
  names = {label: slim_text.shown(name) for label, name in names.items()}
  smallest = getattr(dataset, 'smallest_label', None)
  base = base_of(dataset)
  sentence = f'Labels count from {base} ({names.get(base)}) to {max(names)} ({names[max(names)]})'
  if base:
    net = f'the net has {dataset.num_classes - labels_offset} classes'
    how = f'{labels_offset} leaves' if labels_offset else '1 would leave'
    return f'{sentence}, 0 is the background: {net}, --labels_offset={how} it out.'
  if smallest:
    return (
      f'{sentence}, but no record has a label below {smallest}: if they count from 1, '
      f'write {BACKGROUND} as the first line of the label file.'
    )
  return f'{sentence}.'


def check_offset(dataset, labels_offset):
  """Raises UserError when --labels_offset would leave out a class that has pictures."""
  smallest = getattr(dataset, 'smallest_label', None)
  if smallest is not None and smallest < labels_offset:
    raise UserError(
      f'--labels_offset={labels_offset} leaves out the label {smallest} '
      f'({dataset.labels_to_names.get(smallest)}), which has pictures: '
      f'{f"give --labels_offset={smallest}" if smallest else "leave the flag out"}, '
      f'the labels count from {smallest}.'
    )


def write_label_file(path, class_names):
  """Writes one class name a line, in the order of the labels 0, 1, 2 ..."""
  slim_files.write_atomically(path, ''.join(f'{name}\n' for name in class_names))


def write_numbered_file(path, labels_to_names):
  """Writes research/slim's `label:name` lines."""
  lines = (f'{label}:{name}\n' for label, name in sorted(labels_to_names.items()))
  slim_files.write_atomically(path, ''.join(lines))


def _lines(path):
  try:
    text = slim_files.read_bytes(path, _MAX_BYTES).decode('utf-8-sig')
  except UnicodeDecodeError:
    raise UserError(f'{path} is not UTF-8 text: save it as UTF-8.') from None
  except ValueError as error:
    raise UserError(f'{path} cannot be read ({error}): name a file of class names.') from None
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
