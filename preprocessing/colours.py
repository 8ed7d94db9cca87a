"""Colour changes faster than TensorFlow's own operations, with the same results."""

import functools

from slim_compat import tf

_TINY = 1e-9


def adjust_saturation(image, factor):
  """Scales the saturation of the hue-saturation-value model, as tf.image.adjust_saturation does.

  A pixel whose largest channel is v keeps v and its hue; every channel moves away from v by the
  factor, until the smallest is 0. TensorFlow's kernel goes through hue, pixel by pixel, at three to
  four times the cost.

  Args:
    image: float32 tensor [height, width, 3].
    factor: float32 scalar tensor, 0 or more.

  Returns:
    A float32 tensor [height, width, 3], equal to TensorFlow's up to rounding.
  """
  channels = [image[..., number] for number in range(3)]
  value = functools.reduce(tf.maximum, channels)
  span = value - functools.reduce(tf.minimum, channels)
  # Where no channel is above 0, TensorFlow makes the pixel gray; where all are alike, it is.
  scale = tf.maximum(0.0, tf.minimum(factor, value / tf.maximum(span, _TINY)))
  rest = value - value * scale
  return tf.transpose(tf.stack([channel * scale + rest for channel in channels]), [1, 2, 0])
