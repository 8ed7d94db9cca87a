"""I3D and S3D-G: convolutions over space and time, gating, and what their arguments change."""

import functools

import numpy as np
import pytest

from nets import i3d, i3d_utils, nets_factory, s3dg
from slim_compat import slim, tf

BASES = {'i3d': i3d.i3d_base, 's3dg': s3dg.s3dg_base}
END_POINTS = [
  'Conv2d_1a_7x7',
  'MaxPool_2a_3x3',
  'Conv2d_2b_1x1',
  'Conv2d_2c_3x3',
  'MaxPool_3a_3x3',
  'Mixed_3b',
  'Mixed_3c',
  'MaxPool_4a_3x3',
  'Mixed_4b',
  'Mixed_4c',
  'Mixed_4d',
  'Mixed_4e',
  'Mixed_4f',
  'MaxPool_5a_2x2',
  'Mixed_5b',
  'Mixed_5c',
]


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    yield graph


def clips(*shape):
  return tf.placeholder(tf.float32, shape)


def evaluate(tensors):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def variables(ending):
  return [v.op.name for v in tf.global_variables() if v.op.name.endswith(ending)]


@pytest.mark.parametrize('name', BASES)
def test_base_halves_frames_three_times_and_pixels_five_times(name):
  net, end_points = BASES[name](clips(5, 64, 224, 224, 3))
  assert list(end_points) == END_POINTS
  assert net is end_points['Mixed_5c']
  assert net.op.name.startswith('InceptionV1/Mixed_5c')
  shapes = {point: tensor.shape.as_list() for point, tensor in end_points.items()}
  assert {shape[0] for shape in shapes.values()} == {5}
  assert [shapes[point][1:] for point in ('Conv2d_1a_7x7', 'Mixed_3c', 'Mixed_4f', 'Mixed_5c')] == [
    [32, 112, 112, 64],
    [32, 28, 28, 480],
    [16, 14, 14, 832],
    [8, 7, 7, 1024],
  ]


@pytest.mark.parametrize('frames, size, shape', [(10, 224, [2, 7, 7]), (64, 112, [8, 4, 4])])
def test_base_takes_clips_of_any_size(frames, size, shape):
  net, _ = s3dg.s3dg_base(clips(5, frames, size, size, 3), depth_multiplier=0.25)
  assert net.shape.as_list() == [5, *shape, 256]


@pytest.mark.parametrize('name', BASES)
@pytest.mark.parametrize('end_point', ['MaxPool_2a_3x3', 'Conv2d_2c_3x3', 'Mixed_3b'])
def test_base_stops_where_it_is_told(name, end_point):
  net, end_points = BASES[name](clips(1, 8, 32, 32, 3), final_endpoint=end_point)
  assert list(end_points) == END_POINTS[: END_POINTS.index(end_point) + 1]
  assert net is end_points[end_point]


@pytest.mark.parametrize('name', BASES)
def test_factory_builds_clips_of_half_the_size(name):
  network_fn = nets_factory.get_network_fn(name, num_classes=7)
  logits, end_points = network_fn(tf.random_uniform([2, 10, 112, 112, 3]))
  assert logits.op.name.startswith('InceptionV1/Logits')
  assert logits.shape.as_list() == [2, 7]
  assert evaluate(end_points['Predictions']).sum(1) == pytest.approx(np.ones(2))


@pytest.mark.parametrize('name', BASES)
def test_features_are_an_average_over_time(name):
  network_fn = nets_factory.get_network_fn(name, num_classes=None)
  features, end_points = network_fn(clips(2, 32, 64, 64, 3))
  assert features.shape.as_list() == [2, 1, 1, 1024]
  assert not {'Logits', 'Predictions'} & set(end_points)
  assert variables('Logits/Conv2d_0c_1x1/weights') == []


def test_time_and_gates_start_where_they_are_told():
  s3dg_base = functools.partial(
    s3dg.s3dg_base, temporal_conv_startat='Mixed_3c', gating_startat='Mixed_4b'
  )
  with slim.arg_scope(s3dg.s3dg_arg_scope()):
    s3dg_base(clips(1, 8, 32, 32, 3), first_temporal_kernel_size=1, final_endpoint='Mixed_4b')
  weights = {v.op.name: v.shape.as_list()[:3] for v in tf.global_variables() if 'weights' in v.name}
  assert weights['InceptionV1/Conv2d_1a_7x7/weights'] == [1, 7, 7]
  modules = ('Mixed_3c', 'Mixed_4b')
  assert [v for v in weights if '/temporal/' in v] == [
    f'InceptionV1/{module}/Branch_{i}/Conv2d_0b_3x3/temporal/weights'
    for module in modules
    for i in (1, 2)
  ]
  assert {tuple(shape) for name, shape in weights.items() if '/temporal/' in name} == {(3, 1, 1)}
  gates = [v for v in weights if '/self_gating/' in v]
  assert len(gates) == 4  # one at the end of each branch of Mixed_4b
  assert all(gate.startswith('InceptionV1/Mixed_4b/') for gate in gates)


def test_without_time_and_gates_frames_are_looked_at_alone():
  s3dg.s3dg_base(
    clips(1, 8, 32, 32, 3),
    first_temporal_kernel_size=1,
    temporal_conv_startat=None,
    gating_startat=None,
    final_endpoint='Mixed_3b',
  )
  assert {v.shape.as_list()[0] for v in slim.get_model_variables(suffix='weights')} == {1}
  assert variables('self_gating/transformer_W/weights') == []


@pytest.mark.parametrize(
  'arguments, message',
  [
    ({'first_temporal_kernel_size': 2}, '1, 3, 5 or 7'),
    ({'depth_multiplier': 0}, 'greater than zero'),
    ({'data_format': 'NHWC'}, 'NDHWC or NCDHW'),
    ({'final_endpoint': 'Mixed_6a'}, 'Mixed_6a'),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    s3dg.s3dg_base(
      clips(1, 8, 32, 32, 3), depth_multiplier=arguments.pop('depth_multiplier', 0.1), **arguments
    )


def test_channels_first():
  with slim.arg_scope(s3dg.s3dg_arg_scope()):
    logits, end_points = s3dg.s3dg(
      clips(2, 3, 16, 64, 64), 7, depth_multiplier=0.1, data_format='NCDHW'
    )
  assert end_points['Mixed_3b'].shape.as_list() == [2, 16 + 16 + 16 + 16, 8, 8, 8]
  assert logits.shape.as_list() == [2, 7]
  statistics = slim.get_model_variables('.*/Conv2d_1a_7x7/BatchNorm/moving_mean')
  assert [v.shape.as_list() for v in statistics] == [[16]]


def test_a_divided_convolution_passes_every_frame_through_at_first():
  inputs = tf.random_uniform([1, 5, 6, 6, 3], -1, 1)
  divided = i3d_utils.conv3d_spatiotemporal(
    inputs, 4, [3, 3, 3], stride=[1, 2, 2], separable=True, scope='layer'
  )
  with tf.variable_scope('', reuse=True):
    spatial = slim.conv3d(inputs, 4, [1, 3, 3], stride=[1, 2, 2], activation_fn=None, scope='layer')
  assert variables('temporal/weights') == ['layer/temporal/weights']
  divided, spatial = evaluate([divided, spatial])
  assert divided.shape == (1, 5, 3, 3, 4)
  assert divided == pytest.approx(spatial, abs=1e-6)


def test_a_convolution_that_is_not_divided_has_one_kernel():
  net = i3d_utils.conv3d_spatiotemporal(
    clips(1, 6, 6, 6, 3), 4, [3, 3, 3], stride=2, separable=False, scope='layer'
  )
  assert net.shape.as_list() == [1, 3, 3, 3, 4]
  assert [v.shape.as_list() for v in slim.get_model_variables('layer/weights')] == [[3, 3, 3, 3, 4]]


def test_a_temporal_kernel_needs_a_middle():
  with pytest.raises(ValueError, match='2 frames'):
    i3d_utils.conv3d_spatiotemporal(
      clips(1, 6, 6, 6, 3), 4, [2, 3, 3], separable=True, scope='layer'
    )


def test_a_gate_weighs_channels_by_the_whole_clip():
  inputs = np.random.default_rng(0).uniform(-9, 9, (2, 3, 4, 4, 5)).astype(np.float32)
  gated = s3dg.self_gating(tf.constant(inputs), 'layer')
  (weights,) = slim.get_model_variables('layer/self_gating/transformer_W/weights')
  gated, weights = evaluate([gated, weights])
  gate = 1 / (1 + np.exp(-inputs.mean((1, 2, 3)) @ weights[0, 0, 0]))
  assert gated == pytest.approx(inputs * gate[:, None, None, None], abs=1e-5)


@pytest.mark.parametrize(
  'arguments, endings',
  [
    ({'separable_conv3d': True}, ['temporal/weights']),
    ({'use_renorm': True}, ['BatchNorm/renorm_mean', 'BatchNorm/renorm_stddev']),
  ],
)
def test_arg_scope_of_i3d(arguments, endings):
  present = []
  for chosen in ({}, arguments):
    with tf.Graph().as_default(), slim.arg_scope(i3d.i3d_arg_scope(**chosen)):
      i3d.i3d_base(clips(1, 8, 32, 32, 3), 'Conv2d_2c_3x3')
      present.append([bool(variables(ending)) for ending in endings])
  assert present == [[False] * len(endings), [True] * len(endings)]
