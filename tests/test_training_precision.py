"""Training in less than float32: the same bits again, logits that are not rounded, and float16."""

import dataclasses
import json

import numpy as np
import pytest

from image_classifier import precision
from image_classifier.optimization import loss_scaling
from image_classifier.options import TrainingOptions
from image_classifier.training import runs, train_graph
from nets.dropout import BATCH_NUMBER
from slim_compat import tf

_MODEL = 'mobilenet_v1_025'


def _train(dataset_dir, train_dir, computes_in='bfloat16', **settings):
  settings = {'model_name': _MODEL, 'train_image_size': 32, 'batch_size': 5, **settings}
  options = TrainingOptions(
    train_dir=str(train_dir), dataset_dir=str(dataset_dir), precision=computes_in, **settings
  )
  return runs.train(options)


def _values(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


pytestmark = pytest.mark.usefixtures('short_mobilenet')


@pytest.mark.parametrize('how', [{'model_name': 'lenet'}, {'finetune': 'from:Conv2d_2_depthwise'}])
def test_an_interrupted_run_in_bfloat16_ends_in_the_same_bits(how, tiny_dataset, tmp_path):
  start = tmp_path / 'start'
  _train(tiny_dataset, start, max_number_of_steps=1, model_name=how.get('model_name', _MODEL))
  how = {**how, 'checkpoint_path': str(start), 'batch_norm_decay': 0.9}
  _train(tiny_dataset, tmp_path / 'whole', max_number_of_steps=4, **how)
  _train(tiny_dataset, tmp_path / 'parts', max_number_of_steps=2, **how)
  _train(tiny_dataset, tmp_path / 'parts', max_number_of_steps=4, **how)
  whole, parts = (_values(tmp_path / name / 'model.ckpt-4') for name in ('whole', 'parts'))
  assert whole.keys() == parts.keys()
  assert [name for name in whole if not np.array_equal(whole[name], parts[name])] == []


@pytest.mark.slow
def test_summaries_change_nothing_in_bfloat16(tiny_dataset, tmp_path, monkeypatch):
  monkeypatch.setattr('image_classifier.training.loop._DETAIL_SUMMARIES_SECS', 1e-9)
  for name, seconds in (('with', 1e-9), ('without', 0)):
    _train(tiny_dataset, tmp_path / name, max_number_of_steps=3, save_summaries_secs=seconds)
  one, other = (_values(tmp_path / name / 'model.ckpt-3') for name in ('with', 'without'))
  assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def test_another_precision_goes_on_and_is_said(tiny_dataset, tmp_path, caplog):
  settings = {'model_name': 'lenet', 'train_image_size': 28}
  losses = {
    name: _train(tiny_dataset, tmp_path / name, name, max_number_of_steps=1, **settings).loss
    for name in ('float32', 'bfloat16')
  }
  assert losses['float32'] != losses['bfloat16']
  assert abs(losses['float32'] - losses['bfloat16']) < 0.01 * losses['float32']
  caplog.clear()
  _train(tiny_dataset, tmp_path / 'float32', max_number_of_steps=2, **settings)
  said = 'The run computed in float32 so far; from here on in bfloat16.'
  assert said in caplog.messages
  record = json.loads((tmp_path / 'float32' / 'run.json').read_text(encoding='utf-8'))
  assert record['precision'] == 'bfloat16'


def test_float16_skips_steps_until_the_gradients_fit(tiny_dataset, tmp_path, monkeypatch):
  monkeypatch.setattr(precision, 'resolve', lambda name: 'float16' if name == 'auto' else name)
  new_scale = lambda name: tf.mixed_precision.DynamicLossScale(3e38) if name == 'float16' else None  # noqa: E731
  settings = {'model_name': 'lenet', 'train_image_size': 28, 'batch_size': 5, 'optimizer': 'sgd'}
  # A run that begins in float32 has no loss scale in its checkpoint.
  _train(tiny_dataset, tmp_path, 'float32', max_number_of_steps=1, **settings)
  monkeypatch.setattr(loss_scaling, 'new', new_scale)
  assert _train(tiny_dataset, tmp_path, 'auto', max_number_of_steps=3, **settings).step == 3
  start, skipped = _values(tmp_path / 'model.ckpt-1'), _values(tmp_path / 'model.ckpt-3')
  weights = 'LeNet/conv1/weights'
  assert np.array_equal(start[weights], skipped[weights])
  assert skipped['current_loss_scale'] < 3e38 and skipped['global_step'] == 3
  _train(tiny_dataset, tmp_path, 'auto', max_number_of_steps=20, **settings)
  end = _values(tmp_path / 'model.ckpt-20')
  assert not np.array_equal(start[weights], end[weights])
  assert end['current_loss_scale'] < skipped['current_loss_scale'] and end['good_steps'] > 0


def _let_a_batch_overflow(batch, monkeypatch):
  """Makes gradients of a batch, by its number in the run, too large once the loss is scaled."""
  classification_loss = train_graph._classification_loss

  @tf.custom_gradient
  def spoilt(loss):
    (number,) = tf.get_collection(BATCH_NUMBER)
    factor = tf.where(tf.equal(number, batch), 1e38, 1.0)
    return tf.identity(loss), lambda gradient: gradient * factor

  monkeypatch.setattr(
    train_graph, '_classification_loss', lambda *args: spoilt(classification_loss(*args))
  )


def test_float16_with_several_batches_a_step(tiny_dataset, tmp_path, monkeypatch):
  settings = {'model_name': 'lenet', 'train_image_size': 12, 'optimizer': 'sgd'}
  settings |= {'accumulate_steps': 2, 'max_number_of_steps': 3, 'save_interval_secs': 1e-9}
  _train(tiny_dataset, tmp_path / 'plain', 'float32', **settings)
  monkeypatch.setattr(precision, 'resolve', lambda name: 'float16' if name == 'auto' else name)
  _train(tiny_dataset, tmp_path / 'scaled', 'auto', **settings)
  plain, scaled = (_values(tmp_path / name / 'model.ckpt-3') for name in ('plain', 'scaled'))
  # A scale of 2 ** 15 changes exponents only.
  assert [name for name in plain if not np.array_equal(plain[name], scaled[name])] == []
  assert (scaled['current_loss_scale'], scaled['good_steps']) == (2**15, 3)

  _let_a_batch_overflow(2, monkeypatch)  # the first of the second step
  _train(tiny_dataset, tmp_path / 'spoilt', 'auto', **settings)
  before, skipped, after = (_values(tmp_path / f'spoilt/model.ckpt-{i}') for i in (1, 2, 3))
  weights = [name for name in before if name.startswith('LeNet/')]
  assert all(np.array_equal(before[name], skipped[name]) for name in weights)
  assert (skipped['current_loss_scale'], skipped['good_steps']) == (2**14, 0)
  assert not any(np.array_equal(skipped[name], after[name]) for name in weights)
  assert all(np.isfinite(after[name]).all() for name in weights)


def test_float16_is_for_a_gpu_that_is_used(monkeypatch):
  monkeypatch.setattr(precision, 'resolve', lambda name: 'float16')
  assert runs._precision(TrainingOptions(), None) == 'float16'
  options = dataclasses.replace(TrainingOptions(), clone_on_cpu=True)
  assert runs._precision(options, None) == 'float32'
