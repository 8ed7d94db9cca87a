"""VGG with 11 (A), 16 (D) and 19 (E) layers.

Paper: Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
https://arxiv.org/abs/1409.1556
"""

from nets import fully_convolutional
from slim_compat import slim, tf

_CHANNELS = (64, 128, 256, 512, 512)  # of the five stages; each ends with a 2 x 2 max pooling


def _vgg(
  inputs,
  convolutions,
  num_classes,
  is_training,
  dropout_keep_prob,
  spatial_squeeze,
  scope,
  fc_conv_padding,
  global_pool,
):
  """Builds a VGG whose stage i has `convolutions[i]` convolutions of 3 x 3."""
  with tf.variable_scope(scope, 'vgg', [inputs]) as sc:
    collection = sc.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
      net = inputs
      for stage, (depth, channels) in enumerate(zip(convolutions, _CHANNELS, strict=True), 1):
        net = slim.repeat(net, depth, slim.conv2d, channels, [3, 3], scope=f'conv{stage}')
        net = slim.max_pool2d(net, [2, 2], scope=f'pool{stage}')  # [b, h / 2^stage, w / 2^stage, c]
      net = slim.conv2d(net, 4096, [7, 7], padding=fc_conv_padding, scope='fc6')
      net, head_points = fully_convolutional.head(
        net, num_classes, is_training, dropout_keep_prob, spatial_squeeze, global_pool, {}
      )
  return net, slim.utils.convert_collection_to_dict(collection) | head_points


def vgg_a(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.5,
  spatial_squeeze=True,
  scope='vgg_a',
  fc_conv_padding='VALID',
  global_pool=False,
):
  """Builds VGG with 11 layers (configuration A).

  Args:
    inputs: float32 [b, h, w, c], h and w at least 224 unless `fc_conv_padding` is 'SAME'.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    scope: variable scope.
    fc_conv_padding: padding of fc6; 'SAME' keeps one output for every 32 x 32 pixels.
    global_pool: whether fc7 is averaged over the spatial axes, for images of another size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 4096]), and a dict of end points.
  """
  return _vgg(
    inputs,
    (1, 1, 2, 2, 2),
    num_classes,
    is_training,
    dropout_keep_prob,
    spatial_squeeze,
    scope,
    fc_conv_padding,
    global_pool,
  )


def vgg_16(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.5,
  spatial_squeeze=True,
  scope='vgg_16',
  fc_conv_padding='VALID',
  global_pool=False,
):
  """Builds VGG with 16 layers (configuration D); arguments and results as `vgg_a`."""
  return _vgg(
    inputs,
    (2, 2, 3, 3, 3),
    num_classes,
    is_training,
    dropout_keep_prob,
    spatial_squeeze,
    scope,
    fc_conv_padding,
    global_pool,
  )


def vgg_19(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.5,
  spatial_squeeze=True,
  scope='vgg_19',
  fc_conv_padding='VALID',
  global_pool=False,
):
  """Builds VGG with 19 layers (configuration E); arguments and results as `vgg_a`."""
  return _vgg(
    inputs,
    (2, 2, 4, 4, 4),
    num_classes,
    is_training,
    dropout_keep_prob,
    spatial_squeeze,
    scope,
    fc_conv_padding,
    global_pool,
  )


vgg_a.default_image_size = 224
vgg_16.default_image_size = 224
vgg_19.default_image_size = 224
vgg_d = vgg_16
vgg_e = vgg_19


def vgg_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of VGG, with L2 regularization of strength `weight_decay`."""
  with slim.arg_scope(
    [slim.conv2d],
    padding='SAME',
    activation_fn=tf.nn.relu,
    biases_initializer=tf.zeros_initializer(),
    weights_regularizer=slim.l2_regularizer(weight_decay),
  ) as arg_scope:
    return arg_scope
