"""Pictures without an up: which orientations come, how often, and by what."""

import collections

import numpy as np
import pytest

from preprocessing import orientation, preprocessing_factory
from slim_compat import tf
from slim_errors import UserError

_IMAGE = np.arange(4, dtype=np.float32).reshape(2, 2, 1)  # 0 1 above 2 3


def _orientations(count, **settings):
  """How often each orientation comes among so many views, by their four pixels."""
  with tf.Graph().as_default(), tf.Session() as session:
    seeds = tf.stack([tf.zeros([count], tf.int64), tf.range(count, dtype=tf.int64)], axis=1)
    views = tf.map_fn(
      lambda seed: orientation.turned(tf.constant(_IMAGE), seed, **settings), seeds, tf.float32
    )
    values = session.run(views).astype(int)
  return collections.Counter(''.join(map(str, view.ravel())) for view in values)


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({}, {'0123'}),
    ({'vertical_flip': True}, {'0123', '2301'}),
    ({'rotation': 'right_angles'}, {'0123', '1302', '3210', '2031'}),
    (
      {'vertical_flip': True, 'rotation': 'right_angles'},
      {'0123', '1302', '3210', '2031', '2301', '3120', '1032', '0213'},
    ),
  ],
)
def test_every_orientation_comes_as_often(settings, expected):
  seen = _orientations(200, **settings)
  assert set(seen) == expected
  assert min(seen.values()) > 0.4 * 200 / len(expected)


def test_an_unknown_rotation():
  with pytest.raises(UserError, match="Unknown rotation 'right': .*right_angles"):
    orientation.turned(tf.zeros([2, 2, 1]), rotation='right')


@pytest.mark.parametrize(('is_training', 'is_turned'), [(True, True), (False, False)])
def test_training_views_are_turned(is_training, is_turned):
  image = np.random.default_rng(0).integers(0, 256, [28, 28, 3], np.uint8)
  views = []
  with tf.Graph().as_default(), tf.Session() as session:
    for turns in ({}, {'vertical_flip': True, 'rotation': 'right_angles'}):
      fn = preprocessing_factory.get_preprocessing('lenet', is_training, **turns)
      seeds = [{'seed': tf.constant([0, n])} for n in range(8)] if is_training else [{}]
      views.append(session.run([fn(tf.constant(image), 28, 28, **seed) for seed in seeds]))
  assert all(view.shape == (28, 28, 3) for view in views[1])
  assert is_turned != all(np.array_equal(a, b) for a, b in zip(*views, strict=True))
