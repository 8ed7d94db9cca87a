"""What the modules that read data sets in their publishers' own files share."""

import io
from typing import Any, NamedTuple

from PIL import Image

from datasets import pictures


class Split(NamedTuple):
  """A split as its publisher gives it."""

  images: list  # of image_folder.ImageFile, in the order of writing
  pictures: Any  # iterator over (ImageFile, pictures.Picture or the reason there is none)


def as_png(pixels):
  """Returns the Picture of uint8 [height, width, 3], or [height, width] for gray."""
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, 'PNG')
  channels = 1 if pixels.ndim == 2 else 3
  return pictures.Picture(
    stream.getvalue(), 'png', pixels.shape[1], pixels.shape[0], None, channels
  )
