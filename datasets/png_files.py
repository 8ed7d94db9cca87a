"""Checks the parts of a PNG that Pillow passes over: TensorFlow refuses what is wrong with them."""

import zlib

_STEP = 1 << 20  # bytes unpacked at a time


def problem(data):
  """Returns (note or None, damage or None) of a PNG whose pixels can be decoded.

  Args:
    data: bytes of the file.
  """
  position, kind, pixels = 8, b'', zlib.decompressobj()
  while kind != b'IEND':
    kind, end = data[position + 4 : position + 8], position + 8
    end += int.from_bytes(data[position : position + 4], 'big')
    if len(kind) < 4 or end + 4 > len(data):
      return 'PNG without its end', None
    if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], 'big'):
      return None, 'a checksum in the PNG is wrong'
    if kind == b'IDAT':
      try:
        _unpack(pixels, data[position + 8 : end])
      except zlib.error:
        return None, 'the pixels of the PNG are not what its checksum says'
    position = end + 4
  return None if pixels.eof else 'PNG without its end', None


def _unpack(pixels, data):
  """Has a zlib.decompressobj check data without keeping what is in it."""
  while data and not pixels.eof:
    pixels.decompress(data, _STEP)
    data = pixels.unconsumed_tail
