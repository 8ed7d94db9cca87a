"""Loss scaling for float16, whose smallest numbers are larger than many gradients.

The loss is multiplied, the gradients are divided; where one is not finite the step leaves the
weights alone and the factor halves, and after many good steps it doubles: Micikevicius et al.,
Mixed Precision Training, https://arxiv.org/abs/1710.03740
"""

from slim_compat import tf

# Variables of TensorFlow's loss scale; a run that begins with another precision has none.
VARIABLES = ('current_loss_scale', 'good_steps')


def new(precision):
  """Returns a tf.mixed_precision.DynamicLossScale, or None for a precision that needs none."""
  return tf.mixed_precision.DynamicLossScale() if precision == 'float16' else None


def gradients(scale, loss, compute):
  """Returns [(gradient, variable)] of a loss.

  Args:
    scale: of `new`.
    loss: float32 scalar.
    compute: function of a loss that returns [(gradient, variable)].
  """
  if scale is None:
    return compute(loss)
  return [(gradient / scale(), variable) for gradient, variable in compute(loss * scale())]


def update(scale, pairs, global_step, apply):
  """Updates the weights when all gradients are finite, and counts the step whether or not.

  Args:
    scale: of `new`.
    pairs: [(gradient, variable)].
    global_step: int64 scalar variable.
    apply: function without arguments that returns the operation of the update, which counts.

  Returns:
    An operation.
  """
  if scale is None:
    return apply()
  rescale, are_finite = scale.update([gradient for gradient, _ in pairs])
  count_only = lambda: tf.assign_add(global_step, 1).op  # noqa: E731
  with tf.control_dependencies([tf.cond(are_finite, apply, count_only)]):
    return tf.group(rescale)
