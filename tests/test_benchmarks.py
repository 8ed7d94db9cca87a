"""The benchmarks: every row can be measured, and its line of JSON says on what and how often."""

import importlib
import json
import logging

import pytest

from benchmarks import clock, isolation, report, rows, run
from image_classifier import command

TIMES = {'each', 'median', 'spread'}


def call_here(function, **arguments):
  return function(**arguments)


def measure(*arguments):
  """Runs the benchmarks in this process, quickly; returns the exit code."""
  argv = ['run', '--quick', '--repeat=1', *arguments]
  return command.run('', run.FLAGS, lambda flags: run.main(flags, call_here), argv)


def lines_of(path):
  return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def test_rows_of_a_family_are_measured_in_turn_and_written(tmp_path, capfd):
  output = tmp_path / 'a b' / 'bench.jsonl'
  assert measure('--rows=evaluation,classification', '--repeat=2', f'--output={output}') == 0
  evaluation, classification = lines_of(output)
  assert (evaluation['name'], evaluation['unit']) == ('evaluation', 'images/s')
  for side in ('ours', 'reference', 'ratio'):
    assert set(evaluation[side]) == TIMES
    assert len(evaluation[side]['each']) == 2 and evaluation[side]['median'] > 0
  assert classification['reference']['each'] == evaluation['ours']['each']
  assert set(evaluation['limit']['rates']) == {'float32', 'bfloat16'}
  assert {'cpu', 'cores', 'bfloat16', 'tensorflow', 'date', 'commit'} <= set(evaluation['machine'])
  assert 'drawn images' in evaluation['material']
  shown = capfd.readouterr().out.splitlines()
  assert sum(line.startswith('| evaluation ') for line in shown) == 1


def test_an_unknown_row_is_named_with_the_nearest(tmp_path, capsys):
  assert measure('--rows=evaluatoin', f'--output={tmp_path}/bench.jsonl') == 2
  assert 'evaluation' in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


def test_repeat_must_be_positive(capsys):
  assert measure('--repeat=0') == 2
  assert '--repeat=0' in capsys.readouterr().err


@pytest.mark.parametrize('model_name', ['inception_v3', 'mobilenet_v2', 'cifarnet'])
def test_every_case_is_a_function(model_name):
  table = rows.table(model_name, quick=False)
  assert len({row.name for row in table}) == len(table)
  for case in (case for row in table for case in (row.ours, row.reference)):
    module, _, function = case.function.partition('.')
    assert callable(getattr(importlib.import_module(f'benchmarks.{module}'), function))


def test_the_partial_training_of_inception_v3_begins_at_its_last_grid():
  finetunes = {row.name: row.finetune for row in rows.table('inception_v3', quick=False)}
  assert finetunes['partial'] == 'from:Mixed_7a'


def test_ratios_are_those_of_pairs_and_above_one_where_ours_is_better():
  row = rows.Row('start', 'start', None, None, 'seconds')
  facts = report.row_facts(row, [1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
  assert facts['ratio'] == {'each': [2.0, 1.0, 0.5], 'median': 1.0, 'spread': 1.5}
  row = row._replace(figure='images_per_second')
  limit = {'operations': 10, 'rates': {'float32': 100.0}}
  facts = report.row_facts(row, [4.0], [2.0], limit)
  assert facts['ratio']['each'] == [2.0]
  assert facts['limit']['ours'] == {'float32': 0.4}  # 4 images a second of 10 each, of 100


def test_a_line_shows_medians_spreads_and_the_limit():
  row = rows.Row('head', 'head', None, None)
  limit = {'operations': 1e6, 'rates': {'float32': 1e11, 'bfloat16': 2e11}}
  line = report.line(report.row_facts(row, [9000, 11000], [10.0, 10.0], limit))
  cells = [cell.strip() for cell in line.strip('|').split('|')]
  assert cells == [
    *('head', '10,000 ± 10 %', '10 ± 0 %', 'images/s', '1,000 (900 to 1,100)'),
    '10% float32, 5% bfloat16',
  ]


def test_lines_before_the_warm_up_do_not_count(monkeypatch):
  now = iter([0.0, 100.0, 102.0, 104.0])
  monkeypatch.setattr(clock.time, 'perf_counter', lambda: next(now))
  with clock.LineTimes(r'global step (\d+): ') as lines:
    for step in (1, 2, 3, 4):
      logging.getLogger('tensorflow').warning('global step %d: loss = 1', step)
  assert lines.rate(warm_up=2) == 0.5  # steps 2 to 4 in 4 seconds


def test_operations_are_those_of_the_paper():
  from benchmarks import operations

  counts = operations.of_an_image('mobilenet_v1_025', 128, 1001)
  # 14 million products, table 7 of https://arxiv.org/abs/1704.04861
  assert counts['trained'] == counts['forward'] == pytest.approx(2 * 14e6, rel=0.05)
  head = operations.of_an_image('mobilenet_v1_025', 128, 1001, 'head')
  assert head == {'forward': counts['forward'], 'trained': 2 * 256 * 1001}


def fail(words):
  print(words)
  raise ValueError('as it should')


def test_a_measurement_in_its_own_process_shows_its_output_when_it_fails(capsys):
  with pytest.raises(ValueError, match='as it should'):
    isolation.in_own_process(fail, words='the last words')
  assert 'the last words' in capsys.readouterr().err


@pytest.mark.slow
def test_all_rows_are_measured(tmp_path):
  output = tmp_path / 'bench.jsonl'
  assert measure(f'--output={output}') == 0
  assert [line['name'] for line in lines_of(output)] == [
    row.name for row in rows.table('cifarnet', quick=True)
  ]
  assert all(line['ratio']['median'] > 0 for line in lines_of(output))
