"""The parts of a training run together: accumulation, optimizers, mixing, weights of classes."""

import json

import numpy as np
import pytest
from small_nets import scalars

from datasets import dataset_factory
from image_classifier.optimization import optimizers
from image_classifier.options import TrainingOptions
from image_classifier.training import runs, train_graph, train_net
from slim_compat import tf

_SGD = {'optimizer': 'sgd', 'learning_rate': 0.01, 'learning_rate_decay_type': 'fixed'}
_SMALL = {'model_name': 'lenet', 'train_image_size': 12, 'batch_size': 5}
_BATCH_NORM = {'model_name': 'mobilenet_v1_025', 'train_image_size': 32, 'batch_size': 4}


def _options(dataset_dir, train_dir, **settings):
  settings = {**_SMALL, 'max_number_of_steps': 3, 'save_summaries_secs': 0, **settings}
  return TrainingOptions(train_dir=str(train_dir), dataset_dir=str(dataset_dir), **settings)


def _train(dataset_dir, train_dir, **settings):
  return runs.train(_options(dataset_dir, train_dir, **settings))


def _values(train_dir):
  reader = tf.train.load_checkpoint(str(train_dir))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_two_batches_a_step_are_one_of_twice_the_size(tiny_dataset, tmp_path):
  settings = {**_SGD, 'dropout_keep_prob': 1.0, 'precision': 'float32'}
  settings |= {'learning_rate_decay_type': 'exponential', 'num_epochs_per_decay': 0.67}
  settings |= {'label_smoothing': 0.1, 'save_summaries_secs': 600}
  sizes = {'once': (10, 1), 'twice': (5, 2)}
  for name, (batch_size, accumulate_steps) in sizes.items():
    sizes[name] = _train(
      *(tiny_dataset, tmp_path / name),
      batch_size=batch_size,
      accumulate_steps=accumulate_steps,
      **settings,
    )
  assert sizes['once'].step == sizes['twice'].step == 3
  assert sizes['once'].loss == pytest.approx(sizes['twice'].loss, rel=1e-5)
  charts = [scalars(tmp_path / name) for name in sizes]
  for tag in ('total_loss', 'Losses/clone_loss', 'loss', 'accuracy'):
    once, twice = (chart[tag] for chart in charts)
    assert [step for step, _ in once] == [1, 3]
    np.testing.assert_allclose(once, twice, rtol=1e-4, err_msg=tag)
  # An evaluation smooths no label.
  smoothed, own = (np.array(charts[0][tag])[:, 1] for tag in ('Losses/clone_loss', 'loss'))
  assert (abs(smoothed - own) > 1e-3).all()
  once, twice = (_values(tmp_path / name) for name in sizes)
  assert once.keys() == twice.keys()  # the sums are in no checkpoint
  for name in once:
    np.testing.assert_allclose(once[name], twice[name], rtol=1e-4, atol=1e-6, err_msg=name)


_PARTS = {
  'optimizer': 'adamw',
  'learning_rate': 0.001,
  'learning_rate_decay_type': 'cosine',
  'num_epochs_per_decay': 3.0,  # as long whether the run is interrupted or not
  'warmup_steps': 2,
  'clip_gradient_norm': 1.0,
  'layer_decay': 0.9,
  'head_lr_multiplier': 2.0,
  'moving_average_decay': 0.9,
  'mixup_alpha': 0.4,
  'cutmix_alpha': 1.0,
  'random_erasing': 0.3,
  'dropout_keep_prob': 0.7,
  'class_weights': 'forest:2',
  'batch_norm_decay': 0.9,
  'balanced_sampling': True,
}


@pytest.mark.slow
@pytest.mark.parametrize('accumulate_steps', [1, 3])
def test_an_interrupted_run_with_all_parts_ends_the_same(
  accumulate_steps, short_mobilenet, tiny_dataset, tmp_path
):
  settings = {**_BATCH_NORM, **_PARTS, 'accumulate_steps': accumulate_steps}
  _train(tiny_dataset, tmp_path / 'whole', max_number_of_steps=3, **settings)
  for steps in (1, 3):
    _train(tiny_dataset, tmp_path / 'parts', max_number_of_steps=steps, **settings)
  whole, parts = _values(tmp_path / 'whole'), _values(tmp_path / 'parts')
  assert whole.keys() == parts.keys()
  assert [name for name in whole if whole[name].tobytes() != parts[name].tobytes()] == []


@pytest.mark.parametrize('optimizer', optimizers.OPTIMIZERS)
def test_slots_are_of_what_is_trained_alone(optimizer, tiny_dataset, tmp_path):
  settings = {'optimizer': optimizer, 'trainable_scopes': 'LeNet/fc3,LeNet/fc4'}
  options = _options(tiny_dataset, tmp_path, layer_decay=0.5, **settings)
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  with tf.Graph().as_default():
    train_graph.build(options, dataset, train_net.build(options, dataset, 12))
    names = [variable.op.name for variable in tf.global_variables()]
  assert any(name.startswith('LeNet/fc3/weights/') for name in names) == (optimizer != 'sgd')
  net = ('LeNet/conv1', 'LeNet/conv2')
  frozen = {name for name in names if name.startswith(net)}
  assert frozen == {f'{scope}/{kind}' for scope in net for kind in ('weights', 'biases')}


@pytest.fixture(scope='module')
def usual_loss(tiny_dataset, tmp_path_factory):
  """The loss of the first step without any of the parts."""
  return _train(tiny_dataset, tmp_path_factory.mktemp('usual'), max_number_of_steps=1).loss


@pytest.mark.parametrize(
  'changed',
  [
    {'mixup_alpha': 1.0},
    {'cutmix_alpha': 1.0},
    {'random_erasing': 1.0},
    {'dropout_keep_prob': 0.1},
    {'class_weights': 'forest:9'},
    {'accumulate_steps': 2},
    {'vertical_flip': True},
    {'rotation': 'right_angles'},
    {'rotation': '30'},
    {'horizontal_flip': True},
    {'brightness': 0.5, 'preprocessing_name': 'inception'},
    {'rand_augment': 1, 'preprocessing_name': 'cifarnet'},
  ],
  ids=lambda changed: next(iter(changed)),
)
def test_each_part_changes_the_loss_of_the_first_step(changed, usual_loss, tiny_dataset, tmp_path):
  other = _train(tiny_dataset, tmp_path, max_number_of_steps=1, **changed).loss
  assert abs(usual_loss - other) > 1e-4


def test_a_heavy_class_is_learnt_first(tiny_dataset, tmp_path, capsys):
  """With weights of 0 for all others every picture soon is of the one that is left."""
  weights = 'forest:3,sea ice:0,城市:0'
  settings = {'optimizer': 'adam', 'opt_epsilon': 1e-8, 'learning_rate': 0.01}
  result = _train(tiny_dataset, tmp_path, max_number_of_steps=15, class_weights=weights, **settings)
  assert result.loss < 0.3  # of batches with all classes
  assert 'Weights of the classes: forest 3, sea ice 0, 城市 0' in capsys.readouterr().out


@pytest.mark.parametrize(
  'parts',
  [
    {'optimizer': 'adamw', 'learning_rate': 0.005, 'learning_rate_decay_type': 'one_cycle'},
    {'optimizer': 'lamb', 'learning_rate': 0.02, 'learning_rate_decay_type': 'cosine'},
    {'optimizer': 'nesterov', 'learning_rate': 0.05, 'clip_gradient_norm': 1.0},
    {'optimizer': 'adamw', 'learning_rate': 0.005, 'accumulate_steps': 2, 'batch_size': 5},
  ],
  ids=lambda parts: '-'.join([parts['optimizer'], *(['accumulated'] * ('batch_size' in parts))]),
)
def test_parts_learn(parts, tiny_dataset, tmp_path):
  settings = {'batch_size': 10, 'train_image_size': 28, 'max_number_of_steps': 90, **parts}
  assert _train(tiny_dataset, tmp_path, **settings).loss < 0.7  # ln 3 = 1.1 is chance


def test_the_learning_rate_of_a_run_of_epochs(tiny_dataset, tmp_path):
  settings = {'learning_rate_decay_type': 'cosine', 'learning_rate': 0.01, 'max_epochs': 1.0}
  _train(tiny_dataset, tmp_path, max_number_of_steps=None, log_every_n_steps=1, **settings)
  lines = (tmp_path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  rates = [json.loads(line)['learning_rate'] for line in lines]
  expected = [0.005 * (1 + np.cos(np.pi * step / 6)) for step in range(6)]
  np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_moving_averages_warm_up():
  decays = [2 / 11, 3 / 12, 0.3, 0.3]  # (1 + step) / (10 + step) up to --moving_average_decay
  options, average = TrainingOptions(moving_average_decay=0.3), 0.0
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    weight = tf.get_variable('weight', initializer=0.0)
    updates = [tf.assign_add(step, 1).op, tf.assign_add(weight, 1.0).op]
    updates, _ = train_graph._with_averages(options, step, updates, [weight], {'weight'})
    session.run(tf.global_variables_initializer())
    averages = [v for v in tf.global_variables() if v.op.name.endswith('ExponentialMovingAverage')]
    for number, decay in enumerate(decays, 1):
      session.run(updates)
      average = decay * average + (1 - decay) * number
      assert session.run(averages) == [pytest.approx(average)]
