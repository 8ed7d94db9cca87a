"""Inception-ResNet v2: Inception modules with shortcuts, and one auxiliary head.

Paper: Szegedy, Ioffe, Vanhoucke, Alemi, Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, https://arxiv.org/abs/1602.07261
"""

from nets import inception_utils
from nets.batch_norm import batch_norm
from nets.dropout import dropout
from nets.inception_layers import (
  Layer,
  avg_pool,
  branches,
  build_up_to,
  conv,
  max_pool,
  mixed,
)
from slim_compat import slim, tf


def _add_scaled(net, residual, scale, activation_fn):
  """Adds `scale` times a linear projection of [b, h, w, c'] to [b, h, w, c], and activates."""
  residual = scale * slim.conv2d(
    residual,
    net.shape.as_list()[3],
    [1, 1],
    normalizer_fn=None,
    activation_fn=None,
    scope='Conv2d_1x1',
  )
  if activation_fn == tf.nn.relu6:
    residual = tf.clip_by_value(residual, -6.0, 6.0)  # ReLU6 bounds one side only
  net += residual
  return activation_fn(net) if activation_fn else net


def block35(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the residual module of the 35 x 35 grid.

  Args:
    net: float32 [b, h, w, c].
    scale: factor on the residual; small ones keep the training of wide networks stable.
    activation_fn: activation after the sum, None for none.
    scope: variable scope.
    reuse: whether the variables exist already.

  Returns:
    float32 [b, h, w, c].
  """
  with tf.variable_scope(scope, 'Block35', [net], reuse=reuse):
    residual = branches(
      net,
      [conv('Conv2d_1x1', 32)],
      [conv('Conv2d_0a_1x1', 32), conv('Conv2d_0b_3x3', 32)],
      [conv('Conv2d_0a_1x1', 32), conv('Conv2d_0b_3x3', 48), conv('Conv2d_0c_3x3', 64)],
    )
    return _add_scaled(net, residual, scale, activation_fn)


def block17(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the residual module of the 17 x 17 grid; arguments and result as `block35`."""
  with tf.variable_scope(scope, 'Block17', [net], reuse=reuse):
    residual = branches(
      net,
      [conv('Conv2d_1x1', 192)],
      [conv('Conv2d_0a_1x1', 128), conv('Conv2d_0b_1x7', 160), conv('Conv2d_0c_7x1', 192)],
    )
    return _add_scaled(net, residual, scale, activation_fn)


def block8(net, scale=1.0, activation_fn=tf.nn.relu, scope=None, reuse=None):
  """Builds the residual module of the 8 x 8 grid; arguments and result as `block35`."""
  with tf.variable_scope(scope, 'Block8', [net], reuse=reuse):
    residual = branches(
      net,
      [conv('Conv2d_1x1', 192)],
      [conv('Conv2d_0a_1x1', 192), conv('Conv2d_0b_1x3', 224), conv('Conv2d_0c_3x1', 256)],
    )
    return _add_scaled(net, residual, scale, activation_fn)


def _layers(padding, output_stride, activation_fn):
  """Returns the layers that are end points, in the order of the forward pass."""
  dense = output_stride == 8
  down = {'stride': 2, 'padding': padding}
  down_6a = {'stride': 1 if dense else 2, 'padding': padding}
  mixed_6a = mixed(
    'Mixed_6a',
    [conv('Conv2d_1a_3x3', 384, **down_6a)],
    [conv('Conv2d_0a_1x1', 256), conv('Conv2d_0b_3x3', 256), conv('Conv2d_1a_3x3', 384, **down_6a)],
    [max_pool('MaxPool_1a_3x3', **down_6a)],
  )
  mixed_7a = mixed(
    'Mixed_7a',
    [conv('Conv2d_0a_1x1', 256), conv('Conv2d_1a_3x3', 384, **down)],
    [conv('Conv2d_0a_1x1', 256), conv('Conv2d_1a_3x3', 288, **down)],
    [conv('Conv2d_0a_1x1', 256), conv('Conv2d_0b_3x3', 288), conv('Conv2d_1a_3x3', 320, **down)],
    [max_pool('MaxPool_1a_3x3', **down)],
  )
  conv_7b = conv('Conv2d_7b_1x1', 1536)

  def build_mixed_6a(net):
    return mixed_6a.build(slim.repeat(net, 10, block35, scale=0.17, activation_fn=activation_fn))

  def build_pre_aux_logits(net):
    with slim.arg_scope([slim.conv2d], rate=2 if dense else 1):
      return slim.repeat(net, 20, block17, scale=0.10, activation_fn=activation_fn)

  def build_mixed_7a(net):
    if dense:
      raise ValueError('output_stride 8 reaches no further than the end point PreAuxLogits.')
    return mixed_7a.build(net)

  def build_conv_7b(net):
    net = slim.repeat(net, 9, block8, scale=0.20, activation_fn=activation_fn)
    return conv_7b.build(block8(net, activation_fn=None))

  return [  # grids at 299 x 299 pixels with 'VALID' padding
    conv('Conv2d_1a_3x3', 32, **down),  # 149 x 149
    conv('Conv2d_2a_3x3', 32, padding=padding),  # 147 x 147
    conv('Conv2d_2b_3x3', 64),
    max_pool('MaxPool_3a_3x3', **down),  # 73 x 73
    conv('Conv2d_3b_1x1', 80, padding=padding),
    conv('Conv2d_4a_3x3', 192, padding=padding),  # 71 x 71
    max_pool('MaxPool_5a_3x3', **down),  # 35 x 35
    mixed(
      'Mixed_5b',  # 35 x 35 x 320
      [conv('Conv2d_1x1', 96)],
      [conv('Conv2d_0a_1x1', 48), conv('Conv2d_0b_5x5', 64)],
      [conv('Conv2d_0a_1x1', 64), conv('Conv2d_0b_3x3', 96), conv('Conv2d_0c_3x3', 96)],
      [avg_pool('AvgPool_0a_3x3'), conv('Conv2d_0b_1x1', 64)],
    ),
    Layer('Mixed_6a', build_mixed_6a),  # 17 x 17 x 1088
    Layer('PreAuxLogits', build_pre_aux_logits),
    Layer('Mixed_7a', build_mixed_7a),  # 8 x 8 x 2080
    Layer('Conv2d_7b_1x1', build_conv_7b),  # 8 x 8 x 1536
  ]


def inception_resnet_v2_base(
  inputs,
  final_endpoint='Conv2d_7b_1x1',
  output_stride=16,
  align_feature_maps=False,
  scope=None,
  activation_fn=tf.nn.relu,
):
  """Builds Inception-ResNet v2 up to an end point.

  Args:
    inputs: float32 [b, h, w, 3].
    final_endpoint: 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'MaxPool_3a_3x3',
      'Conv2d_3b_1x1', 'Conv2d_4a_3x3', 'MaxPool_5a_3x3', 'Mixed_5b', 'Mixed_6a',
      'PreAuxLogits', 'Mixed_7a' or 'Conv2d_7b_1x1'.
    output_stride: ratio of image and feature map at 'PreAuxLogits': 16, or 8 by dilation.
    align_feature_maps: whether every convolution and pooling is padded with zeros, so that the
      positions of a feature map are those of the pixels.
    scope: variable scope.
    activation_fn: activation after the sums of the residual modules.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point or output stride, and for an end point after
      'PreAuxLogits' with the output stride 8.
  """
  if output_stride not in (8, 16):
    raise ValueError(f'output_stride must be 8 or 16, and is {output_stride}.')
  layers = _layers('SAME' if align_feature_maps else 'VALID', output_stride, activation_fn)
  with (
    tf.variable_scope(scope, 'InceptionResnetV2', [inputs]),
    slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d], stride=1, padding='SAME'),
  ):
    return build_up_to(final_endpoint, inputs, layers)


def inception_resnet_v2(
  inputs,
  num_classes=1001,
  is_training=True,
  dropout_keep_prob=0.8,
  reuse=None,
  scope='InceptionResnetV2',
  create_aux_logits=True,
  activation_fn=tf.nn.relu,
):
  """Builds Inception-ResNet v2.

  Args:
    inputs: float32 [b, h, w, 3]; h and w must be known for the auxiliary head.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    reuse: whether the variables exist already.
    scope: variable scope.
    create_aux_logits: whether the auxiliary head is built, end point 'AuxLogits'.
    activation_fn: activation after the sums of the residual modules.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1536]), and a dict of end points.
  """
  with (
    tf.variable_scope(scope, 'InceptionResnetV2', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_resnet_v2_base(inputs, scope=scope, activation_fn=activation_fn)
    if create_aux_logits and num_classes:
      end_points['AuxLogits'] = inception_utils.dense_aux_logits(
        end_points['PreAuxLogits'], num_classes, 'Conv2d_1a_3x3', 'Conv2d_2a_5x5', 'Logits'
      )
    with tf.variable_scope('Logits'):
      net = inception_utils.pool_all(net, 'AvgPool_1a_8x8')
      end_points['global_pool'] = net
      if not num_classes:
        return net, end_points
      net = dropout(slim.flatten(net), dropout_keep_prob, scope='Dropout')
      end_points['PreLogitsFlatten'] = net
      logits = slim.fully_connected(net, num_classes, activation_fn=None, scope='Logits')
      end_points['Logits'] = logits
      end_points['Predictions'] = tf.nn.softmax(logits, name='Predictions')
  return logits, end_points


inception_resnet_v2.default_image_size = 299


def inception_resnet_v2_arg_scope(
  weight_decay=0.00004,
  batch_norm_decay=0.9997,
  batch_norm_epsilon=0.001,
  activation_fn=tf.nn.relu,
  batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
  batch_norm_scale=False,
):
  """Returns the arg scope of Inception-ResNet v2, which regularizes biases too.

  Args:
    weight_decay: strength of the L2 regularization of all weights and biases.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
    activation_fn: activation of the convolutions.
    batch_norm_updates_collections: collection of the update ops, None to update in place.
    batch_norm_scale: whether batch normalization has a trained scale (gamma).
  """
  regularizer = slim.l2_regularizer(weight_decay)
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=regularizer,
      biases_regularizer=regularizer,
    ),
    slim.arg_scope(
      [slim.conv2d],
      activation_fn=activation_fn,
      normalizer_fn=batch_norm,
      normalizer_params={
        'decay': batch_norm_decay,
        'epsilon': batch_norm_epsilon,
        'updates_collections': batch_norm_updates_collections,
        'scale': batch_norm_scale,
      },
    ) as arg_scope,
  ):
    return arg_scope
