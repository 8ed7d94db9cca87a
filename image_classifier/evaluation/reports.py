"""What an evaluation leaves behind: old lines, a summary, JSON, CSV and the confusion matrix drawn.

Every file is written atomically. slim_text makes names harmless where they are shown: on the
terminal, in the CSV files, where no spreadsheet takes them for formulas, and in the drawing.
"""

import csv
import io
import math
import os
import sys
import unicodedata

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import slim_files
import slim_text
from image_classifier.evaluation import metrics

_MANY_CLASSES = 30  # beyond, the summary shows only the classes of lowest F1
_LOWEST = 10

# Fonts with Chinese, Japanese and Korean glyphs come first; Pillow searches the system's folders.
_FONTS = (
  'NotoSansCJK-Regular.ttc',
  'NotoSansSC-Regular.otf',
  'SourceHanSansSC-Regular.otf',
  'wqy-microhei.ttc',
  'wqy-zenhei.ttc',
  'DroidSansFallbackFull.ttf',
  'PingFang.ttc',
  'msyh.ttc',
  'simhei.ttf',
  'Arial Unicode.ttf',
  'DejaVuSans.ttf',
)
_NO_CHARACTER = '\U0010ffff'  # no font has a glyph for it: it draws as what a font lacks
_LABEL_LENGTH = 24
_FONT_SIZE = 14  # pixels
_CELLS_WIDTH = 2000  # pixels the cells share when there are many of them
_RIGHT_COLOUR, _WRONG_COLOUR, _GRID_COLOUR = (31, 97, 165), (200, 80, 30), (225, 225, 225)
_WHITE_INK_SHARE = 0.55  # cells of a larger share are too dark for black figures
_TITLES = ('Rows: truth. Columns: prediction.', 'Colour: share of the row.')


def write(eval_dir, figures, predictions, class_names, top_k):
  """Writes report.json and predictions.csv; confusion_matrix.csv and .png where there is a matrix.

  Args:
    eval_dir: folder, made when missing.
    figures: dict that JSON can hold, with `confusion_matrix`.
    predictions: `files`, `labels` [n] and `logits` [n, classes], one row an example.
    class_names: names of the classes.
    top_k: how many of the best classes predictions.csv lists.
  """
  slim_files.write_json(os.path.join(eval_dir, 'report.json'), figures)
  write_csv(
    os.path.join(eval_dir, 'predictions.csv'), prediction_rows(predictions, class_names, top_k)
  )
  if not (matrix := figures['confusion_matrix']):
    return
  write_csv(
    os.path.join(eval_dir, 'confusion_matrix.csv'),
    [['truth \\ prediction', *class_names]]
    + [[name, *row] for name, row in zip(class_names, matrix, strict=True)],
  )
  picture = io.BytesIO()
  draw_confusion_matrix(np.array(matrix), class_names).save(picture, 'PNG')
  slim_files.write_atomically(os.path.join(eval_dir, 'confusion_matrix.png'), picture.getvalue())


def prediction_rows(predictions, class_names, top_k):
  """Returns the rows of predictions.csv, header first, examples in the order of the records."""
  header = ['file', 'truth', 'correct']
  for k in range(1, top_k + 1):
    header += [f'prediction_{k}', f'probability_{k}']
  shares = metrics.probabilities(predictions.logits)
  best = metrics.ranking(predictions.logits, top_k)
  rows = [header]
  for i, (file, label) in enumerate(zip(predictions.files, predictions.labels, strict=True)):
    row = [file, class_names[label], int(best[i, 0] == label)]
    for predicted in best[i]:
      row += [class_names[predicted], f'{shares[i, predicted]:.6f}']
    rows.append(row)
  return rows


def print_old_lines(figures, top_k, num_classes):
  """Prints the figures as the slim tool did, for the scripts that look for these lines.

  Recall at a k that is not below the number of classes is 1 for any model: it is printed here, as
  the old tool did, with a line that says so, and is in no report.
  """
  lines = [f'eval/Accuracy[{_float32(figures["accuracy"])}]']
  for k in sorted(set(top_k) - {1}):
    lines.append(f'eval/Recall_{k}[{_float32(figures["recall_at_k"].get(k, 1))}]')
  always_one = [f'Recall_{k}' for k in sorted(set(top_k)) if k >= num_classes]
  if always_one:
    lines.append(
      f'{", ".join(always_one)}: 1 for any model of {num_classes} classes, so the report leaves it '
      'out.'
    )
  print('\n'.join(lines), file=sys.stderr)


def summary(figures, eval_dir):
  """Returns the figures as a page of text for people."""
  step = '' if figures['step'] is None else f', step {figures["step"]}'
  low, high = figures['accuracy_interval']
  lines = [
    f'{figures["checkpoint"]} ({figures["model_name"]}{step})',
    f'{figures["num_examples"]} images of split {figures["dataset_split_name"]!r} in '
    f'{figures["dataset_dir"]}, {figures["seconds"]:.1f} s, '
    f'{figures["images_per_second"]:.1f} images/s',
    '',
    f'accuracy   {figures["accuracy"]:.4f}  ({figures["correct"]} right; 95 % interval '
    f'{low:.4f} to {high:.4f})',
  ]
  for k, recall in figures['recall_at_k'].items():
    if k > 1:
      low, high = figures['recall_at_k_interval'][k]
      lines.append(f'{f"Recall_{k}":11}{recall:.4f}  (95 % interval {low:.4f} to {high:.4f})')
  lines += [f'loss       {figures["loss"]:.4f}', '', *_class_table(figures)]
  lines += _listed(
    'Worst confusions (truth -> prediction)',
    [
      slim_text.shown(
        f'{row["truth"]} -> {row["prediction"]}: {row["count"]} of {row["count_of_truth"]}'
      )
      for row in figures['worst_confusions'][:5]
    ],
  )
  lines += _listed(
    'Surest mistakes (truth -> prediction)',
    [
      slim_text.shown(
        f'{row["file"] or "(no file name)"}: {row["truth"]} -> {row["prediction"]}, '
        f'probability {row["probability"]:.4f}'
      )
      for row in figures['confident_mistakes'][:5]
    ],
  )
  lines += _listed('Calibration', _calibration_lines(figures['calibration']))
  lines += _listed(
    'Only answers of at least so high a probability (--min_confidence)',
    [_selective_line(row) for row in figures['selective']],
  )
  lines += _listed('Warnings', figures['warnings'])
  files = ['report.json', 'predictions.csv']
  if figures['confusion_matrix']:
    files += ['confusion_matrix.csv', 'confusion_matrix.png']
  if eval_dir:
    lines += ['', f'In {eval_dir}: {", ".join(files)} and TensorBoard events.']
  return slim_text.shown_lines('\n'.join(lines))


def _calibration_lines(calibration):
  said = {
    'as_it_is': 'as it is',
    'stored': 'at the temperature {:.4f} that was kept beside the checkpoint',
    'fitted': 'at the temperature {:.4f} fitted on these images',
  }
  return [
    f'expected calibration error {row["expected_calibration_error"]:.4f}, loss {row["loss"]:.4f} '
    + text.format(row['temperature'])
    for row, text in ((calibration[name], text) for name, text in said.items())
    if row
  ]


def _selective_line(row):
  text = f'{row["min_confidence"]:.2f}: {100 * row["coverage"]:5.1f} % of the images'
  if not row['count']:
    return text
  low, high = row['accuracy_interval']
  return f'{text}, accuracy {row["accuracy"]:.4f} (95 % interval {low:.4f} to {high:.4f})'


def _float32(value):
  return str(np.float32(value)).removesuffix('.0')


def _listed(title, items):
  return ['', f'{title}:', *(f'  {item}' for item in items)] if items else []


def _class_table(figures):
  rows, shown = figures['per_class'], figures['per_class']
  if len(rows) > _MANY_CLASSES:
    present = [row for row in rows if row['count']]
    shown = sorted(present, key=lambda row: row['f1'])[:_LOWEST]
  shown = [{**row, 'name': slim_text.shown(row['name'])} for row in shown]
  width = max(5, *(_width(row['name']) for row in [*shown, {'name': 'macro average'}]))
  header = f'{"class":{width}}  precision  recall  95 % interval      F1  images'
  lines = [header]
  for row in [*shown, {'name': 'macro average', **figures['macro_average']}]:
    padding = ' ' * (width - _width(row['name']))
    lines.append(
      f'{row["name"]}{padding}  {_figure(row["precision"]):>9}  {_figure(row["recall"]):>6}  '
      f'{_range(row.get("recall_interval")):>13}  {_figure(row["f1"]):>6}  '
      f'{row.get("count", figures["num_examples"]):>6}'
    )
  if len(shown) < len(rows):
    lines.append(f'({len(shown)} classes of lowest F1 of {len(rows)}; report.json has them all)')
  return lines


def _figure(value):
  return '-' if value is None else f'{value:.4f}'


def _range(interval):
  return '{:.3f} - {:.3f}'.format(*interval) if interval else '-'


def _width(text):
  """Returns the columns a terminal gives a text: two for a Chinese character."""
  return sum(2 if unicodedata.east_asian_width(c) in 'WF' else 1 for c in text)


def write_csv(path, rows):
  """Writes rows of cells as CSV, atomically, so that no spreadsheet takes a name for a formula."""
  text = io.StringIO(newline='')
  csv.writer(text, lineterminator='\n').writerows(
    [[slim_text.csv_cell(cell) for cell in row] for row in rows]
  )
  slim_files.write_atomically(path, text.getvalue())


def draw_confusion_matrix(matrix, class_names):
  """Draws a confusion matrix: rows truth, columns prediction, colour the share of the row.

  Args:
    matrix: int [classes, classes].
    class_names: their names. A name that no font at hand can write is drawn as its class number,
      and a line below says where the names are.

  Returns:
    A PIL RGB image.
  """
  class_names = [slim_text.shown(name) for name in class_names]
  font = _font(class_names)
  names = [_label(font, i, name) for i, name in enumerate(class_names)]
  widest_count = math.ceil(font.getlength(str(matrix.max()))) + 8
  cell = max(2, min(max(widest_count, 40), _CELLS_WIDTH // len(names)))
  has_labels = cell >= _FONT_SIZE + 2
  titles, notes = list(_TITLES), _notes(names, class_names, has_labels)
  left = math.ceil(max(map(font.getlength, names))) + 22 if has_labels else 16
  top = 36 + left
  size = cell * len(names)
  widest_text = max(map(font.getlength, titles + notes))
  width = max(left + size, 16 + math.ceil(widest_text)) + 16
  image = Image.new('RGB', (width, top + size + 16 + 20 * len(notes)), 'white')
  draw = ImageDraw.Draw(image)
  draw.multiline_text((16, 8), '\n'.join(titles), 'black', font)
  draw.multiline_text((16, top + size + 8), '\n'.join(notes), 'black', font)
  shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
  image.paste(_cells(shares, cell), (left, top))
  if cell >= widest_count:
    _draw_counts(draw, matrix, shares, (left, top), cell, font)
  if has_labels:
    _draw_labels(image, names, (left, top), cell, font)
  return image


def _cells(shares, cell):
  """Returns the coloured squares, `cell` pixels wide each, as a PIL image."""
  strong = np.where(np.eye(len(shares), dtype=bool)[..., None], _RIGHT_COLOUR, _WRONG_COLOUR)
  colours = np.rint(255 + (strong - 255) * shares[..., None]).astype(np.uint8)
  pixels = colours.repeat(cell, axis=0).repeat(cell, axis=1)
  if cell > 6:
    pixels[::cell] = pixels[:, ::cell] = pixels[-1] = pixels[:, -1] = _GRID_COLOUR
  return Image.fromarray(pixels)


def _draw_counts(draw, matrix, shares, corner, cell, font):
  for row, column in np.argwhere(matrix):
    middle = (corner[0] + (column + 0.5) * cell, corner[1] + (row + 0.5) * cell)
    ink = 'white' if shares[row, column] > _WHITE_INK_SHARE else 'black'
    draw.text(middle, str(matrix[row, column]), ink, font, anchor='mm')


def _draw_labels(image, names, corner, cell, font):
  """Writes the class names left of the rows, and above the columns from bottom to top."""
  draw = ImageDraw.Draw(image)
  for i, name in enumerate(names):
    middle = (i + 0.5) * cell
    draw.text((corner[0] - 6, corner[1] + middle), name, 'black', font, anchor='rm')
    upright = Image.new('L', (int(font.getlength(name)) + 2, _FONT_SIZE + 8), 0)
    ImageDraw.Draw(upright).text((0, upright.height / 2), name, 255, font, anchor='lm')
    upright = upright.rotate(90, expand=True)
    place = (int(corner[0] + middle - upright.width / 2), corner[1] - 6 - upright.height)
    image.paste('black', place, upright)


def _notes(names, class_names, has_labels):
  """Returns the lines below the picture that say where to find names it does not show."""
  if not has_labels:
    return ['Class names, in the order of the rows: confusion_matrix.csv.']
  numbered = [name for i, name in enumerate(names) if name == f'#{i}' != class_names[i]]
  return ['#N is the N-th class, from 0, of confusion_matrix.csv.'] if numbered else []


def _label(font, number, name):
  """Returns the name, cut to a readable length, or #number when the font cannot write it."""
  if not _can_write(font, name):
    return f'#{number}'
  return name if len(name) <= _LABEL_LENGTH else name[: _LABEL_LENGTH - 3] + '...'


def _font(class_names):
  """Returns the font at hand that writes most of the names; one comes with Pillow."""
  fonts = [font for font in map(_system_font, _FONTS) if font]
  fonts.append(ImageFont.load_default(_FONT_SIZE))
  return max(fonts, key=lambda font: sum(_can_write(font, name) for name in class_names))


def _system_font(file_name):
  try:
    return ImageFont.truetype(file_name, _FONT_SIZE)
  except OSError:
    return None


def _can_write(font, text):
  lacking = bytes(font.getmask(_NO_CHARACTER))
  return not any(c != ' ' and bytes(font.getmask(c)) == lacking for c in text)
