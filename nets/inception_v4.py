"""Inception v4, with one auxiliary head.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, https://arxiv.org/abs/1602.07261
"""

from nets import inception_utils
from nets.dropout import dropout
from nets.inception_layers import (
  Layer,
  avg_pool,
  branches,
  build_up_to,
  conv,
  fork,
  max_pool,
  mixed,
)
from slim_compat import slim, tf

inception_v4_arg_scope = inception_utils.inception_arg_scope

_DOWN = {'stride': 2, 'padding': 'VALID'}


def _scoped_block(inputs, scope, default_scope, reuse, *lists):
  """Builds the branches of a block in its scope, with stride 1 and 'SAME' padding."""
  with (
    slim.arg_scope([slim.conv2d, slim.avg_pool2d, slim.max_pool2d], stride=1, padding='SAME'),
    tf.variable_scope(scope, default_scope, [inputs], reuse=reuse),
  ):
    return branches(inputs, *lists)


def block_inception_a(inputs, scope=None, reuse=None):
  """Builds the module of the 35 x 35 grid.

  Args:
    inputs: float32 [b, h, w, c].
    scope: variable scope.
    reuse: whether the variables exist already.

  Returns:
    float32 [b, h, w, 384].
  """
  return _scoped_block(
    inputs,
    scope,
    'BlockInceptionA',
    reuse,
    [conv('Conv2d_0a_1x1', 96)],
    [conv('Conv2d_0a_1x1', 64), conv('Conv2d_0b_3x3', 96)],
    [conv('Conv2d_0a_1x1', 64), conv('Conv2d_0b_3x3', 96), conv('Conv2d_0c_3x3', 96)],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 96)],
  )


def block_reduction_a(inputs, scope=None, reuse=None):
  """Builds the module from 35 x 35 to 17 x 17; as `block_inception_a`, with c + 640 channels."""
  return _scoped_block(
    inputs,
    scope,
    'BlockReductionA',
    reuse,
    [conv('Conv2d_1a_3x3', 384, **_DOWN)],
    [conv('Conv2d_0a_1x1', 192), conv('Conv2d_0b_3x3', 224), conv('Conv2d_1a_3x3', 256, **_DOWN)],
    [max_pool('MaxPool_1a_3x3', **_DOWN)],
  )


def block_inception_b(inputs, scope=None, reuse=None):
  """Builds the module of the 17 x 17 grid; as `block_inception_a`, with 1024 channels."""
  return _scoped_block(
    inputs,
    scope,
    'BlockInceptionB',
    reuse,
    [conv('Conv2d_0a_1x1', 384)],
    [conv('Conv2d_0a_1x1', 192), conv('Conv2d_0b_1x7', 224), conv('Conv2d_0c_7x1', 256)],
    [
      conv('Conv2d_0a_1x1', 192),
      conv('Conv2d_0b_7x1', 192),
      conv('Conv2d_0c_1x7', 224),
      conv('Conv2d_0d_7x1', 224),
      conv('Conv2d_0e_1x7', 256),
    ],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 128)],
  )


def block_reduction_b(inputs, scope=None, reuse=None):
  """Builds the module from 17 x 17 to 8 x 8; as `block_inception_a`, with c + 512 channels."""
  return _scoped_block(
    inputs,
    scope,
    'BlockReductionB',
    reuse,
    [conv('Conv2d_0a_1x1', 192), conv('Conv2d_1a_3x3', 192, **_DOWN)],
    [
      conv('Conv2d_0a_1x1', 256),
      conv('Conv2d_0b_1x7', 256),
      conv('Conv2d_0c_7x1', 320),
      conv('Conv2d_1a_3x3', 320, **_DOWN),
    ],
    [max_pool('MaxPool_1a_3x3', **_DOWN)],
  )


def block_inception_c(inputs, scope=None, reuse=None):
  """Builds the module of the 8 x 8 grid; as `block_inception_a`, with 1536 channels."""
  return _scoped_block(
    inputs,
    scope,
    'BlockInceptionC',
    reuse,
    [conv('Conv2d_0a_1x1', 256)],
    [conv('Conv2d_0a_1x1', 384), fork(conv('Conv2d_0b_1x3', 256), conv('Conv2d_0c_3x1', 256))],
    [
      conv('Conv2d_0a_1x1', 384),
      conv('Conv2d_0b_3x1', 448),
      conv('Conv2d_0c_1x3', 512),
      fork(conv('Conv2d_0d_1x3', 256), conv('Conv2d_0e_3x1', 256)),
    ],
    [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 256)],
  )


def _block(name, block):
  return Layer(name, lambda net: block(net, scope=name))


_LAYERS = [  # grids at 299 x 299 pixels
  conv('Conv2d_1a_3x3', 32, **_DOWN),  # 149 x 149
  conv('Conv2d_2a_3x3', 32, padding='VALID'),  # 147 x 147
  conv('Conv2d_2b_3x3', 64),
  mixed(  # 73 x 73 x 160
    'Mixed_3a',
    [max_pool('MaxPool_0a_3x3', **_DOWN)],
    [conv('Conv2d_0a_3x3', 96, **_DOWN)],
  ),
  mixed(  # 71 x 71 x 192
    'Mixed_4a',
    [conv('Conv2d_0a_1x1', 64), conv('Conv2d_1a_3x3', 96, padding='VALID')],
    [
      conv('Conv2d_0a_1x1', 64),
      conv('Conv2d_0b_1x7', 64),
      conv('Conv2d_0c_7x1', 64),
      conv('Conv2d_1a_3x3', 96, padding='VALID'),
    ],
  ),
  mixed(  # 35 x 35 x 384
    'Mixed_5a',
    [conv('Conv2d_1a_3x3', 192, **_DOWN)],
    [max_pool('MaxPool_1a_3x3', **_DOWN)],
  ),
  *(_block(f'Mixed_5{letter}', block_inception_a) for letter in 'bcde'),
  _block('Mixed_6a', block_reduction_a),  # 17 x 17 x 1024
  *(_block(f'Mixed_6{letter}', block_inception_b) for letter in 'bcdefgh'),
  _block('Mixed_7a', block_reduction_b),  # 8 x 8 x 1536
  *(_block(f'Mixed_7{letter}', block_inception_c) for letter in 'bcd'),
]


def inception_v4_base(inputs, final_endpoint='Mixed_7d', scope=None):
  """Builds Inception v4 up to an end point.

  Args:
    inputs: float32 [b, h, w, 3].
    final_endpoint: 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Mixed_3a', 'Mixed_4a',
      'Mixed_5a' to 'Mixed_5e', 'Mixed_6a' to 'Mixed_6h' or 'Mixed_7a' to 'Mixed_7d'.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point.
  """
  with (
    tf.variable_scope(scope, 'InceptionV4', [inputs]),
    slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d], stride=1, padding='SAME'),
  ):
    return build_up_to(final_endpoint, inputs, _LAYERS)


def inception_v4(
  inputs,
  num_classes=1001,
  is_training=True,
  dropout_keep_prob=0.8,
  reuse=None,
  scope='InceptionV4',
  create_aux_logits=True,
):
  """Builds Inception v4.

  Args:
    inputs: float32 [b, h, w, 3]; h and w must be known for the auxiliary head.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    reuse: whether the variables exist already.
    scope: variable scope.
    create_aux_logits: whether the auxiliary head is built, end point 'AuxLogits'.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1536]), and a dict of end points.
  """
  with (
    tf.variable_scope(scope, 'InceptionV4', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v4_base(inputs, scope=scope)
    if create_aux_logits and num_classes:
      end_points['AuxLogits'] = inception_utils.dense_aux_logits(
        end_points['Mixed_6h'], num_classes, 'AvgPool_1a_5x5', 'Conv2d_2a', 'Aux_logits'
      )
    with tf.variable_scope('Logits'):
      net = inception_utils.pool_all(net, 'AvgPool_1a')
      end_points['global_pool'] = net
      if not num_classes:
        return net, end_points
      net = dropout(net, dropout_keep_prob, scope='Dropout_1b')
      net = slim.flatten(net, scope='PreLogitsFlatten')
      end_points['PreLogitsFlatten'] = net
      logits = slim.fully_connected(net, num_classes, activation_fn=None, scope='Logits')
      end_points['Logits'] = logits
      end_points['Predictions'] = tf.nn.softmax(logits, name='Predictions')
  return logits, end_points


inception_v4.default_image_size = 299
