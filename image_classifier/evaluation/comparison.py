"""Which of two models is better, judged by their answers to the same images."""

import csv
import io
import math
import typing

import slim_files
import slim_text
from image_classifier.evaluation import metrics
from slim_errors import UserError

# From so many images that only one model gets right, the chi-square distribution is near enough.
_LEAST_FOR_CHI_SQUARE = 25
_SIGNIFICANT = 0.05
_COLUMNS = ('file', 'truth', 'prediction_1', 'probability_1', 'correct')
_OF_EACH = ('prediction_a', 'probability_a', 'prediction_b', 'probability_b')
_DIFFERING_COLUMNS = ('file', 'truth', 'right', *_OF_EACH)
_MAX_CSV_BYTES = 1024**3


class Answers(typing.NamedTuple):
  """What one model said: its name, and a row an image, as predictions.csv has them."""

  name: str
  files: list  # '' where the record has no name
  truths: list  # class names
  predictions: list  # class names
  probabilities: list  # of the predictions, as texts
  correct: list  # '1' or '0': two classes may bear one name

  def is_right(self, i):
    return self.correct[i] == '1'


def read(path):
  """Returns the Answers of a predictions.csv.

  Raises:
    UserError: when it cannot be read or is no such file.
  """
  try:
    text = slim_files.read_bytes(path, _MAX_CSV_BYTES).decode('utf-8-sig')
    rows = list(csv.DictReader(io.StringIO(text, newline=''), strict=True))
  except OSError as error:
    raise UserError(f'{path} cannot be read: {error.strerror}.') from None
  except (ValueError, csv.Error) as error:
    raise UserError(f'{path} is no CSV file in UTF-8: {error}.') from None
  if not rows or any(row.get(column) is None for row in rows for column in _COLUMNS):
    raise UserError(
      f'{path} is no predictions.csv of eval_image_classifier.py: it needs rows with the columns '
      f'{", ".join(_COLUMNS)}.'
    )
  return Answers(
    path, *([slim_text.text_of_csv_cell(row[column]) for row in rows] for column in _COLUMNS)
  )


def from_rows(name, rows):
  """Returns Answers, as `read` would, from rows of reports.prediction_rows, header first."""
  header, *rows = rows
  places = [header.index(column) for column in _COLUMNS]
  return Answers(
    name, *([slim_text.shown_lines(str(row[place])) for row in rows] for place in places)
  )


def aligned(one, other):
  """Returns `other` with its rows in the order of `one`.

  Rows that agree in order are taken as they stand; else the files must have names that tell them
  apart.

  Raises:
    UserError: when the two are not about the same images with the same labels.
  """
  keys, other_keys = (list(zip(a.files, a.truths, strict=True)) for a in (one, other))
  if keys == other_keys:
    return other
  places = {key: i for i, key in enumerate(other_keys)}
  missing = [key for key in keys if key not in places]
  if missing or len(keys) != len(other_keys):
    file, truth = (missing or sorted(places.keys() - set(keys)) or keys)[0]
    raise UserError(
      f'{one.name} and {other.name} are not about the same images and labels ({len(keys)} and '
      f'{len(other_keys)}; {file or "an image without a name"} of class {truth} is not in both): '
      'evaluate both on the same split.'
    )
  if len(places) < len(keys) or not all(one.files):
    raise UserError(
      f'{one.name} and {other.name} list their images in another order, and the file names do not '
      'tell them apart: evaluate both on the same split.'
    )
  order = [places[key] for key in keys]
  return Answers(other.name, *([column[i] for i in order] for column in other[1:]))


def compare(a, b):
  """Compares two models on the same images.

  Args:
    a, b: Answers, row by row about the same images.

  Returns:
    A dict that JSON can hold: a and b (name, correct, accuracy, accuracy_interval), num_examples,
    both_right, only_a, only_b, both_wrong, difference (accuracy of b less that of a),
    difference_interval (95 %), p_value, test, and sentence.
  """
  number = len(a.files)
  pairs = [(a.is_right(i), b.is_right(i)) for i in range(number)]
  only_a, only_b = pairs.count((True, False)), pairs.count((False, True))
  both = pairs.count((True, True))
  p_value, test = mcnemar(only_a, only_b)
  figures = {
    'a': _accuracy(a.name, both + only_a, number),
    'b': _accuracy(b.name, both + only_b, number),
    'num_examples': number,
    'both_right': both,
    'only_a': only_a,
    'only_b': only_b,
    'both_wrong': pairs.count((False, False)),
    'difference': (only_b - only_a) / number,
    'difference_interval': difference_interval(only_a, only_b, number),
    'p_value': p_value,
    'test': test,
  }
  return {**figures, 'sentence': _sentence(figures)}


def _accuracy(name, correct, number):
  interval = metrics.interval(correct, number)
  return {
    'name': name,
    'correct': correct,
    'accuracy': correct / number,
    'accuracy_interval': interval,
  }


def mcnemar(only_a, only_b):
  """Tests whether two models are equally good by the images that only one of them gets right.

  McNemar, Psychometrika 12 (1947). Exact where there are fewer than 25 such images, else by the
  chi-square distribution of one degree of freedom with Edwards' continuity correction.

  Args:
    only_a, only_b: how many images only the one and only the other gets right.

  Returns:
    The p-value, in [0, 1], two-sided, and the name of the test.
  """
  number = only_a + only_b
  if number < _LEAST_FOR_CHI_SQUARE:
    fewer = sum(math.comb(number, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * fewer / 2**number), 'exact binomial'
  statistic = max(0, abs(only_a - only_b) - 1) ** 2 / number
  return math.erfc(math.sqrt(statistic / 2)), 'chi-square with continuity correction'


def difference_interval(only_a, only_b, number):
  """Returns the 95 % interval of the accuracy of b less that of a, on the same images.

  Bonett and Price's adjusted Wald interval for paired proportions, which holds for small numbers
  too: Fagerland et al., Statistics in Medicine 33 (2014), https://doi.org/10.1002/sim.6148
  """
  share_a, share_b = (only_a + 1) / (number + 2), (only_b + 1) / (number + 2)
  difference = share_b - share_a
  spread = math.sqrt((share_a + share_b - difference**2) / (number + 2))
  half = metrics.Z_95 * spread
  return [max(-1.0, difference - half), min(1.0, difference + half)]


def _sentence(figures):
  if not figures['only_a'] + figures['only_b']:
    return 'Both are right on the very same images: nothing tells them apart.'
  p_value = figures['p_value']
  percent = 100 * p_value
  shown = f'{percent:.0f}' if percent >= 10 else f'{percent:.2g}'
  chance = f'in {shown} %' if percent >= 0.01 else 'in less than 0.01 %'
  by_chance = f'equally good models differ by chance as much as this or more {chance} of the cases'
  if p_value >= _SIGNIFICANT:
    number = figures['num_examples']
    return f'These {number} images do not tell which is better: {by_chance}.'
  better = 'B' if figures['difference'] > 0 else 'A'
  points = abs(100 * figures['difference'])
  return f'{better} is better, by {points:.1f} percentage points on these images: {by_chance}.'


def text(figures):
  """Returns the figures of `compare` as lines for people."""
  lines = []
  for key in ('a', 'b'):
    row = figures[key]
    low, high = row['accuracy_interval']
    lines.append(
      f'{key.upper()}: accuracy {row["accuracy"]:.4f}  ({row["correct"]} of '
      f'{figures["num_examples"]} right; 95 % interval {low:.4f} to {high:.4f})  {row["name"]}'
    )
  low, high = figures['difference_interval']
  lines += [
    f'B - A: {figures["difference"]:+.4f}  (95 % interval {low:+.4f} to {high:+.4f})',
    f'right on both sides {figures["both_right"]}, only A {figures["only_a"]}, only B '
    f'{figures["only_b"]}, neither {figures["both_wrong"]}',
    f"McNemar's test ({figures['test']}): p = {figures['p_value']:.4g}",
    '',
    figures['sentence'],
  ]
  return slim_text.shown_lines('\n'.join(lines))


def differing_rows(a, b):
  """Returns the images to which two models give different answers, as rows, header first."""
  rows = [_DIFFERING_COLUMNS]
  for i, (said_a, said_b) in enumerate(zip(a.predictions, b.predictions, strict=True)):
    if said_a != said_b:
      right = 'A' if a.is_right(i) else 'B' if b.is_right(i) else ''
      answers = (said_a, a.probabilities[i], said_b, b.probabilities[i])
      rows.append((a.files[i], a.truths[i], right, *answers))
  return rows
