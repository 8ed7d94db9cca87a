"""Small files that would take huge amounts of memory or time, recognized before they are decoded.

The size of a picture is judged elsewhere, by width and height; here it is what surrounds the
pixels: tags that all claim the same bytes, scans and chunks without end.
"""

import struct

# Pictures have a few of each; real ones stay far below.
MAX_JPEG_SEGMENTS = 10_000
MAX_JPEG_SCANS = 100
_MAX_PNG_CHUNKS = 100_000
_MAX_PNG_TEXTS = 30
_MAX_TIFF_HEADERS = 1_000
_MAX_TIFF_ENTRIES = 100_000
# A strip or tile of a TIFF has two numbers; more than these are not of a picture.
_MAX_TIFF_NUMBERS = 1_000_000
_SPARE_BYTES = 1 << 20

# EXIF and the index of an MPO are TIFF files inside another file.
_TIFF_HEADERS = {b'II*\0': '<', b'MM\0*': '>', b'II+\0': '<', b'MM\0+': '>'}
# Bytes of a value by TIFF type.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
_TEXT_TYPES = (1, 2, 6, 7)
_POINTER_TAGS = (34665, 34853, 40965)  # EXIF, GPS and interoperability directories


def bomb(data):
  """Returns what makes the bytes of a file a bomb, or None.

  Args:
    data: bytes of the file, or of an EXIF block.
  """
  if data.startswith(b'\x89PNG'):
    return _png_bomb(data) or _tiff_bomb(data)
  return _tiff_bomb(data)


def _png_bomb(data):
  position, packed = 8, 0
  for _ in range(_MAX_PNG_CHUNKS):
    if position + 12 > len(data):
      return None
    packed += data[position + 4 : position + 8] in (b'zTXt', b'iTXt')
    if packed > _MAX_PNG_TEXTS:
      return f'more than {_MAX_PNG_TEXTS} packed texts in a PNG'
    position += 12 + int.from_bytes(data[position : position + 4], 'big')
  return f'more than {_MAX_PNG_CHUNKS} chunks in a PNG'


def _tiff_bomb(data):
  """Says whether tags, which may overlap, claim many times the bytes there are."""
  entries = 0
  for number, (start, order) in enumerate(_tiff_starts(data)):
    if number == _MAX_TIFF_HEADERS:
      return f'more than {_MAX_TIFF_HEADERS} blocks of tags'
    block = memoryview(data)[start:]
    directories, claimed, numbers, seen = [_first_directory(block, order)], 0, 0, set()
    while directories:
      position = directories.pop()
      if position is None or position in seen:
        continue
      seen.add(position)
      for tag, kind, count, value in _entries(block, position, order):
        entries += 1
        size = count * _TYPE_BYTES.get(kind, 0)
        # A tag that claims more bytes than there are gets none.
        claimed += size if size <= len(block) else 0
        numbers += count if kind not in _TEXT_TYPES and size <= len(block) else 0
        if tag in _POINTER_TAGS:
          directories.append(value)
        if claimed > 2 * len(block) + _SPARE_BYTES:
          return 'its tags claim many times the bytes of the file'
        if numbers > _MAX_TIFF_NUMBERS or entries > _MAX_TIFF_ENTRIES:
          return 'it has more tags than a picture needs'
  return None


def _tiff_starts(data):
  """Yields (offset, byte order) of whatever may be the head of a TIFF."""
  for magic, order in _TIFF_HEADERS.items():
    start = data.find(magic)
    while start >= 0:
      yield start, order
      start = data.find(magic, start + 1)


def _first_directory(block, order):
  if block[2 if order == '<' else 3] == 42:
    return _number(block, 4, order, 'I')
  return _number(block, 8, order, 'Q')


def _entries(block, position, order):
  """Yields (tag, type, count, value) of a directory, as far as the block goes."""
  is_big = block[2 if order == '<' else 3] == 43
  entry = struct.Struct(order + ('HHQQ' if is_big else 'HHII'))
  total = _number(block, position, order, 'Q' if is_big else 'H')
  start = position + (8 if is_big else 2)
  fitting = max(0, len(block) - start) // entry.size
  for index in range(min(total or 0, fitting)):
    yield entry.unpack_from(block, start + index * entry.size)


def _number(block, position, order, kind):
  size = struct.calcsize(order + kind)
  if position < 0 or position + size > len(block):
    return None
  return struct.unpack_from(order + kind, block, position)[0]
