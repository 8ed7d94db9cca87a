"""Inception v1 (GoogLeNet), with batch normalization and without auxiliary heads.

Paper: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, Going Deeper
with Convolutions, https://arxiv.org/abs/1409.4842
"""

from nets import inception_utils
from nets.dropout import dropout
from nets.inception_layers import build_up_to, conv, max_pool, mixed
from slim_compat import slim, tf

inception_v1_arg_scope = inception_utils.inception_arg_scope

# Channels of the convolutions of each module: 1 x 1; 1 x 1 and 3 x 3; again; 1 x 1 after pooling.
MIXED_DEPTHS = {
  'Mixed_3b': (64, 96, 128, 16, 32, 32),
  'Mixed_3c': (128, 128, 192, 32, 96, 64),
  'Mixed_4b': (192, 96, 208, 16, 48, 64),
  'Mixed_4c': (160, 112, 224, 24, 64, 64),
  'Mixed_4d': (128, 128, 256, 24, 64, 64),
  'Mixed_4e': (112, 144, 288, 32, 64, 64),
  'Mixed_4f': (256, 160, 320, 32, 128, 128),
  'Mixed_5b': (256, 160, 320, 32, 128, 128),
  'Mixed_5c': (384, 192, 384, 48, 128, 128),
}


def _mixed(name):
  depths = MIXED_DEPTHS[name]
  # The published checkpoint has this name in one of the modules.
  last_of_2 = 'Conv2d_0a_3x3' if name == 'Mixed_5b' else 'Conv2d_0b_3x3'
  return mixed(
    name,
    [conv('Conv2d_0a_1x1', depths[0])],
    [conv('Conv2d_0a_1x1', depths[1]), conv('Conv2d_0b_3x3', depths[2])],
    [conv('Conv2d_0a_1x1', depths[3]), conv(last_of_2, depths[4])],
    [max_pool('MaxPool_0a_3x3'), conv('Conv2d_0b_1x1', depths[5])],
  )


_ROOT = [  # shapes at 224 x 224 pixels
  conv('Conv2d_1a_7x7', 64, stride=2),  # 112 x 112 x 64
  max_pool('MaxPool_2a_3x3', stride=2),  # 56 x 56 x 64
  conv('Conv2d_2b_1x1', 64),
  conv('Conv2d_2c_3x3', 192),  # 56 x 56 x 192
  max_pool('MaxPool_3a_3x3', stride=2),  # 28 x 28 x 192
]
_MODULES = [
  *map(_mixed, ('Mixed_3b', 'Mixed_3c')),  # 28 x 28 x 480
  max_pool('MaxPool_4a_3x3', stride=2),  # 14 x 14 x 480
  *map(_mixed, ('Mixed_4b', 'Mixed_4c', 'Mixed_4d', 'Mixed_4e', 'Mixed_4f')),  # 14 x 14 x 832
  max_pool('MaxPool_5a_2x2', stride=2),  # 7 x 7 x 832
  *map(_mixed, ('Mixed_5b', 'Mixed_5c')),  # 7 x 7 x 1024
]


def inception_v1_base(
  inputs, final_endpoint='Mixed_5c', include_root_block=True, scope='InceptionV1'
):
  """Builds Inception v1 up to an end point.

  Args:
    inputs: float32 [b, h, w, c]; without the root block the feature map it would give.
    final_endpoint: 'Conv2d_1a_7x7', 'MaxPool_2a_3x3', 'Conv2d_2b_1x1', 'Conv2d_2c_3x3',
      'MaxPool_3a_3x3', 'Mixed_3b', 'Mixed_3c', 'MaxPool_4a_3x3', 'Mixed_4b' to 'Mixed_4f',
      'MaxPool_5a_2x2', 'Mixed_5b' or 'Mixed_5c'.
    include_root_block: whether the layers before 'Mixed_3b' are built.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs]),
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
    ),
    slim.arg_scope([slim.conv2d, slim.max_pool2d], stride=1, padding='SAME'),
  ):
    layers = [*_ROOT, *_MODULES] if include_root_block else _MODULES
    return build_up_to(final_endpoint, inputs, layers)


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
      net = dropout(net, dropout_keep_prob, scope='Dropout_0b')
      logits = slim.conv2d(
        net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_0c_1x1'
      )
      if spatial_squeeze:
        logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')
      end_points['Logits'] = logits
      end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


inception_v1.default_image_size = 224
