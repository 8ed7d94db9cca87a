"""Writes shards, without TensorFlow: importing it takes longer than converting thousands of tiles.

A shard is a TFRecord file of serialized tf.train.Example with the features of research/slim and of
the satellite tutorial's data_convert.py.
"""

import functools
import struct

import google_crc32c

_BUFFER_BYTES = 1 << 20

# Field numbers of tensorflow/core/example/feature.proto.
_BYTES_LIST, _INT64_LIST = 1, 3


def example(encoded, image_format, label, class_name, height, width, filename, channels=3):
  """Returns one picture as a serialized tf.train.Example, the features sorted by name.

  Args:
    encoded: bytes of a JPEG or PNG.
    image_format: 'JPEG' or 'PNG', as research/slim's own data sets have it 'jpg' or 'png'.
    label: the class, an int from 0.
    class_name: its name.
    height: in pixels.
    width: in pixels.
    filename: path of the picture, relative to the image folder.
    channels: 3 for RGB, 1 for gray.
  """
  features = (
    _feature('image/channels', channels),
    _feature('image/class/label', label),
    _feature('image/class/text', class_name),
    _feature('image/colorspace', 'RGB' if channels == 3 else 'Grayscale'),
    _new_feature('image/encoded', encoded),
    _new_feature('image/filename', filename),
    _feature('image/format', image_format),
    _feature('image/height', height),
    _feature('image/width', width),
  )
  return _field(1, b''.join(features))


def _new_feature(name, value):
  """Returns an entry of the map that tf.train.Features is."""
  if isinstance(value, int):
    values = _field(_INT64_LIST, _field(1, _varint(value)))
  else:
    is_text = isinstance(value, str)
    data = value.encode('utf-8', 'backslashreplace') if is_text else value
    values = _field(_BYTES_LIST, _field(1, data))
  return _field(1, _field(1, name.encode()) + _field(2, values))


_feature = functools.lru_cache(maxsize=1 << 12)(_new_feature)  # for what many pictures share


def _field(number, data):
  """Returns a field with a length, https://protobuf.dev/programming-guides/encoding/."""
  return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(number):
  """Returns an int from 0 in groups of 7 bits, the lowest first; all but the last are marked."""
  groups = bytearray()
  while number > 0x7F:
    groups.append(number & 0x7F | 0x80)
    number >>= 7
  return bytes(groups + bytes([number]))


class RecordWriter:
  """A TFRecord file that is being written. Use as a context, at whose end it is complete."""

  def __init__(self, path):
    self._file = open(path, 'wb', buffering=_BUFFER_BYTES)  # noqa: SIM115 (closed by __exit__)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self._file.close()

  def write(self, data):
    """Adds a record: its length and data (bytes), each with its checksum."""
    length = struct.pack('<Q', len(data))
    self._file.write(length + _checksum(length))
    self._file.write(data)
    self._file.write(_checksum(data))


def _checksum(data):
  """Returns CRC-32C, masked as TFRecord files have it."""
  crc = google_crc32c.value(data)
  return struct.pack('<I', ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
