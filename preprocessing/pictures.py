"""What a view is made of: a picture that gives its pixels, or those of a part."""

from slim_compat import tf


class DecodedPicture:
  """Pixels in memory. A data set's pictures, which decode no more than a view needs, are alike.

  Args:
    pixels: uint8 or float32 tensor [height, width, channels].
  """

  def __init__(self, pixels):
    self._pixels = pixels
    self.channels = pixels.shape[-1]
    self.size = tf.shape(pixels)[:2]  # int32 [2]: height and width

  def pixels(self):
    """Returns all pixels, [height, width, channels]."""
    return self._pixels

  def crop(self, begin, size, at_least=None):
    """Returns the pixels of a part of the picture.

    Args:
      begin: int32 tensor [2], its first row and column.
      size: int32 tensor [2], its height and width, inside the picture.
      at_least: two ints or a tensor, the size that the part will be resized to; it makes no
        difference here.

    Returns:
      A tensor [height, width, channels] of the picture's dtype.
    """
    del at_least
    part = tf.slice(self._pixels, tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))
    part.set_shape([None, None, self.channels])
    return part


def as_picture(image):
  """Returns pixels as a DecodedPicture, and what is a picture already as it is."""
  return image if hasattr(image, 'crop') else DecodedPicture(image)
