"""A picture of a file as records hold it. Imports no TensorFlow, so that worker processes can."""

import os
import stat
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
    when_decoded: function to call with the loaded image, before it is encoded anew.
  """
  try:
    data = read_bytes(path)
    picture = image_files.decoded(data, max_pixels, jpeg_quality)
    if when_decoded:
      when_decoded(picture.image)
    return Picture(*image_files.encoded(picture, data, jpeg_quality))
  except image_files.UnreadableImage as error:
    return str(error)


def read_bytes(path):
  """Returns what is in an image file; raises image_files.UnreadableImage with the reason."""
  try:
    with open(path, 'rb', opener=_without_waiting) as file:
      facts = os.fstat(file.fileno())
      if not stat.S_ISREG(facts.st_mode):
        raise image_files.UnreadableImage('not a regular file')
      if facts.st_size > MAX_FILE_BYTES:
        raise image_files.UnreadableImage(f'larger than {MAX_FILE_BYTES >> 20} MB')
      return file.read()
  except OSError as error:
    raise image_files.UnreadableImage(f'cannot be read: {error.strerror}') from None


def _without_waiting(path, flags):
  """Opens a file; a pipe does not wait for somebody to write to it."""
  return os.open(path, flags | os.O_NONBLOCK)
