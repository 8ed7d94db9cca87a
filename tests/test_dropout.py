"""Dropout: slim's in what it does, and a function of seed, layer and step in what it draws."""

import numpy as np
import pytest

from nets import nets_factory
from nets.dropout import BATCH_NUMBER, dropout
from preprocessing import preprocessing_factory
from slim_compat import slim, tf
from slim_errors import UserError

_STATEFUL = {'RandomUniform', 'RandomUniformInt', 'RandomStandardNormal', 'TruncatedNormal'}
_STATEFUL |= {'Multinomial', 'RandomGamma', 'RandomShuffle'}
# One net of every family of preprocessing.
_FAMILIES = list(
  {f: name for name, f in preprocessing_factory.preprocessing_fn_map.items()}.values()
)


def _masks(layers=('a', 'b'), *, seed=3, steps=(5, 6, 5), **settings):
  """What dropout makes of ones [4, 100] in each step: {layer: list of arrays}."""
  with tf.Graph().as_default(), tf.Session() as session:
    if seed is not None:
      tf.set_random_seed(seed)
    step = tf.train.get_or_create_global_step()
    outputs = {name: dropout(tf.ones([4, 100]), scope=name, **settings) for name in layers}
    session.run(tf.global_variables_initializer())
    seen = []
    for number in steps:
      step.load(number, session)
      seen.append(session.run(outputs))
    return {name: [values[name] for values in seen] for name in layers}


def test_masks_depend_on_seed_layer_and_step_alone():
  masks = _masks()
  first, other_step, again = masks['a']
  assert np.array_equal(first, again)
  assert not np.array_equal(first, other_step)
  assert not np.array_equal(first, masks['b'][0])
  assert np.array_equal(first, _masks(['b', 'c', 'a'], steps=[5])['a'][0])
  assert not np.array_equal(first, _masks(seed=4)['a'][0])


def test_what_is_kept_is_scaled():
  (values,) = _masks(['a'], steps=[1], keep_prob=0.8)['a']
  assert set(values.ravel().tolist()) == {0.0, 1.25}
  assert 0.7 < (values > 0).mean() < 0.9


@pytest.mark.parametrize('settings', [{'is_training': False}, {'keep_prob': 1.0}])
def test_nothing_is_dropped(settings):
  assert (_masks(['a'], steps=[1], **settings)['a'][0] == 1).all()


def test_arg_scopes_are_obeyed():
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(0)
    tf.train.get_or_create_global_step()
    ones = tf.ones([4, 100])
    with slim.arg_scope([slim.dropout], is_training=False):
      left, given = dropout(ones), dropout(ones, is_training=True)
    with slim.arg_scope([slim.dropout], keep_prob=0.25):
      scaled = dropout(ones)
    session.run(tf.global_variables_initializer())
    assert (session.run(left) == 1).all() and (session.run(given) != 1).any()
    assert session.run(scaled).max() == 4


def test_without_a_seed_it_is_slims():
  first, other_step, again = _masks(['a'], seed=None)['a']
  assert not np.array_equal(first, again)


def _stateful_operations(graph):
  """Names of the operations that draw numbers which depend on what was drawn before."""
  names = [op.name for op in graph.get_operations() if op.type in _STATEFUL]
  return [name for name in names if '/Initializer/' not in name]


_SMALL = ('cifarnet', 'lenet', 'alexnet_v2', 'vgg_a', 'overfeat', 'mobilenet_v1_025')
_LARGE = (
  'inception_v1',
  'inception_v4',
  'mobilenet_v3_small',
  'nasnet_cifar',
  'resnet_v1_50',
  's3dg',
)


@pytest.mark.parametrize(
  'name', [*_SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in _LARGE)]
)
def test_nets_draw_nothing_that_a_resumed_run_would_draw_otherwise(name):
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    tf.train.get_or_create_global_step()
    network_fn = nets_factory.get_network_fn(name, num_classes=3, is_training=True)
    size = network_fn.default_image_size
    frames = [16] if name == 's3dg' else []
    network_fn(tf.zeros([2, *frames, size, size, 3]))
    assert _stateful_operations(graph) == []


@pytest.mark.parametrize('name', _FAMILIES)
def test_preprocessing_draws_by_its_seed_alone(name):
  with tf.Graph().as_default() as graph:
    fn = preprocessing_factory.get_preprocessing(name, is_training=True)
    fn(tf.zeros([50, 60, 3], tf.uint8), 32, 32, seed=tf.constant([0, 1], tf.int64))
    assert _stateful_operations(graph) == []


@pytest.mark.parametrize(('keep_prob', 'is_random'), [(None, True), (1.0, False), (0.3, True)])
@pytest.mark.parametrize(
  'name',
  [
    *('lenet', 'cifarnet', 'mobilenet_v1_025'),
    pytest.param('mobilenet_v2_035', marks=pytest.mark.slow),
  ],
)
def test_what_every_dropout_of_a_net_keeps(name, keep_prob, is_random):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(0)
    step = tf.train.get_or_create_global_step()
    images = tf.constant(np.random.default_rng(0).normal(size=[4, 32, 32, 3]), tf.float32)
    network_fn = nets_factory.get_network_fn(name, 7, is_training=True, dropout_keep_prob=keep_prob)
    logits, _ = network_fn(images)
    session.run(tf.global_variables_initializer())
    seen = []
    for number in (1, 200):
      step.load(number, session)
      seen.append(session.run(logits))
    # mobilenet_v1 keeps 999 of 1000 by itself
    is_sure = keep_prob is not None or name != 'mobilenet_v1_025'
    assert not is_sure or is_random != np.allclose(seen[0], seen[1], rtol=1e-5)


def test_batches_of_one_step_have_masks_of_their_own():
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    tf.train.get_or_create_global_step()
    number = tf.placeholder(tf.int64, [])
    tf.add_to_collection(BATCH_NUMBER, number)
    mask = dropout(tf.ones([4, 100]), scope='a')
    session.run(tf.global_variables_initializer())
    masks = [session.run(mask, {number: n}) for n in (5, 6)]
  assert np.array_equal(masks[0], _masks(['a'], steps=[5])['a'][0])
  assert not np.array_equal(*masks)


@pytest.mark.parametrize(
  ('name', 'settings', 'words'),
  [
    (
      'resnet_v1_50',
      {'dropout_keep_prob': 0.5},
      'resnet_v1_50 has no dropout',
    ),
    ('lenet', {'drop_path': 0.1}, '--drop_path: lenet has none'),
  ],
)
def test_a_net_without_what_is_set(name, settings, words):
  with pytest.raises(UserError, match=words):
    nets_factory.get_network_fn(name, 3, **settings)
