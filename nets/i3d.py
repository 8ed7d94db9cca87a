"""I3D: Inception v1 with every kernel inflated over time.

Paper: Carreira, Zisserman, Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset,
https://arxiv.org/abs/1705.07750
"""

from nets import i3d_utils, s3dg
from slim_compat import slim, tf


def i3d_arg_scope(
  weight_decay=1e-7,
  batch_norm_decay=0.999,
  batch_norm_epsilon=0.001,
  use_renorm=False,
  separable_conv3d=False,
):
  """Returns the arg scope of I3D; arguments as `i3d_utils.video_arg_scope`."""
  return i3d_utils.video_arg_scope(
    weight_decay, batch_norm_decay, batch_norm_epsilon, separable_conv3d, use_renorm
  )


def i3d_base(inputs, final_endpoint='Mixed_5c', scope='InceptionV1'):
  """Builds I3D up to an end point.

  Args:
    inputs: float32 [b, frames, h, w, 3].
    final_endpoint: as for `s3dg.s3dg_base`.
    scope: variable scope.

  Returns:
    The end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: for an unknown end point.
  """
  return s3dg.s3dg_base(
    inputs,
    first_temporal_kernel_size=7,
    gating_startat=None,
    final_endpoint=final_endpoint,
    scope=scope,
  )


def i3d(
  inputs,
  num_classes=1000,
  dropout_keep_prob=0.8,
  is_training=True,
  prediction_fn=slim.softmax,
  spatial_squeeze=True,
  reuse=None,
  scope='InceptionV1',
  global_pool=False,
):
  """Builds I3D.

  Args:
    inputs: float32 [b, frames, h, w, 3], of up to 224 x 224 pixels unless `global_pool`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    dropout_keep_prob: share of the activations that dropout keeps.
    is_training: whether dropout is active and batch normalization uses the batch's statistics.
    prediction_fn: function of (logits, scope) that makes the predictions.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    reuse: whether the variables exist already.
    scope: variable scope.
    global_pool: whether the whole of every frame is pooled, whatever its size.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1024]), and a dict of end points.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse) as scope,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = i3d_base(inputs, scope=scope)
    net = i3d_utils.video_head(
      *(net, end_points, num_classes, dropout_keep_prob, prediction_fn),
      *(spatial_squeeze, global_pool),
    )
  return net, end_points


i3d.default_image_size = 224
