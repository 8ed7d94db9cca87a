"""The ResNets: how their blocks are stacked, and what the arguments of both versions change."""

import numpy as np
import pytest

from nets import resnet_utils, resnet_v1, resnet_v2
from slim_compat import slim, tf

VERSIONS = {
  1: (resnet_v1.resnet_v1, resnet_v1.resnet_v1_block),
  2: (resnet_v2.resnet_v2, resnet_v2.resnet_v2_block),
}
both_versions = pytest.mark.parametrize('version', VERSIONS)


@pytest.fixture(autouse=True)
def graph():
  with tf.Graph().as_default() as graph:
    tf.set_random_seed(0)
    yield graph


def image(*shape):
  return tf.placeholder(tf.float32, shape)


def ramp(batch, height, width):
  """Values that differ from pixel to pixel."""
  rows, columns = np.mgrid[:height, :width]
  return np.tile((rows + columns)[None, :, :, None], (batch, 1, 1, 1)).astype(np.float32)


def thin_blocks(version):
  _, block = VERSIONS[version]
  facts = [(1, 2, 2), (2, 2, 2), (4, 2, 2), (8, 1, 1)]
  return [block(f'block{i}', *units) for i, units in enumerate(facts, 1)]


def thin_resnet(version, inputs, *args, **kwargs):
  """Builds a network like ResNet-50 that is thin enough for tests."""
  resnet, _ = VERSIONS[version]
  kwargs.setdefault('scope', 'thin')
  with slim.arg_scope(resnet_utils.resnet_arg_scope()):
    return resnet(inputs, thin_blocks(version), *args, **kwargs)


def evaluate(tensors, feed=None):
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    return session.run(tensors, feed)


def test_subsampling_keeps_the_first_of_every_few_pixels():
  values = ramp(2, 5, 4)
  kept = resnet_utils.subsample(tf.constant(values), 2)
  assert evaluate(kept) == pytest.approx(values[:, ::2, ::2])
  assert resnet_utils.subsample(kept, 1) is kept


@pytest.mark.parametrize('size', [6, 7])
def test_conv2d_same_equals_subsampling_whatever_the_parity(size):
  inputs = tf.constant(ramp(1, size, size))
  dense = slim.conv2d(inputs, 2, [3, 3], scope='layer')
  with tf.variable_scope(tf.get_variable_scope(), reuse=True):
    strided = resnet_utils.conv2d_same(inputs, 2, 3, stride=2, scope='layer')
    strided = tf.nn.relu(strided)
  dense, strided = evaluate([dense, strided])
  assert strided == pytest.approx(dense[:, ::2, ::2], abs=1e-5)


@both_versions
def test_end_points_are_all_convolutions_units_and_blocks(version):
  _, end_points = thin_resnet(version, image(2, 64, 64, 3), 10)
  expected = {'thin/conv1', 'global_pool', 'thin/logits', 'thin/spatial_squeeze', 'predictions'}
  for i, num_units in enumerate((2, 2, 2, 1), 1):
    units = [f'thin/block{i}/unit_{k}/bottleneck_v{version}' for k in range(1, num_units + 1)]
    expected |= {f'thin/block{i}', *units, f'{units[0]}/shortcut'}
    expected |= {f'{unit}/conv{k}' for unit in units for k in (1, 2, 3)}
  assert set(end_points) == expected


@both_versions
@pytest.mark.parametrize(
  'arguments, grids',
  [
    ({}, [28, 14, 7, 7]),
    ({'output_stride': 8}, [28, 28, 28, 28]),
    ({'output_stride': 4}, [56, 56, 56, 56]),
    ({'include_root_block': False}, [112, 56, 28, 28]),
    ({'include_root_block': False, 'output_stride': 4}, [112, 56, 56, 56]),
  ],
)
def test_grids_of_the_blocks(version, arguments, grids):
  net, end_points = thin_resnet(version, image(2, 224, 224, 3), global_pool=False, **arguments)
  shapes = [end_points[f'thin/block{i}'].shape.as_list() for i in (1, 2, 3, 4)]
  assert shapes == [
    [2, grid, grid, depth] for grid, depth in zip(grids, (4, 8, 16, 32), strict=True)
  ]
  assert net.shape.as_list() == [2, grids[-1], grids[-1], 32]


@both_versions
@pytest.mark.parametrize('output_stride', [4, 16])
def test_dilation_computes_what_strides_skip(version, output_stride):
  inputs = tf.random_uniform([2, 81, 81, 3])
  options = {'is_training': False, 'global_pool': False}
  dense, _ = thin_resnet(version, inputs, output_stride=output_stride, **options)
  dense = resnet_utils.subsample(dense, 32 // output_stride)
  strided, _ = thin_resnet(version, inputs, reuse=True, **options)
  dense, strided = evaluate([dense, strided])
  assert strided.shape == (2, 3, 3, 32)
  assert dense == pytest.approx(strided, abs=1e-4)


@pytest.mark.parametrize('output_stride', [2, None])
def test_activations_before_the_stride_leave_the_result_alone(output_stride):
  inputs = tf.random_uniform([1, 30, 31, 3])
  blocks = thin_blocks(1)
  collected, outputs = {}, []
  with (
    slim.arg_scope(resnet_utils.resnet_arg_scope()),
    slim.arg_scope([slim.batch_norm], is_training=False),
  ):
    for stored in (False, True):
      with tf.variable_scope('', reuse=stored):
        outputs.append(
          resnet_utils.stack_blocks_dense(
            inputs, blocks, output_stride, stored, outputs_collections=f'of_{stored}'
          )
        )
      collected[stored] = slim.utils.convert_collection_to_dict(f'of_{stored}')
  outputs, collected = evaluate([outputs, collected])
  assert outputs[1] == pytest.approx(outputs[0], abs=1e-4)
  for i, block in enumerate(blocks[:-1]):
    before, after = collected[True][block.scope], collected[False][block.scope]
    factor = 1 if output_stride is not None and 2**i >= output_stride else 2
    assert before[:, ::factor, ::factor] == pytest.approx(after, abs=1e-4)


def test_networks_pass_the_wish_for_activations_before_the_stride_on():
  with slim.arg_scope(resnet_utils.resnet_arg_scope()):
    _, end_points = resnet_v1.resnet_v1_50(
      image(1, 64, 64, 3), store_non_strided_activations=True, scope='net'
    )
  grids = [end_points[f'net/block{i}'].shape.as_list()[1] for i in (1, 2, 3, 4)]
  assert grids == [16, 8, 4, 2]


@pytest.mark.parametrize('output_stride', [3, 12, 128])
@both_versions
def test_output_stride_that_cannot_be_reached_is_refused(version, output_stride):
  with pytest.raises(ValueError, match='cannot be reached'):
    thin_resnet(version, image(1, 64, 64, 3), output_stride=output_stride, include_root_block=False)


@both_versions
def test_logits_keep_their_grid_when_asked(version):
  logits, end_points = thin_resnet(
    version, image(None, None, None, 3), 10, global_pool=False, spatial_squeeze=False
  )
  assert logits.op.name.startswith('thin/logits')
  assert 'thin/spatial_squeeze' not in end_points
  values = evaluate(logits, {logits.graph.get_operations()[0].outputs[0]: np.ones((2, 65, 65, 3))})
  assert values.shape == (2, 3, 3, 10)


@both_versions
def test_an_outer_scope_decides_on_training_when_nothing_else_does(version):
  with slim.arg_scope([slim.batch_norm], is_training=False):
    thin_resnet(version, image(2, 64, 64, 3), 10, is_training=None)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == []
  thin_resnet(version, image(2, 64, 64, 3), 10, is_training=None, scope='other')
  assert tf.get_collection(tf.GraphKeys.UPDATE_OPS)


@pytest.mark.parametrize(
  'arguments, depths',
  [
    ({'depth_multiplier': 0.25}, [64, 128, 256, 512]),
    ({'depth_multiplier': 0.25, 'min_base_depth': 40}, [160, 160, 256, 512]),
    ({'depth_multiplier': 0, 'min_base_depth': 5}, [20, 20, 20, 20]),
  ],
)
@pytest.mark.parametrize(
  'network', [resnet_v1.resnet_v1_50, pytest.param(resnet_v1.resnet_v1_200, marks=pytest.mark.zoo)]
)
def test_widths_of_resnet_v1(network, arguments, depths):
  with slim.arg_scope(resnet_utils.resnet_arg_scope()):
    _, end_points = network(image(2, 64, 64, 3), 10, scope='net', **arguments)
  assert [end_points[f'net/block{i}'].shape.as_list()[3] for i in (1, 2, 3, 4)] == depths


def test_bounded_units_stay_below_six():
  inputs = tf.constant(100 * ramp(1, 8, 8) - 500)
  outputs = [
    resnet_v1.bottleneck(
      inputs, 4, 2, stride=1, scope=str(bounded), use_bounded_activations=bounded
    )
    for bounded in (False, True)
  ]
  free, bounded = evaluate(outputs)
  assert free.max() > 6
  assert 0 <= bounded.min() < bounded.max() <= 6
