"""From three colour channels to one, the same way in every family."""

from slim_compat import tf


def to_grayscale(image):
  """Returns the luma of a picture.

  Args:
    image: float32 or uint8 tensor [height, width, 3], or [height, width, 1], which is returned
      as it is.

  Returns:
    A tensor [height, width, 1] of the same dtype and range.
  """
  return image if image.shape[-1] == 1 else tf.image.rgb_to_grayscale(image)
