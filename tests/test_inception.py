"""The Inception networks: what their arguments change, and where they stop."""

from types import SimpleNamespace

import numpy as np
import pytest

from nets import inception, inception_resnet_v2, inception_v2, inception_v4
from slim_compat import slim, tf


def family(name, root, size, last, shape, pooled, aux):
  """Facts of a network: name, scope, size, last end point with its shape, name of the features."""
  facts = SimpleNamespace(name=name, root=root, size=size, last=last, shape=shape, aux=aux)
  facts.pooled = f'{root}/Logits/{pooled}'
  facts.network, facts.base, facts.arg_scope = (
    getattr(inception, name + suffix) for suffix in ('', '_base', '_arg_scope')
  )
  return facts


V1 = family('inception_v1', 'InceptionV1', 224, 'Mixed_5c', [7, 7, 1024], 'AvgPool_0a', None)
V2 = family('inception_v2', 'InceptionV2', 224, 'Mixed_5c', [7, 7, 1024], 'AvgPool_1a', None)
V3 = family('inception_v3', 'InceptionV3', 299, 'Mixed_7c', [8, 8, 2048], 'AvgPool_1a', 'Mixed_6e')
V4 = family('inception_v4', 'InceptionV4', 299, 'Mixed_7d', [8, 8, 1536], 'AvgPool_1a', 'Mixed_6h')
RESNET_V2 = family(
  'inception_resnet_v2',
  'InceptionResnetV2',
  299,
  'Conv2d_7b_1x1',
  [8, 8, 1536],
  'AvgPool_1a',
  'PreAuxLogits',
)


def of_families(*families, quick=(V1,)):
  """Runs a test for the families; those that take seconds to build are slow."""
  return pytest.mark.parametrize(
    'net',
    [
      pytest.param(f, id=f.name, marks=() if f in quick else pytest.mark.slow)
      for f in families or (V1, V2, V3, V4, RESNET_V2)
    ],
  )


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default() as graph:
    yield graph


def image(*shape):
  return tf.placeholder(tf.float32, shape)


def names(end_points):
  return list(end_points)


@of_families()
def test_base_ends_at_its_last_end_point(net):
  features, end_points = net.base(image(5, net.size, net.size, 3))
  assert features is end_points[net.last]
  assert features.shape.as_list() == [5, *net.shape]
  for name, tensor in end_points.items():
    assert tensor.op.name.startswith(f'{net.root}/{name}') or name == 'PreAuxLogits'


@of_families()
def test_base_stops_where_it_is_told_and_nowhere_else(net):
  whole = names(net.base(image(1, net.size, net.size, 3))[1])
  for i in (0, 1, 4, 7, len(whole) - 3):
    with tf.Graph().as_default():
      tensor, end_points = net.base(image(1, net.size, net.size, 3), final_endpoint=whole[i])
      assert names(end_points) == whole[: i + 1]
      assert tensor is end_points[whole[i]]


@of_families(V1, V2, V4, RESNET_V2)
def test_unknown_end_point_is_refused(net):
  with pytest.raises(ValueError, match='Mixed_9z'):
    net.base(image(1, 75, 75, 3), final_endpoint='Mixed_9z')


@of_families()
def test_without_classes_it_gives_features_and_no_head(net):
  features, end_points = net.network(image(3, net.size, net.size, 3), num_classes=None)
  assert features.op.name.startswith(net.pooled)
  assert features.shape.as_list() == [3, 1, 1, net.shape[-1]]
  assert not {'Logits', 'Predictions', 'AuxLogits'} & set(end_points)


@of_families(V3, V4, RESNET_V2)
def test_auxiliary_head_can_be_left_out(net):
  logits, end_points = net.network(image(2, 107, 107, 3), num_classes=7, create_aux_logits=False)
  assert logits.shape.as_list() == [2, 7]
  assert 'AuxLogits' not in end_points
  assert not [v for v in tf.global_variables() if '/AuxLogits/' in v.op.name]


@of_families(V4, RESNET_V2)
def test_auxiliary_head_takes_smaller_images(net):
  _, end_points = net.network(image(2, 150, 150, 3), num_classes=7)
  assert end_points['AuxLogits'].shape.as_list() == [2, 7]
  assert end_points[net.last].shape.as_list() == [2, 3, 3, 1536]


def run_once(tensors, feed):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors, feed)


@of_families(V1, V4, RESNET_V2)
def test_images_of_any_size_at_any_time(net):
  inputs = image(None, None, None, 3)
  arguments = {'global_pool': True} if net is V1 else {'create_aux_logits': False}
  logits, end_points = net.network(inputs, 7, is_training=False, **arguments)
  assert logits.shape.as_list() == [None, 7]
  batch = np.random.default_rng(0).uniform(-1, 1, (2, 80, 99, 3))
  values, last, pooled = run_once(
    [logits, end_points[net.last], end_points['global_pool']], {inputs: batch}
  )
  assert values.shape == (2, 7)
  assert pooled == pytest.approx(last.mean((1, 2), keepdims=True), abs=1e-5)


@of_families()
def test_evaluation_shares_the_variables_of_training(net):
  net.network(image(2, 150, 150, 3), 7, **({'global_pool': True} if net is V1 else {}))
  variables = tf.global_variables()
  arguments = {'global_pool': True} if net is V1 else {}
  net.network(image(4, 150, 150, 3), 7, is_training=False, reuse=True, **arguments)
  assert tf.global_variables() == variables


@of_families()
def test_variables_live_on_the_device_of_their_scope(net):
  with tf.variable_scope('here'), tf.device('/cpu:0'):
    net.network(image(1, net.size, net.size, 3), 7)
  with tf.variable_scope('there'), tf.device('/gpu:0'):
    net.network(image(1, net.size, net.size, 3), 7)
  devices = {(v.op.name.split('/')[0], v.device) for v in tf.global_variables()}
  assert devices == {('here', '/device:CPU:0'), ('there', '/device:GPU:0')}


@pytest.mark.parametrize('scale', [False, True])
@of_families()
def test_batch_norm_has_a_scale_when_asked(net, scale):
  with slim.arg_scope(net.arg_scope(batch_norm_scale=scale)):
    net.base(image(1, net.size, net.size, 3))
  variables = [v.op.name for v in tf.global_variables()]
  layers = [v.rsplit('/', 1)[0] for v in variables if v.endswith('/BatchNorm/moving_mean')]
  gammas = [v for v in variables if v.endswith('/gamma')]
  assert layers
  assert gammas == [f'{layer}/gamma' for layer in layers] * scale


@pytest.mark.parametrize(
  'net, parameters',
  [(V1, 5607184), pytest.param(V2, 10173112, marks=pytest.mark.slow)],
  ids=['inception_v1', 'inception_v2'],
)
def test_body_has_the_published_number_of_parameters(net, parameters):
  with slim.arg_scope(net.arg_scope()):
    net.base(image(5, 224, 224, 3))
  sizes = [v.shape.num_elements() for v in slim.get_model_variables()]
  assert sum(sizes) == parameters


@of_families(V1, V2, quick=(V1, V2))
def test_body_without_its_root(net):
  _, end_points = net.base(
    image(5, 28, 28, 192), final_endpoint='Mixed_3c', include_root_block=False
  )
  assert names(end_points) == ['Mixed_3b', 'Mixed_3c']
  assert end_points['Mixed_3b'].shape.as_list() == [5, 28, 28, 256]
  with tf.Graph().as_default(), pytest.raises(ValueError, match='Conv2d_1a_7x7'):
    net.base(image(5, 28, 28, 192), 'Conv2d_1a_7x7', include_root_block=False)


class TestInceptionV2:
  def first_layer(self, **arguments):
    inception.inception_v2_base(image(2, 224, 224, 3), 'Conv2d_1a_7x7', **arguments)
    return {v.op.name.split('/', 2)[2]: v.shape.as_list() for v in slim.get_model_variables()}

  def test_first_layer_is_separable(self):
    assert self.first_layer() == {
      'depthwise_weights': [7, 7, 3, 8],
      'pointwise_weights': [1, 1, 24, 64],
      'biases': [64],
    }

  def test_first_layer_can_be_a_plain_convolution(self):
    layer = self.first_layer(use_separable_conv=False)
    assert layer == {'weights': [7, 7, 3, 64], 'biases': [64]}

  def test_channels_first(self):
    shapes = {}
    for data_format, shape in (('NHWC', (5, 224, 224, 3)), ('NCHW', (5, 3, 224, 224))):
      with (
        tf.Graph().as_default(),
        slim.arg_scope(inception.inception_v2_arg_scope()),
      ):
        _, end_points = inception.inception_v2_base(
          image(*shape), 'Mixed_4a', use_separable_conv=False, data_format=data_format
        )
        shapes[data_format] = {name: t.shape.as_list() for name, t in end_points.items()}
        shapes[data_format]['variables'] = [v.shape.as_list() for v in tf.global_variables()]
    variables = shapes['NCHW'].pop('variables')
    assert variables == shapes['NHWC'].pop('variables')
    assert shapes['NCHW'] == {name: [b, c, h, w] for name, (b, h, w, c) in shapes['NHWC'].items()}

  @pytest.mark.parametrize(
    'arguments, message',
    [
      ({'data_format': 'NCHW'}, 'use_separable_conv=False'),
      ({'data_format': 'HWCN'}, 'HWCN'),
      ({'depth_multiplier': 0}, 'greater than zero'),
      ({'depth_multiplier': -0.1}, 'greater than zero'),
    ],
  )
  def test_wrong_arguments_are_refused(self, arguments, message):
    with pytest.raises(ValueError, match=message):
      inception.inception_v2_base(image(2, 224, 224, 3), **arguments)

  @pytest.mark.parametrize('multiplier', [0.5, 2.0])
  def test_multiplier_scales_every_depth(self, multiplier):
    shapes = []
    for factor in (1.0, multiplier):
      with tf.Graph().as_default():
        _, end_points = inception_v2.inception_v2_base(
          image(1, 64, 64, 3), 'Mixed_4a', depth_multiplier=factor
        )
        # A pooling passes channels on: Mixed_4a adds what 3c has, scaled itself.
        shapes.append({name: t.shape.as_list()[3] for name, t in end_points.items()})
    assert shapes[1] == {name: int(multiplier * depth) for name, depth in shapes[0].items()}


class TestInceptionResnetV2:
  def grids(self, final_endpoint, **arguments):
    _, end_points = inception.inception_resnet_v2_base(
      image(5, 299, 299, 3), final_endpoint, **arguments
    )
    return {name: tensor.shape.as_list()[1:] for name, tensor in end_points.items()}

  def test_aligned_feature_maps_are_half_as_large_each_time(self):
    grids = self.grids('Mixed_6a', align_feature_maps=True)
    assert [size for size, *_ in grids.values()] == [150, 150, 150, 75, 75, 75, 38, 38, 19]
    assert grids['Mixed_6a'] == [19, 19, 1088]

  def test_output_stride_8_keeps_the_grid(self):
    assert self.grids('Mixed_6a', output_stride=8)['Mixed_6a'] == [33, 33, 1088]

  @pytest.mark.slow
  def test_output_stride_8_goes_as_far_as_pre_aux_logits(self):
    assert self.grids('PreAuxLogits', output_stride=8)['PreAuxLogits'] == [33, 33, 1088]
    with tf.Graph().as_default(), pytest.raises(ValueError, match='PreAuxLogits'):
      self.grids('Mixed_7a', output_stride=8)

  def test_other_output_strides_are_refused(self):
    with pytest.raises(ValueError, match='8 or 16'):
      self.grids('Mixed_6a', output_stride=4)

  @pytest.mark.parametrize('block', ['block35', 'block17', 'block8'])
  def test_blocks_add_to_their_input(self, block):
    inputs = np.random.default_rng(0).uniform(-9, 9, (1, 5, 5, 12)).astype(np.float32)
    build = getattr(inception_resnet_v2, block)
    unscaled = build(tf.constant(inputs), scale=0.0, activation_fn=None)
    bounded = build(tf.constant(inputs), scale=1e6, activation_fn=tf.nn.relu6, scope='bounded')
    unscaled, bounded = run_once([unscaled, bounded], {})
    assert unscaled == pytest.approx(inputs)
    assert bounded == pytest.approx(np.clip(bounded, 0, 6))
    # However large, a bounded residual moves the input by no more than 6.
    assert (bounded[inputs > 6.5] > 0).all()


@pytest.mark.parametrize(
  'block, shape',
  [
    ('inception_a', [2, 9, 9, 384]),
    ('reduction_a', [2, 4, 4, 640 + 12]),
    ('inception_b', [2, 9, 9, 1024]),
    ('reduction_b', [2, 4, 4, 512 + 12]),
    ('inception_c', [2, 9, 9, 1536]),
  ],
)
def test_blocks_of_inception_v4(block, shape):
  build = getattr(inception_v4, f'block_{block}')
  assert build(image(2, 9, 9, 12)).shape.as_list() == shape
  scope = 'Block' + block.title().replace('_', '')
  variables = tf.global_variables()
  assert {v.op.name.split('/')[0] for v in variables} == {scope}
  build(image(2, 9, 9, 12), scope=scope, reuse=True)
  assert tf.global_variables() == variables
