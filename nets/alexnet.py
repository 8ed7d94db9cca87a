"""AlexNet, the single-tower version without response normalization.

Papers: Krizhevsky, Sutskever, Hinton, ImageNet Classification with Deep Convolutional Neural
Networks, 2012; Krizhevsky, One weird trick for parallelizing convolutional neural networks,
https://arxiv.org/abs/1404.5997
"""

from nets import fully_convolutional
from slim_compat import slim, tf


def alexnet_v2(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.5,
  spatial_squeeze=True,
  scope='alexnet_v2',
  global_pool=False,
):
  """Builds AlexNet; the comments give the sizes for 224 x 224 images.

  Args:
    inputs: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    scope: variable scope.
    global_pool: whether fc7 is averaged over the spatial axes, for images of another size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 4096]), and a dict of end points.
  """
  with tf.variable_scope(scope, 'alexnet_v2', [inputs]) as sc:
    collection = sc.original_name_scope + '_end_points'
    with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=[collection]):
      net = slim.conv2d(inputs, 64, [11, 11], 4, padding='VALID', scope='conv1')  # 54 x 54
      net = slim.max_pool2d(net, [3, 3], 2, scope='pool1')  # 26 x 26
      net = slim.conv2d(net, 192, [5, 5], scope='conv2')
      net = slim.max_pool2d(net, [3, 3], 2, scope='pool2')  # 12 x 12
      net = slim.conv2d(net, 384, [3, 3], scope='conv3')
      net = slim.conv2d(net, 384, [3, 3], scope='conv4')
      net = slim.conv2d(net, 256, [3, 3], scope='conv5')
      net = slim.max_pool2d(net, [3, 3], 2, scope='pool5')  # 5 x 5
      with slim.arg_scope(
        [slim.conv2d], weights_initializer=tf.truncated_normal_initializer(stddev=0.005)
      ):
        net = slim.conv2d(net, 4096, [5, 5], padding='VALID', scope='fc6')  # 1 x 1
        net, head_points = fully_convolutional.head(
          net,
          num_classes,
          is_training,
          dropout_keep_prob,
          spatial_squeeze,
          global_pool,
          {'biases_initializer': tf.zeros_initializer()},
        )
  return net, slim.utils.convert_collection_to_dict(collection) | head_points


alexnet_v2.default_image_size = 224


def alexnet_v2_arg_scope(weight_decay=0.0005):
  """Returns the arg scope of AlexNet, with L2 regularization of strength `weight_decay`."""
  with (
    slim.arg_scope(
      [slim.conv2d],
      padding='SAME',
      activation_fn=tf.nn.relu,
      biases_initializer=tf.constant_initializer(0.1),
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope([slim.max_pool2d], padding='VALID') as arg_scope,
  ):
    return arg_scope
