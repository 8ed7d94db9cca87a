"""Printing predictions: the lines of the old tool, JSON or CSV."""

import csv
import os

import slim_text
from image_classifier.inference.classifier import UNKNOWN, Prediction

_COLUMNS = ('file', 'rank', 'class', 'probability', 'logit', 'error')


def write(kind, stream, files, results, num_top=None, shows_answer=False):
  """Prints what a net says of each picture, or why it says nothing.

  Args:
    kind: 'text', 'json' or 'csv'.
    stream: text stream to print to.
    files: list of the pictures' paths.
    results: iterable of inference.Prediction or an exception, one a path.
    num_top: how many classes of a picture are printed; None: all.
    shows_answer: whether to print the answer of each picture too, which may be 'unknown'.

  Returns:
    The number of pictures that could not be read.
  """
  pairs = ((_readable(file), result) for file, result in zip(files, results, strict=True))
  return _WRITERS[kind](stream, pairs, num_top, len(files), shows_answer)


def _readable(file):
  """Returns a path as a text that can be encoded, whatever bytes it holds."""
  return os.fsencode(file).decode('utf-8', 'backslashreplace')


def _rows(prediction, num_top):
  """Returns (class name, probability, logit) of the best classes."""
  columns = (prediction.class_names, prediction.probabilities, prediction.logits)
  return [(name, float(p), float(logit)) for name, p, logit in zip(*columns, strict=True)][:num_top]


def _write_text(stream, pairs, num_top, num_files, shows_answer):
  num_errors = 0
  for file, result in pairs:
    if not isinstance(result, Prediction):
      num_errors += 1
      print(slim_text.shown(f'{file}: error: {result}'), file=stream)
      continue
    if num_files > 1:
      print(slim_text.shown(f'{file}:'), file=stream)
    if shows_answer and result.answer == UNKNOWN:
      print(f'{UNKNOWN} (probability of the best class {result.probabilities[0]:.4f})', file=stream)
    for name, _, logit in _rows(result, num_top):
      print(slim_text.shown(f'{name} (score = {logit:.5f})'), file=stream)
  return num_errors


def _write_json(stream, pairs, num_top, num_files, shows_answer):
  del num_files
  entries = []
  for file, result in pairs:
    if isinstance(result, Prediction):
      rows = [
        {'class': name, 'probability': probability, 'logit': logit}
        for name, probability, logit in _rows(result, num_top)
      ]
      answer = {'answer': result.answer} if shows_answer else {}
      entries.append({'file': file, **answer, 'predictions': rows})
    else:
      entries.append({'file': file, 'error': str(result)})
  print(slim_text.json_text(entries), file=stream)
  return sum('error' in entry for entry in entries)


def _write_csv(stream, pairs, num_top, num_files, shows_answer):
  del num_files
  writer = csv.writer(stream, lineterminator='\n')
  writer.writerow([*_COLUMNS, 'answer'] if shows_answer else _COLUMNS)
  num_errors = 0
  for file, result in pairs:
    file = slim_text.csv_cell(file)
    if not isinstance(result, Prediction):
      num_errors += 1
      row = [file, '', '', '', '', slim_text.csv_cell(str(result))]
      writer.writerow([*row, ''] if shows_answer else row)
      continue
    answer = [slim_text.csv_cell(result.answer)] if shows_answer else []
    for rank, (name, probability, logit) in enumerate(_rows(result, num_top), 1):
      name = slim_text.csv_cell(name)
      writer.writerow([file, rank, name, f'{probability:.9g}', f'{logit:.9g}', '', *answer])
  return num_errors


_WRITERS = {'text': _write_text, 'json': _write_json, 'csv': _write_csv}
