"""Reads the four files of MNIST as published, in the IDX format.

http://yann.lecun.com/exdb/mnist/ describes the format: a number that names the kind of data, the
sizes, then one byte a value; all numbers are 32 bits, the highest first.
"""

import gzip
import os
import struct
import zlib

import numpy as np

from datasets import mnist, original_files
from datasets.image_folder import ImageFile
from slim_errors import UserError

# {split: (file of pictures, file of labels)}
FILES = {
  'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'),
  'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'),
}
_SIDE = 28
_PICTURES, _LABELS = 0x803, 0x801  # unsigned bytes in three dimensions and in one
_MAX_COUNT = 1_000_000


def read(folder):
  """Reads the pictures and labels of both splits.

  Args:
    folder: folder of the four files, unpacked (without .gz) or not.

  Returns:
    ({'train': original_files.Split, 'test': ...} in the order of the files, class names).

  Raises:
    UserError: a file is missing, damaged or not what MNIST's are.
  """
  return {split_name: _split(folder, split_name) for split_name in FILES}, mnist.FACTS.class_names


def _split(folder, split_name):
  pictures_path, labels_path = (_find(folder, name) for name in FILES[split_name])
  pictures = _read_idx(pictures_path, _PICTURES)
  digits = _read_idx(labels_path, _LABELS)
  if pictures.shape[1:] != (_SIDE, _SIDE):
    size = ' x '.join(map(str, pictures.shape[1:]))
    raise UserError(f'{pictures_path} has pictures of {size} pixels, MNIST has 28 x 28.')
  if len(pictures) != len(digits):
    raise UserError(
      f'{pictures_path} has {len(pictures)} pictures and {labels_path} {len(digits)} labels: '
      'fetch both again.'
    )
  class_names = mnist.FACTS.class_names
  if digits.max(initial=0) >= len(class_names):
    raise UserError(f'{labels_path} has the label {digits.max()}, MNIST has 0 to 9.')
  images = [
    ImageFile(f'{split_name}/{number:05d}.png', class_names[digit], '')
    for number, digit in enumerate(digits)
  ]
  encoded = (
    (image, original_files.as_png(pixels)) for image, pixels in zip(images, pictures, strict=True)
  )
  return original_files.Split(images, encoded)


def _find(folder, name):
  for candidate in (name, name.removesuffix('.gz')):
    path = os.path.join(folder, candidate)
    if os.path.isfile(path):
      return path
  raise UserError(f'{folder} holds no {name}: fetch all four files of MNIST.')


def _read_idx(path, magic):
  """Returns the uint8 array in a file; reads no more of it than its header promises."""
  try:
    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:
      kind, count = struct.unpack('>II', file.read(8))
      if kind != magic:
        raise UserError(
          f'{path} begins with the number {kind:#010x} in place of {magic:#010x}: '
          'it is another file than its name says.'
        )
      shape = (count, *struct.unpack('>II', file.read(8))) if magic == _PICTURES else (count,)
      if count > _MAX_COUNT or max(shape[1:], default=0) > _SIDE:
        raise UserError(f'{path} says it holds {" x ".join(map(str, shape))} values: not of MNIST.')
      size = int(np.prod(shape))
      data = file.read(size + 1)
  except (EOFError, struct.error):
    raise _damaged(path, 'it ends too early') from None
  except (OSError, zlib.error) as error:  # gzip's own errors are OSErrors
    raise _damaged(path, getattr(error, 'strerror', None) or error) from None
  if len(data) != size:
    raise _damaged(path, 'it ends too early' if len(data) < size else 'it goes on after its end')
  return np.frombuffer(data, np.uint8).reshape(shape)


def _damaged(path, reason):
  return UserError(f'{path} cannot be read ({reason}): fetch it again.')
