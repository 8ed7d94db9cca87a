"""Optimizers: steps by their formulas, and every flag of one in effect."""

import dataclasses
import math

import numpy as np
import pytest

from image_classifier.optimization import optimizers
from image_classifier.options import TrainingOptions
from nets.net_info import net_info
from slim_compat import tf
from slim_errors import UserError


def _after(steps, **settings):
  """The weight 1.0 after `steps` steps down the slope of weight**2 / 2, whose gradient it is."""
  return _descent(steps, {'weight': 1.0}, learning_rate=0.1, **settings)['weight']


def _descent(steps, starts, gradients=None, **settings):
  """Updates variables so many times.

  Args:
    steps: number of updates.
    starts: {name: value}.
    gradients: {name: value}, the same for every step; None for the slope of variable**2 / 2.

  Returns:
    {name: value} after the last, with all slots.
  """
  options = TrainingOptions(**settings)
  with tf.Graph().as_default(), tf.Session() as session:
    global_step = tf.train.get_or_create_global_step()
    variables = [
      tf.get_variable(name, initializer=np.asarray(value, np.float32))
      for name, value in starts.items()
    ]
    groups = optimizers.by_rate(options, tf.constant(options.learning_rate), variables)
    loss = tf.add_n(
      [
        tf.reduce_sum(v * (v / 2 if gradients is None else np.float32(gradients[v.op.name])))
        for v in variables
      ]
    )
    pairs = optimizers.compute_gradients(groups, loss)
    norm = tf.global_norm([gradient for gradient, _ in pairs])
    with tf.control_dependencies([norm]):
      update = optimizers.apply_gradients(options, groups, pairs, norm, global_step)
    session.run(tf.global_variables_initializer())
    for _ in range(steps):
      session.run(update)
    return {v.op.name: session.run(v) for v in tf.global_variables()}


@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_every_optimizer_goes_down(name):
  assert _after(3, optimizer=name) < 1.0


# Each flag of an optimizer, at a value other than its default, leads elsewhere within three steps.
@pytest.mark.parametrize(
  ('optimizer', 'flag', 'value'),
  [
    ('adadelta', 'adadelta_rho', 0.5),
    ('adadelta', 'opt_epsilon', 0.1),
    ('adagrad', 'adagrad_initial_accumulator_value', 1.0),
    ('adam', 'adam_beta1', 0.5),
    ('adam', 'adam_beta2', 0.5),
    ('adam', 'opt_epsilon', 0.1),
    ('adamw', 'adam_beta1', 0.5),
    ('adamw', 'adam_beta2', 0.5),
    ('adamw', 'opt_epsilon', 0.1),
    ('lamb', 'adam_beta1', 0.5),
    ('lamb', 'adam_beta2', 0.5),
    ('lamb', 'opt_epsilon', 0.1),
    ('ftrl', 'ftrl_learning_rate_power', -0.3),
    ('ftrl', 'ftrl_initial_accumulator_value', 1.0),
    ('ftrl', 'ftrl_l1', 0.5),
    ('ftrl', 'ftrl_l2', 0.5),
    ('momentum', 'momentum', 0.1),
    ('nesterov', 'momentum', 0.1),
    ('rmsprop', 'rmsprop_momentum', 0.1),
    ('rmsprop', 'rmsprop_decay', 0.1),
    ('rmsprop', 'opt_epsilon', 0.1),
  ],
)
def test_every_flag_of_an_optimizer_acts(optimizer, flag, value):
  default = {field.name: field.default for field in dataclasses.fields(TrainingOptions)}[flag]
  assert default != value
  usual, changed = (_after(3, optimizer=optimizer, **{flag: v}) for v in (default, value))
  assert abs(usual - changed) > 1e-6  # float32 steps here are 6e-8


def test_momentum_by_hand():
  # v1 = 1, w1 = .9; v2 = .9 + .9, w2 = .9 - .18
  assert _after(2, optimizer='momentum') == pytest.approx(0.72)


_WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0]])
_BIASES = np.array([0.5, -0.25])


def _adam_reference(weights, epsilon, steps=3, rate=0.1, decay=0.0):
  """Adam down the slope of w**2 / 2, in NumPy, with the paper's epsilon hat and decay."""
  w, m, v = weights.copy(), 0.0, 0.0
  for t in range(1, steps + 1):
    m, v = 0.9 * m + 0.1 * w, 0.999 * v + 0.001 * w * w
    step_size = rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    w = w - rate * decay * w - step_size * m / (np.sqrt(v) + epsilon)
  return w


def _lamb_reference(weights, is_layer, steps=3, rate=0.1, decay=0.01):
  w, m, v = weights.copy(), 0.0, 0.0
  for t in range(1, steps + 1):
    m, v = 0.9 * m + 0.1 * w, 0.999 * v + 0.001 * w * w
    update = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
    if is_layer:
      update += decay * w
      update *= np.linalg.norm(w) / np.linalg.norm(update)
    w = w - rate * update
  return w


def _nesterov_reference(weights, steps=3, rate=0.1, momentum=0.9):
  """Sutskever et al., On the importance of initialization and momentum, in TensorFlow's form."""
  w, total = weights.copy(), 0.0
  for _ in range(steps):
    gradient = w
    total = momentum * total + gradient
    w = w - rate * (gradient + momentum * total)
  return w


@pytest.mark.parametrize(
  ('optimizer', 'weights', 'biases'),
  [
    ('adamw', _adam_reference(_WEIGHTS, 1e-8, decay=0.01), _adam_reference(_BIASES, 1e-8)),
    ('adam', _adam_reference(_WEIGHTS, 1.0), _adam_reference(_BIASES, 1.0)),
    ('lamb', _lamb_reference(_WEIGHTS, True), _lamb_reference(_BIASES, False)),
    ('nesterov', _nesterov_reference(_WEIGHTS), _nesterov_reference(_BIASES)),
  ],
)
def test_three_steps_are_those_of_numpy(optimizer, weights, biases):
  starts = {'weights': _WEIGHTS, 'biases': _BIASES}
  after = _descent(3, starts, optimizer=optimizer, learning_rate=0.1)
  np.testing.assert_allclose(after['weights'], weights, rtol=1e-5, atol=2e-6)
  np.testing.assert_allclose(after['biases'], biases, rtol=1e-5, atol=2e-6)
  assert after['global_step'] == 3


def test_lamb_of_weights_that_are_zero():
  after = _descent(1, {'w': np.zeros([2, 2])}, {'w': np.ones([2, 2])}, optimizer='lamb')
  np.testing.assert_allclose(after['w'], -0.01, rtol=1e-4)  # Adam's first step is the rate


@pytest.mark.parametrize('optimizer', ['sgd', 'momentum', 'rmsprop', 'adam'])
def test_decoupled_weight_decay_of_any_optimizer(optimizer):
  starts = {'weights': _WEIGHTS, 'biases': _BIASES}
  zero = {name: np.zeros_like(value) for name, value in starts.items()}
  settings = {'optimizer': optimizer, 'learning_rate': 0.1, 'decoupled_weight_decay': 0.5}
  after = _descent(2, starts, zero, **settings)
  np.testing.assert_allclose(after['weights'], _WEIGHTS * 0.95**2, rtol=1e-5)
  np.testing.assert_allclose(after['biases'], _BIASES)


@pytest.mark.parametrize(('limit', 'factor'), [(1.0, 0.2), (5.0, 1.0), (50.0, 1.0)])
def test_a_long_gradient_is_clipped_as_a_whole(limit, factor):
  gradients = {'a': np.array([3.0]), 'b': np.array([[4.0]])}  # of length 5
  starts = {name: np.zeros_like(value) for name, value in gradients.items()}
  settings = {'optimizer': 'sgd', 'learning_rate': 1.0, 'clip_gradient_norm': limit}
  after = _descent(1, starts, gradients, **settings)
  assert after['a'] == pytest.approx(-3 * factor) and after['b'] == pytest.approx(-4 * factor)


_LENET = {
  'LeNet/conv1/weights': 0.125,
  'LeNet/conv2/weights': 0.25,
  'LeNet/fc3/biases': 0.5,
  'LeNet/fc4/weights': 1.0,
}


@pytest.mark.parametrize('optimizer', ['sgd', 'adam', 'momentum', 'lamb'])
def test_layer_decay_and_the_rate_of_the_head(optimizer):
  settings = {'model_name': 'lenet', 'optimizer': optimizer, 'layer_decay': 0.5}
  starts = dict.fromkeys(_LENET, 1.0)
  usual = _descent(1, starts, starts, optimizer=optimizer, learning_rate=0.1)
  after = _descent(1, starts, starts, learning_rate=0.1, head_lr_multiplier=4.0, **settings)
  for name, factor in (_LENET | {'LeNet/fc4/weights': 4.0}).items():
    assert 1 - after[name] == pytest.approx(factor * (1 - usual[name]), rel=1e-4), name
  assert after['global_step'] == 1


def test_every_variable_of_a_net_belongs_to_a_block_or_the_head():
  for name in ('mobilenet_v1_025', 'mobilenet_v3_small', 'inception_v3', 'resnet_v2_50'):
    options = TrainingOptions(model_name=name, layer_decay=0.5)
    info = net_info(name)
    multipliers = [optimizers.rate_multiplier(options, f'{s}/weights') for s in info.blocks]
    expected = [0.5**depth for depth in range(len(info.blocks), 0, -1)]
    assert multipliers == expected
    assert optimizers.rate_multiplier(options, f'{info.head_scopes[0]}/weights') == 1


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'optimizer': 'adm'}, "Unknown optimizer 'adm': did you mean 'adam'"),
    ({'moving_average_decay': 1.0}, '--moving_average_decay=1.0'),
    ({'opt_epsilon': 0.0}, '--opt_epsilon=0.0 must be above 0'),
    ({'accumulate_steps': 0}, '--accumulate_steps=0 must be at least 1'),
    ({'clip_gradient_norm': 0.0}, '--clip_gradient_norm=0.0 must be above 0'),
    ({'layer_decay': 1.1}, '--layer_decay=1.1 must be above 0 and at most 1'),
    ({'head_lr_multiplier': -1.0}, '--head_lr_multiplier=-1.0 must be above 0'),
    ({'optimizer': 'ftrl', 'decoupled_weight_decay': 0.1}, 'take --ftrl_l2'),
    ({'optimizer': 'ftrl', 'warmup_steps': 3}, 'proportional to the learning rate'),
    ({'optimizer': 'ftrl', 'warmup_epochs': 0.5}, 'proportional to the learning rate'),
    (
      {'optimizer': 'ftrl', 'learning_rate_decay_type': 'cosine', 'max_epochs': 1.0},
      'proportional to the',
    ),
    ({'class_weights': 'auto', 'balanced_sampling': True}, 'give one of them'),
    ({'label_smoothing': 1.5}, '--label_smoothing=1.5 must be at least 0 and below 1'),
    ({'label_smoothing': math.nan}, '--label_smoothing=nan'),
    ({'momentum': -0.9}, '--momentum=-0.9 must be at least 0'),
    ({'rmsprop_momentum': 9.0}, '--rmsprop_momentum=9.0'),
    ({'rmsprop_decay': 1.0}, '--rmsprop_decay=1.0'),
    ({'adam_beta1': 1.0}, '--adam_beta1=1.0'),
    ({'adam_beta2': 1.0}, '--adam_beta2=1.0'),
    ({'adadelta_rho': 2.0}, '--adadelta_rho=2.0'),
    ({'batch_norm_decay': 1.0}, '--batch_norm_decay=1.0'),
    ({'adagrad_initial_accumulator_value': 0.0}, 'accumulator_value=0.0 must be above 0'),
    ({'weight_decay': -1.0}, '--weight_decay=-1.0 must be 0 or more'),
    ({'ftrl_l1': -1.0}, '--ftrl_l1=-1.0'),
    ({'ftrl_l2': -1.0}, '--ftrl_l2=-1.0'),
    ({'ftrl_initial_accumulator_value': -1.0}, 'accumulator_value=-1.0 must be 0 or more'),
    ({'ftrl_learning_rate_power': 0.5}, '--ftrl_learning_rate_power=0.5 must be 0 or less'),
    ({'decoupled_weight_decay': 1.0}, '--decoupled_weight_decay=1.0 must be at least 0'),
  ],
)
def test_settings_that_cannot_work(settings, words):
  with pytest.raises(UserError, match=words):
    optimizers.check(TrainingOptions(**settings))


def test_a_checkpoint_is_of_no_use_to_ftrl(caplog):
  optimizers.warn(TrainingOptions(optimizer='ftrl'))
  assert not caplog.messages
  optimizers.warn(TrainingOptions(optimizer='ftrl', checkpoint_path='old'))
  assert 'those of --checkpoint_path are gone after a step' in caplog.text


@pytest.mark.parametrize(
  ('settings', 'warned'),
  [
    ({'optimizer': 'momentum', 'learning_rate': 1.0}, False),
    ({'optimizer': 'momentum', 'learning_rate': 1.5}, True),
    ({'optimizer': 'momentum', 'learning_rate': 1.5, 'batch_size': 512}, False),
    ({'optimizer': 'momentum', 'learning_rate': 1.5, 'accumulate_steps': 16}, False),
    ({'optimizer': 'adam', 'learning_rate': 0.5}, True),
    ({'optimizer': 'adadelta', 'learning_rate': 1.5}, False),
  ],
)
def test_a_high_rate_is_warned_of(settings, warned, caplog):
  optimizers.warn(TrainingOptions(**settings))
  assert any('--learning_rate=' in message for message in caplog.messages) is warned
