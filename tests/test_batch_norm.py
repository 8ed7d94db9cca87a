"""Batch norms that are frozen, or whose decay is set, from outside the network."""

import numpy as np
import pytest

from nets import mobilenet_v2, nets_factory
from nets.batch_norm import batch_norm
from slim_compat import slim, tf

IMAGES = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
THREE_LAYERS = mobilenet_v2.V2_DEF | {'spec': mobilenet_v2.V2_DEF['spec'][:3]}
BATCH_NORMS = [  # of these layers
  'MobilenetV2/Conv/BatchNorm',
  'MobilenetV2/expanded_conv/depthwise/BatchNorm',
  'MobilenetV2/expanded_conv/project/BatchNorm',
  'MobilenetV2/expanded_conv_1/expand/BatchNorm',
  'MobilenetV2/expanded_conv_1/depthwise/BatchNorm',
  'MobilenetV2/expanded_conv_1/project/BatchNorm',
]


def build(**options):
  """Builds a small network on IMAGES and returns its end points."""
  network_fn = nets_factory.get_network_fn('mobilenet_v2', 10, **options)
  return network_fn(tf.constant(IMAGES), conv_defs=THREE_LAYERS)[1]


def moving_means():
  return {v.op.name: v for v in tf.global_variables() if v.op.name.endswith('/moving_mean')}


def load_values(session):
  """Gives every variable seeded values with which no layer dies out or saturates."""
  rng = np.random.default_rng(0)
  feed = {}
  for variable in tf.global_variables():
    shape, name = variable.shape.as_list(), variable.op.name
    values = rng.normal(0, 0.1, shape)
    if name.endswith(('gamma', 'moving_variance')):
      values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) == 4:
      values = rng.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
    feed[variable.initializer.inputs[1]] = values
  session.run([v.initializer for v in tf.global_variables()], feed)


def means_after_one_step(**options):
  """Returns {name: moving mean after one update from 0} of the network in training."""
  with tf.Graph().as_default(), tf.Session() as session:
    build(is_training=True, **options)
    load_values(session)
    session.run([v.initializer for v in moving_means().values()])
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    return session.run(moving_means())


def test_only_layers_that_are_not_frozen_are_updated():
  frozen = BATCH_NORMS[:4]
  with tf.Graph().as_default():
    build(is_training=True, is_frozen=frozen.__contains__)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    updated = [op.inputs[0].op.name.rsplit('/', 1)[0] for op in updates]
    assert sorted(updated) == sorted(BATCH_NORMS[4:] * 2)
    assert [name.rsplit('/', 1)[0] for name in moving_means()] == BATCH_NORMS


def test_a_frozen_layer_uses_its_stored_statistics():
  def features(**options):
    with tf.Graph().as_default(), tf.Session() as session:
      end_points = build(**options)
      load_values(session)
      return session.run(end_points['layer_3'])

  stored = features(is_training=False)
  frozen = features(is_training=True, is_frozen=lambda scope: True)
  np.testing.assert_allclose(frozen, stored, atol=1e-5)
  # The check would see a layer that normalizes with its batch.
  assert np.abs(features(is_training=True) - stored).max() > 0.1


def test_decay_is_the_one_given():
  # One update moves a mean from 0 to (1 - decay) * batch mean.
  slow, fast, own = (means_after_one_step(batch_norm_decay=d) for d in (0.9, 0.5, None))
  for name in slow:
    assert np.abs(slow[name]).max() > 0, name
    np.testing.assert_allclose(fast[name], slow[name] * 5, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(own[name], slow[name] * 0.003 / 0.1, rtol=1e-3, err_msg=name)


def test_decay_and_freezing_together():
  means = means_after_one_step(
    batch_norm_decay=0.5, is_frozen=lambda scope: scope == BATCH_NORMS[0]
  )
  assert [mean.any() for mean in means.values()] == [False, *[True] * 5]


@pytest.mark.parametrize('layer', [batch_norm, slim.batch_norm])
def test_without_overrides_it_is_slims_batch_norm(layer):
  with tf.Graph().as_default() as graph:
    with slim.arg_scope([slim.batch_norm], scale=True, is_training=False):
      layer(tf.zeros([2, 4, 4, 3]), activation_fn=tf.nn.relu, scope='norm')
    assert [v.op.name for v in tf.global_variables()] == [
      f'norm/{part}' for part in ('gamma', 'beta', 'moving_mean', 'moving_variance')
    ]
    assert {'norm/FusedBatchNormV3', 'norm/Relu'} <= {o.name for o in graph.get_operations()}
    assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_names_reach_is_frozen_as_they_are_in_the_graph():
  asked = []
  with tf.Graph().as_default(), slim.arg_scope([batch_norm], is_frozen=asked.append):
    batch_norm(tf.zeros([2, 4, 4, 3]))
    with tf.variable_scope('net'):
      slim.conv2d(tf.zeros([2, 4, 4, 3]), 3, 1, normalizer_fn=batch_norm, scope='conv')
      batch_norm(tf.zeros([2, 4, 4, 3]), scope='postnorm')
    assert asked == ['BatchNorm', 'net/conv/BatchNorm', 'net/postnorm']
    assert [name.rsplit('/', 1)[0] for name in moving_means()] == asked
