"""Schedules: values by their formulas, in runs bounded by steps, epochs and time."""

import math

import pytest

from image_classifier import run_length
from image_classifier.optimization import schedules
from image_classifier.options import TrainingOptions
from slim_compat import tf
from slim_errors import UserError

_IMAGES = 320  # 10 steps an epoch at batch 32


def _rate(step, elapsed=None, **settings):
  settings = {'learning_rate': 1.0, 'end_learning_rate': 0.1, **settings}
  options = TrainingOptions(**settings)
  with tf.Graph().as_default(), tf.Session() as session:
    global_step = tf.get_variable('step', initializer=tf.constant(step, tf.int64))
    times = None
    if elapsed is not None:
      elapsed = tf.get_variable('elapsed', initializer=tf.constant(elapsed, tf.float64))
      times = run_length.Times(elapsed, earlier=tf.constant(0.0, tf.float64))
    rate = schedules.learning_rate(options, _IMAGES, global_step, times)
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
    (3, {'learning_rate_decay_type': 'fixed', 'warmup_steps': 4}, 0.75),
    (4, {'learning_rate_decay_type': 'fixed', 'warmup_steps': 4}, 1.0),
    # an epoch is half as many steps when two batches make one
    (25, {'accumulate_steps': 2}, 0.94**2),
    (5, {'learning_rate_decay_type': 'fixed', 'warmup_epochs': 2.0, 'accumulate_steps': 2}, 0.5),
  ],
)
def test_learning_rate(step, settings, expected):
  assert _rate(step, **settings) == pytest.approx(expected)


@pytest.mark.parametrize('kind', ['fixed', 'exponential', 'polynomial'])
def test_the_old_node_names(kind):
  with tf.Graph().as_default() as graph:
    step = tf.train.get_or_create_global_step()
    schedules.learning_rate(TrainingOptions(learning_rate_decay_type=kind), _IMAGES, step)
    assert graph.get_operation_by_name(
      f'{kind}_decay_learning_rate'.replace('fixed_decay', 'fixed')
    )


def _cosine(share, begin=1.0, end=0.1):
  return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(
  ('step', 'settings', 'share'),
  [
    (0, {'max_number_of_steps': 100}, 0.0),
    (25, {'max_number_of_steps': 100}, 0.25),
    (100, {'max_number_of_steps': 100}, 1.0),
    (150, {'max_number_of_steps': 100}, 1.0),
    (30, {'max_epochs': 6.0}, 0.5),  # of 60 steps
    (30, {'max_epochs': 6.0, 'max_number_of_steps': 40}, 0.75),  # the lesser
    (30, {'max_epochs': 6.0, 'max_number_of_steps': 400}, 0.5),
    (15, {'max_epochs': 6.0, 'accumulate_steps': 2}, 0.5),
    (30, {'num_epochs_per_decay': 12.0, 'max_epochs': 6.0}, 0.25),
  ],
)
def test_cosine_fits_the_run(step, settings, share):
  rate = _rate(step, learning_rate_decay_type='cosine', **settings)
  assert rate == pytest.approx(_cosine(share), abs=1e-6)


@pytest.mark.parametrize(
  ('step', 'expected'),
  [
    (0, 1 / 25),
    (15, (1 + 1 / 25) / 2),  # half of the rise
    (30, 1.0),
    (65, 0.55),  # half of the fall
    (100, 0.1),
    (130, 0.1),
  ],
)
def test_one_cycle(step, expected):
  settings = {'learning_rate_decay_type': 'one_cycle', 'max_number_of_steps': 100}
  assert _rate(step, **settings) == pytest.approx(expected, abs=1e-6)


# A run of two minutes.
@pytest.mark.parametrize(
  ('kind', 'step', 'elapsed', 'settings', 'expected'),
  [
    ('cosine', 7, 30.0, {}, _cosine(0.25)),
    ('cosine', 7, 300.0, {}, 0.1),
    ('cosine', 70, 30.0, {'max_number_of_steps': 100}, _cosine(0.7)),  # the steps end it first
    ('cosine', 7, 60.0, {'max_epochs': 10.0}, _cosine(0.5)),  # the time ends it first
    ('polynomial', 7, 60.0, {}, 0.55),
    ('one_cycle', 7, 36.0, {}, 1.0),
    ('exponential', 20, 60.0, {}, 0.94),  # by epochs, whatever the length
    ('cosine', 7, 60.0, {'warmup_steps': 10}, 0.7),
  ],
)
def test_a_run_bounded_by_time(kind, step, elapsed, settings, expected):
  rate = _rate(step, elapsed, learning_rate_decay_type=kind, max_minutes=2.0, **settings)
  assert rate == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
  ('kind', 'end'), [('polynomial', 0.0001), ('cosine', 0.0), ('one_cycle', 0.0)]
)
def test_where_a_schedule_ends_by_itself(kind, end):
  settings = {'learning_rate_decay_type': kind, 'end_learning_rate': None}
  assert _rate(10, max_number_of_steps=10, **settings) == pytest.approx(end, abs=1e-9)


@pytest.mark.parametrize('kind', schedules.SCHEDULES)
def test_a_slower_run_is_slower_all_the_time(kind):
  settings = {'learning_rate_decay_type': kind, 'max_number_of_steps': 40}
  options = schedules.slower(TrainingOptions(**settings), 10)
  for step in (0, 21, 40):
    usual = _rate(step, learning_rate=0.01, end_learning_rate=None, **settings)
    ends = {'end_learning_rate': options.end_learning_rate}
    slower = _rate(step, learning_rate=options.learning_rate, **ends, **settings)
    assert slower == pytest.approx(usual / 10, abs=1e-9)


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'learning_rate_decay_type': 'cosin'}, "Unknown learning_rate_decay_type 'cosin'"),
    ({'learning_rate_decay_type': 'cosine'}, 'cosine must know when it ends'),
    ({'learning_rate_decay_type': 'one_cycle'}, 'one_cycle must know when it ends'),
    ({'learning_rate': 0.0}, '--learning_rate=0.0 must be above 0'),
    ({'learning_rate': math.nan}, '--learning_rate=nan must be above 0'),
    ({'learning_rate_decay_factor': 0.0}, '--learning_rate_decay_factor=0.0 must be above 0'),
    ({'num_epochs_per_decay': 0.0}, '--num_epochs_per_decay=0.0 must be above 0'),
    ({'warmup_epochs': math.nan}, '--warmup_epochs=nan must be 0 or more'),
    ({'end_learning_rate': -1.0}, '--end_learning_rate=-1.0 must be 0 or more'),
    ({'warmup_steps': -1}, '--warmup_steps=-1 must be 0 or more'),
    ({'warmup_steps': 1, 'warmup_epochs': 1.0}, 'say the same thing'),
    (
      {'learning_rate_decay_type': 'one_cycle', 'max_epochs': 1.0, 'warmup_steps': 1},
      'warms up by itself',
    ),
  ],
)
def test_settings_that_cannot_work(settings, words):
  with pytest.raises(UserError, match=words):
    schedules.check(TrainingOptions(**settings))


@pytest.mark.parametrize(
  ('settings', 'warned'),
  [
    ({'warmup_epochs': 2.0, 'max_epochs': 2.0}, True),
    ({'warmup_epochs': 1.0, 'max_epochs': 2.0}, False),
    ({'warmup_steps': 30, 'max_number_of_steps': 20}, True),
    ({'warmup_steps': 30}, False),
    ({'max_number_of_steps': 0}, False),
  ],
)
def test_a_run_that_is_all_warm_up_is_warned_of(settings, warned, caplog):
  schedules.warn_of_long_warmup(TrainingOptions(**settings), num_samples=320)
  assert any('warm-up' in message for message in caplog.messages) is warned
