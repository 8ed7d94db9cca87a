"""Schedules and optimizers: values by their formulas, and every flag of an optimizer in effect."""

import dataclasses

import pytest

from image_classifier import optimization
from image_classifier.options import TrainingOptions
from slim_compat import tf
from slim_errors import UserError

_IMAGES = 320  # 10 steps an epoch at batch 32


def _rate(step, **settings):
  options = TrainingOptions(learning_rate=1.0, end_learning_rate=0.1, **settings)
  with tf.Graph().as_default(), tf.Session() as session:
    global_step = tf.get_variable('step', initializer=tf.constant(step, tf.int64))
    rate = optimization.learning_rate(options, _IMAGES, global_step)
    session.run(tf.global_variables_initializer())
    return session.run(rate)


@pytest.mark.parametrize(
  ('step', 'settings', 'expected'),
  [
    (500, {'learning_rate_decay_type': 'fixed'}, 1.0),
    (19, {}, 1.0),  # exponential: a staircase of 2 epochs
    (20, {}, 0.94),
    (45, {'learning_rate_decay_factor': 0.5}, 0.25),
    (45, {'learning_rate_decay_factor': 0.5, 'num_epochs_per_decay': 4.0}, 0.5),
    (10, {'learning_rate_decay_type': 'polynomial', 'num_epochs_per_decay': 2.0}, 0.55),
    # left out, polynomial fits the run instead of ending after two epochs
    (50, {'learning_rate_decay_type': 'polynomial', 'max_number_of_steps': 100}, 0.55),
    (10, {'learning_rate_decay_type': 'polynomial'}, 0.55),
    (5, {'learning_rate_decay_type': 'fixed', 'warmup_epochs': 2.0}, 0.25),
    (25, {'learning_rate_decay_type': 'fixed', 'warmup_epochs': 2.0}, 1.0),
    (0, {'learning_rate_decay_type': 'fixed', 'warmup_epochs': 1.0}, 0.0),
  ],
)
def test_learning_rate(step, settings, expected):
  assert _rate(step, **settings) == pytest.approx(expected)


@pytest.mark.parametrize('kind', optimization.SCHEDULES)
def test_the_old_node_names(kind):
  with tf.Graph().as_default() as graph:
    step = tf.train.get_or_create_global_step()
    optimization.learning_rate(TrainingOptions(learning_rate_decay_type=kind), _IMAGES, step)
    assert graph.get_operation_by_name(
      f'{kind}_decay_learning_rate'.replace('fixed_decay', 'fixed')
    )


def _after(steps, **settings):
  """The weight 1.0 after `steps` steps down the slope of weight**2 / 2, whose gradient it is."""
  options = TrainingOptions(learning_rate=0.1, **settings)
  with tf.Graph().as_default(), tf.Session() as session:
    weight = tf.get_variable('weight', initializer=1.0)
    train = optimization.optimizer(options, options.learning_rate).minimize(weight * weight / 2)
    session.run(tf.global_variables_initializer())
    for _ in range(steps):
      session.run(train)
    return session.run(weight)


@pytest.mark.parametrize('name', optimization.OPTIMIZERS)
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
    ('ftrl', 'ftrl_learning_rate_power', -0.3),
    ('ftrl', 'ftrl_initial_accumulator_value', 1.0),
    ('ftrl', 'ftrl_l1', 0.5),
    ('ftrl', 'ftrl_l2', 0.5),
    ('momentum', 'momentum', 0.1),
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


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'optimizer': 'adm'}, "Unknown optimizer 'adm': did you mean 'adam'"),
    ({'learning_rate_decay_type': 'cosin'}, "Unknown learning_rate_decay_type 'cosin'"),
    ({'learning_rate': 0.0}, '--learning_rate=0.0 must be above 0'),
    ({'moving_average_decay': 1.0}, '--moving_average_decay=1.0'),
  ],
)
def test_settings_that_cannot_work(settings, words):
  with pytest.raises(UserError, match=words):
    optimization.check(TrainingOptions(**settings))


@pytest.mark.parametrize(
  ('settings', 'warned'),
  [
    ({'optimizer': 'momentum', 'learning_rate': 1.0}, False),
    ({'optimizer': 'momentum', 'learning_rate': 1.5}, True),
    ({'optimizer': 'momentum', 'learning_rate': 1.5, 'batch_size': 512}, False),
    ({'optimizer': 'adam', 'learning_rate': 0.5}, True),
    ({'optimizer': 'adadelta', 'learning_rate': 1.5}, False),
  ],
)
def test_a_high_rate_is_warned_of(settings, warned, caplog):
  optimization.warn_of_high_rate(TrainingOptions(**settings))
  assert any('--learning_rate=' in message for message in caplog.messages) is warned
