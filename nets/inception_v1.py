"""Inception v1 (GoogLeNet), with batch normalization and without auxiliary heads.

Paper: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, Going Deeper
with Convolutions, https://arxiv.org/abs/1409.4842
"""

from nets import inception_utils, slim_bodies
from slim_compat import slim, tf

inception_v1_arg_scope = inception_utils.inception_arg_scope
inception_v1_base = slim_bodies.inception_v1.inception_v1_base


def inception_v1(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.8,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  scope='InceptionV1',
  global_pool=False,
):
  """Builds Inception v1.

  Args:
    inputs: float32 [b, h, w, c], 224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024]), and a dict of end points.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v1_base(inputs, scope=scope)
    with tf.variable_scope('Logits'):
      if global_pool:
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
        end_points['global_pool'] = net
      else:
        net = slim.avg_pool2d(net, [7, 7], stride=1, scope='AvgPool_0a_7x7')
        end_points['AvgPool_0a_7x7'] = net
      if not num_classes:
        return net, end_points
      net = slim.dropout(net, dropout_keep_prob, scope='Dropout_0b')
      logits = slim.conv2d(
        net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_0c_1x1'
      )
      if spatial_squeeze:
        logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
      end_points['Logits'] = logits
      end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


inception_v1.default_image_size = 224
