"""The head that AlexNet, OverFeat and VGG share: their dense layers, written as convolutions."""

from nets.dropout import dropout
from slim_compat import slim, tf


def head(
  net, num_classes, is_training, dropout_keep_prob, spatial_squeeze, global_pool, fc8_initializers
):
  """Adds what follows fc6: dropout, fc7, pooling if wanted, dropout and fc8.

  Args:
    net: float32 [b, h, w, c], the output of fc6; h and w are 1 at the default image size.
    num_classes: number of classes; 0 or None stops before the second dropout.
    is_training: whether dropout is active.
    dropout_keep_prob: share of the activations that dropout keeps.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    global_pool: whether fc7 is averaged over the spatial axes, for images of another size.
    fc8_initializers: keyword arguments of fc8 beside the usual ones.

  Returns:
    Logits [b, num_classes] ([b, h, w, num_classes] unsqueezed; features [b, h, w, 4096] without
    classes), and the end points that the collection of layer outputs does not hold.
  """
  end_points = {}
  scope = tf.get_variable_scope().name
  net = dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout6')
  net = slim.conv2d(net, 4096, [1, 1], scope='fc7')
  if global_pool:
    net = end_points['global_pool'] = tf.reduce_mean(net, [1, 2], keepdims=True, name='global_pool')
  if not num_classes:
    return net, end_points
  net = dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout7')
  net = slim.conv2d(
    net,
    num_classes,
    [1, 1],
    activation_fn=None,
    normalizer_fn=None,
    scope='fc8',
    **fc8_initializers,
  )
  if spatial_squeeze:
    net = end_points[f'{scope}/fc8'] = tf.squeeze(net, [1, 2], name='fc8/squeezed')
  return net, end_points
