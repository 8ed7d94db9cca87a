"""Checks the parts of a PNG that Pillow passes over: TensorFlow refuses what is wrong with them."""

import struct
import zlib

# Adam7: first column and row of a pass, and the steps to the next ones.
_PASSES = (
  (0, 0, 8, 8),
  (4, 0, 8, 8),
  (0, 4, 4, 8),
  (2, 0, 4, 4),
  (0, 2, 2, 4),
  (1, 0, 2, 2),
  (0, 1, 1, 2),
)
_WHOLE = ((0, 0, 1, 1),)
_CHANNELS = {2: 3, 4: 2, 6: 4}  # by colour type; 1 of the others

_STEP = 1 << 20  # bytes unpacked at a time


def problem(data):
  """Returns (note or None, damage or None) of a PNG whose pixels can be decoded.

  Args:
    data: bytes of the file.
  """
  position, kind, pixels, unpacked = 8, b'', zlib.decompressobj(), 0
  while kind != b'IEND':
    kind, end = data[position + 4 : position + 8], position + 8
    end += int.from_bytes(data[position : position + 4], 'big')
    if len(kind) < 4 or end + 4 > len(data):
      return 'PNG without its end', None
    if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], 'big'):
      return None, 'a checksum in the PNG is wrong'
    if kind == b'IDAT':
      try:
        unpacked += _unpack(pixels, data[position + 8 : end])
      except zlib.error:
        return None, 'the pixels of the PNG are not what its checksum says'
    position = end + 4
  if not pixels.eof:
    return 'PNG without its end', None
  return None if unpacked == _pixel_bytes(data) else 'PNG with other pixels than it needs', None


def _unpack(pixels, data):
  """Has a zlib.decompressobj check data, and returns how many bytes are in it."""
  unpacked = 0
  while data and not pixels.eof:
    unpacked += len(pixels.decompress(data, _STEP))
    data = pixels.unconsumed_tail
  return unpacked


def _pixel_bytes(data):
  """Returns how many bytes the rows of a PNG have, by its header."""
  width, height, bits, colour, _, _, interlace = struct.unpack_from('>IIBBBBB', data, 16)
  total = 0
  for x, y, right, down in _PASSES if interlace else _WHOLE:
    columns, rows = -(-(width - x) // right), -(-(height - y) // down)
    if columns > 0:
      # A row starts with the number of its filter.
      total += max(0, rows) * (1 + (columns * bits * _CHANNELS.get(colour, 1) + 7) // 8)
  return total
