"""The random choices behind a training view, all drawn from one seed."""

from slim_compat import tf

# tf.compat.v1 does not carry the stateless image operations.
stateless_image = tf.compat.v2.image


class Draws:
  """Hands out a new seed for every choice.

  Args:
    seed: int32 or int64 tensor [2]: equal seeds make equal views, on any number of threads. None
      draws one from the graph's random numbers for every picture.
  """

  def __init__(self, seed=None):
    if seed is None:
      seed = tf.random_uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    self._seed, self._count = seed, 0

  def seed(self):
    """Returns the seed of the next choice: a tensor [2]."""
    self._count += 1
    return tf.random.experimental.stateless_fold_in(self._seed, self._count)

  def uniform(self, shape, minval=0, maxval=1, dtype=tf.float32):
    """Returns random numbers in [minval, maxval), as tf.random_uniform does."""
    return tf.random.stateless_uniform(shape, self.seed(), minval, maxval, dtype)

  def mirrored(self, image, is_on=True):
    """Returns the picture, or when it is on as often its mirror image."""
    seed = self.seed()
    return stateless_image.stateless_random_flip_left_right(image, seed) if is_on else image
