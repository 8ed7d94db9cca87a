"""Pictures as records hold them, decoded whole or only where a view needs their pixels."""

import functools

from datasets import image_files
from slim_compat import tf

# Four times as many as data_convert.py lets through, unless it is told otherwise.
MAX_PIXELS = 4 * image_files.MAX_PIXELS

# Between two colour samples of a JPEG its decoder interpolates, but not across the edge of a crop:
# with so many columns more on either side a crop holds the pixels of the whole picture.
_CROP_MARGIN = 2
_JPEG_RATIOS = (1, 2, 4, 8)  # that the decoder can leave out detail by


class EncodedPicture:
  """A JPEG or PNG whose header is read, and whose pixels are not yet.

  It has what preprocessing.pictures.DecodedPicture has. A GIF is refused before TensorFlow's
  decoder sees it: a small one can take gigabytes. So is a picture of more than MAX_PIXELS.

  Args:
    encoded: string scalar tensor, told apart by its content.
    name: string scalar tensor or str shown when the bytes are no picture.
    channels: of the pixels, 3 for RGB or 1 for gray.
  """

  def __init__(self, encoded, name='', channels=3):
    self.channels = channels
    self._is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b'\xff\xd8\xff')
    is_png = tf.equal(tf.strings.substr(encoded, 0, 4), b'\x89PNG')
    known = tf.Assert(
      tf.logical_or(self._is_jpeg, is_png),
      [
        'The picture is neither JPEG nor PNG; convert the data set again with data_convert.py:',
        name,
      ],
    )
    with tf.control_dependencies([known]):
      size = tf.cond(is_png, lambda: _png_size(encoded), lambda: _jpeg_size(encoded))
    pixels = tf.reduce_prod(size)
    small = tf.Assert(
      pixels <= MAX_PIXELS, ['The picture has more pixels than can be decoded:', pixels, name]
    )
    with tf.control_dependencies([small]):
      self._encoded = tf.identity(encoded)
      self.size = tf.cast(size, tf.int32)  # int32 [2]: height and width

  def pixels(self):
    """Returns all pixels, uint8 [height, width, channels]."""
    image = tf.io.decode_image(self._encoded, channels=self.channels, expand_animations=False)
    image.set_shape([None, None, self.channels])
    return image

  def crop(self, begin, size, at_least=None):
    """Returns the pixels of a part of the picture; of a JPEG no others are decoded.

    Args:
      begin: int32 tensor [2], its first row and column.
      size: int32 tensor [2], its height and width, inside the picture.
      at_least: two ints or int32 tensor [2], the height and width that it will be resized to: what
        is twice as large or more in both is decoded at a half, quarter or eighth of its size,
        which averages pixels. None keeps every pixel.

    Returns:
      uint8 [height, width, channels], each pixel as in the whole picture unless reduced.
    """
    begin, size = tf.convert_to_tensor(begin), tf.convert_to_tensor(size)
    number = tf.constant(0)
    if at_least is not None:
      fitting = [tf.reduce_all(size >= ratio * tf.stack(at_least)) for ratio in _JPEG_RATIOS[1:]]
      number = tf.reduce_sum(tf.cast(tf.stack(fitting), tf.int32))
    number = tf.where(self._is_jpeg, number, 0)
    first, size, reduced = _reduced_part(begin, size, self.size, tf.gather(_JPEG_RATIOS, number))
    margin = tf.minimum(first, [0, _CROP_MARGIN])
    outer_first = first - margin
    outer_size = tf.minimum(size + margin + [0, _CROP_MARGIN], reduced - outer_first)
    image = self._outer_crop(outer_first, outer_size, number, can_reduce=at_least is not None)
    image = tf.slice(image, tf.concat([margin, [0]], 0), tf.concat([size, [-1]], 0))
    image.set_shape([None, None, self.channels])
    return image

  def _outer_crop(self, begin, size, number, can_reduce):
    """Decodes a part, given in pixels that are _JPEG_RATIOS[number] as large."""

    def jpeg(ratio):
      return tf.raw_ops.DecodeAndCropJpeg(
        contents=self._encoded,
        crop_window=tf.concat([begin, size], 0),
        channels=self.channels,
        ratio=ratio,
      )

    def other():
      return tf.slice(self.pixels(), tf.concat([begin, [0]], 0), tf.concat([size, [-1]], 0))

    ratios = _JPEG_RATIOS if can_reduce else _JPEG_RATIOS[:1]
    ways = [*(functools.partial(jpeg, ratio) for ratio in ratios), other]
    return tf.switch_case(tf.where(self._is_jpeg, number, len(ratios)), ways)


def decode_image(encoded, name='', channels=3):
  """Decodes JPEG or PNG bytes, told apart by their content, into RGB or gray.

  Args: as those of EncodedPicture.

  Returns:
    uint8 tensor [height, width, channels].
  """
  return EncodedPicture(encoded, name, channels).pixels()


def _reduced_part(begin, size, picture_size, ratio):
  """Returns begin and size of a part, and the picture's size, in the nearest larger pixels."""
  reduced = -(-picture_size // ratio)  # how the decoder rounds
  begin = tf.minimum((begin + ratio // 2) // ratio, reduced - 1)
  size = tf.maximum((size + ratio // 2) // ratio, 1)
  return begin, tf.minimum(size, reduced - begin), reduced


def _png_size(encoded):
  """Returns height and width of a PNG, int64 [2], from its header."""
  # A file that ends before its header does is the decoder's matter.
  sides = tf.io.decode_raw(tf.strings.substr(encoded + b'\0' * 24, 16, 8), tf.uint8)
  bytes_of_sides = tf.cast(tf.reshape(sides, [2, 4]), tf.int64)
  return tf.reduce_sum(bytes_of_sides * [1 << 24, 1 << 16, 1 << 8, 1], 1)[::-1]


def _jpeg_size(encoded):
  """The same of a JPEG."""
  return tf.image.extract_jpeg_shape(encoded, tf.int64)[:2]
