"""The small network of Alex Krizhevsky's CIFAR-10 experiments, with dropout.

Source: Krizhevsky, cuda-convnet, https://code.google.com/archive/p/cuda-convnet/
"""

from nets.dropout import dropout
from slim_compat import slim, tf


def cifarnet(
  images,
  num_classes=10,
  is_training=False,
  dropout_keep_prob=0.5,
  prediction_fn=slim.softmax,
  scope='CifarNet',
):
  """Builds CifarNet.

  Args:
    images: float32 [b, h, w, c]; h and w (32 in the original) fix the shape of fc3.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active.
    dropout_keep_prob: share of the activations that dropout keeps.
    prediction_fn: function of (logits, scope) that makes the predictions.
    scope: variable scope.

  Returns:
    Logits [b, num_classes] (or features [b, 192]), and a dict of end points.
  """
  end_points = {}
  with tf.variable_scope(scope, 'CifarNet', [images]):
    net = end_points['conv1'] = slim.conv2d(images, 64, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')
    net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name='norm1')
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name='norm2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net)  # [b, h / 4 * w / 4 * 64]
    net = end_points['fc3'] = slim.fully_connected(net, 384, scope='fc3')
    net = dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    net = end_points['fc4'] = slim.fully_connected(net, 192, scope='fc4')
    if not num_classes:
      return net, end_points
    logits = slim.fully_connected(
      net,
      num_classes,
      biases_initializer=tf.zeros_initializer(),
      weights_initializer=tf.truncated_normal_initializer(stddev=1 / 192.0),
      weights_regularizer=None,
      activation_fn=None,
      scope='logits',
    )
    end_points['Logits'] = logits
    end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


cifarnet.default_image_size = 32


def cifarnet_arg_scope(weight_decay=0.004):
  """Returns the arg scope of CifarNet; `weight_decay` regularizes the two dense hidden layers."""
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=5e-2),
      activation_fn=tf.nn.relu,
    ),
    slim.arg_scope(
      [slim.fully_connected],
      biases_initializer=tf.constant_initializer(0.1),
      weights_initializer=tf.truncated_normal_initializer(stddev=0.04),
      weights_regularizer=slim.l2_regularizer(weight_decay),
      activation_fn=tf.nn.relu,
    ) as arg_scope,
  ):
    return arg_scope
