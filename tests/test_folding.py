"""Variables become constants and batch norms part of their convolutions; the answers stay."""

import numpy as np
import pytest
from small_nets import random_values

from image_classifier.graphs import folding
from nets import net_info, nets_factory
from nets.batch_norm import batch_norm
from slim_compat import slim, tf

_SMALL = {
  # Norms that are folded, and those that are left.
  'lenet': (0, 0),
  'mobilenet_v1_025': (27, 0),
}


def session_of_plain_graph():
  """Returns a session without the graph optimizer, which folds some norms itself and takes long."""
  config = tf.ConfigProto()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  return tf.Session(config=config)


def graph_and_values(build, *shape):
  """Returns GraphDef, values of all variables, images and what `build(images)` answers."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, shape).astype(np.float32)
  with tf.Graph().as_default() as graph, session_of_plain_graph() as session:
    fed = tf.placeholder(tf.float32, [None, *shape[1:]], 'input')
    output = tf.identity(build(fed), 'output')
    values = {v.op.name: random_values(v, rng) for v in tf.global_variables()}
    initializers = [v.initializer for v in tf.global_variables()]
    session.run(initializers, {op.inputs[1]: values[op.inputs[0].op.name] for op in initializers})
    return graph.as_graph_def(), values, images, session.run(output, {fed: images})


def answers(graph_def, images):
  with tf.Graph().as_default(), session_of_plain_graph() as session:
    tf.import_graph_def(graph_def, name='')
    return session.run('output:0', {'input:0': images})


def norms(graph_def):
  return [node.name for node in graph_def.node if node.op.startswith('FusedBatchNorm')]


def check_net(name):
  """Returns how many norms of a net were folded and left, having compared the answers."""
  info = net_info.net_info(name)
  size = min(info.default_image_size, max(info.min_image_size, 64))
  frames = [16] if info.is_video else []

  def build(images):
    return nets_factory.get_network_fn(name, 3)(images)[0]

  graph_def, values, images, expected = graph_and_values(build, 2, *frames, size, size, 3)
  constant = folding.with_constants(graph_def, values)
  result = folding.folded(constant)
  actual = answers(result, images)
  np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
  names = {node.name for node in graph_def.node}
  assert {n.name for n in result.node} - names <= {
    f'{norm}/folded_{part}' for norm in norms(graph_def) for part in ('weights', 'bias')
  }
  return len(norms(graph_def)) - len(norms(result)), len(norms(result))


@pytest.mark.parametrize('name', _SMALL)
def test_small_nets_answer_as_before(name):
  assert check_net(name) == _SMALL[name]


# One of each family whose smallest is small; the others, of the same layers, take minutes.
_OF_FAMILIES = (
  *('inception_v1', 'mobilenet_edgetpu', 'mobilenet_v2_035', 'mobilenet_v3_small'),
  'pnasnet_mobile',
)


def _other_nets():
  """Returns those that are not small, most of them for `make test-zoo`."""
  for name in net_info.NET_INFO:
    if name not in _SMALL:
      mark = pytest.mark.slow if name in _OF_FAMILIES else pytest.mark.zoo
      yield pytest.param(name, marks=mark)


@pytest.mark.parametrize('name', list(_other_nets()))
def test_every_other_net_answers_as_before(name):
  check_net(name)


def small_graph(build):
  return graph_and_values(build, 2, 6, 6, 3)


def check(build, count):
  """Tests that the answers stay and `count` norms are folded; returns the new graph."""
  graph_def, values, images, expected = small_graph(build)
  before = graph_def.SerializeToString()
  result = folding.folded(folding.with_constants(graph_def, values))
  assert graph_def.SerializeToString() == before
  assert len(norms(graph_def)) - len(norms(result)) == count
  np.testing.assert_allclose(answers(result, images), expected, rtol=1e-4, atol=1e-5)
  return result


def frozen_norm(net, **kwargs):
  return batch_norm(net, is_training=False, **kwargs)


def convolution(net, depth=4, **kwargs):
  return slim.conv2d(net, depth, 3, activation_fn=None, **kwargs)


def test_the_weights_that_are_replaced_are_gone():
  result = check(lambda x: tf.nn.relu(frozen_norm(convolution(x, biases_initializer=None))), 1)
  constants = {node.name for node in result.node if node.op == 'Const'}
  weights = {'BatchNorm/FusedBatchNormV3/folded_weights', 'BatchNorm/FusedBatchNormV3/folded_bias'}
  assert weights <= constants
  assert not any(name.endswith(('Conv/weights', 'moving_mean', 'beta')) for name in constants)


@pytest.mark.parametrize('scale', [False, True])
def test_a_bias_between_goes_into_the_new_one(scale):
  result = check(lambda x: frozen_norm(convolution(x), scale=scale), 1)
  assert [node.op for node in result.node].count('BiasAdd') == 1


def test_a_depthwise_convolution_of_several_outputs_a_channel():
  def build(net):
    net = slim.separable_conv2d(
      net, None, 3, depth_multiplier=2, activation_fn=None, biases_initializer=None
    )
    return frozen_norm(net, scale=True)

  check(build, 1)


def test_a_gamma_that_the_graph_fills_with_ones():
  # TensorFlow makes ones of 1,000 and more an operation.
  result = check(lambda x: frozen_norm(convolution(x, 1000), scale=False), 1)
  assert 'Fill' not in {node.op for node in result.node if 'FusedBatchNorm' in node.name}


def test_what_others_read_stays():
  def build(net):
    net = convolution(net)
    return frozen_norm(net) + net

  check(build, 0)


def test_norms_behind_no_convolution_stay():
  check(lambda x: frozen_norm(tf.nn.relu(convolution(x))), 0)


def test_norms_that_train_stay():
  graph_def = small_graph(lambda x: batch_norm(convolution(x), is_training=True))[0]
  assert norms(folding.folded(graph_def)) == norms(graph_def) != []
  for node in graph_def.node:
    node.attr.pop('is_training', None)  # the default, which a file may leave out, is to train
  assert norms(folding.folded(graph_def)) == norms(graph_def)


def test_unknown_weights_stay():
  graph_def, values, *_ = small_graph(lambda x: frozen_norm(convolution(x)))
  del values['Conv/weights']
  result = folding.folded(folding.with_constants(graph_def, values))
  assert norms(result) == norms(graph_def)
  variables = [node.name for node in result.node if node.op == 'VariableV2']
  assert variables == ['Conv/weights']
  # Its own initializer is still there, those of the others are gone.
  assert [node.name for node in result.node if node.op == 'Assign'] == ['Conv/weights/Assign']


def test_resource_variables_become_constants_too():
  def build(net):
    with tf.variable_scope('', use_resource=True):
      return frozen_norm(convolution(net))

  result = check(build, 1)
  assert not {'VarHandleOp', 'ReadVariableOp'} & {node.op for node in result.node}


def test_weights_that_are_not_finite_stay_so():
  graph_def, values, images, _ = small_graph(lambda x: frozen_norm(convolution(x)))
  values['BatchNorm/moving_variance'][0] = -1
  values['Conv/weights'][..., 1] = np.inf
  answer = answers(folding.folded(folding.with_constants(graph_def, values)), images)
  assert np.isnan(answer[..., 0]).all() and not np.isfinite(answer[..., 1]).any()
  assert np.isfinite(answer[..., 2:]).all()
