"""Batch normalization whose decay and frozen layers are decided from outside the network.

  with slim.arg_scope([batch_norm], is_frozen=lambda scope: scope.startswith('InceptionV3/')):
    logits, end_points = inception.inception_v3(images, 6)

Paper: Ioffe and Szegedy, Batch Normalization, https://arxiv.org/abs/1502.03167
"""

from slim_compat import slim, tf


@slim.add_arg_scope
def batch_norm(inputs, is_frozen=None, decay_override=None, scope=None, **kwargs):
  """Does what `slim.batch_norm` does, and obeys arg scopes of `slim.batch_norm` as well.

  Args:
    inputs: float tensor [b, ..., channels].
    is_frozen: function of a layer's full scope ('InceptionV3/Conv2d_1a_3x3/BatchNorm'); a layer
      for which it is true normalizes with its stored statistics and gets no update ops.
    decay_override: float in [0, 1), the decay of the moving averages whatever the network's
      own arg scope says; None leaves that one in force.
    scope: name of the layer inside the current variable scope, 'BatchNorm' when None.
    **kwargs: the other arguments of `slim.batch_norm`.

  Returns:
    A tensor like `inputs`.
  """
  layer = '/'.join(filter(None, [tf.get_variable_scope().name, scope or 'BatchNorm']))
  if decay_override is not None:
    kwargs['decay'] = decay_override
  if is_frozen is not None and is_frozen(layer):
    kwargs['is_training'] = False
  return slim.batch_norm(inputs, scope=scope, **kwargs)
