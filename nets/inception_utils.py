"""What the Inception networks share: their arg scope and the pooling before the logits."""

from nets.batch_norm import batch_norm
from nets.dropout import dropout
from slim_compat import slim, tf


def inception_arg_scope(
  weight_decay=0.00004,
  use_batch_norm=True,
  batch_norm_decay=0.9997,
  batch_norm_epsilon=0.001,
  activation_fn=tf.nn.relu,
  batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
  batch_norm_scale=False,
):
  """Returns the arg scope of the Inception networks.

  Args:
    weight_decay: strength of the L2 regularization of all weights.
    use_batch_norm: whether convolutions are followed by batch normalization.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
    activation_fn: activation of the convolutions.
    batch_norm_updates_collections: collection of the update ops, None to update in place.
    batch_norm_scale: whether batch normalization has a trained scale (gamma).
  """
  normalizer = {'normalizer_fn': None, 'normalizer_params': {}}
  if use_batch_norm:
    normalizer = {
      'normalizer_fn': batch_norm,
      'normalizer_params': {
        'decay': batch_norm_decay,
        'epsilon': batch_norm_epsilon,
        'updates_collections': batch_norm_updates_collections,
        'scale': batch_norm_scale,
      },
    }
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      activation_fn=activation_fn,
      **normalizer,
    ) as arg_scope,
  ):
    return arg_scope


def reduced_kernel_size(net, kernel_size):
  """Returns [height, width] of a kernel, no larger than the feature map where its size is known.

  Args:
    net: tensor [b, h, w, c].
    kernel_size: [height, width] wanted.
  """
  return [
    wanted if size is None else min(size, wanted)
    for size, wanted in zip(net.shape.as_list()[1:3], kernel_size, strict=True)
  ]


def pooled_head(
  net, end_points, num_classes, kernel_size, dropout_keep_prob, spatial_squeeze, global_pool
):
  """Adds the 'Logits' scope of Inception v2 and v3: pooling, dropout and the logits.

  Args:
    net: float32 [b, h, w, c], the last feature map.
    end_points: dict that receives the new end points.
    num_classes: number of classes; 0 or None stops after the pooling.
    kernel_size: [height, width] of the pooling, that of the feature map at the default image size.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes], or features [b, 1, 1, c].
  """
  with tf.variable_scope('Logits'):
    if global_pool:
      net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
      end_points['global_pool'] = net
    else:
      height, width = reduced_kernel_size(net, kernel_size)
      pool_scope = f'AvgPool_1a_{height}x{width}'
      net = slim.avg_pool2d(net, [height, width], 1, padding='VALID', scope=pool_scope)
      end_points['AvgPool_1a'] = net
    if not num_classes:
      return net
    net = dropout(net, keep_prob=dropout_keep_prob, scope='Dropout_1b')
    end_points['PreLogits'] = net
    logits = slim.conv2d(
      net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_1c_1x1'
    )
    if spatial_squeeze:
      logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
  end_points['Logits'] = logits
  return logits


def pool_all(net, scope):
  """Averages [b, h, w, c] over its spatial axes to [b, 1, 1, c], whether h and w are known or not.

  Args:
    net: float32 [b, h, w, c].
    scope: name of the pooling where h and w are known.
  """
  size = net.shape.as_list()[1:3]
  if None in size:
    return tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
  return slim.avg_pool2d(net, size, padding='VALID', scope=scope)


def dense_aux_logits(net, num_classes, pool_scope, conv_scope, logits_scope):
  """Builds the auxiliary head of Inception v4 and Inception-ResNet v2, which ends densely.

  Args:
    net: float32 [b, h, w, c] with known h and w, 17 x 17 at the default image size.
    num_classes: number of classes.
    pool_scope: name of the pooling.
    conv_scope: name of the convolution over all that is left of the grid.
    logits_scope: name of the dense layer.

  Returns:
    Logits [b, num_classes].
  """
  with (
    tf.variable_scope('AuxLogits'),
    slim.arg_scope([slim.conv2d, slim.avg_pool2d], stride=1, padding='SAME'),
  ):
    net = slim.avg_pool2d(net, [5, 5], stride=3, padding='VALID', scope=pool_scope)
    net = slim.conv2d(net, 128, [1, 1], scope='Conv2d_1b_1x1')
    size = net.shape.as_list()[1:3]
    net = slim.conv2d(net, 768, size, padding='VALID', scope=conv_scope)
    return slim.fully_connected(
      slim.flatten(net), num_classes, activation_fn=None, scope=logits_scope
    )
