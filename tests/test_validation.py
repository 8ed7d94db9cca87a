"""Evaluating while training: what is printed and kept, what a resumed run knows, when it stops."""

import csv
import dataclasses
import json
import os
import signal

import numpy as np
import pytest
from small_nets import run, scalars

import eval_image_classifier
import export_inference_graph
import freeze_graph
import train_image_classifier
from image_classifier import checkpoints, saving
from image_classifier.evaluation import predicting
from image_classifier.options import TrainingOptions
from image_classifier.training import metrics_log, runs, validation
from slim_compat import tf
from slim_errors import UserError


def _options(dataset_dir, train_dir, **settings):
  defaults = {
    'model_name': 'lenet',
    'train_image_size': 12,
    'batch_size': 5,
    'max_number_of_steps': 6,
    'log_every_n_steps': 1,
    'learning_rate': 0.001,
    'learning_rate_decay_type': 'fixed',
    'precision': 'float32',
  }
  folders = {'train_dir': str(train_dir), 'dataset_dir': str(dataset_dir)}
  return TrainingOptions(**{**defaults, **folders, **settings})


def _values(folder):
  reader = tf.train.load_checkpoint(str(folder))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _evaluations(train_dir):
  return [line for line in metrics_log.read(str(train_dir)) if 'split' in line]


@pytest.fixture
def scripted(monkeypatch):
  """Makes evaluation find accuracies, of 100 images of two classes: by step, or one by one."""

  def script(accuracies):
    steps, figures = [], iter(accuracies)

    def predict(prefix, *arguments, **settings):
      step = checkpoints.step_of(prefix)
      steps.append(step)
      accuracy = accuracies[step] if isinstance(accuracies, dict) else next(figures)
      correct = round(100 * accuracy)
      logits = np.zeros([100, 3], np.float32)
      logits[np.arange(100), (np.arange(100) >= correct).astype(int)] = 1
      facts = {'moving_averages': False, 'precision': 'float32'}
      return predicting.Predictions([''] * 100, np.zeros(100, int), logits, facts)

    monkeypatch.setattr(predicting, 'predict', predict)
    return steps

  return script


@pytest.fixture(scope='module')
def evaluated_run(tiny_dataset, tmp_path_factory):
  """A train_dir of 5 steps, evaluated at 2, 4 and 5, with moving averages; and what it printed."""
  folder = tmp_path_factory.mktemp('run') / 'ein Lauf é'
  arguments = [f'--train_dir={folder}', f'--dataset_dir={tiny_dataset}', '--model_name=lenet']
  arguments += ['--train_image_size=12', '--batch_size=5', '--max_number_of_steps=5']
  arguments += ['--eval_every_steps=2', '--moving_average_decay=0.5', '--log_every_n_steps=1']
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr('builtins.print', lambda *texts, **_: lines.append(' '.join(map(str, texts))))
    assert run(train_image_classifier, *arguments, '--best_metric=loss') == 0
  return folder, lines


def test_what_is_printed(evaluated_run):
  folder, lines = evaluated_run
  found = [line for line in lines if line.startswith('step ')]
  assert [line.split(':')[0] for line in found] == ['step 2', 'step 4', 'step 5']
  for line, figures in zip(found, _evaluations(folder), strict=True):
    correct = round(15 * figures['accuracy'])
    assert f'validation accuracy {100 * figures["accuracy"]:.1f} % ({correct} of 15; ' in line
    low, high = figures['accuracy_interval']
    assert f'95 % interval {100 * low:.1f} to {100 * high:.1f} %)' in line
    assert low <= figures['accuracy'] <= high
    assert f', loss {figures["loss"]:.2f}, ' in line
  assert found[0].endswith('best so far')
  assert lines[-1].startswith(f'The best checkpoint by loss is {folder}/best/model.ckpt-')


def test_the_best_checkpoint_works_as_any(evaluated_run, tmp_path):
  folder, _ = evaluated_run
  best = json.loads((folder / 'best' / 'metrics.json').read_text(encoding='utf-8'))
  assert best['loss'] == min(line['loss'] for line in _evaluations(folder))
  low, high = best['accuracy_interval']
  assert low <= best['accuracy'] <= high and best['split'] == 'validation'
  assert len(list((folder / 'best').glob('*.index'))) == 1
  checkpoint = f'--checkpoint_path={folder}/best'
  assert checkpoints.resolve(str(folder / 'best')).endswith(f'model.ckpt-{best["step"]}')
  assert run(eval_image_classifier, checkpoint, f'--eval_dir={tmp_path}/eval') == 0
  report = json.loads((tmp_path / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert report['moving_averages'] and best['moving_averages']
  assert (report['loss'], report['accuracy']) == (best['loss'], best['accuracy'])
  graph, frozen = tmp_path / 'graph.pb', tmp_path / 'frozen.pb'
  assert run(export_inference_graph, f'--train_dir={folder}/best', f'--output_file={graph}') == 0
  arguments = [f'--input_graph={graph}', f'--input_checkpoint={folder}/best']
  assert run(freeze_graph, *arguments, f'--output_graph={frozen}', '--input_binary=true') == 0


def test_charts_and_tables(evaluated_run):
  folder, _ = evaluated_run
  trained, evaluated = scalars(folder), scalars(folder / 'eval_validation')
  lines = _evaluations(folder)
  assert [step for step, _ in evaluated['accuracy']] == [2, 4, 5]
  for tag in ('accuracy', 'loss'):
    assert np.allclose([value for _, value in evaluated[tag]], [line[tag] for line in lines])
    assert {2, 4, 5} <= {step for step, _ in trained[tag]}
  rows = _rows(folder)
  columns = ['step', 'split', 'loss', 'accuracy', 'learning_rate', 'accuracy_low', 'accuracy_high']
  assert list(rows[0]) == columns
  found = [[float(row[name]) for name in columns[-2:]] for row in rows if row['accuracy_low']]
  assert found == [line['accuracy_interval'] for line in lines]
  assert [row['split'] for row in rows].count('train') == 5
  assert [int(row['step']) for row in rows if row['split'] == 'validation'] == [2, 4, 5]
  assert all(row['learning_rate'] and row['accuracy'] for row in rows)


def _rows(train_dir):
  with open(train_dir / 'metrics.csv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def test_evaluating_changes_no_training(tiny_dataset, tmp_path):
  settings = {'max_number_of_steps': 4, 'optimizer': 'adam', 'moving_average_decay': 0.9}
  runs.train(_options(tiny_dataset, tmp_path / 'a', **settings))
  runs.train(_options(tiny_dataset, tmp_path / 'b', eval_every_steps=1, **settings))
  without, evaluated = _values(tmp_path / 'a'), _values(tmp_path / 'b')
  assert without.keys() == evaluated.keys()
  assert all(np.array_equal(without[name], evaluated[name]) for name in without)
  assert not (tmp_path / 'a' / 'best').exists()
  first, *_, last = _rows(tmp_path / 'a')
  assert (first['step'], last['step'], last['split']) == ('1', '4', 'train')
  assert last['accuracy'] and not last['accuracy_low']
  lines = metrics_log.read(str(tmp_path / 'b'))
  assert metrics_log.read(str(tmp_path / 'a')) == [line for line in lines if 'split' not in line]


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({'eval_every_steps': 4}, [4, 8, 12]),
    ({'eval_every_epochs': 1.0}, [6, 12]),  # 30 images are six batches
    ({'eval_every_epochs': 0.75}, [5, 9]),  # 4.5 steps
    ({'eval_every_epochs': 0.1}, list(range(1, 13))),
  ],
)
def test_when_it_is_due(tiny_dataset, tmp_path, settings, expected):
  options = _options(tiny_dataset, tmp_path, **settings)
  due = validation.Validation(options, 30, {}, is_resumed=False)
  assert [step for step in range(13) if due.is_due(step)] == expected


def test_the_best_outlives_rotation_and_worse_ones(tiny_dataset, tmp_path, scripted):
  steps = scripted([0.3, 0.6, 0.5, 0.6, 0.4, 0.5, 0.5, 0.5])
  runs.train(
    _options(tiny_dataset, tmp_path, eval_every_steps=1, max_number_of_steps=8, eval_split='train')
  )
  assert steps == [1, 2, 3, 4, 5, 6, 7, 8]
  assert not (tmp_path / 'model.ckpt-2.index').exists()
  assert checkpoints.resolve(str(tmp_path / 'best')) == str(tmp_path / 'best' / 'model.ckpt-2')
  assert sorted(path.name for path in (tmp_path / 'best').iterdir()) == [
    *['checkpoint', 'metrics.json', 'model.ckpt-2.data-00000-of-00001', 'model.ckpt-2.index'],
    *['model.ckpt-2.meta', 'run.json'],
  ]
  assert scalars(tmp_path / 'eval_train')['accuracy'][1] == (2, pytest.approx(0.6))


def test_early_stopping_ends_a_run_for_good(tiny_dataset, tmp_path, scripted, capsys):
  steps = scripted([0.3, 0.6, 0.5, 0.6])
  arguments = [f'--train_dir={tmp_path}', f'--dataset_dir={tiny_dataset}', '--model_name=lenet']
  arguments += ['--train_image_size=12', '--batch_size=5', '--max_number_of_steps=20']
  arguments += ['--eval_every_epochs=0.3', '--early_stopping_patience=2']
  assert run(train_image_classifier, *arguments) == 0
  assert 'Stopped early at step 8' in capsys.readouterr().out
  assert run(train_image_classifier, *arguments) == 0
  assert 'has ended early at step 8' in capsys.readouterr().out
  assert steps == [2, 4, 6, 8]


def test_a_resumed_run_counts_on(tiny_dataset, tmp_path, scripted, monkeypatch):
  steps = scripted([0.6, 0.5, 0.5, 0.4])
  options = _options(
    tiny_dataset, tmp_path, eval_every_steps=2, early_stopping_patience=3, max_number_of_steps=50
  )
  write = validation.Validation._write_events

  def stop_at_4(self, step, scalars):
    write(self, step, scalars)
    if step == 4:
      signal.raise_signal(signal.SIGTERM)

  monkeypatch.setattr(validation.Validation, '_write_events', stop_at_4)
  assert runs.train(options).signal == signal.SIGTERM
  monkeypatch.undo()
  steps = [*steps, *scripted([0.5, 0.4])]
  result = runs.train(options)
  assert (result.step, result.is_stopped_early) == (8, True)
  assert [line['step'] for line in _evaluations(tmp_path)] == [2, 4, 6, 8]
  assert checkpoints.resolve(str(tmp_path / 'best')).endswith('model.ckpt-2')


def test_what_a_dead_process_did_not_evaluate(tiny_dataset, tmp_path, scripted, monkeypatch):
  scripted({2: 0.3, 4: 0.5})
  options = _options(tiny_dataset, tmp_path / 'a', eval_every_steps=2, max_number_of_steps=4)
  runs.train(options)
  for owner, call in ((validation.Validation, '_keep'), (metrics_log, 'write_csv')):
    folder = tmp_path / call
    options = dataclasses.replace(options, train_dir=str(folder))
    with monkeypatch.context() as patch:
      patch.setattr(owner, call, lambda *_: 1 / 0)
      with pytest.raises(ZeroDivisionError):
        runs.train(options)
    runs.train(options)
    for name in ('metrics.jsonl', 'metrics.csv', 'best/metrics.json'):
      assert (folder / name).read_bytes() == (tmp_path / 'a' / name).read_bytes()


class _Killed(Exception):
  pass


def _keep_until(folder, prefix, files, operation):
  """Keeps a checkpoint as the best until the n-th rename or deletion; returns whether it ended."""
  count = 0

  def counted(call):
    def counting(*arguments):
      nonlocal count
      count += 1
      if count == operation:
        raise _Killed
      return call(*arguments)

    return counting

  with pytest.MonkeyPatch.context() as patch:
    for name in ('replace', 'unlink', 'rmdir', 'mkdir', 'link'):
      patch.setattr(os, name, counted(getattr(os, name)))
    try:
      saving.keep_only(prefix, folder, files)
    except _Killed:
      return False
  return True


def test_a_kill_between_leaves_a_whole_best(tiny_dataset, tmp_path):
  runs.train(_options(tiny_dataset, tmp_path / 'run', max_number_of_steps=2))
  old, new = (str(tmp_path / 'run' / f'model.ckpt-{step}') for step in (0, 2))
  for operation in range(1, 100):
    folder = str(tmp_path / f'best {operation}')
    saving.keep_only(old, folder, {'metrics.json': b'0'})
    has_ended = _keep_until(folder, new, {'metrics.json': b'2'}, operation)
    assert checkpoints.step_of(checkpoints.resolve(folder)) in (0, 2)
    saving.recover_only(folder)
    step = checkpoints.step_of(checkpoints.resolve(folder))
    with open(f'{folder}/metrics.json', encoding='utf-8') as file:
      assert file.read() == str(step)
    assert len(os.listdir(folder)) == 5 and _values(folder)['global_step'] == step
    if has_ended:
      break
  assert step == 2 and operation > 10


def test_a_disk_without_links(tiny_dataset, tmp_path, monkeypatch):
  def link(*_):
    raise PermissionError

  monkeypatch.setattr(os, 'link', link)
  runs.train(_options(tiny_dataset, tmp_path, eval_every_steps=4, max_number_of_steps=4))
  assert _values(tmp_path / 'best')['global_step'] == 4


@pytest.mark.parametrize(
  ('settings', 'text'),
  [
    ({'eval_every_steps': 0}, '--eval_every_steps=0'),
    ({'eval_every_epochs': 0.0}, '--eval_every_epochs=0'),
    ({'eval_every_epochs': float('nan')}, '--eval_every_epochs=nan'),
    ({'eval_every_steps': 1, 'eval_every_epochs': 1.0}, 'give one'),
    ({'best_metric': 'acuracy', 'eval_every_steps': 1}, 'accuracy'),
    ({'early_stopping_patience': 2}, '--eval_every_steps'),
    ({'early_stopping_patience': 0, 'eval_every_steps': 1}, '--early_stopping_patience=0'),
    ({'eval_every_steps': 1, 'eval_split': 'tset'}, 'tset'),
  ],
)
def test_settings_that_cannot_work(tiny_dataset, tmp_path, settings, text):
  with pytest.raises(UserError, match=text):
    runs.train(_options(tiny_dataset, tmp_path, **settings))


def test_a_best_of_another_run_split_or_metric(tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, eval_every_steps=2, max_number_of_steps=2)
  runs.train(options)
  with pytest.raises(UserError, match="by the split 'validation'"):
    runs.train(dataclasses.replace(options, eval_split='train'))
  with pytest.raises(UserError, match='which may not be the best by --best_metric=loss: move it'):
    runs.train(dataclasses.replace(options, best_metric='loss'))
  for path in [*tmp_path.glob('model.ckpt-*'), tmp_path / 'checkpoint']:
    path.unlink()
  with pytest.raises(UserError, match='move it away'):
    runs.train(options)
  (tmp_path / 'best' / 'metrics.json').write_text('{"step": "two"}', encoding='utf-8')
  with pytest.raises(UserError, match='step is'):
    runs.train(options)
