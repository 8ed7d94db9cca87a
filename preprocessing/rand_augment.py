"""RandAugment: some of 14 operations, drawn anew for every view, all of one magnitude.

Cubuk, Zoph, Shlens, Le, RandAugment, https://arxiv.org/abs/1909.13719; how far each operation goes
at the greatest magnitude is table 6 of AutoAugment, https://arxiv.org/abs/1805.09501. As in later
implementations 0 changes nothing and changes go either way; what a turn or a move brings in from
outside the picture is its mirror image rather than gray.
"""

import functools
import math

from preprocessing import geometry
from preprocessing.augmentation import MAGNITUDES
from preprocessing.grayscale import to_grayscale
from slim_compat import tf

_WHITE = 255.0
_MOST_DEGREES = 30
_MOST_SHEAR = 0.3
_MOST_SHIFT = 150 / 331  # of the side
_MOST_FACTOR = 0.9  # of brightness, contrast, colour and sharpness: 0.1 to 1.9
_POSTERIZED_BITS = 4  # of 8


def applied(image, count, magnitude, draws):
  """Applies so many operations, one after the other.

  Args:
    image: float32 tensor [h, w, 3 or 1] in [0, 255].
    count: of operations; each is any of the 14, as likely.
    magnitude: 0 to MAGNITUDES, how far they go.
    draws: draws.Draws.

  Returns:
    A float32 tensor like `image` in [0, 255].
  """
  for _ in range(count):
    choice = draws.uniform([], maxval=len(OPERATIONS), dtype=tf.int32)
    sign = 2 * draws.uniform([], maxval=2, dtype=tf.int32) - 1
    amount = magnitude / MAGNITUDES * tf.cast(sign, tf.float32)
    ways = [functools.partial(way, image, amount) for way in OPERATIONS.values()]
    changed = tf.clip_by_value(tf.switch_case(choice, ways), 0.0, _WHITE)
    image = tf.ensure_shape(changed, image.shape)
  return image


def _autocontrast(image, amount):
  """Stretches each channel from black to white; one of a single value stays."""
  del amount
  low = tf.reduce_min(image, [0, 1])
  spread = tf.reduce_max(image, [0, 1]) - low
  return tf.where_v2(spread > 0, tf.math.divide_no_nan((image - low) * _WHITE, spread), image)


def _equalized(image, amount):
  """Makes all values of a channel about as frequent, as PIL.ImageOps.equalize."""
  del amount
  values = tf.cast(tf.round(image), tf.int32)
  return tf.stack([_equalized_channel(channel) for channel in tf.unstack(values, axis=-1)], -1)


def _equalized_channel(values):
  counts = tf.math.bincount(values, minlength=256, maxlength=256)
  step = (tf.size(values) - tf.gather(counts, tf.reduce_max(values))) // 255
  table = (tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1)
  table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
  return tf.cast(tf.gather(table, values), tf.float32)


def _posterized(image, amount):
  """Keeps the upper bits of the values."""
  step = 2 ** tf.round(_POSTERIZED_BITS * tf.abs(amount))
  return tf.floor(image / step) * step


def _solarized(image, amount):
  """Inverts the values from a threshold on: the brightest first, all at most."""
  return tf.where(image < (_WHITE + 1) * (1 - tf.abs(amount)), image, _WHITE - image)


def _blended(image, other, amount):
  """Moves a picture towards another one, or away from it."""
  return other + (1 + _MOST_FACTOR * amount) * (image - other)


def _sharpened(image, amount):
  """Moves a picture away from its smoothed self; PIL.ImageFilter.SMOOTH weighs the middle by 5."""
  mean = tf.nn.avg_pool2d(image[None], 3, 1, 'SAME')[0]
  return _blended(image, (9 * mean + 4 * image) / 13, amount)


def _sheared(image, amount, axis):
  shear = [1.0, 0.0], [0.0, 1.0]
  shear[axis][1 - axis] = _MOST_SHEAR * amount
  return geometry.mapped(image, shear)


def _moved(image, amount, axis):
  """Moves a picture along x (0) or y (1)."""
  sides = tf.cast(tf.reverse(tf.shape(image)[:2], [0]), tf.float32)
  shift = tf.one_hot(axis, 2) * _MOST_SHIFT * amount * sides
  return geometry.mapped(image, tf.eye(2), shift)


# name -> function(image, amount): float32 [h, w, c] in [0, 255], float32 scalar in [-1, 1]; the
# result may go beyond [0, 255].
OPERATIONS = {
  'identity': lambda image, amount: image,
  'autocontrast': _autocontrast,
  'equalize': _equalized,
  'rotate': lambda image, amount: geometry.rotated(image, math.radians(_MOST_DEGREES) * amount),
  'solarize': _solarized,
  'color': lambda image, amount: _blended(image, to_grayscale(image), amount),
  'posterize': _posterized,
  'contrast': lambda image, amount: _blended(image, tf.reduce_mean(to_grayscale(image)), amount),
  'brightness': lambda image, amount: _blended(image, 0.0, amount),
  'sharpness': _sharpened,
  'shear_x': functools.partial(_sheared, axis=0),
  'shear_y': functools.partial(_sheared, axis=1),
  'translate_x': functools.partial(_moved, axis=0),
  'translate_y': functools.partial(_moved, axis=1),
}
