"""The length of a run: steps, epochs, minutes, and what a resumed run counts."""

import dataclasses
import json
import signal
import time

import pytest

from image_classifier import run_length
from image_classifier.options import TrainingOptions
from image_classifier.training import runs
from slim_compat import tf
from slim_errors import UserError


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({}, None),
    ({'max_minutes': 3.0}, None),
    ({'max_number_of_steps': 7}, 7),
    ({'max_epochs': 2.0}, 20),  # 320 images are ten batches of 32
    ({'max_epochs': 0.55}, 6),  # 5.5 steps
    ({'max_epochs': 2.0, 'max_number_of_steps': 7}, 7),
    ({'max_epochs': 2.0, 'max_number_of_steps': 70}, 20),
    ({'max_epochs': 2.0, 'accumulate_steps': 4}, 5),
    ({'max_epochs': 2.0, 'batch_size': 64}, 10),
  ],
)
def test_the_last_step(settings, expected):
  assert run_length.last_step(TrainingOptions(**settings), 320) == expected


@pytest.mark.parametrize('name', ['max_epochs', 'max_minutes'])
@pytest.mark.parametrize('value', [0.0, -1.0, float('inf'), float('nan')])
def test_lengths_that_are_none(name, value):
  with pytest.raises(UserError, match=f'--{name}='):
    run_length.check(TrainingOptions(**{name: value}))


def test_a_negative_number_of_steps():
  with pytest.raises(UserError, match='--max_number_of_steps=-3 must be 0 or more'):
    run_length.check(TrainingOptions(max_number_of_steps=-3))


def _options(dataset_dir, train_dir, **settings):
  settings = {'model_name': 'lenet', 'train_image_size': 12, 'batch_size': 5, **settings}
  return TrainingOptions(train_dir=str(train_dir), dataset_dir=str(dataset_dir), **settings)


def test_a_run_of_epochs(tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, max_epochs=1.5)
  assert runs.train(options).step == 9  # 30 images are six batches


class _SlowClock:
  """Ten seconds pass whenever somebody looks; at one of the looks the run is asked to stop."""

  def __init__(self, stop_at=None, is_heard=None):
    self._now, self._stop_at, self._is_heard = 0.0, stop_at, is_heard

  def monotonic(self):
    self._now += 10
    if self._now == self._stop_at:
      signal.raise_signal(signal.SIGTERM)
      deadline = time.monotonic() + 60  # of the true clock, for the thread that hears signals
      while not self._is_heard() and time.monotonic() < deadline:
        time.sleep(0.01)
    return self._now


def test_a_run_of_minutes_goes_on_where_it_was(tiny_dataset, tmp_path, monkeypatch, caplog):
  settings = {'learning_rate_decay_type': 'cosine', 'log_every_n_steps': 1}
  options = _options(tiny_dataset, tmp_path, max_minutes=5.0, **settings)
  monkeypatch.setattr(run_length, 'time', _SlowClock(100, lambda: 'Signal 15' in caplog.text))
  assert runs.train(options).signal == signal.SIGTERM
  seconds = tf.train.load_variable(str(tmp_path), run_length.ELAPSED_SECONDS)
  assert 90 <= seconds < 150
  monkeypatch.setattr(run_length, 'time', _SlowClock())
  assert runs.train(options).step > 5
  assert tf.train.load_variable(str(tmp_path), run_length.ELAPSED_SECONDS) >= 300
  lines = (tmp_path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  rates = [json.loads(line)['learning_rate'] for line in lines]
  assert rates == sorted(rates, reverse=True) and rates[-1] < 0.001 < rates[0]
  assert runs.train(options).loss is None  # its time is over


def test_the_time_of_steps_that_are_taken_back_counts(tiny_dataset, tmp_path, monkeypatch):
  clock = _SlowClock()
  for module in (run_length, runs):
    monkeypatch.setattr(module, 'time', clock)
  settings = {'optimizer': 'sgd', 'learning_rate': 1000.0, 'retry_on_nan': 9}
  runs.train(_options(tiny_dataset, tmp_path, max_minutes=10.0, **settings))
  record = json.loads((tmp_path / 'run.json').read_text(encoding='utf-8'))
  assert record['nan_retries'] > 0
  assert 600 <= clock.monotonic() < 750  # without it 1,040


def test_a_stage_of_images_leaves_time_for_the_next(tiny_dataset, tmp_path, monkeypatch):
  options = _options(tiny_dataset, tmp_path, max_minutes=5.0)
  monkeypatch.setattr(run_length, 'time', _SlowClock())
  runs.train(options, share_from_images=0.5)
  assert 150 <= tf.train.load_variable(str(tmp_path), run_length.ELAPSED_SECONDS) < 300


def test_a_run_may_get_a_time_later(tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, max_number_of_steps=2)
  runs.train(options)
  more = dataclasses.replace(options, max_number_of_steps=4, max_minutes=5.0)
  assert runs.train(more).step == 4
