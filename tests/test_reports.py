"""What evaluation writes for people and programs."""

import csv
import json
import types

import numpy as np
import pytest
from PIL import Image

from image_classifier.evaluation import calibration, metrics, reports

NAMES = ['=formula', '冰川', 'sea ice']
FILES = ['=a/1.jpg', '冰川/2 x.jpg', 'sea, ice/3.jpg', '']
LABELS = np.array([0, 1, 2, 2])
LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.25, 0.25, 0.5]]))
PREDICTIONS = types.SimpleNamespace(files=FILES, labels=LABELS, logits=LOGITS)


def make_figures(labels=LABELS, logits=LOGITS, names=NAMES, files=FILES, **changes):
  return {
    'checkpoint': 'runs/1/model.ckpt-300',
    'step': 300,
    'model_name': 'lenet',
    'dataset_dir': 'pic',
    'dataset_split_name': 'validation',
    'seconds': 2.0,
    'images_per_second': 2.0,
    'warnings': [],
    **metrics.compute(labels, logits, names, (1, 2)),
    'calibration': calibration.compute(labels, logits),
    'selective': calibration.selective(labels, logits),
    'confident_mistakes': metrics.confident_mistakes(labels, logits, names, files),
    **changes,
  }


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp('eval dir')
  reports.write(folder, make_figures(), PREDICTIONS, NAMES, top_k=2)
  return folder


def read_csv(path):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv.reader(file))


def test_all_files_and_nothing_else(folder):
  assert sorted(path.name for path in folder.iterdir()) == [
    'confusion_matrix.csv',
    'confusion_matrix.png',
    'predictions.csv',
    'report.json',
  ]


def test_predictions_csv(folder):
  """Formulas are disarmed by an apostrophe; commas, spaces and Chinese names survive."""
  assert read_csv(folder / 'predictions.csv') == [
    ['file', 'truth', 'correct', 'prediction_1', 'probability_1', 'prediction_2', 'probability_2'],
    ["'=a/1.jpg", "'=formula", '1', "'=formula", '0.700000', '冰川', '0.200000'],
    ['冰川/2 x.jpg', '冰川', '1', '冰川', '0.600000', 'sea ice', '0.300000'],
    ['sea, ice/3.jpg', 'sea ice', '0', "'=formula", '0.500000', '冰川', '0.300000'],
    ['', 'sea ice', '1', 'sea ice', '0.500000', "'=formula", '0.250000'],
  ]


def test_confusion_matrix_csv(folder):
  assert read_csv(folder / 'confusion_matrix.csv') == [
    ['truth \\ prediction', "'=formula", '冰川', 'sea ice'],
    ["'=formula", '1', '0', '0'],
    ['冰川', '0', '1', '0'],
    ['sea ice', '1', '0', '1'],
  ]


def test_without_a_matrix_none_is_written(tmp_path):
  reports.write(tmp_path, make_figures(confusion_matrix=None), PREDICTIONS, NAMES, 2)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['predictions.csv', 'report.json']


def test_report_json_is_the_figures(folder):
  report = json.loads((folder / 'report.json').read_text(encoding='utf-8'))
  assert report['accuracy'] == 0.75
  assert report['recall_at_k'] == {'1': 0.75, '2': 0.75}
  assert report['confusion_matrix'] == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
  assert [row['name'] for row in report['per_class']] == NAMES
  assert report['confident_mistakes'][0]['file'] == 'sea, ice/3.jpg'


def test_picture_colours_cells_by_the_share_of_the_row(folder):
  image = Image.open(folder / 'confusion_matrix.png').convert('RGB')
  counts = {colour: count for count, colour in image.getcolors(image.width * image.height)}
  # Two of the nine cells hold a whole row, two hold half of one: right in blue, wrong in orange.
  # A cell of 40 pixels has 1,600, less its grid line and its figure.
  whole, half_right, half_wrong = (31, 97, 165), (143, 176, 210), (228, 168, 142)
  assert 2 * 1300 < counts[whole] <= 2 * 1600
  assert 1300 < counts[half_right] <= 1600
  assert 1300 < counts[half_wrong] <= 1600


@pytest.mark.parametrize('classes', [1, 2, 30, 120, 1001])
def test_picture_stays_of_a_size_one_can_open(classes):
  matrix = np.full((classes, classes), 123456)
  image = reports.draw_confusion_matrix(matrix, [f'class {i}' for i in range(classes)])
  assert max(image.size) < 2400


def test_names_without_a_glyph_become_numbers(monkeypatch):
  monkeypatch.setattr(reports, '_FONTS', ())  # only Pillow's own font, which knows no Chinese
  font = reports._font(['冰川', 'rock'])
  labels = [reports._label(font, i, name) for i, name in enumerate(['冰川', 'rock'])]
  assert labels == ['#0', 'rock']
  with_note = reports.draw_confusion_matrix(np.eye(2, dtype=int), ['冰川', 'rock'])
  without = reports.draw_confusion_matrix(np.eye(2, dtype=int), ['#0', 'rock'])
  assert with_note.height == without.height + 20  # one line says where the name is


def test_old_lines(capsys):
  figures = {'accuracy': 0.51, 'recall_at_k': {1: 0.51, 5: 0.97333336}}
  reports.print_old_lines(figures, [1, 5], 6)
  assert capsys.readouterr() == ('', 'eval/Accuracy[0.51]\neval/Recall_5[0.97333336]\n')


def test_old_line_of_a_recall_that_says_nothing_comes_with_a_word(capsys):
  reports.print_old_lines({'accuracy': 1.0, 'recall_at_k': {1: 1.0}}, [1, 5], 5)
  assert capsys.readouterr().err.splitlines() == [
    'eval/Accuracy[1]',
    'eval/Recall_5[1]',
    'Recall_5: 1 for any model of 5 classes, so the report leaves it out.',
  ]


def test_summary():
  text = reports.summary(make_figures(warnings=['Something is off.']), 'out')
  lines = text.splitlines()
  assert lines[0] == 'runs/1/model.ckpt-300 (lenet, step 300)'
  assert "4 images of split 'validation' in pic" in lines[1]
  assert 'accuracy   0.7500  (3 right; 95 % interval 0.3006 to 0.9544)' in lines
  assert 'Recall_2   0.7500  (95 % interval 0.3006 to 0.9544)' in lines
  # Precision 1 of 2, recall 1 of 1, whose interval starts at 1 / (1 + 1.96^2) = 0.2065. The Chinese
  # name takes four columns of a terminal.
  assert '=formula          0.5000  1.0000  0.207 - 1.000  0.6667       1' in lines
  assert '冰川              1.0000  1.0000  0.207 - 1.000  1.0000       1' in lines
  assert '  sea ice -> =formula: 1 of 2' in lines
  assert '  sea, ice/3.jpg: sea ice -> =formula, probability 0.5000' in lines
  assert '  Something is off.' in lines
  assert lines[-1].startswith('In out: report.json, ')
  assert 'report.json' not in reports.summary(make_figures(), '')  # which writes none


def test_summary_of_probabilities():
  text = reports.summary(make_figures(), 'out')
  # The surest answers are 0.7 (right), 0.6 (right), 0.5 (wrong) and 0.5 (right), in the bins above
  # 10/15, 8/15 and 7/15: (|1 - 0.7| + |1 - 0.6| + 2 * |1/2 - 0.5|) / 4 = 0.175.
  loss = -np.log([0.7, 0.6, 0.2, 0.5]).mean()
  assert f'  expected calibration error 0.1750, loss {loss:.4f} as it is\n' in text
  assert ' fitted on these images\n' in text and 'kept beside' not in text


def test_summary_of_withheld_answers():
  selective = calibration.selective(np.array([0, 0]), np.log([[0.75, 0.25], [0.45, 0.55]]))
  text = reports.summary(make_figures(selective=selective), 'out')
  # 1 of 1: the interval of test_summary.
  line = '  0.70:  50.0 % of the images, accuracy 1.0000 (95 % interval 0.2065 to 1.0000)\n'
  assert line in text
  assert '  0.99:   0.0 % of the images\n' in text


def test_summary_of_a_temperature_that_was_fitted_before():
  figures = make_figures(calibration=calibration.compute(LABELS, LOGITS, 2.0, is_trained_on=True))
  text = reports.summary(figures, 'out')
  assert 'at the temperature 2.0000 that was kept beside the checkpoint' in text
  assert 'fitted on these images' not in text


def test_summary_of_many_classes_shows_the_worst():
  names = [f'class {i}' for i in range(40)]
  predicted = np.arange(40)
  predicted[7] = 8
  figures = make_figures(np.arange(40), np.eye(40)[predicted], names, [''] * 40)
  table = reports.summary(figures, 'out').split('\n\n')[2].splitlines()
  assert table[1].split()[:4] == ['class', '7', '0.0000', '0.0000']
  assert len(table) == 1 + 10 + 1 + 1  # header, the worst, macro average, where the rest is
  assert '10 classes of lowest F1 of 40' in table[-1]
