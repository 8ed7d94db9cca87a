"""Inception v2 (BN-Inception), whose first layer is a separable convolution.

Paper: Ioffe, Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift, https://arxiv.org/abs/1502.03167
"""

import functools

from nets import inception_utils
from nets.inception_layers import Layer, avg_pool, build_up_to, conv, max_pool, mixed
from slim_compat import slim, tf

inception_v2_arg_scope = inception_utils.inception_arg_scope


def _trunc_normal(stddev):
  return {'weights_initializer': tf.truncated_normal_initializer(stddev=stddev)}


def _reduce(depth):
  """Returns the 1 x 1 convolution with which a branch starts."""
  return conv('Conv2d_0a_1x1', depth, **_trunc_normal(0.09))


def _root(depth, use_separable_conv):
  """Returns the layers before the modules; shapes are those at 224 x 224 pixels."""
  arguments = {'stride': 2, 'scope': 'Conv2d_1a_7x7', **_trunc_normal(1.0)}
  first = functools.partial(slim.conv2d, num_outputs=depth(64), kernel_size=[7, 7], **arguments)
  if use_separable_conv:
    first = functools.partial(
      slim.separable_conv2d,
      num_outputs=depth(64),
      kernel_size=[7, 7],
      depth_multiplier=min(int(depth(64) / 3), 8),
      padding='SAME',
      **arguments,
    )
  return [
    Layer('Conv2d_1a_7x7', first),  # 112 x 112 x 64
    max_pool('MaxPool_2a_3x3', stride=2),  # 56 x 56 x 64
    conv('Conv2d_2b_1x1', depth(64), **_trunc_normal(0.1)),
    conv('Conv2d_2c_3x3', depth(192)),  # 56 x 56 x 192
    max_pool('MaxPool_3a_3x3', stride=2),  # 28 x 28 x 192
  ]


def _modules(depth, channels_axis):
  """Returns the Inception modules; shapes are those at 224 x 224 pixels."""

  def module(name, depth_0, depths_1, depths_2, depth_3, pool=None):
    return mixed(
      name,
      [conv('Conv2d_0a_1x1', depth(depth_0))],
      [_reduce(depth(depths_1[0])), conv('Conv2d_0b_3x3', depth(depths_1[1]))],
      [
        _reduce(depth(depths_2[0])),
        conv('Conv2d_0b_3x3', depth(depths_2[1])),
        conv('Conv2d_0c_3x3', depth(depths_2[1])),
      ],
      [
        pool or avg_pool('AvgPool_0a_3x3'),
        conv('Conv2d_0b_1x1', depth(depth_3), **_trunc_normal(0.1)),
      ],
      axis=channels_axis,
    )

  def reduction(name, depths_0, depths_1):
    return mixed(
      name,
      [_reduce(depth(depths_0[0])), conv('Conv2d_1a_3x3', depth(depths_0[1]), stride=2)],
      [
        _reduce(depth(depths_1[0])),
        conv('Conv2d_0b_3x3', depth(depths_1[1])),
        conv('Conv2d_1a_3x3', depth(depths_1[1]), stride=2),
      ],
      [max_pool('MaxPool_1a_3x3', stride=2)],
      axis=channels_axis,
    )

  return [
    module('Mixed_3b', 64, (64, 64), (64, 96), 32),  # 28 x 28 x 256
    module('Mixed_3c', 64, (64, 96), (64, 96), 64),  # 28 x 28 x 320
    reduction('Mixed_4a', (128, 160), (64, 96)),  # 14 x 14 x 576
    module('Mixed_4b', 224, (64, 96), (96, 128), 128),
    module('Mixed_4c', 192, (96, 128), (96, 128), 128),
    module('Mixed_4d', 160, (128, 160), (128, 160), 96),
    module('Mixed_4e', 96, (128, 192), (160, 192), 96),
    reduction('Mixed_5a', (128, 192), (192, 256)),  # 7 x 7 x 1024
    module('Mixed_5b', 352, (192, 320), (160, 224), 128),
    module('Mixed_5c', 352, (192, 320), (192, 224), 128, pool=max_pool('MaxPool_0a_3x3')),
  ]


def inception_v2_base(
  inputs,
  final_endpoint='Mixed_5c',
  min_depth=16,
  depth_multiplier=1.0,
  use_separable_conv=True,
  data_format='NHWC',
  include_root_block=True,
  scope=None,
):
  """Builds Inception v2 up to an end point.

  Args:
    inputs: float32 [b, h, w, c], or [b, c, h, w] by `data_format`; without the root block the
      feature map it would give.
    final_endpoint: 'Conv2d_1a_7x7', 'MaxPool_2a_3x3', 'Conv2d_2b_1x1', 'Conv2d_2c_3x3',
      'MaxPool_3a_3x3', 'Mixed_3b', 'Mixed_3c', 'Mixed_4a' to 'Mixed_4e' or 'Mixed_5a' to
      'Mixed_5c'.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    use_separable_conv: whether the first layer is a separable convolution.
    data_format: 'NHWC', or 'NCHW' without a separable convolution.
    include_root_block: whether the layers before 'Mixed_3b' are built.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point or data format, a separable convolution of 'NCHW', or a
      multiplier that is not above 0.
  """
  if depth_multiplier <= 0:
    raise ValueError('depth_multiplier is not greater than zero.')
  if data_format not in ('NHWC', 'NCHW'):
    raise ValueError(f'data_format must be either NHWC or NCHW, and is {data_format}.')
  if data_format == 'NCHW' and use_separable_conv:
    raise ValueError('A separable convolution takes NHWC only: set use_separable_conv=False.')

  def depth(channels):
    return max(int(channels * depth_multiplier), min_depth)

  layers = _root(depth, use_separable_conv) if include_root_block else []
  layers += _modules(depth, data_format.index('C'))
  with (
    tf.variable_scope(scope, 'InceptionV2', [inputs]),
    slim.arg_scope(
      [slim.conv2d, slim.max_pool2d, slim.avg_pool2d],
      stride=1,
      padding='SAME',
      data_format=data_format,
    ),
    slim.arg_scope([slim.batch_norm], data_format=data_format),
  ):
    return build_up_to(final_endpoint, inputs, layers)


def inception_v2(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.8,
  min_depth=16,
  depth_multiplier=1.0,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  scope='InceptionV2',
  global_pool=False,
):
  """Builds Inception v2.

  Args:
    inputs: float32 [b, h, w, c], up to 224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024]), and a dict of end points.

  Raises:
    ValueError: when `depth_multiplier` is not above 0.
  """
  with (
    tf.variable_scope(scope, 'InceptionV2', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v2_base(
      inputs, scope=scope, min_depth=min_depth, depth_multiplier=depth_multiplier
    )
    net = inception_utils.pooled_head(
      net, end_points, num_classes, [7, 7], dropout_keep_prob, spatial_squeeze, global_pool
    )
    if num_classes:
      end_points['Predictions'] = prediction_fn(net, scope='Predictions')
  return net, end_points


inception_v2.default_image_size = 224
