"""Comparing two models: textbook values, and the command on tables and checkpoints."""

import csv
import json
import math
import shutil

import pytest
from conftest import TINY_CLASSES
from small_nets import run, write_checkpoint, write_run

import eval_image_classifier
from image_classifier.evaluation import comparison, metrics, reports
from scripts import compare_models


def _write(path, rows):
  """Writes (file, truth, prediction) as the columns of a predictions.csv that are read."""
  header = ['file', 'truth', 'correct', 'prediction_1', 'probability_1']
  reports.write_csv(path, [header, *([f, t, int(t == p), p, '0.700000'] for f, t, p in rows)])
  return path


def _tables(folder, both, only_a, only_b, neither):
  """Writes two tables about images of class x with so many right and wrong answers."""
  right = [(1, 1)] * both + [(1, 0)] * only_a + [(0, 1)] * only_b + [(0, 0)] * neither
  return [
    _write(
      folder / f'{name}.csv',
      [(f'{i}.jpg', 'x', 'x' if pair[side] else 'y') for i, pair in enumerate(right)],
    )
    for side, name in enumerate('ab')
  ]


def test_mcnemars_exact_test():
  # 1 and 7: 2 * (C(8, 0) + C(8, 1)) / 2^8 = 18 / 256, table III of Fagerland et al. (2014).
  assert comparison.mcnemar(1, 7) == (18 / 256, 'exact binomial')
  assert comparison.mcnemar(7, 1)[0] == 18 / 256
  assert comparison.mcnemar(3, 3)[0] == 1  # 2 * (1 + 6 + 15 + 20) / 64 is more than 1
  assert comparison.mcnemar(0, 0)[0] == 1


def test_mcnemars_chi_square_test():
  # (|59 - 6| - 1)^2 / 65 = 41.6, and p is that of a normal deviate of its root, 6.45.
  p_value, test = comparison.mcnemar(6, 59)
  assert test == 'chi-square with continuity correction'
  assert p_value == pytest.approx(math.erfc(math.sqrt(41.6 / 2)))
  assert p_value == pytest.approx(1.12e-10, rel=0.01)
  # 3.841 is where 5 % begin: (|40 - 20| - 1)^2 / 60 = 6.017, 1.4 %.
  assert comparison.mcnemar(20, 40)[0] == pytest.approx(0.0142, abs=1e-4)


def test_mcnemars_tests_meet_where_one_takes_over_from_the_other():
  exact, approximate = comparison.mcnemar(6, 18)[0], comparison.mcnemar(6, 19)[0]
  # 2 * P(X <= 6 of 24) = 2 * 190051 / 2^24 = 0.0227; (13 - 1)^2 / 25 = 5.76, 0.0164.
  assert exact == pytest.approx(0.02266, abs=1e-5)
  assert approximate == pytest.approx(0.01640, abs=1e-5)


def test_interval_of_the_difference():
  # 21 children, 1 and 7 discordant (Fagerland et al.): 2/23 - 8/23 = -6/23, and 1.96 times
  # sqrt((10/23 - 36/529) / 23) = 0.1263 to both sides: -0.508 to -0.013.
  low, high = comparison.difference_interval(7, 1, 21)
  assert (low, high) == pytest.approx((-0.508, -0.013), abs=1e-3)
  assert comparison.difference_interval(1, 7, 21) == pytest.approx([-high, -low])


def test_the_command_says_what_it_means(tmp_path, capsys):
  a, b = _tables(tmp_path, both=70, only_a=5, only_b=20, neither=5)
  assert run(compare_models, a, b) == 0
  said = capsys.readouterr().out
  low, high = metrics.interval(75, 100)
  assert f'A: accuracy 0.7500  (75 of 100 right; 95 % interval {low:.4f} to {high:.4f})' in said
  assert 'B: accuracy 0.9000  (90 of 100 right;' in said
  assert 'B - A: +0.1500  (95 % interval ' in said
  assert 'right on both sides 70, only A 5, only B 20, neither 5' in said
  # (15 - 1)^2 / 25 = 7.84: p = 0.0051.
  assert "McNemar's test (chi-square with continuity correction): p = 0.00511" in said
  assert 'B is better, by 15.0 percentage points on these images' in said
  assert 'by chance as much as this or more in 0.51 % of the cases.' in said


@pytest.mark.parametrize(
  ('counts', 'expected'),
  [
    ((50, 12, 2, 0), 'A is better, by 15.6 percentage points'),
    ((50, 5, 3, 0), 'These 58 images do not tell which is better'),
    ((50, 0, 0, 8), 'Both are right on the very same images'),
    ((50, 500, 0, 0), 'in less than 0.01 % of the cases'),
  ],
)
def test_sentence(tmp_path, capsys, counts, expected):
  assert run(compare_models, *_tables(tmp_path, *counts)) == 0
  assert expected in capsys.readouterr().out.splitlines()[-1]


def test_json(tmp_path, capsys):
  assert run(compare_models, *_tables(tmp_path, 8, 1, 7, 5), '--json') == 0
  figures = json.loads(capsys.readouterr().out)
  assert figures['difference'] == pytest.approx(6 / 21)
  assert figures['difference_interval'] == comparison.difference_interval(1, 7, 21)
  assert (figures['p_value'], figures['num_examples']) == (18 / 256, 21)
  assert figures['a']['correct'] == 9


def test_csv_of_the_images_on_which_they_differ(tmp_path):
  a = _write(
    tmp_path / 'a.csv', [('1', 'x', 'x'), ('2', 'x', 'x'), ('=3', 'x', 'y'), ('4', 'x', 'z')]
  )
  b = _write(
    tmp_path / 'b.csv', [('=3', 'x', 'z'), ('2', 'x', 'y'), ('4', 'x', 'x'), ('1', 'x', 'x')]
  )
  assert run(compare_models, a, b, f'--output={tmp_path / "differ 1.csv"}') == 0
  with open(tmp_path / 'differ 1.csv', encoding='utf-8', newline='') as file:
    rows = [list(row.values()) for row in csv.DictReader(file)]
  assert rows == [
    ['2', 'x', 'A', 'x', '0.700000', 'y', '0.700000'],
    ["'=3", 'x', '', 'y', '0.700000', 'z', '0.700000'],
    ['4', 'x', 'B', 'z', '0.700000', 'x', '0.700000'],
  ]


def test_two_classes_of_one_name_are_two(tmp_path, capsys):
  header = ['file', 'truth', 'correct', 'prediction_1', 'probability_1']
  for name, correct in (('a', 1), ('b', 0)):
    reports.write_csv(tmp_path / f'{name}.csv', [header, ['1', 'crane', correct, 'crane', '0.7']])
  assert run(compare_models, tmp_path / 'a.csv', tmp_path / 'b.csv', '--json') == 0
  figures = json.loads(capsys.readouterr().out)
  assert (figures['a']['correct'], figures['b']['correct']) == (1, 0)


def test_a_file_that_cannot_be_written_is_said_first(tmp_path, capsys):
  assert run(compare_models, 'a.csv', 'b.csv', f'--output={tmp_path}') == 2
  assert f'--output={tmp_path} is a folder' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('other', 'message'),
  [
    ([('1', 'x', 'x')], '2 and 1; 2 of class x is not in both'),
    ([('1', 'x', 'x'), ('3', 'x', 'x')], '2 of class x is not in both'),
    ([('1', 'x', 'x'), ('2', 'y', 'x')], '2 of class x is not in both'),  # another label
    ([('1', 'x', 'x'), ('2', 'x', 'x'), ('3', 'x', 'x')], '3 of class x is not in both'),
  ],
)
def test_other_images_or_labels_are_refused(tmp_path, capsys, other, message):
  a = _write(tmp_path / 'a.csv', [('1', 'x', 'x'), ('2', 'x', 'x')])
  assert run(compare_models, a, _write(tmp_path / 'b.csv', other)) == 2
  assert message in capsys.readouterr().err


def test_images_without_names_must_come_in_the_same_order(tmp_path, capsys):
  rows = [('', 'x', 'x'), ('', 'y', 'x')]
  a = _write(tmp_path / 'a.csv', rows)
  assert run(compare_models, a, _write(tmp_path / 'b.csv', rows)) == 0
  assert run(compare_models, a, _write(tmp_path / 'b.csv', rows[::-1])) == 2
  assert 'the file names do not tell them apart' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'file,truth\n1,x\n', 'needs rows with the columns'),
    (b'', 'needs rows with the columns'),
    (b'\xff\xfe', 'is no CSV file in UTF-8'),
    (b'file,truth,correct,prediction_1,probability_1\n1,x\n', 'needs rows with the columns'),
  ],
)
def test_other_files_are_refused(tmp_path, capsys, content, message):
  (tmp_path / 'a.csv').write_bytes(content)
  assert run(compare_models, tmp_path / 'a.csv', tmp_path / 'a.csv') == 2
  assert message in capsys.readouterr().err


def _write_small_run(folder, data):
  write_checkpoint(folder, 'lenet', 3, step=7)
  record = {'image_size': 28, 'dataset_dir': str(data), 'data_fingerprint': None}
  write_run(folder, 'lenet', TINY_CLASSES, **record)
  return folder


def test_checkpoints_are_evaluated_as_evaluation_does(tmp_path, tiny_dataset, capsys):
  train_dir = _write_small_run(tmp_path / 'a run', tiny_dataset)
  assert run(eval_image_classifier, f'--checkpoint_path={train_dir}') == 0
  accuracy = json.loads((train_dir / 'eval_validation' / 'report.json').read_text())['accuracy']
  capsys.readouterr()
  table = train_dir / 'eval_validation' / 'predictions.csv'
  differ = tmp_path / 'differ.csv'
  models = (table, train_dir / 'model.ckpt-7')
  assert run(compare_models, *models, '--json', '--batch_size=4', f'--output={differ}') == 0
  figures = json.loads(capsys.readouterr().out)
  assert figures['a']['accuracy'] == figures['b']['accuracy'] == accuracy
  assert figures['only_a'] == figures['only_b'] == 0
  assert len(differ.read_text().splitlines()) == 1  # the header


def test_split_and_folder_of_checkpoints(tmp_path, tiny_dataset, capsys):
  train_dir = _write_small_run(tmp_path / 'run', tmp_path)
  flags = (f'--dataset_dir={tiny_dataset}', '--dataset_split_name=train', '--json')
  assert run(compare_models, train_dir, train_dir, *flags) == 0
  assert json.loads(capsys.readouterr().out)['num_examples'] == 30


def test_a_checkpoint_that_says_nothing_of_itself(tmp_path, tiny_dataset, capsys):
  train_dir = _write_small_run(tmp_path / 'run', tiny_dataset)
  checkpoint = shutil.copytree(train_dir, tmp_path / 'bare')
  (checkpoint / 'run.json').unlink()
  assert run(compare_models, train_dir, checkpoint) == 2
  assert 'has no run.json beside it' in capsys.readouterr().err


@pytest.mark.parametrize('names', [(), ('a.csv',), ('a.csv', 'b.csv', 'c.csv')])
def test_two_models_are_compared(names, capsys):
  assert run(compare_models, *names) == 2
  assert f'Name two models to compare, not {len(names)}' in capsys.readouterr().err


def test_batch_size_is_checked(capsys):
  assert run(compare_models, 'a', 'b', '--batch_size=0') == 2
  assert '--batch_size=0 must be at least 1' in capsys.readouterr().err
