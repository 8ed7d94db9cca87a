"""LeNet with ReLU, dropout and max pooling.

Paper: LeCun, Bottou, Bengio, Haffner, Gradient-Based Learning Applied to Document Recognition,
1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf
"""

from nets.dropout import dropout
from slim_compat import slim, tf


def lenet(
  images,
  num_classes=10,
  is_training=False,
  dropout_keep_prob=0.5,
  prediction_fn=slim.softmax,
  scope='LeNet',
):
  """Builds LeNet.

  Args:
    images: float32 [b, h, w, c]; h and w (28 in the original) fix the shape of fc3.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active.
    dropout_keep_prob: share of the activations that dropout keeps.
    prediction_fn: function of (logits, scope) that makes the predictions.
    scope: variable scope.

  Returns:
    Logits [b, num_classes] (or features [b, 1024]), and a dict of end points.
  """
  end_points = {}
  with tf.variable_scope(scope, 'LeNet', [images]):
    net = end_points['conv1'] = slim.conv2d(images, 32, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net)  # [b, h / 4 * w / 4 * 64]
    net = end_points['fc3'] = slim.fully_connected(net, 1024, scope='fc3')
    if not num_classes:
      return net, end_points
    net = dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    end_points['dropout3'] = net
    logits = slim.fully_connected(net, num_classes, activation_fn=None, scope='fc4')
  end_points['Logits'] = logits
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


lenet.default_image_size = 28


def lenet_arg_scope(weight_decay=0.0):
  """Returns the arg scope of LeNet, with L2 regularization of strength `weight_decay`."""
  with slim.arg_scope(
    [slim.conv2d, slim.fully_connected],
    weights_regularizer=slim.l2_regularizer(weight_decay),
    weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
    activation_fn=tf.nn.relu,
  ) as arg_scope:
    return arg_scope
