"""The record format: the decoder of a picture's features, and walking over shards."""

import os
import struct
from typing import NamedTuple

from datasets import image_files
from slim_compat import slim, tf
from slim_errors import UserError

# After slim_compat, which prepares TensorFlow.
from tensorflow.python.lib.io import tf_record  # isort: skip

ITEMS_TO_DESCRIPTIONS = {
  'image': 'An RGB picture, uint8 [height, width, 3].',
  'label': 'The class, an int64 scalar from 0.',
  'filename': 'Where the picture came from, relative to the image folder; empty when unknown.',
  'encoded': 'The JPEG or PNG bytes of the picture.',
}


class ExtraItem(NamedTuple):
  """An item that the records of one data set have beside those of ITEMS_TO_DESCRIPTIONS."""

  features: dict  # {key of a record: how tf.parse_example reads it}
  handler: slim.tfexample_decoder.ItemHandler
  description: str


# Four times as many as data_convert.py lets through, unless it is told otherwise.
MAX_PIXELS = 4 * image_files.MAX_PIXELS

# uint64 length and its masked CRC before the data, the CRC of the data behind it.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


def decode_image(encoded, name='', channels=3):
  """Decodes JPEG or PNG bytes, told apart by their content, into RGB or gray.

  A GIF is refused before TensorFlow's decoder sees it: a small one can take gigabytes. So is a
  picture of more than MAX_PIXELS, by its header.

  Args:
    encoded: string scalar tensor.
    name: string scalar tensor or str shown when the bytes are neither JPEG nor PNG.
    channels: 3 or 1.

  Returns:
    uint8 tensor [height, width, channels].
  """
  is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b'\xff\xd8\xff')
  is_png = tf.equal(tf.strings.substr(encoded, 0, 4), b'\x89PNG')
  check = tf.Assert(
    tf.logical_or(is_jpeg, is_png),
    ['The picture is neither JPEG nor PNG; convert the data set again with data_convert.py:', name],
  )
  with tf.control_dependencies([check]):
    pixels = tf.cond(is_png, lambda: _png_pixels(encoded), lambda: _jpeg_pixels(encoded))
  check = tf.Assert(
    pixels <= MAX_PIXELS, ['The picture has more pixels than can be decoded:', pixels, name]
  )
  with tf.control_dependencies([check]):
    encoded = tf.identity(encoded)
  image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
  image.set_shape([None, None, channels])
  return image


def _png_pixels(encoded):
  """Returns width times height of a PNG, an int64 scalar, from its header."""
  # A file that ends before its header does is the decoder's matter.
  sides = tf.io.decode_raw(tf.strings.substr(encoded + b'\0' * 24, 16, 8), tf.uint8)
  bytes_of_sides = tf.cast(tf.reshape(sides, [2, 4]), tf.int64)
  return tf.reduce_prod(tf.reduce_sum(bytes_of_sides * [1 << 24, 1 << 16, 1 << 8, 1], 1))


def _jpeg_pixels(encoded):
  """The same of a JPEG."""
  return tf.reduce_prod(tf.image.extract_jpeg_shape(encoded, tf.int64)[:2])


class _Picture(slim.tfexample_decoder.ItemHandler):
  """The item 'image'. slim's own handler would let TensorFlow decode GIF and BMP."""

  def __init__(self, channels):
    super().__init__(['image/encoded', 'image/filename'])
    self._channels = channels

  def tensors_to_item(self, keys_to_tensors):
    encoded, name = (keys_to_tensors[key] for key in ('image/encoded', 'image/filename'))
    return decode_image(encoded, name, self._channels)


def make_decoder(channels=3, extra_items=None):
  """Returns the slim TFExampleDecoder of the items in ITEMS_TO_DESCRIPTIONS and of further ones.

  Args:
    channels: of the item 'image', 3 or 1.
    extra_items: {item: ExtraItem}.
  """
  keys_to_features = {
    'image/encoded': tf.FixedLenFeature((), tf.string),
    'image/class/label': tf.FixedLenFeature([], tf.int64),
    'image/filename': tf.FixedLenFeature((), tf.string, default_value=''),
  }
  items_to_handlers = {
    'image': _Picture(channels),
    'label': slim.tfexample_decoder.Tensor('image/class/label', shape=[]),
    'filename': slim.tfexample_decoder.Tensor('image/filename', shape=[]),
    'encoded': slim.tfexample_decoder.Tensor('image/encoded', shape=[]),
  }
  for item, extra in (extra_items or {}).items():
    keys_to_features |= extra.features
    items_to_handlers[item] = extra.handler
  return slim.tfexample_decoder.TFExampleDecoder(keys_to_features, items_to_handlers)


def count_records(path):
  """Returns how many records a shard holds, reading their headers only.

  Raises:
    UserError: the file is not a TFRecord file, or is cut short.
  """
  return sum(1 for _ in _spans(path))


def read_examples(path, limit=None):
  """Yields the first `limit` (None: all) tf.train.Example of a shard.

  Raises:
    UserError: the shard is damaged, or a record is not a tf.train.Example.
  """
  with open(path, 'rb') as file:
    for index, (start, length) in enumerate(_spans(path)):
      if index == limit:
        return
      try:
        yield tf.train.Example.FromString(os.pread(file.fileno(), length, start))
      except Exception:  # protobuf's implementations do not share the error's class
        raise UserError(f'Record {index} of {path} is damaged, or no tf.train.Example.') from None


def checked_records(path):
  """Yields (where its data begins in the file, its data or None when a checksum is wrong).

  Unlike TensorFlow's own readers it goes on behind a damaged record.

  Raises:
    UserError: the file is not a TFRecord file, or is cut short.
  """
  reader = tf_record.tf_record_random_reader(path)
  for start, _ in _spans(path):
    try:
      yield start, reader.read(start - _HEADER_BYTES)[0]
    except tf.errors.DataLossError:
      yield start, None


def example_label(example, where):
  """Returns (label, class name or None) of an example, or raises UserError naming `where`."""
  feature = example.features.feature
  if not feature['image/encoded'].bytes_list.value:
    raise UserError(
      f'{where} has no image/encoded: these records come from another tool; '
      'convert the pictures with data_convert.py.'
    )
  labels = feature['image/class/label'].int64_list.value
  if len(labels) != 1:
    raise UserError(f'{where} has {len(labels)} values of image/class/label; one is needed.')
  names = feature['image/class/text'].bytes_list.value
  return labels[0], names[0].decode('utf-8', 'backslashreplace') if names else None


def _spans(path):
  """Yields (start, length) of the data of each record in a shard."""
  with open(path, 'rb') as file:
    size, position, index = os.fstat(file.fileno()).st_size, 0, 0
    while position < size:
      header = os.pread(file.fileno(), _HEADER_BYTES, position)
      length = struct.unpack('<Q', header[:8])[0] if len(header) == _HEADER_BYTES else size
      end = position + _HEADER_BYTES + length + _FOOTER_BYTES
      if end > size:
        raise UserError(
          f'{path} is cut short or no TFRecord file: record {index} goes past its end; '
          'copy it again or convert the data set again.'
        )
      yield position + _HEADER_BYTES, length
      position, index = end, index + 1
