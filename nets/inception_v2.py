"""Inception v2 (BN-Inception), whose first layer is a separable convolution.

Paper: Ioffe, Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift, https://arxiv.org/abs/1502.03167
"""

from nets import inception_utils, slim_bodies
from slim_compat import slim, tf

inception_v2_arg_scope = inception_utils.inception_arg_scope
inception_v2_base = slim_bodies.inception_v2.inception_v2_base


def inception_v2(
  inputs,
  num_classes=1000,
  is_training=True,
  dropout_keep_prob=0.8,
  min_depth=16,
  depth_multiplier=1.0,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  scope='InceptionV2',
  global_pool=False,
):
  """Builds Inception v2.

  Args:
    inputs: float32 [b, h, w, c], up to 224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    dropout_keep_prob: share of the activations that dropout keeps.
    min_depth: fewest channels of a convolution when `depth_multiplier` is below 1.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether the whole feature map is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024]), and a dict of end points.

  Raises:
    ValueError: when `depth_multiplier` is not above 0.
  """
  with (
    tf.variable_scope(scope, 'InceptionV2', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v2_base(
      inputs, scope=scope, min_depth=min_depth, depth_multiplier=depth_multiplier
    )
    net = inception_utils.pooled_head(
      net, end_points, num_classes, [7, 7], dropout_keep_prob, spatial_squeeze, global_pool
    )
    if num_classes:
      end_points['Predictions'] = prediction_fn(net, scope='Predictions')
  return net, end_points


inception_v2.default_image_size = 224
