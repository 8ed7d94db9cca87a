"""Reads the flower photographs as published, and splits them as research/slim does."""

import os
import random

from datasets import decoders, image_files, image_folder, original_files
from slim_errors import UserError

SEED = 0
_VALIDATION_IMAGES = 350
_FOLDER = 'flower_photos'
_FORMATS = {'JPEG': 'jpg', 'PNG': 'png'}  # as research/slim writes them


def read(folder):
  """Lists the photographs and splits them.

  The split is that of research/slim but for the order before the shuffle, which is sorted here and
  was the disk's there: 350 photographs validate. Of fewer than 3,500, a tenth do.

  Args:
    folder: folder that holds flower_photos/<class>/*.jpg, or the class folders.

  Returns:
    ({'train': original_files.Split, 'validation': ...}, sorted class names).

  Raises:
    UserError: there are not two folders of pictures.
  """
  inner = os.path.join(folder, _FOLDER)
  found = image_folder.read_image_folder(inner if os.path.isdir(inner) else folder)
  if set(found.splits) != {None}:
    raise UserError(f'{folder} is split already: convert it with data_convert.py.')
  images = sorted(found.splits[None])
  random.Random(SEED).shuffle(images)
  count = min(_VALIDATION_IMAGES, max(1, len(images) // 10))
  parts = {'train': images[count:], 'validation': images[:count]}
  splits = {name: original_files.Split(part, _pictures(part)) for name, part in parts.items()}
  return splits, found.class_names


def _pictures(images):
  count = decoders.default_count(image_files.MAX_PIXELS)
  with decoders.Decoders(min(count, len(images)), image_files.MAX_PIXELS) as workers:
    for image, picture in workers.in_order(images):
      if not isinstance(picture, str):
        picture = picture._replace(image_format=_FORMATS[picture.image_format])
      yield image, picture
