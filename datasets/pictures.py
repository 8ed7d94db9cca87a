"""A picture of a file as records hold it. Imports no TensorFlow, so that worker processes can."""

import os
from typing import NamedTuple

from datasets import image_files

# A TFRecord file holds more, a tf.train.Example does not.
MAX_FILE_BYTES = 1 << 29


class Picture(NamedTuple):
  """An image as a network reads it; `note` says what was repaired, or is None."""

  encoded: bytes
  image_format: str
  width: int
  height: int
  note: str | None
  channels: int = 3


def read_picture(path, max_pixels, jpeg_quality=None, when_decoded=None):
  """Returns the Picture in a file, or the reason (str) why there is none.

  Args:
    path: of the file.
    max_pixels: as for image_files.readable_bytes.
    jpeg_quality: the same.
    when_decoded: function to call with the image_files.DecodedImage, before it is encoded anew.
  """
  try:
    if os.path.getsize(path) > MAX_FILE_BYTES:
      return f'larger than {MAX_FILE_BYTES >> 20} MB'
    with open(path, 'rb') as file:
      data = file.read()
  except OSError as error:
    return f'cannot be read: {error.strerror}'
  try:
    image = image_files.DecodedImage(data, max_pixels, jpeg_quality)
    if when_decoded:
      when_decoded(image)
    return Picture(*image.readable_bytes())
  except image_files.UnreadableImage as error:
    return str(error)
