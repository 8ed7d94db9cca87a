"""The blocks and the builder of the MobileNets: what the originals promise, on short tables."""

import copy

import numpy as np
import pytest

from nets import conv_blocks as ops
from nets import mobilenet, mobilenet_v1, mobilenet_v2, mobilenet_v3
from slim_compat import slim, tf

op = mobilenet.op
RELU = mobilenet.table_defaults(tf.nn.relu)


@pytest.fixture(autouse=True)
def graph():
  """A new graph for every test."""
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    yield graph


def image(size=32, channels=3, batch=2):
  return tf.placeholder(tf.float32, [batch, size, size, channels])


def table(*spec, **scopes):
  return {'defaults': RELU, 'spec': list(spec), **scopes}


def shapes():
  """Shapes of all weights, by name without 'weights'."""
  weights = [v for v in tf.global_variables() if v.op.name.endswith('weights')]
  return {v.op.name.removesuffix('/weights'): v.shape.as_list() for v in weights}


def conv_channels(graph):
  """Output channels of all convolutions but the depthwise ones, in order."""
  convs = [o for o in graph.get_operations() if o.type == 'Conv2D']
  return [o.outputs[0].shape.as_list()[-1] for o in convs]


def run(tensor, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensor, feed)


class TestParts:
  @pytest.mark.parametrize(
    'total, num_ways, divisible_by, parts',
    [(24, 2, 8, [16, 8]), (32, 3, 8, [16, 8, 8]), (10, 3, 1, [4, 3, 3]), (16, 1, 8, [16])],
  )
  def test_channels_are_split_into_multiples(self, total, num_ways, divisible_by, parts):
    assert ops.split_divisible(total, num_ways, divisible_by) == parts

  @pytest.mark.parametrize('total, num_ways', [(20, 2), (16, 3)])
  def test_channels_that_cannot_be_split_are_refused(self, total, num_ways):
    with pytest.raises(ValueError, match=f'{total} cannot be split into {num_ways}'):
      ops.split_divisible(total, num_ways)

  def test_hard_functions_are_straight_lines(self):
    values = np.array([-9, -3, 0, 1.5, 3, 9], np.float32)
    sigmoid = np.array([0, 0, 0.5, 0.75, 1, 1])
    assert run(ops.hard_sigmoid(tf.constant(values))) == pytest.approx(sigmoid, abs=1e-4)
    assert run(ops.hard_swish(tf.constant(values))) == pytest.approx(values * sigmoid, abs=1e-5)

  def test_a_group_sees_its_share_of_the_channels_only(self):
    inputs = image(1, channels=16, batch=1)
    output = ops.split_conv(inputs, 16, num_ways=2, scope='c', activation_fn=None)
    assert shapes() == {'c_part_0': [1, 1, 8, 8], 'c_part_1': [1, 1, 8, 8]}
    lit = np.zeros([1, 1, 1, 16])
    lit[..., 8:] = 1
    values = run(output, {inputs: lit}).ravel()
    assert not values[:8].any() and values[8:].all()

  def test_groups_too_small_are_not_built(self):
    ops.split_conv(image(1, channels=24), 16, num_ways=3, scope='c')
    assert shapes() == {'c': [1, 1, 24, 16]}

  @pytest.mark.parametrize(
    'scope, prefix', [(None, 'separable/'), ('Conv2d_1', 'Conv2d_1_')], ids=['none', 'named']
  )
  @pytest.mark.parametrize('use_explicit_padding', [False, True])
  def test_separable_convolution(self, scope, prefix, use_explicit_padding):
    points = {}
    net = ops.split_separable_conv2d(
      image(9),
      8,
      scope,
      stride=2,
      endpoints=points,
      use_explicit_padding=use_explicit_padding,
    )
    assert net.shape.as_list() == [2, 5, 5, 8]
    assert set(points) == {f'{scope}_{part}' if scope else part for part in PARTS}
    assert shapes() == {
      f'{prefix}depthwise/depthwise_weights': [3, 3, 3, 1],
      f'{prefix}pointwise': [1, 1, 3, 8],
    }


PARTS = ('depthwise', 'pointwise')


class TestSqueezeExcite:
  def test_scales_channels_by_their_averages(self):
    inputs = image(4, channels=8)
    net = ops.squeeze_excite(inputs, squeeze_factor=2, gating_fn=ops.hard_sigmoid)
    assert shapes() == {'squeeze_excite/Conv': [1, 1, 8, 8], 'squeeze_excite/Conv_1': [1, 1, 8, 8]}
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, [2, 4, 4, 8])
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      weights, _, more, _ = session.run(tf.global_variables())
      result = session.run(net, {inputs: values})
    inner = np.maximum(values.mean((1, 2)) @ weights[0, 0], 0) @ more[0, 0]
    scales = np.clip(inner + 3, 0, 6) / 6
    assert result == pytest.approx(values * scales[:, None, None], rel=1e-3)

  def test_pooled_scales_are_resized_to_the_input(self):
    inputs = image(6, channels=8)
    scales = ops.squeeze_excite(tf.ones_like(inputs), squeeze_input_tensor=inputs, pool=3)
    assert scales.shape.as_list() == [2, 6, 6, 8]
    corner = np.zeros([2, 6, 6, 8])
    corner[:, :3, :3] = 1
    values = run(scales, {inputs: corner})
    # Four squares of 3 x 3: only in one is there something, and the other corners are alike.
    assert values[0, 0, 5] == pytest.approx(values[0, 5, 5])
    assert np.abs(values[0, 0, 0] - values[0, 5, 5]).max() > 0.01

  def test_a_square_larger_than_the_map_takes_all_of_it(self):
    inputs = tf.random.uniform([2, 4, 5, 8])
    scales = ops.squeeze_excite(tf.ones_like(inputs), squeeze_input_tensor=inputs, pool=49)
    values = run(scales)
    assert values == pytest.approx(np.broadcast_to(values[:, :1, :1], values.shape))

  def test_takes_images_of_any_size(self):
    inputs = image(None, channels=8)
    net = ops.squeeze_excite(inputs)
    assert net.shape.as_list() == [2, None, None, 8]
    assert run(net, {inputs: np.ones([2, 3, 5, 8])}).shape == (2, 3, 5, 8)


class TestExpandedConv:
  @pytest.mark.parametrize(
    'arguments, weights',
    [
      ({}, {'expand': [1, 1, 8, 48], 'depthwise': [3, 3, 48, 1], 'project': [1, 1, 48, 16]}),
      ({'expansion_size': 8}, {'depthwise': [3, 3, 8, 1], 'project': [1, 1, 8, 16]}),
      (
        {'expansion_size': 24, 'kernel_size': (5, 5), 'depthwise_channel_multiplier': 2},
        {'expand': [1, 1, 8, 24], 'depthwise': [5, 5, 24, 2], 'project': [1, 1, 48, 16]},
      ),
      (
        {'depthwise_location': 'input'},
        {'depthwise': [3, 3, 8, 1], 'expand': [1, 1, 8, 48], 'project': [1, 1, 48, 16]},
      ),
      (
        {'depthwise_location': 'output'},
        {'expand': [1, 1, 8, 48], 'project': [1, 1, 48, 16], 'depthwise': [3, 3, 16, 1]},
      ),
      ({'depthwise_location': None}, {'expand': [1, 1, 8, 48], 'project': [1, 1, 48, 16]}),
      (
        {'split_projection': 2, 'split_divisible_by': 4, 'expansion_size': 16},
        {
          'expand': [1, 1, 8, 16],
          'depthwise': [3, 3, 16, 1],
          'project_part_0': [1, 1, 8, 8],
          'project_part_1': [1, 1, 8, 8],
        },
      ),
      (
        {'split_expansion': 2, 'split_divisible_by': 4, 'expansion_size': 16},
        {
          'expand_part_0': [1, 1, 4, 8],
          'expand_part_1': [1, 1, 4, 8],
          'depthwise': [3, 3, 16, 1],
          'project': [1, 1, 16, 16],
        },
      ),
    ],
  )
  def test_variables_in_order(self, arguments, weights):
    net = ops.expanded_conv(image(8, channels=8), 16, scope='b', **arguments)
    assert net.shape.as_list() == [2, 8, 8, 16]
    built = {name.split('/')[1]: shape for name, shape in shapes().items()}
    assert list(built.items()) == list(weights.items())

  def test_parts_are_end_points_also_where_left_out(self):
    points = {}
    inputs = image(8, channels=8)
    ops.expanded_conv(inputs, 8, expansion_size=8, depthwise_location=None, endpoints=points)
    parts = {'expansion_output', 'depthwise_output', 'expansion_transform', 'projection_output'}
    assert set(points) == parts
    assert points['depthwise_output'] is points['expansion_output']

  def test_the_input_is_added_where_its_shape_allows_it(self, graph):
    for num_outputs, arguments in [(8, {}), (16, {}), (8, {'stride': 2}), (8, {'residual': False})]:
      ops.expanded_conv(image(8, channels=8), num_outputs, **arguments)
    added = [o.name for o in graph.get_operations() if o.name.endswith('/add')]
    assert [name for name in added if name.count('/') == 1] == ['expanded_conv/add']

  def test_functions_of_the_caller_are_asked(self):
    calls = []

    def transform(expansion_tensor, input_tensor):
      calls.append((expansion_tensor.shape.as_list()[3], input_tensor.shape.as_list()[3]))
      return expansion_tensor

    def residual(input_tensor, output_tensor):
      return tf.concat([input_tensor, output_tensor], 3)

    net = ops.expanded_conv(
      image(8, channels=8), 16, expansion_transform=transform, residual=residual
    )
    assert calls == [(48, 8)]
    assert net.shape.as_list() == [2, 8, 8, 24]

  def test_activations(self):
    points = {}
    ops.expanded_conv(
      image(8, channels=8),
      8,
      inner_activation_fn=tf.nn.tanh,
      depthwise_activation_fn=tf.nn.sigmoid,
      project_activation_fn=tf.nn.softplus,
      endpoints=points,
    )
    built = {name: point.op.type for name, point in points.items()}
    built |= {
      name: points[name].op.inputs[0].op.type for name in built if built[name] == 'Identity'
    }
    assert built == {
      'expansion_output': 'Tanh',
      'depthwise_output': 'Sigmoid',
      'expansion_transform': 'Sigmoid',
      'projection_output': 'Softplus',
    }

  @pytest.mark.parametrize('build', [ops.expanded_conv, ops.fused_expanded_conv])
  @pytest.mark.parametrize('size', [7, 8])
  def test_explicit_padding_keeps_the_size(self, build, size):
    inputs = image(size, channels=8)
    for arguments in ({'stride': 2}, {'rate': 2}, {'kernel_size': (5, 5)}):
      shape = build(inputs, 8, **arguments).shape
      assert build(inputs, 8, use_explicit_padding=True, **arguments).shape == shape

  @pytest.mark.parametrize(
    'arguments, message',
    [
      ({'depthwise_location': 'everywhere'}, "depthwise_location 'everywhere'"),
      ({'use_explicit_padding': True, 'padding': 'VALID'}, "'SAME', not 'VALID'"),
    ],
  )
  def test_wrong_arguments_are_refused(self, arguments, message):
    with pytest.raises(TypeError, match=message):
      ops.expanded_conv(image(8), 8, **arguments)


class TestTable:
  CONV = op(slim.conv2d, stride=2, kernel_size=[3, 3], num_outputs=16)
  BLOCK = op(ops.expanded_conv, stride=2, num_outputs=24)

  def test_overrides_win(self):
    overrides = {(ops.expanded_conv,): {'split_expansion': 2}}
    defs = copy.deepcopy(table(self.CONV, self.BLOCK)) | {'overrides': overrides}
    _, points = mobilenet.mobilenet_base(image(), conv_defs=defs)
    assert 'layer_2/expand_part_1_output' in points

  def test_a_table_needs_no_scopes_of_its_own(self):
    net, _ = mobilenet.mobilenet_base(image(), conv_defs={'spec': [self.CONV]})
    assert net.shape.as_list() == [2, 16, 16, 16]
    assert [v.op.name for v in tf.global_variables()][1] == 'Mobilenet/Conv/biases'

  def test_a_line_may_scale_itself(self):
    def inverse(params, multiplier):
      params['num_outputs'] /= multiplier

    line = op(slim.conv2d, kernel_size=(3, 3), multiplier_func=inverse, num_outputs=16)
    defs = table(line, self.BLOCK, self.CONV)
    mobilenet.mobilenet_base(image(), conv_defs=defs, multiplier=0.1)
    assert [s[-1] for s in shapes().values() if s[-1] != 1] == [160, 960, 8, 8]

  def test_it_ends_where_told(self):
    net, points = mobilenet.mobilenet_base(
      image(), conv_defs=table(self.CONV, self.BLOCK, self.CONV), final_endpoint='layer_2'
    )
    assert net is points['layer_2']
    assert 'layer_3' not in points

  def test_activations_are_lines_too(self):
    line = op(mobilenet.apply_activation, activation_fn=tf.nn.elu, name='last')
    net, _ = mobilenet.mobilenet_base(image(), conv_defs=table(self.CONV, line))
    assert net.op.type == 'Elu'
    assert mobilenet.apply_activation(net) is net

  def test_output_stride_dilates_what_can_be(self, graph):
    defs = table(self.CONV, self.BLOCK, self.BLOCK, op(mobilenet_v3.reduce_to_1x1), self.CONV)
    _, points = mobilenet.mobilenet_base(image(), conv_defs=defs, output_stride=4)
    assert points['layer_3'].shape.as_list() == [2, 8, 8, 24]
    assert points['layer_5'].shape.as_list() == [2, 1, 1, 16]

  @pytest.mark.parametrize('output_stride', [0, -2, 3])
  def test_odd_output_strides_are_refused(self, output_stride):
    with pytest.raises(ValueError, match='multiple of 2'):
      mobilenet.mobilenet_base(image(), conv_defs=table(), output_stride=output_stride)

  @pytest.mark.parametrize('name', ['ReduceMean', 'AvgPool2D'])
  def test_pooling_is_a_mean_on_request(self, graph, name):
    _, points = mobilenet.mobilenet(
      image(),
      conv_defs=table(self.CONV),
      use_reduce_mean_for_pooling=name == 'ReduceMean',
    )
    assert points['global_pool'].op.name == f'Mobilenet/Logits/{name}'
    assert points['global_pool'].shape.as_list() == [2, 1, 1, 16]

  def test_safe_arg_scope_leaves_none_out(self):
    with slim.arg_scope([slim.conv2d], stride=2):
      with mobilenet.safe_arg_scope([slim.conv2d], stride=None, padding='VALID') as scope:
        assert scope[slim.arg_scope_func_key(slim.conv2d)] == {'stride': 2, 'padding': 'VALID'}
      with mobilenet.safe_arg_scope([slim.conv2d], stride=None) as scope:
        assert scope is None


class TestV2:
  def test_every_block_is_split_and_shows_its_depthwise_convolution(self, graph):
    defs = copy.deepcopy(mobilenet_v2.V2_DEF)
    defs['overrides'] = {(ops.expanded_conv,): {'split_expansion': 2}}
    _, points = mobilenet.mobilenet(image(channels=16), conv_defs=defs)
    assert all(f'layer_{i}/depthwise_output' in points for i in range(2, 19))
    # First and last convolution 2, first block 1, 16 blocks of an expansion in two parts and a
    # projection 48, head 1.
    assert len(conv_channels(graph)) == 52

  @pytest.mark.parametrize(
    'arguments, channels',
    [
      (
        {'divisible_by': 16, 'min_depth': 32},
        {32, 64, 96, 160, 192, 320, 384, 576, 960, 1280, 1001},
      ),
      ({'depth_multiplier': 0.01, 'finegrain_classification_mode': True}, {8, 48, 1280, 1001}),
    ],
  )
  def test_channels(self, graph, arguments, channels):
    mobilenet_v2.mobilenet(image(), **arguments)
    assert set(conv_channels(graph)) == channels

  def test_channels_obey_the_arg_scope_of_the_multiplier(self, graph):
    with slim.arg_scope([mobilenet.depth_multiplier], min_depth=32):
      net, _ = mobilenet_v2.mobilenet_base(image(), depth_multiplier=0.1)
    assert set(conv_channels(graph)) == {32, 192, 128}
    assert net.shape.as_list() == [2, 1, 1, 128]

  def test_activation_of_ones_own(self, graph):
    mobilenet_v2.mobilenet_base(image(), activation_fn=tf.nn.elu, final_endpoint='layer_3')
    types = {o.type for o in graph.get_operations()}
    assert 'Elu' in types and 'Relu6' not in types

  def test_group_norm(self):
    inputs = image()
    net, _ = mobilenet_v2.mobilenet_base_group_norm(inputs, groups=4, final_endpoint='layer_3')
    names = [v.op.name for v in tf.global_variables()]
    assert 'MobilenetV2/expanded_conv_1/project/GroupNorm/gamma' in names
    assert not [name for name in names if 'BatchNorm' in name]
    assert np.isfinite(run(net, {inputs: np.ones([2, 32, 32, 3])})).all()


class TestV3:
  @pytest.mark.parametrize(
    'network, end_point, shape',
    [
      (mobilenet_v3.small, 'layer_15', [2, 1, 1, 1024]),
      pytest.param(
        mobilenet_v3.mobilenet, 'layer_19', [2, 1, 1, 1280], marks=pytest.mark.slow, id='large'
      ),
      pytest.param(
        mobilenet_v3.edge_tpu, 'layer_24', [2, 1, 1, 1280], marks=pytest.mark.slow, id='edgetpu'
      ),
    ],
  )
  def test_group_norm_replaces_every_batch_norm(self, network, end_point, shape):
    _, points = network(image(), use_groupnorm=True)
    assert points[end_point].shape.as_list() == shape
    kinds = {v.op.name.split('/')[-2] for v in tf.global_variables() if 'gamma' in v.op.name}
    assert kinds == {'GroupNorm'}

  def test_scope_can_be_changed(self):
    _, points = mobilenet_v3.edge_tpu(image(), scope='Mine', final_endpoint='layer_3')
    assert points['layer_3'].op.name == 'Mine/expanded_conv_1/output'

  def test_variants_keep_documentation_and_size(self):
    assert mobilenet_v3.edge_tpu_075.default_image_size == 224
    assert 'Inference mode is created by default' in mobilenet_v3.edge_tpu_075.__doc__

  def test_base_takes_images_of_any_size(self):
    net, points = mobilenet_v3.small(
      image(None, batch=None), base_only=True, final_endpoint='layer_13'
    )
    assert net is points['layer_13']
    assert net.shape.as_list() == [None, None, None, 576]

  @pytest.mark.parametrize(
    'defs, last, output_stride, size',
    [
      (mobilenet_v3.V3_SMALL, 'layer_13', 8, 9),
      (mobilenet_v3.V3_EDGETPU, 'layer_7', 2, 33),
      pytest.param(mobilenet_v2.V2_DEF, 'layer_19', 16, 5, marks=pytest.mark.slow),
    ],
    ids=['small', 'edgetpu', 'v2'],
  )
  def test_strides_can_be_dilations_and_padding_explicit(self, defs, last, output_stride, size):
    arguments = {'final_endpoint': last, 'output_stride': output_stride}
    net, _ = mobilenet.mobilenet_base(
      image(65), conv_defs=defs, use_explicit_padding=True, **arguments
    )
    assert net.shape.as_list()[1:3] == [size, size]

  def test_detection_tables_are_half_as_wide_from_the_last_stride_on(self):
    widths = [
      [line.params.get('num_outputs') for line in defs['spec']]
      for defs in (mobilenet_v3.V3_SMALL, mobilenet_v3.V3_SMALL_DETECTION)
    ]
    assert widths[0][:9] == widths[1][:9]
    assert widths[1][9:] == [48, 48, 48, 288, None, 1024]


class TestV1:
  def test_parameters_of_the_base(self):
    with slim.arg_scope([slim.conv2d, slim.separable_conv2d], normalizer_fn=slim.batch_norm):
      mobilenet_v1.mobilenet_v1_base(image())
    total, _ = slim.model_analyzer.analyze_vars(slim.get_model_variables())
    assert total == 3217920

  def test_layers_of_ones_own(self):
    conv_defs = [
      mobilenet_v1.Conv(kernel=[3, 3], stride=2, depth=8),
      mobilenet_v1.DepthSepConv(kernel=[3, 3], stride=2, depth=16),
    ]
    net, points = mobilenet_v1.mobilenet_v1_base(
      image(), final_endpoint='Conv2d_1_pointwise', conv_defs=conv_defs, use_explicit_padding=True
    )
    assert net.shape.as_list() == [2, 8, 8, 16]
    assert list(points) == ['Conv2d_0', 'Conv2d_1_depthwise', 'Conv2d_1_pointwise']


@pytest.mark.parametrize(
  'arg_scope', [mobilenet.training_scope, mobilenet_v1.mobilenet_v1_arg_scope], ids=['v2', 'v1']
)
def test_batch_norm_is_told_whether_it_trains_unless_that_is_none(arg_scope):
  batch_norm = slim.arg_scope_func_key(slim.batch_norm)
  for is_training in (True, False):
    assert arg_scope(is_training=is_training)[batch_norm]['is_training'] is is_training
  assert 'is_training' in arg_scope()[batch_norm]
  assert 'is_training' not in arg_scope(is_training=None)[batch_norm]
