"""Random changes of brightness, saturation, contrast and hue."""

from slim_compat import tf

ORDER = ('brightness', 'saturation', 'contrast', 'hue')
_OF_COLOURS_ONLY = ('saturation', 'hue')
_FACTORS = ('saturation', 'contrast')
_SMALLEST = 1e-20  # above 0; of a range that is divided by


def changed(image, strengths, draws, order=ORDER, white=1.0):
  """Changes the colours of a picture at random.

  Args:
    image: float32 tensor [h, w, 3 or 1] in [0, white].
    strengths: the greatest change of each name in `order`, of augmentation.Augmentation.
    draws: draws.Draws.
    order: what is changed, one after the other.
    white: greatest value.

  Returns:
    A float32 tensor like `image` in [0, white].
  """
  values = {}
  for name in order:
    strength, middle = getattr(strengths, name), 1.0 if name in _FACTORS else 0.0
    value = draws.uniform([], middle - strength, middle + strength)
    if strength and (image.shape[-1] == 3 or name not in _OF_COLOURS_ONLY):
      values[name] = value
  if not values:
    return image

  def distorted(image, *values_of_names):
    for name, value in zip(values, values_of_names, strict=True):
      image = image + value * white if name == 'brightness' else _CHANGES[name](image, value)
    return tf.clip_by_value(image, 0.0, white)

  # Compiled, all of it is one pass over the picture: a fourth of the operations' time.
  distorted = tf.function(distorted, jit_compile=True, autograph=False)
  return tf.ensure_shape(distorted(image, *values.values()), image.shape)


def saturated(image, factor):
  """Multiplies the saturation by a factor, up to full saturation, as tf.image.adjust_saturation.

  That goes through hue, saturation and value. The change leaves the value, which is the largest
  channel, and the hue alone: so the distances of the channels from the value all shrink or grow by
  one factor, at most until the smallest channel is 0.

  Args:
    image: float32 tensor [h, w, 3]; where a pixel has no channel above 0, so has the result.
    factor: float32 scalar, 0 or more.
  """
  red, green, blue = tf.split(image, 3, axis=-1)
  value = tf.maximum(tf.maximum(red, green), blue)
  spread = value - tf.minimum(tf.minimum(red, green), blue)
  most = tf.maximum(value, 0.0) / tf.maximum(spread, _SMALLEST)
  return value - (value - image) * tf.minimum(factor, most)


_CHANGES = {
  'saturation': saturated,
  'contrast': tf.image.adjust_contrast,
  'hue': tf.image.adjust_hue,
}
