"""S3D-G: Inception v1 over space and time, with divided convolutions and feature gating.

Paper: Xie, Sun, Huang, Tu, Murphy, Rethinking Spatiotemporal Feature Learning: Speed-Accuracy
Trade-offs in Video Classification, https://arxiv.org/abs/1712.04851
"""

from nets import i3d_utils
from nets.inception_layers import Layer, build_up_to
from nets.inception_v1 import MIXED_DEPTHS
from slim_compat import slim, tf


def s3dg_arg_scope(weight_decay=1e-7, batch_norm_decay=0.999, batch_norm_epsilon=0.001):
  """Returns the arg scope of S3D-G; arguments as `i3d_utils.video_arg_scope`."""
  return i3d_utils.video_arg_scope(
    weight_decay, batch_norm_decay, batch_norm_epsilon, separable_conv3d=True
  )


def self_gating(input_tensor, scope, data_format='NDHWC'):
  """Weighs every channel by what the whole clip holds: input * sigmoid(W average(input)).

  Args:
    input_tensor: float32 [b, frames, h, w, c], or [b, c, frames, h, w] by `data_format`.
    scope: name of the layer that is gated; the variables are in its scope 'self_gating'.
    data_format: 'NDHWC' or 'NCDHW'.

  Returns:
    A tensor like `input_tensor`.
  """
  channels = data_format.index('C')
  average = tf.reduce_mean(
    input_tensor, [axis for axis in range(1, 5) if axis != channels], keepdims=True
  )
  weights = slim.conv3d(
    average,
    input_tensor.shape.as_list()[channels],
    [1, 1, 1],
    activation_fn=None,
    normalizer_fn=None,
    biases_initializer=None,
    data_format=data_format,
    weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
    scope=f'{scope}/self_gating/transformer_W',
  )
  return tf.multiply(tf.nn.sigmoid(weights), input_tensor)


# End points whose convolutions can be over time or gated, in the order of the forward pass.
_SWITCHES = ('Conv2d_2c_3x3', *MIXED_DEPTHS)


def _is_on(end_point, start_at):
  """Whether what starts at the end point `start_at` (None for never) is in force at another."""
  return start_at in _SWITCHES and _SWITCHES.index(end_point) >= _SWITCHES.index(start_at)


def s3dg_base(
  inputs,
  first_temporal_kernel_size=3,
  temporal_conv_startat='Conv2d_2c_3x3',
  gating_startat='Conv2d_2c_3x3',
  final_endpoint='Mixed_5c',
  min_depth=16,
  depth_multiplier=1.0,
  data_format='NDHWC',
  scope='InceptionV1',
):
  """Builds S3D-G up to an end point.

  Args:
    inputs: float32 [b, frames, h, w, 3], or [b, 3, frames, h, w] by `data_format`.
    first_temporal_kernel_size: frames of the first convolution's kernel: 1, 3, 5 or 7.
    temporal_conv_startat: the first end point whose convolutions are over time, 'Conv2d_2c_3x3'
      or a 'Mixed_'; None for none of them.
    gating_startat: the first end point that is gated, likewise.
    final_endpoint: 'Conv2d_1a_7x7', 'MaxPool_2a_3x3', 'Conv2d_2b_1x1', 'Conv2d_2c_3x3',
      'MaxPool_3a_3x3', 'Mixed_3b', 'Mixed_3c', 'MaxPool_4a_3x3', 'Mixed_4b' to 'Mixed_4f',
      'MaxPool_5a_2x2', 'Mixed_5b' or 'Mixed_5c'.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point or data format, another number of frames of the first
      kernel, or a multiplier that is not above 0.
  """
  if data_format not in ('NDHWC', 'NCDHW'):
    raise ValueError(f'data_format must be NDHWC or NCDHW, and is {data_format}.')
  if depth_multiplier <= 0:
    raise ValueError('depth_multiplier is not greater than zero.')
  if first_temporal_kernel_size not in (1, 3, 5, 7):
    raise ValueError('first_temporal_kernel_size can only be 1, 3, 5 or 7.')

  def depth(channels):
    return max(int(channels * depth_multiplier), min_depth)

  def gate(net, scope):
    return self_gating(net, scope, data_format)

  def conv_1a(net):
    # Dividing this one would make it slower.
    kernel_size = [first_temporal_kernel_size, 7, 7]
    return i3d_utils.conv3d_spatiotemporal(
      net, depth(64), kernel_size, stride=2, separable=False, scope='Conv2d_1a_7x7'
    )

  def conv_2b(net):
    return slim.conv3d(net, depth(64), [1, 1, 1], scope='Conv2d_2b_1x1')

  def conv_2c(net):
    name = 'Conv2d_2c_3x3'
    frames = 3 if _is_on(name, temporal_conv_startat) else 1
    net = i3d_utils.conv3d_spatiotemporal(net, depth(192), [frames, 3, 3], scope=name)
    return gate(net, name) if _is_on(name, gating_startat) else net

  def mixed(name):
    def build(net):
      return i3d_utils.inception_block_v1_3d(
        net,
        *map(depth, MIXED_DEPTHS[name]),
        temporal_kernel_size=3 if _is_on(name, temporal_conv_startat) else 1,
        self_gating_fn=gate if _is_on(name, gating_startat) else None,
        data_format=data_format,
        scope=name,
      )

    return Layer(name, build)

  def max_pool(name, kernel_size, stride):
    return Layer(name, lambda net: slim.max_pool3d(net, kernel_size, stride=stride, scope=name))

  layers = [  # shapes of 64 frames of 224 x 224 pixels
    Layer('Conv2d_1a_7x7', conv_1a),  # 32 x 112 x 112 x 64
    max_pool('MaxPool_2a_3x3', [1, 3, 3], [1, 2, 2]),  # 32 x 56 x 56 x 64
    Layer('Conv2d_2b_1x1', conv_2b),
    Layer('Conv2d_2c_3x3', conv_2c),  # 32 x 56 x 56 x 192
    max_pool('MaxPool_3a_3x3', [1, 3, 3], [1, 2, 2]),  # 32 x 28 x 28 x 192
    *map(mixed, ('Mixed_3b', 'Mixed_3c')),  # 32 x 28 x 28 x 480
    max_pool('MaxPool_4a_3x3', [3, 3, 3], [2, 2, 2]),  # 16 x 14 x 14 x 480
    *map(mixed, ('Mixed_4b', 'Mixed_4c', 'Mixed_4d', 'Mixed_4e', 'Mixed_4f')),  # to 832 channels
    max_pool('MaxPool_5a_2x2', [2, 2, 2], [2, 2, 2]),  # 8 x 7 x 7 x 832
    *map(mixed, ('Mixed_5b', 'Mixed_5c')),  # 8 x 7 x 7 x 1024
  ]
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs]),
    slim.arg_scope([slim.conv3d], weights_initializer=tf.truncated_normal_initializer(stddev=0.01)),
    slim.arg_scope(
      [slim.conv3d, slim.max_pool3d, i3d_utils.conv3d_spatiotemporal],
      stride=1,
      padding='SAME',
      data_format=data_format,
    ),
    slim.arg_scope([slim.batch_norm], data_format='NCHW' if data_format == 'NCDHW' else 'NHWC'),
  ):
    return build_up_to(final_endpoint, inputs, layers)


def s3dg(
  inputs,
  num_classes=1000,
  first_temporal_kernel_size=3,
  temporal_conv_startat='Conv2d_2c_3x3',
  gating_startat='Conv2d_2c_3x3',
  final_endpoint='Mixed_5c',
  min_depth=16,
  depth_multiplier=1.0,
  dropout_keep_prob=0.8,
  is_training=True,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  data_format='NDHWC',
  scope='InceptionV1',
  global_pool=False,
):
  """Builds S3D-G.

  Args:
    inputs: float32 [b, frames, h, w, 3], or [b, 3, frames, h, w] by `data_format`, of up to
      224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    first_temporal_kernel_size: as for `s3dg_base`, like all up to `depth_multiplier`.
    temporal_conv_startat: where convolutions over time start.
    gating_startat: where gating starts.
    final_endpoint: the last end point before the pooling.
    min_depth: fewest channels of a convolution.
    depth_multiplier: factor on the channels of all convolutions.
    dropout_keep_prob: share of the activations that dropout keeps.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.
    global_pool: whether the whole of every frame is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024]), and a dict of end points.

  Raises:
    ValueError: as `s3dg_base`.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = s3dg_base(
      inputs,
      first_temporal_kernel_size=first_temporal_kernel_size,
      temporal_conv_startat=temporal_conv_startat,
      gating_startat=gating_startat,
      final_endpoint=final_endpoint,
      min_depth=min_depth,
      depth_multiplier=depth_multiplier,
      data_format=data_format,
      scope=scope,
    )
    if data_format == 'NCDHW':
      net = tf.transpose(net, [0, 2, 3, 4, 1])
    net = i3d_utils.video_head(
      *(net, end_points, num_classes, dropout_keep_prob, prediction_fn),
      *(spatial_squeeze, global_pool),
    )
  return net, end_points


s3dg.default_image_size = 224
