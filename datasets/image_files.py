"""What a network can read of an image file: an RGB JPEG or PNG of 8 bits, kept or made.

Conversion and classification both take their bytes from here, so that a network sees the same
pixels in both. Content decides, never a file's extension. Pillow only, so that it can run in
worker processes without TensorFlow.
"""

import contextlib
import io
import re
import warnings
from typing import NamedTuple

from PIL import Image

from datasets import image_bombs, png_files

# Pillow's own limit before it warns.
MAX_PIXELS = 89_478_485

JPEG_QUALITY = 95

_BOMB = 'made to exhaust memory or time'
TOO_LITTLE_MEMORY = 'needs more memory than there is'

# What may be opened at all: EPS would start Ghostscript.
_FORMATS = ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF', 'MPO', 'PPM', 'JPEG2000', 'AVIF')
_LOSSY_FORMATS = ('JPEG', 'MPO', 'JPEG2000', 'AVIF')

# First bytes (after blanks, in lower case) of what often bears an image's extension.
_OTHER_KINDS = (
  (b'%pdf', 'PDF document'),
  (b'%!ps', 'PostScript file'),
  (b'\xc5\xd0\xd3\xc6', 'PostScript file'),
  (b'<!doctype html', 'HTML page'),
  (b'<html', 'HTML page'),
  (b'<head', 'HTML page'),
  (b'<svg', 'SVG drawing'),
  (b'<?xml', 'XML file'),
  (b'pk\x03\x04', 'ZIP archive'),
  (b'\x1f\x8b', 'gzip archive'),
  (b'8bps', 'Photoshop file'),
  (b'gif89a', 'damaged or truncated GIF'),
  (b'gif87a', 'damaged or truncated GIF'),
  (b'\x89png', 'damaged or truncated PNG'),
  (b'\xff\xd8\xff', 'damaged or truncated JPEG'),
)
_HEIC_BRANDS = (b'heic', b'heix', b'hevc', b'mif1', b'msf1')

_ORIENTATION_TAG = 0x0112
_TILE_WIDTH_TAG, _TILE_HEIGHT_TAG = 322, 323
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_MODE_NOTES = {
  '1': 'gray',
  'L': 'gray',
  'LA': 'gray',
  'P': 'palette',
  'PA': 'palette',
  'I': '16 bit',
}

# The frame headers of baseline, extended and progressive Huffman coding: TensorFlow reads no other.
_READABLE_FRAMES = (0xC0, 0xC1, 0xC2)
_PROGRESSIVE = 0xC2
_MARKER_IN_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
# A decoder looks ahead by a machine word when it needs the last bits.
_LOOK_AHEAD = 9
# An escaped last byte is two: FF 00.
_LAST_BYTES = 2

# Limits and damage are judged here; Pillow's remarks about them would only reach the terminal.
warnings.filterwarnings('ignore', module=r'PIL\.')


class UnreadableImage(Exception):
  """No network can read this file; the message says why, in plain words."""


def readable_bytes(data, max_pixels=MAX_PIXELS, jpeg_quality=None):
  """Returns the bytes of a picture as a network can read them.

  An RGB JPEG or PNG of 8 bits without EXIF rotation is decoded to the end and returned as it is.
  Anything else Pillow reads is encoded once more: as JPEG when it was lossy, as PNG when not. Of
  several frames the first is taken, transparency is laid over white, 16 bits are scaled to 8.

  Args:
    data: bytes of the file.
    max_pixels: limit of width times height, checked before decoding. A JPEG of up to 16 times as
      many is decoded at half or a quarter of its size.
    jpeg_quality: 1 to 100 encodes whatever is not kept as a JPEG of that quality, and keeps no PNG.

  Returns:
    (bytes of an RGB image of 8 bits, 'JPEG' or 'PNG', width, height, note): note is None when the
    bytes are `data`, else what was repaired ('gray', 'CMYK, EXIF rotation').

  Raises:
    UnreadableImage: with the reason.
  """
  return encoded(decoded(data, max_pixels, jpeg_quality), data, jpeg_quality)


class Decoded(NamedTuple):
  """A picture that was decoded to its end."""

  image: Image.Image  # as it is stored: of any mode, not turned
  kind: str  # the format, in Pillow's words
  notes: list  # what has to be repaired


def decoded(data, max_pixels=MAX_PIXELS, jpeg_quality=None):
  """Does the first half of `readable_bytes`, in which damaged files can do harm.

  Arguments and errors are those of `readable_bytes`.

  Returns:
    Decoded.
  """
  with _reasons(data, max_pixels):
    stream = _WatchedStream(data)
    image = _open(stream, data, max_pixels)
    kind = image.format
    notes = _notes(image, data, max_pixels, ('JPEG',) if jpeg_quality else ('JPEG', 'PNG'))
    stream.watch()
    image.load()
    return Decoded(image, kind, notes + stream.notes() + _png_notes(data))


def encoded(picture, data, jpeg_quality=None):
  """Does the second half of `readable_bytes` with what `decoded` has made of `data`."""
  image, kind, notes = picture
  if not notes:
    return data, kind, *image.size, None
  with _reasons(data, image.width * image.height):
    rgb = _turned(_as_rgb(image), image)
    is_lossy = jpeg_quality or _is_lossy(image, kind, data)
    new_bytes, new_kind = _encoded(rgb, (jpeg_quality or JPEG_QUALITY) if is_lossy else None)
    return new_bytes, new_kind, *rgb.size, ', '.join(notes)


def as_seen(picture, max_pixels=MAX_PIXELS):
  """Returns a Decoded picture as a new image of mode RGB, turned as its EXIF says.

  Raises:
    UnreadableImage: as `readable_bytes` does.
  """
  with _reasons(b'', max_pixels):
    return _turned(_as_rgb(picture.image), picture.image)


@contextlib.contextmanager
def _reasons(data, max_pixels):
  """Turns whatever Pillow raises into UnreadableImage."""
  try:
    yield
  except UnreadableImage:
    raise
  except (Image.DecompressionBombError, Image.DecompressionBombWarning):
    raise UnreadableImage(f'more than {max_pixels} pixels') from None
  except MemoryError:
    raise UnreadableImage(TOO_LITTLE_MEMORY) from None
  except Exception as error:  # damaged bytes make Pillow's plug-ins raise errors of any class
    raise UnreadableImage(_damage(data, error)) from None


def _open(stream, data, max_pixels):
  if not data:
    raise UnreadableImage('empty file')
  _refuse_bombs(data)
  if Image.MAX_IMAGE_PIXELS and max_pixels > Image.MAX_IMAGE_PIXELS:
    Image.MAX_IMAGE_PIXELS = max_pixels  # the user raised the limit, Pillow has to follow
  Image.init()
  try:
    return Image.open(stream, formats=[name for name in _FORMATS if name in Image.OPEN])
  except Image.UnidentifiedImageError:
    raise UnreadableImage(_what_it_is(data)) from None


def _refuse_bombs(data):
  bomb = image_bombs.bomb(data)
  if bomb:
    raise UnreadableImage(f'{_BOMB}: {bomb}')


def _what_it_is(data):
  head = data[:1024].removeprefix(b'\xef\xbb\xbf').lstrip().lower()
  if head.startswith(b'<?xml') and b'<svg' in head:
    return 'SVG drawing, not a picture of pixels'
  for magic, kind in _OTHER_KINDS:
    if head.startswith(magic):
      return kind if kind.startswith('damaged') else f'{kind}, not an image'
  if data[4:8] == b'ftyp' and data[8:12] in _HEIC_BRANDS:
    return 'HEIC image, which cannot be read here: save it as JPEG'
  if not data.strip(b'\0'):
    return 'nothing but zero bytes'
  try:
    text = data[:1024].decode('utf-8')
  except UnicodeDecodeError:
    return 'no image format that can be read'
  return 'text, not an image' if text.isprintable() or '\n' in text else 'no image format'


def _damage(data, error):
  """Says in plain words why a picture could not be decoded."""
  first_line = (str(error).splitlines() or [''])[0]
  if 'truncated' in first_line.lower():
    return 'truncated: the file ends before the picture does'
  return f'damaged: {first_line or type(error).__name__}'


def _notes(image, data, max_pixels, kept_formats):
  """Returns what keeps a file from being taken as it is, known from its header."""
  notes = [] if image.format in kept_formats else [image.format]
  pixels = image.width * image.height
  if pixels > max_pixels:
    notes.append(_reduce(image, pixels, max_pixels))
  if image.format == 'TIFF' and _tile_pixels(image) > max_pixels:
    raise UnreadableImage(f'more than {max_pixels} pixels in a tile')
  if getattr(image, 'is_animated', False):
    notes.append('first frame')
  if image.mode not in ('RGB', 'RGBA'):
    notes.append(_MODE_NOTES.get(image.mode, '16 bit' if '16' in image.mode else image.mode))
  if image.format == 'PNG' and data[24] == 16 and '16 bit' not in notes:
    notes.append('16 bit')
  if image.has_transparency_data:
    notes.append('alpha')
  if _orientation(image) in _TURNS:
    notes.append('EXIF rotation')
  return notes


def _reduce(image, pixels, max_pixels):
  """Has a JPEG decoded at half or a quarter of its size, or refuses the picture."""
  scale = next((scale for scale in (2, 4) if pixels <= max_pixels * scale**2), None)
  # A progressive JPEG is held in memory at full size whatever the scale.
  if image.format not in ('JPEG', 'MPO') or scale is None or image.info.get('progressive'):
    raise UnreadableImage(f'more than {max_pixels} pixels: {image.width}x{image.height}')
  image.draft(None, (image.width // scale, image.height // scale))
  return f'reduced to 1/{scale}'


def _tile_pixels(image):
  return image.tag_v2.get(_TILE_WIDTH_TAG, 1) * image.tag_v2.get(_TILE_HEIGHT_TAG, 1)


def _orientation(image):
  """Returns the EXIF orientation 1 to 8, 1 when the tag cannot be read."""
  try:
    _refuse_bombs(_unpacked_exif(image))
    return image.getexif().get(_ORIENTATION_TAG, 1)
  except Exception:  # a damaged EXIF block does not damage the picture
    return 1


def _unpacked_exif(image):
  """Returns EXIF of a PNG that was compressed in the file, as bytes."""
  text = image.info.get('Raw profile type exif', '')
  return bytes.fromhex(''.join(text.split('\n')[3:]))


def _as_rgb(image):
  """Returns a loaded image as a new image of mode RGB."""
  if image.mode == 'F' or (image.mode == 'I' and image.format == 'TIFF'):
    raise UnreadableImage(f'pixels of mode {image.mode}, whose range of values is not known')
  if image.mode.startswith('I'):
    image = image.convert('I').point([value * 255 // 65535 for value in range(65536)], 'L')
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image).convert('RGB')
  return image.convert('RGB')


def _turned(rgb, source):
  """Applies the source's EXIF orientation, as it stands after loading (TIFF applies its own)."""
  turn = _TURNS.get(_orientation(source))
  return rgb if turn is None else rgb.transpose(turn)


def _is_lossy(image, kind, data):
  if kind == 'WEBP':
    return data[12:16] != b'VP8L'
  return kind in _LOSSY_FORMATS or image.info.get('compression') in ('jpeg', 'tiff_jpeg')


def _encoded(rgb, jpeg_quality):
  """Returns (bytes, format) of an RGB image: a PNG when the quality is None."""
  rgb.info = {}  # no colour profile or EXIF of the source
  stream = io.BytesIO()
  if jpeg_quality:
    rgb.save(stream, 'JPEG', quality=jpeg_quality, subsampling=0)
    return stream.getvalue(), 'JPEG'
  rgb.save(stream, 'PNG')
  return stream.getvalue(), 'PNG'


class _WatchedStream(io.BytesIO):
  """The bytes of a file; of a JPEG, it also tells whether its decoder met warnings.

  Pillow keeps libjpeg's warnings to itself. But a decoder that finishes a picture before it has
  seen the last bytes of the scan met bytes too many, and one that needs the end marker to finish
  met too few. So the stream hands out the scan but for its last bytes, these and a few zeros to
  look ahead at, and the rest, each on its own.
  """

  def __init__(self, data):
    self._odd, end = _walk_jpeg(data)
    self._ends = (end - _LAST_BYTES, end + _LOOK_AHEAD) if end else ()
    super().__init__(data[:end] + b'\0' * _LOOK_AHEAD + data[end:] if end else data)

  def watch(self):
    """Hands out the scan in parts from now on; before, it is not read, and `read` is BytesIO's."""
    self.read = self._read_part

  def _read_part(self, size=-1):
    position = self.tell()
    for end in self._ends:
      if position < end:
        return super().read(end - position if size < 0 else min(size, end - position))
    return super().read(size)

  def notes(self):
    """Returns what was odd about the coding of a JPEG, after it was decoded."""
    notes = [self._odd] if self._odd else []
    if self._ends and self.tell() <= self._ends[0]:
      notes.append('stray bytes in the JPEG')
    if self._ends and self.tell() > self._ends[1]:
      raise UnreadableImage('truncated: the JPEG has an end, but not all of its picture')
    return notes


def _png_notes(data):
  if not data.startswith(b'\x89PNG'):
    return []
  note, damage = png_files.problem(data)
  if damage:
    raise UnreadableImage(f'damaged: {damage}')
  return [note] if note else []


def _walk_jpeg(data):
  """Walks over the segments of a JPEG up to its end marker.

  Returns:
    (note or None, offset of the first marker behind the scan or None): the offset is None when
    there is no such marker, or when it need not be the end of the picture.
  """
  if not data.startswith(b'\xff\xd8\xff'):
    return None, None
  position, frame, components, end = 2, None, None, None
  segments = scans = 0
  while data[position : position + 1] == b'\xff':
    segments += 1
    if segments > image_bombs.MAX_JPEG_SEGMENTS or scans > image_bombs.MAX_JPEG_SCANS:
      raise UnreadableImage(f'{_BOMB}: more scans or segments than a JPEG needs')
    marker = data[position + 1 : position + 2]
    if marker == b'\xff':
      position += 1
      continue
    if marker == b'\xd9':
      return None if frame in _READABLE_FRAMES else 'unusual JPEG coding', end
    start, length = position, int.from_bytes(data[position + 2 : position + 4], 'big')
    if not marker or marker[0] < 0xC0 or length < 2:
      break
    position += 2 + length
    if 0xC0 <= marker[0] <= 0xCF and marker not in (b'\xc4', b'\xc8', b'\xcc'):
      frame, components = marker[0], data[start + 9 : start + 10]
    if marker == b'\xda':
      scans += 1
      found = _MARKER_IN_SCAN.search(data, position)
      if not found:
        break
      position = found.start()
      if frame != _PROGRESSIVE and data[start + 4 : start + 5] == components:
        end = end or position
  return 'stray bytes in the JPEG', end
