"""Inception v3, with one auxiliary head.

Paper: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, Rethinking the Inception Architecture for
Computer Vision, https://arxiv.org/abs/1512.00567
"""

from nets import inception_utils, slim_bodies
from slim_compat import slim, tf

inception_v3_arg_scope = inception_utils.inception_arg_scope
inception_v3_base = slim_bodies.inception_v3.inception_v3_base


def inception_v3(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.8,
  min_depth=16,
  depth_multiplier=1.0,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  create_aux_logits=True,
  scope='InceptionV3',
  global_pool=False,
):
  """Builds Inception v3.

  Args:
    inputs: float32 [b, h, w, c], up to 299 x 299 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    create_aux_logits: whether the auxiliary head is built, end point 'AuxLogits'.
    scope: variable scope.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 2048]), and a dict of end points.

  Raises:
    ValueError: when `depth_multiplier` is not above 0.
  """
  with (
    tf.variable_scope(scope, 'InceptionV3', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v3_base(
      inputs, scope=scope, min_depth=min_depth, depth_multiplier=depth_multiplier
    )
    if create_aux_logits and num_classes:

      def depth(channels):
        return max(int(channels * depth_multiplier), min_depth)

      end_points['AuxLogits'] = _aux_logits(
        end_points['Mixed_6e'], num_classes, depth, spatial_squeeze, global_pool
      )
    net = inception_utils.pooled_head(
      net, end_points, num_classes, [8, 8], dropout_keep_prob, spatial_squeeze, global_pool
    )
    if num_classes:
      end_points['Predictions'] = prediction_fn(net, scope='Predictions')
  return net, end_points


inception_v3.default_image_size = 299


def _aux_logits(net, num_classes, depth, spatial_squeeze, global_pool):
  """Builds the auxiliary head on [b, h, w, 768]; `depth` scales a number of channels."""
  with (
    tf.variable_scope('AuxLogits'),
    slim.arg_scope([slim.conv2d, slim.avg_pool2d], stride=1, padding='SAME'),
  ):
    net = slim.avg_pool2d(net, [5, 5], stride=3, padding='VALID', scope='AvgPool_1a_5x5')
    net = slim.conv2d(net, depth(128), [1, 1], scope='Conv2d_1b_1x1')
    height, width = inception_utils.reduced_kernel_size(net, [5, 5])
    net = slim.conv2d(
      net,
      depth(768),
      [height, width],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
      padding='VALID',
      scope=f'Conv2d_2a_{height}x{width}',
    )
    if global_pool:
      net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
    net = slim.conv2d(
      net,
      num_classes,
      [1, 1],
      activation_fn=None,
      normalizer_fn=None,
      weights_initializer=tf.truncated_normal_initializer(stddev=0.001),
      scope='Conv2d_2b_1x1',
    )
    return tf.squeeze(net, [1, 2], name='SpatialSqueeze') if spatial_squeeze else net
