"""Views upside down, and turned, as of pictures that have no up, such as those from the air."""

import math

from preprocessing import geometry
from preprocessing.augmentation import greatest_angle
from preprocessing.draws import Draws, stateless_image
from slim_compat import tf

# Keeps these draws apart from those of the preprocessing, which start from the same seed.
_OWN = 0x7075


def turned(image, seed=None, vertical_flip=False, rotation='none'):
  """Turns a view at random, so that every allowed orientation is as likely.

  What an angle that is no right one brings in from outside the view is its mirror image.

  Args:
    image: float32 tensor [h, w, c], h and w the same for right angles.
    seed: int tensor [2] that decides; None draws one.
    vertical_flip: whether every other view is upside down.
    rotation: 'none', or 'right_angles' for 0, 90, 180 and 270 degrees, or in digits the greatest
      angle in degrees, either way.

  Returns:
    A tensor like `image`.

  Raises:
    UserError: for an unknown rotation.
  """
  greatest = greatest_angle(rotation)
  shape = image.shape
  if seed is not None:
    seed = tf.random.experimental.stateless_fold_in(seed, _OWN)
  draws = Draws(seed)
  if vertical_flip:
    image = stateless_image.stateless_random_flip_up_down(image, draws.seed())
  if rotation == 'right_angles':
    image = tf.image.rot90(image, draws.uniform([], maxval=4, dtype=tf.int32))
  if greatest:
    radians = math.radians(greatest)
    image = geometry.rotated(image, draws.uniform([], -radians, radians))
  return tf.ensure_shape(image, shape)
