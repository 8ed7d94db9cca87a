"""The record format: the decoder of a picture's features, and walking over shards."""

import os
import struct
from typing import NamedTuple

from datasets.encoded_picture import EncodedPicture, decode_image
from slim_compat import slim, tf
from slim_errors import UserError

# After slim_compat, which prepares TensorFlow.
from tensorflow.python.lib.io import tf_record  # isort: skip

ITEMS_TO_DESCRIPTIONS = {
  'image': 'An RGB picture, uint8 [height, width, 3].',
  'picture': 'The same, not yet decoded: an EncodedPicture.',
  'label': 'The class, an int64 scalar from 0.',
  'filename': 'Where the picture came from, relative to the image folder; empty when unknown.',
  'encoded': 'The JPEG or PNG bytes of the picture.',
}


class ExtraItem(NamedTuple):
  """An item that the records of one data set have beside those of ITEMS_TO_DESCRIPTIONS."""

  features: dict  # {key of a record: how tf.parse_example reads it}
  handler: slim.tfexample_decoder.ItemHandler
  description: str


# uint64 length and its masked CRC before the data, the CRC of the data behind it.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


class _Picture(slim.tfexample_decoder.ItemHandler):
  """The items 'image' and 'picture'. slim's own would let TensorFlow decode GIF and BMP."""

  def __init__(self, make, channels):
    super().__init__(['image/encoded', 'image/filename'])
    self._make, self._channels = make, channels

  def tensors_to_item(self, keys_to_tensors):
    encoded, name = (keys_to_tensors[key] for key in ('image/encoded', 'image/filename'))
    return self._make(encoded, name, self._channels)


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
    'image': _Picture(decode_image, channels),
    'picture': _Picture(EncodedPicture, channels),
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
  text = names[0].decode('utf-8', 'backslashreplace') if names else ''
  return labels[0], text or None


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
