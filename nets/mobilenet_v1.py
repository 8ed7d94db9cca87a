"""MobileNet v1: a stack of depthwise separable convolutions, in four widths.

Paper: Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto, Adam, MobileNets: Efficient
Convolutional Neural Networks for Mobile Vision Applications, https://arxiv.org/abs/1704.04861
"""

import functools
from typing import NamedTuple

from nets import inception_utils
from nets.batch_norm import batch_norm
from nets.conv_parts import fixed_padding
from nets.dropout import dropout
from nets.mobilenet import variant
from slim_compat import slim, tf


class Conv(NamedTuple):
  """A convolution: [height, width] of its kernel, its stride and its channels."""

  kernel: list
  stride: int
  depth: int


class DepthSepConv(NamedTuple):
  """A depthwise convolution with this kernel and stride, then a 1 x 1 one with these channels."""

  kernel: list
  stride: int
  depth: int


MOBILENETV1_CONV_DEFS = [
  Conv([3, 3], 2, 32),
  DepthSepConv([3, 3], 1, 64),
  DepthSepConv([3, 3], 2, 128),
  DepthSepConv([3, 3], 1, 128),
  DepthSepConv([3, 3], 2, 256),
  DepthSepConv([3, 3], 1, 256),
  DepthSepConv([3, 3], 2, 512),
  DepthSepConv([3, 3], 1, 512),
  DepthSepConv([3, 3], 1, 512),
  DepthSepConv([3, 3], 1, 512),
  DepthSepConv([3, 3], 1, 512),
  DepthSepConv([3, 3], 1, 512),
  DepthSepConv([3, 3], 2, 1024),
  DepthSepConv([3, 3], 1, 1024),
]


def mobilenet_v1_base(
  inputs,
  final_endpoint='Conv2d_13_pointwise',
  min_depth=8,
  depth_multiplier=1.0,
  conv_defs=None,
  output_stride=None,
  use_explicit_padding=False,
  scope=None,
):
  """Builds the convolutions up to an end point.

  Args:
    inputs: float32 [b, h, w, c].
    final_endpoint: 'Conv2d_0', or 'Conv2d_1_depthwise', 'Conv2d_1_pointwise' and so on to 13.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    conv_defs: list of Conv and DepthSepConv, None for MOBILENETV1_CONV_DEFS.
    output_stride: ratio of image and feature map (a power of 2), reached by dilation; None for 32.
    use_explicit_padding: whether padding is the same on both sides, whatever the input's size.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point, output stride or a multiplier that is not above 0.
  """
  if depth_multiplier <= 0:
    raise ValueError('depth_multiplier is not greater than zero.')
  if output_stride is not None and output_stride not in (8, 16, 32):
    raise ValueError(f'output_stride {output_stride} is none of 8, 16 and 32.')
  end_points = {}
  padding = 'VALID' if use_explicit_padding else 'SAME'
  net, current_stride, rate = inputs, 1, 1
  with (
    tf.variable_scope(scope, 'MobilenetV1', [inputs]),
    slim.arg_scope([slim.conv2d, slim.separable_conv2d], padding=padding),
  ):
    for i, layer in enumerate(conv_defs or MOBILENETV1_CONV_DEFS):
      channels = max(int(layer.depth * depth_multiplier), min_depth)
      stride, layer_rate = layer.stride, 1
      if current_stride == output_stride:
        stride, layer_rate, rate = 1, rate, rate * layer.stride
      current_stride *= stride
      for end_point, build in _layer_parts(f'Conv2d_{i}', layer, stride, layer_rate, channels):
        if use_explicit_padding and not end_point.endswith('_pointwise'):
          net = fixed_padding(net, layer.kernel, layer_rate)
        net = end_points[end_point] = build(net, scope=end_point)
        if end_point == final_endpoint:
          return net, end_points
  raise ValueError(f'Unknown final_endpoint {final_endpoint!r}: choices are {list(end_points)}.')


def _layer_parts(name, layer, stride, rate, channels):
  """Returns (end point, function of the input and scope) of each convolution of a layer."""
  conv = functools.partial(slim.conv2d, num_outputs=channels)
  if isinstance(layer, Conv):
    return [(name, functools.partial(conv, kernel_size=layer.kernel, stride=stride))]
  depthwise = functools.partial(
    slim.separable_conv2d,
    num_outputs=None,  # no pointwise part
    kernel_size=layer.kernel,
    depth_multiplier=1,
    stride=stride,
    rate=rate,
  )
  pointwise = functools.partial(conv, kernel_size=[1, 1], stride=1)
  return [(f'{name}_depthwise', depthwise), (f'{name}_pointwise', pointwise)]


def mobilenet_v1(
  inputs,
  num_classes=1000,
  dropout_keep_prob=0.999,
  is_training=True,
  min_depth=8,
  depth_multiplier=1.0,
  conv_defs=None,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  scope='MobilenetV1',
  global_pool=False,
):
  """Builds MobileNet v1.

  Args:
    inputs: float32 [b, h, w, c], up to 224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    dropout_keep_prob: share of the activations that dropout keeps.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    conv_defs: list of Conv and DepthSepConv, None for MOBILENETV1_CONV_DEFS.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024 * multiplier]), and a dict of end points.

  Raises:
    ValueError: when `inputs` is not of rank 4 or `depth_multiplier` is not above 0.
  """
  if inputs.shape.ndims != 4:
    raise ValueError(f'Invalid input tensor rank, expected 4, was: {inputs.shape.ndims}')
  with (
    tf.variable_scope(scope, 'MobilenetV1', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = mobilenet_v1_base(
      inputs,
      scope=scope,
      min_depth=min_depth,
      depth_multiplier=depth_multiplier,
      conv_defs=conv_defs,
    )
    with tf.variable_scope('Logits'):
      if global_pool:
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
        end_points['global_pool'] = net
      else:
        kernel_size = inception_utils.reduced_kernel_size(net, [7, 7])
        net = slim.avg_pool2d(net, kernel_size, 1, padding='VALID', scope='AvgPool_1a')
        end_points['AvgPool_1a'] = net
      if not num_classes:
        return net, end_points
      net = dropout(net, keep_prob=dropout_keep_prob, scope='Dropout_1b')
      logits = slim.conv2d(
        net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_1c_1x1'
      )
      if spatial_squeeze:
        logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
    end_points['Logits'] = logits
    end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


mobilenet_v1.default_image_size = 224


mobilenet_v1_075 = variant(mobilenet_v1, depth_multiplier=0.75)
mobilenet_v1_050 = variant(mobilenet_v1, depth_multiplier=0.50)
mobilenet_v1_025 = variant(mobilenet_v1, depth_multiplier=0.25)


def mobilenet_v1_arg_scope(
  is_training=True,
  weight_decay=0.00004,
  stddev=0.09,
  regularize_depthwise=False,
  batch_norm_decay=0.9997,
  batch_norm_epsilon=0.001,
  batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
  normalizer_fn=batch_norm,
):
  """Returns the arg scope of MobileNet v1.

  Args:
    is_training: default of batch normalization's own argument; None sets none.
    weight_decay: strength of the L2 regularization.
    stddev: standard deviation of the initial weights.
    regularize_depthwise: whether the depthwise weights are regularized too.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
    batch_norm_updates_collections: collection of the update ops, None to update in place.
    normalizer_fn: what follows every convolution.
  """
  batch_norm_params = {
    'center': True,
    'scale': True,
    'decay': batch_norm_decay,
    'epsilon': batch_norm_epsilon,
    'updates_collections': batch_norm_updates_collections,
  }
  if is_training is not None:
    batch_norm_params['is_training'] = is_training
  regularizer = slim.l2_regularizer(weight_decay)
  with (
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=stddev),
      activation_fn=tf.nn.relu6,
      normalizer_fn=normalizer_fn,
    ),
    slim.arg_scope([slim.batch_norm], **batch_norm_params),
    slim.arg_scope([slim.conv2d], weights_regularizer=regularizer),
    slim.arg_scope(
      [slim.separable_conv2d], weights_regularizer=regularizer if regularize_depthwise else None
    ) as arg_scope,
  ):
    return arg_scope
