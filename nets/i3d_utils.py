"""What the video networks I3D and S3D-G share: their convolution, their module, their arg scope.

Papers: Carreira, Zisserman, Quo Vadis, Action Recognition?, https://arxiv.org/abs/1705.07750; Xie,
Sun, Huang, Tu, Murphy, Rethinking Spatiotemporal Feature Learning, https://arxiv.org/abs/1712.04851
"""

import numpy as np

from nets.batch_norm import batch_norm
from nets.dropout import dropout
from slim_compat import slim, tf


def center_initializer():
  """Returns an initializer with which a temporal convolution passes its input through at first.

  It gives kernels [t, 1, 1, c, c] the identity in their middle frame and zeros elsewhere, and
  raises ValueError where t is even.
  """

  def initialize(shape, dtype=tf.float32, partition_info=None):
    del partition_info
    frames = int(shape[0])
    if frames % 2 == 0:
      raise ValueError(f'A kernel of {frames} frames has no middle: give it an odd number.')
    values = np.zeros([int(size) for size in shape])
    values[frames // 2, 0, 0] = np.eye(*values.shape[3:])
    return tf.constant(values, dtype)

  return initialize


@slim.add_arg_scope
def conv3d_spatiotemporal(
  inputs,
  num_outputs,
  kernel_size,
  stride=1,
  padding='SAME',
  activation_fn=None,
  normalizer_fn=None,
  normalizer_params=None,
  weights_regularizer=None,
  separable=False,
  data_format='NDHWC',
  scope='',
):
  """Builds a convolution over space and time, or one over space and then one over time.

  Args:
    inputs: float32 [b, frames, h, w, c], or [b, c, frames, h, w] by `data_format`.
    num_outputs: channels of the output.
    kernel_size: [frames, height, width] of the kernel.
    stride: one number, or [frames, height, width].
    padding: 'SAME' or 'VALID'.
    activation_fn: activation of each convolution, None for none.
    normalizer_fn: what follows the convolution; of two, the one over space.
    normalizer_params: arguments of `normalizer_fn`.
    weights_regularizer: regularizer of the weights.
    separable: whether a kernel of several frames is divided into [1, height, width] and
      [frames, 1, 1].
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope; the convolution over time is in its scope 'temporal'.

  Returns:
    float32 [b, frames', h', w', num_outputs], or the channels second.
  """
  shared = {
    'padding': padding,
    'activation_fn': activation_fn,
    'weights_regularizer': weights_regularizer,
    'data_format': data_format,
  }
  spatial = {'normalizer_fn': normalizer_fn, 'normalizer_params': normalizer_params, **shared}
  frames, height, width = kernel_size
  if not separable or frames == 1:
    return slim.conv3d(
      inputs,
      num_outputs,
      kernel_size,
      stride=stride,
      scope=scope,
      **spatial,
    )
  strides = stride if isinstance(stride, list | tuple) else [stride] * 3
  net = slim.conv3d(
    inputs,
    num_outputs,
    [1, height, width],
    stride=[1, *strides[1:]],
    scope=scope,
    **spatial,
  )
  return slim.conv3d(
    net,
    num_outputs,
    [frames, 1, 1],
    stride=[strides[0], 1, 1],
    normalizer_fn=None,
    weights_initializer=center_initializer(),
    scope=f'{scope}/temporal',
    **shared,
  )


@slim.add_arg_scope
def inception_block_v1_3d(
  inputs,
  num_outputs_0_0a,
  num_outputs_1_0a,
  num_outputs_1_0b,
  num_outputs_2_0a,
  num_outputs_2_0b,
  num_outputs_3_0b,
  temporal_kernel_size=3,
  self_gating_fn=None,
  data_format='NDHWC',
  scope='',
):
  """Builds the module of Inception v1 over space and time.

  Args:
    inputs: float32 [b, frames, h, w, c], or [b, c, frames, h, w] by `data_format`.
    num_outputs_0_0a: channels of the 1 x 1 convolution of branch 0.
    num_outputs_1_0a: channels of the 1 x 1 convolution of branch 1.
    num_outputs_1_0b: channels of its 3 x 3 convolution.
    num_outputs_2_0a: channels of the 1 x 1 convolution of branch 2.
    num_outputs_2_0b: channels of its 3 x 3 convolution.
    num_outputs_3_0b: channels of the 1 x 1 convolution after the pooling of branch 3.
    temporal_kernel_size: frames of the kernels of the 3 x 3 convolutions.
    self_gating_fn: function of (features, scope) at the end of every branch, None for none.
    data_format: 'NDHWC' or 'NCDHW'.
    scope: variable scope.

  Returns:
    float32 [b, frames, h, w, sum of the four branches' channels], or the channels second.
  """
  kernel_size = [temporal_kernel_size, 3, 3]

  def gated(net, scope):
    return self_gating_fn(net, scope=scope) if self_gating_fn else net

  with (
    tf.variable_scope(scope),
    slim.arg_scope(
      [slim.conv3d, slim.max_pool3d, conv3d_spatiotemporal],
      stride=1,
      padding='SAME',
      data_format=data_format,
    ),
  ):
    with tf.variable_scope('Branch_0'):
      net = slim.conv3d(inputs, num_outputs_0_0a, [1, 1, 1], scope='Conv2d_0a_1x1')
      outputs = [gated(net, 'Conv2d_0a_1x1')]
    depths = [(num_outputs_1_0a, num_outputs_1_0b), (num_outputs_2_0a, num_outputs_2_0b)]
    for i, (depth_0a, depth_0b) in enumerate(depths, 1):
      with tf.variable_scope(f'Branch_{i}'):
        net = slim.conv3d(inputs, depth_0a, [1, 1, 1], scope='Conv2d_0a_1x1')
        net = conv3d_spatiotemporal(net, depth_0b, kernel_size, scope='Conv2d_0b_3x3')
        outputs.append(gated(net, 'Conv2d_0b_3x3'))
    with tf.variable_scope('Branch_3'):
      net = slim.max_pool3d(inputs, [3, 3, 3], scope='MaxPool_0a_3x3')
      net = slim.conv3d(net, num_outputs_3_0b, [1, 1, 1], scope='Conv2d_0b_1x1')
      outputs.append(gated(net, 'Conv2d_0b_1x1'))
    return tf.concat(outputs, data_format.index('C'))


def reduced_kernel_size_3d(net, kernel_size):
  """Returns [frames, height, width] of a kernel, no larger than the feature map where it is known.

  Args:
    net: tensor [b, frames, h, w, c].
    kernel_size: [frames, height, width] wanted.
  """
  return [
    wanted if size is None else min(size, wanted)
    for size, wanted in zip(net.shape.as_list()[1:4], kernel_size, strict=True)
  ]


def video_arg_scope(
  weight_decay, batch_norm_decay, batch_norm_epsilon, separable_conv3d, use_renorm=False
):
  """Returns the arg scope of the video networks.

  Args:
    weight_decay: strength of the L2 regularization of all weights.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
    separable_conv3d: whether convolutions over space and time are divided in two.
    use_renorm: whether batch renormalization (https://arxiv.org/abs/1702.03275) is used.
  """
  with (
    slim.arg_scope(
      [slim.conv3d, conv3d_spatiotemporal],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      activation_fn=tf.nn.relu,
      normalizer_fn=batch_norm,
      normalizer_params={
        'decay': batch_norm_decay,
        'epsilon': batch_norm_epsilon,
        'renorm': use_renorm,
        'fused': False,  # a fused one takes no more than four axes
      },
    ),
    slim.arg_scope([conv3d_spatiotemporal], separable=separable_conv3d) as arg_scope,
  ):
    return arg_scope


def video_head(
  net, end_points, num_classes, dropout_keep_prob, prediction_fn, spatial_squeeze, global_pool
):
  """Adds the 'Logits' scope of the video networks: pooling, dropout, logits and predictions.

  Args:
    net: float32 [b, frames, h, w, c], the last feature map.
    end_points: dict that receives the new end points.
    num_classes: number of classes; 0 or None stops after the pooling.
    dropout_keep_prob: share of the activations that dropout keeps.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    global_pool: whether the whole of every frame is pooled, whatever its size.

  Returns:
    Logits [b, num_classes], or features [b, 1, 1, c], both averages over time.
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = tf.reduce_mean(net, [2, 3], keepdims=True, name='global_pool')
    else:
      kernel_size = reduced_kernel_size_3d(net, [2, 7, 7])
      net = slim.avg_pool3d(net, kernel_size, stride=1, scope='AvgPool_0a_7x7')
    if not num_classes:
      return tf.reduce_mean(net, 1)
    net = dropout(net, dropout_keep_prob, scope='Dropout_0b')
    logits = slim.conv3d(
      net, num_classes, [1, 1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_0c_1x1'
    )
    logits = tf.reduce_mean(logits, 1)
    if spatial_squeeze:
      logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
    end_points['Logits'] = logits
    end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits
