"""LAMB: Adam whose every layer moves by a share of its own length, for large batches.

Paper: You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 minutes,
https://arxiv.org/abs/1904.00962
"""

from slim_compat import tf


class LambOptimizer(tf.train.AdamOptimizer):
  """Has the slots and the arguments of tf.train.AdamOptimizer, and a weight decay.

  As in the authors' code, biases and what batch norm learns (all that has fewer than two axes)
  neither decay nor move by a share of their length.
  """

  def __init__(self, learning_rate, beta1, beta2, epsilon, weight_decay, name='LAMB'):
    super().__init__(learning_rate, beta1, beta2, epsilon, name=name)
    self._weight_decay = weight_decay

  def _apply_dense(self, grad, var):
    beta1_power, beta2_power = self._get_beta_accumulators()
    m, v = self.get_slot(var, 'm'), self.get_slot(var, 'v')
    m = m.assign(self._beta1_t * m + (1 - self._beta1_t) * grad)
    v = v.assign(self._beta2_t * v + (1 - self._beta2_t) * grad * grad)
    update = (m / (1 - beta1_power)) / (tf.sqrt(v / (1 - beta2_power)) + self._epsilon_t)
    rate = self._lr_t
    if var.shape.ndims > 1:
      update += self._weight_decay * var
      rate *= _trust_ratio(tf.norm(var), tf.norm(update))
    return var.assign_sub(rate * update).op

  _resource_apply_dense = _apply_dense


def _trust_ratio(weight_norm, update_norm):
  is_safe = tf.logical_and(weight_norm > 0, update_norm > 0)
  return tf.where(is_safe, tf.div_no_nan(weight_norm, update_norm), 1.0)
