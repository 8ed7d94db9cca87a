"""A corpus of odd and damaged image files: what each is, and what has to become of it.

Everything is drawn here, so that a machine without other image tools has it too.
"""

import io
import os
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, features

SIZE = (40, 28)  # width, height


class Odd(NamedTuple):
  """A file: its bytes, and 'kept', 'repaired' or 'skipped' with words of the note or reason."""

  data: bytes
  outcome: str
  words: str = ''


def photo(seed=0, size=SIZE):
  """A smooth picture with some noise: an Image of mode RGB."""
  x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
  noise = np.random.RandomState(seed).uniform(0, 0.2, (size[1], size[0], 3))
  pixels = np.stack([x, y, (x + y + seed / 7) % 2 / 2], axis=-1) * 0.8 + noise
  return Image.fromarray((pixels * 255).astype(np.uint8), 'RGB')


def saved(image, image_format, **kwargs):
  """Returns the bytes of a picture in a format."""
  stream = io.BytesIO()
  image.save(stream, image_format, **kwargs)
  return stream.getvalue()


def chunk(kind, data):
  """Returns a chunk of a PNG."""
  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(size, pixels, *, bits=8, colour=2, interlace=0, extra=()):
  """Returns a PNG of filtered rows, which need not be what the header says.

  Args:
    size: width, height.
    pixels: bytes of the rows, each behind its filter's number.
    bits: of a channel.
    colour: PNG's colour type.
    interlace: 1 for Adam7.
    extra: chunks between the header and the pixels.
  """
  header = chunk(b'IHDR', struct.pack('>IIBBBBB', *size, bits, colour, 0, 0, interlace))
  chunks = [header, *extra, chunk(b'IDAT', zlib.compress(pixels)), chunk(b'IEND', b'')]
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def _rows(array):
  return b''.join(b'\0' + row.tobytes() for row in array)


def _interlaced():
  """An Adam7 PNG of `photo`, which Pillow does not write."""
  pixels = np.asarray(photo())
  passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
  passes.append((0, 1, 1, 2))
  rows = [_rows(pixels[y::down, x::right]) for x, y, right, down in passes]
  return png(SIZE, b''.join(rows), interlace=1)


def segment(marker, data):
  """Returns a segment of a JPEG."""
  return b'\xff' + bytes([marker]) + struct.pack('>H', len(data) + 2) + data


def _behind_start(jpeg, *segments):
  return jpeg[:2] + b''.join(segments) + jpeg[2:]


def _resized_header(jpeg, size):
  """A JPEG whose header claims another size."""
  position = next(jpeg.index(start) for start in (b'\xff\xc0', b'\xff\xc2') if start in jpeg) + 5
  return jpeg[:position] + struct.pack('>HH', *size[::-1]) + jpeg[position + 4 :]


def _exif(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return exif


def _overlapping_tags(count, size):
  """An EXIF block, or the head of a TIFF, of tags that all claim the same bytes."""
  start = 8 + 2 + 12 * count + 4
  entries = b''.join(struct.pack('<HHII', 40_000 + tag, 7, size, start) for tag in range(count))
  return b'II*\0' + struct.pack('<IH', 8, count) + entries + bytes(4) + bytes(size)


def _bmp(image, header):
  return header + saved(image, 'BMP')[len(header) :]


def _top_down_bmp():
  data = bytearray(saved(photo().transpose(Image.Transpose.FLIP_TOP_BOTTOM), 'BMP'))
  data[22:26] = struct.pack('<i', -SIZE[1])
  return bytes(data)


def _frames(count=3, **kwargs):
  return {'save_all': True, 'append_images': [photo(n) for n in range(1, count)], **kwargs}


def _tiff_tile_bomb():
  """A TIFF of 16x16 pixels whose one tile claims 65,000 pixels a side."""
  tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, 65_000)]
  tags += [(323, 65_000), (324, 200), (325, 50)]
  entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags)
  data = b'II*\0' + struct.pack('<IH', 8, len(tags)) + entries + bytes(4)
  return data.ljust(200, b'\0') + zlib.compress(bytes(10_000))[:50].ljust(50, b'\0')


def bombs():
  """Returns {name: bytes} of small files that would take huge amounts of memory or time."""
  side, jpeg = 60_000, saved(photo(), 'JPEG')
  gif, bmp, tiff = (saved(photo(), kind) for kind in ('GIF', 'BMP', 'TIFF'))
  webp = saved(photo(), 'WEBP', lossless=True)
  wide = bytearray(tiff)
  for tag in (256, 257):
    position = wide.index(struct.pack('<HHI', tag, 4, 1)) + 8
    wide[position : position + 4] = struct.pack('<I', side)
  canvas = struct.pack('<I', 16_383)[:3]
  text = zlib.compress(bytes(20 << 20))
  scan = jpeg[jpeg.index(b'\xff\xda') : -2]
  progressive = saved(photo(), 'JPEG', progressive=True)
  last = progressive[progressive.rindex(b'\xff\xda') : -2]
  return {
    'huge header.jpg': _resized_header(jpeg, (side, side)),
    'huge header, progressive.jpg': _resized_header(progressive, (side, side)),
    'huge header.png': png((side, side), bytes(1000)),
    'huge header.gif': gif[:6] + struct.pack('<HH', side, side) + gif[10:],
    'huge header.bmp': bmp[:18] + struct.pack('<ii', side, side) + bmp[26:],
    'huge header.tif': bytes(wide),
    'huge header.webp': webp[:21] + struct.pack('<I', 16_382 | 16_382 << 14) + webp[25:],
    'huge canvas.webp': webp[:12] + b'VP8X\x0a\0\0\0\x02\0\0\0' + canvas + canvas + webp[12:],
    'huge header.ppm': b'P6 60000 60000 255\n' + bytes(1000),
    'huge tile.tif': _tiff_tile_bomb(),
    'zTXt bomb.png': png(SIZE, _rows(np.asarray(photo())), extra=[chunk(b'zTXt', b'a\0\0' + text)]),
    'iTXt bomb.png': png(
      SIZE, _rows(np.asarray(photo())), extra=[chunk(b'iTXt', b'a\0\1\0\0\0' + text)]
    ),
    'many zTXt.png': png(
      SIZE,
      _rows(np.asarray(photo())),
      extra=[
        chunk(b'zTXt', b'%d\0\0' % number + zlib.compress(bytes(1 << 20))) for number in range(200)
      ],
    ),
    'endless chunks.png': png(SIZE, b'', extra=[chunk(b'teSt', b'') * 200_000]),
    'overlapping tags.jpg': _behind_start(
      jpeg, segment(0xE1, b'Exif\0\0' + _overlapping_tags(5_000, 5_000))
    ),
    'overlapping tags.png': png(
      SIZE,
      _rows(np.asarray(photo())),
      extra=[chunk(b'eXIf', _overlapping_tags(25_000, 300_000))],
    ),
    'overlapping tags.tif': _overlapping_tags(25_000, 300_000),
    'endless segments.jpg': _behind_start(jpeg, segment(0xFE, b'') * 20_000),
    'endless scans.jpg': progressive[:-2] + last * 1000 + b'\xff\xd9',
    'endless baseline scans.jpg': jpeg[:-2] + scan * 1000 + b'\xff\xd9',
  }


def _plain():
  jpeg, lossless = saved(photo(), 'JPEG'), saved(photo(), 'PNG')
  return {
    'plain.jpg': Odd(jpeg, 'kept'),
    'plain.png': Odd(lossless, 'kept'),
    'png named.jpg': Odd(lossless, 'kept'),
    'jpeg named.PNG': Odd(jpeg, 'kept'),
    'no extension': Odd(jpeg, 'kept'),
    'upper.JPEG': Odd(jpeg, 'kept'),
    'progressive.jpg': Odd(saved(photo(), 'JPEG', progressive=True), 'kept'),
    'restart markers.jpg': Odd(saved(photo(), 'JPEG', restart_marker_blocks=1), 'kept'),
    '4:2:0.jpg': Odd(saved(photo(), 'JPEG', subsampling=2, quality=40), 'kept'),
    'RGB inside.jpg': Odd(saved(photo(), 'JPEG', keep_rgb=True), 'kept'),
    'trailing data.jpg': Odd(jpeg + b'<html>' * 50, 'kept'),
    'JPEG behind.jpg': Odd(jpeg + saved(photo(1), 'JPEG'), 'kept'),
    'comment.jpg': Odd(saved(photo(), 'JPEG', comment=b'\xff\xd9\xff\xda'), 'kept'),
    'fill bytes.jpg': Odd(_behind_start(jpeg, b'\xff' * 40), 'kept'),
    'usual tables left out.jpg': Odd(jpeg.replace(b'\xff\xc4', b'\xff\xef'), 'kept'),
    'bad ICC.jpg': Odd(saved(photo(), 'JPEG', icc_profile=b'nonsense' * 40), 'kept'),
    'large ICC.jpg': Odd(saved(photo(), 'JPEG', icc_profile=bytes(300_000)), 'kept'),
    'bad EXIF.jpg': Odd(_behind_start(jpeg, segment(0xE1, b'Exif\0\0II*\0\xff\xff')), 'kept'),
    'EXIF loop.jpg': Odd(
      _behind_start(jpeg, segment(0xE1, b'Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0')), 'kept'
    ),
    'EXIF 1.jpg': Odd(saved(photo(), 'JPEG', exif=_exif(1)), 'kept'),
    'EXIF 9.jpg': Odd(saved(photo(), 'JPEG', exif=_exif(9)), 'kept'),
    'interlaced.png': Odd(_interlaced(), 'kept'),
    'uncompressed.png': Odd(saved(photo(), 'PNG', compress_level=0), 'kept'),
    'trailing data.png': Odd(lossless + b'behind the end', 'kept'),
    'text.png': Odd(
      png(SIZE, _rows(np.asarray(photo())), extra=[chunk(b'tEXt', b'Comment\0hello')]), 'kept'
    ),
    'bad ICC.png': Odd(saved(photo(), 'PNG', icc_profile=b'nonsense' * 40), 'kept'),
    '1x1.jpg': Odd(saved(photo(size=(1, 1)), 'JPEG'), 'kept'),
    '1x1.png': Odd(saved(photo(size=(1, 1)), 'PNG'), 'kept'),
    '1xN.png': Odd(saved(photo(size=(1, 999)), 'PNG'), 'kept'),
    'Nx1.jpg': Odd(saved(photo(size=(999, 1)), 'JPEG'), 'kept'),
    'name\nwith line end.jpg': Odd(saved(photo(21), 'JPEG'), 'kept'),
    'name: colon.jpg': Odd(saved(photo(22), 'JPEG'), 'kept'),
    'cafe\u0301 NFD.jpg': Odd(saved(photo(23), 'JPEG'), 'kept'),
    '圖=,"x".jpg': Odd(saved(photo(24), 'JPEG'), 'kept'),
  }


def _repaired():
  gray, rgba = photo().convert('L'), photo().convert('RGBA')
  rgba.putalpha(gray)
  palette = photo().quantize(16)
  deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
  cmyk = photo().convert('CMYK')
  found = {
    'gray.jpg': (saved(gray, 'JPEG'), 'gray'),
    'gray.png': (saved(gray, 'PNG'), 'gray'),
    'LA.png': (saved(gray.convert('LA'), 'PNG'), 'gray, alpha'),
    'RGBA.png': (saved(rgba, 'PNG'), 'alpha'),
    '1 bit.png': (saved(gray.convert('1'), 'PNG'), 'gray'),
    'palette.png': (saved(palette, 'PNG'), 'palette'),
    'palette, transparent.png': (saved(palette, 'PNG', transparency=0), 'palette, alpha'),
    'palette of 2 bits.png': (saved(photo().quantize(4), 'PNG', bits=2), 'palette'),
    '16 bit gray.png': (saved(deep, 'PNG'), '16 bit'),
    '16 bit RGB.png': (
      png(SIZE, _rows(np.asarray(photo()).astype('>u2') * 257), bits=16),
      '16 bit',
    ),
    'without end.png': (saved(photo(), 'PNG')[:-12], 'PNG without its end'),
    'APNG.png': (saved(photo(), 'PNG', **_frames()), 'first frame'),
    'CMYK, Adobe inverted.jpg': (saved(cmyk, 'JPEG'), 'CMYK'),
    'YCCK.jpg': (_with_adobe_transform(saved(cmyk, 'JPEG'), 2), 'CMYK'),
    'gray 16 bit.tif': (saved(deep, 'TIFF'), 'TIFF, 16 bit'),
    'CMYK.tif': (saved(cmyk, 'TIFF'), 'TIFF, CMYK'),
    'pages.tif': (saved(photo(), 'TIFF', **_frames()), 'TIFF, first frame'),
    'animated.gif': (saved(palette, 'GIF', **_frames()), 'GIF, first frame'),
    'interlaced.gif': (saved(palette, 'GIF', interlace=1), 'GIF, palette'),
    'transparent.gif': (saved(palette, 'GIF', transparency=3), 'GIF, palette, alpha'),
    'gif named.jpg': (saved(palette, 'GIF'), 'GIF, palette'),
    'thousands of frames.gif': (_many_frames(), 'GIF, first frame'),
    'plain.bmp': (saved(photo(), 'BMP'), 'BMP'),
    'palette.bmp': (saved(palette, 'BMP'), 'BMP, palette'),
    '1 bit.bmp': (saved(gray.convert('1'), 'BMP'), 'BMP, gray'),
    'top down.bmp': (_top_down_bmp(), 'BMP'),
    'lossy.webp': (saved(photo(), 'WEBP'), 'WEBP'),
    'lossless.webp': (saved(photo(), 'WEBP', lossless=True), 'WEBP'),
    'alpha.webp': (saved(rgba, 'WEBP'), 'WEBP, alpha'),
    'animated.webp': (saved(photo(), 'WEBP', **_frames()), 'WEBP, first frame'),
    'webp named.jpg': (saved(photo(), 'WEBP'), 'WEBP'),
    'binary.ppm': (saved(photo(), 'PPM'), 'PPM'),
    'text.ppm': (b'P3 2 1 255\n1 2 3\n4 5 6\n', 'PPM'),
    'plain.mpo': (saved(photo(), 'MPO', **_frames(2)), 'MPO, first frame'),
    'stray bytes.jpg': (
      (jpeg := saved(photo(), 'JPEG'))[:-2] + bytes(range(1, 50)) + jpeg[-2:],
      'stray bytes in the JPEG',
    ),
  }
  for compression in ('tiff_lzw', 'tiff_deflate', 'packbits', 'jpeg'):
    found[f'{compression}.tif'] = saved(photo(), 'TIFF', compression=compression), 'TIFF'
  for orientation in range(2, 9):
    data = saved(photo(orientation), 'JPEG', exif=_exif(orientation))
    found[f'EXIF {orientation}.jpg'] = data, 'EXIF rotation'
  if features.check('jpg_2000'):
    found['plain.jp2'] = saved(photo(), 'JPEG2000'), 'JPEG2000'
  if features.check('avif'):
    found['plain.avif'] = saved(photo(), 'AVIF'), 'AVIF'
  return {name: Odd(data, 'repaired', note) for name, (data, note) in found.items()}


def _with_adobe_transform(jpeg, transform):
  position = jpeg.index(b'Adobe') + 11
  return jpeg[:position] + bytes([transform]) + jpeg[position + 1 :]


def _many_frames():
  """A GIF of 5,000 frames: one picture, and its image block again and again."""
  data = saved(photo().quantize(16), 'GIF')
  start = data.index(b'\x2c\0\0\0\0')
  return data[:-1] + data[start:-1] * 5_000 + b';'


def _skipped():
  jpeg, lossless = saved(photo(), 'JPEG'), saved(photo(), 'PNG')
  found = {
    'empty.jpg': (b'', 'empty file'),
    'zeros.jpg': (bytes(999), 'nothing but zero bytes'),
    'garbage.jpg': (np.random.RandomState(5).bytes(999), 'no image format'),
    'text.jpg': (b'remember the milk\n', 'text'),
    'page.jpg': (b'<!DOCTYPE html><p>404', 'HTML page'),
    'drawing.jpg': (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG drawing'),
    'document.jpg': (b'%PDF-1.7\n1 0 obj', 'PDF document'),
    'script.jpg': (
      b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n',
      'PostScript',
    ),
    'archive.jpg': (b'PK\x03\x04' + bytes(60), 'ZIP archive'),
    'photoshop.jpg': (b'8BPS\0\1' + bytes(60), 'Photoshop'),
    'phone.jpg': (b'\0\0\0\x18ftypheic' + bytes(60), 'HEIC'),
    'float.tif': (saved(Image.fromarray(np.ones((4, 4), np.float32)), 'TIFF'), 'range of values'),
    'two ends.jpg': (jpeg[: len(jpeg) * 2 // 3] + b'\xff\xd9', 'truncated'),
    'zero width.jpg': (_resized_header(jpeg, (0, 28)), ''),
    'taller than coded.jpg': (_resized_header(jpeg, (40, 280)), 'truncated'),
    'bad CRC of pixels.png': (_flipped(lossless, lossless.index(b'IDAT') + 20), ''),
    'other pixels than their sum.png': (
      png(SIZE, b'', extra=[chunk(b'IDAT', zlib.compress(_rows(np.asarray(photo())))[:-1] + b'x')]),
      'not what its checksum says',
    ),
    'bad CRC of header.png': (_flipped(lossless, 30), ''),
    'bad CRC of the end.png': (_flipped(lossless, len(lossless) - 1), 'checksum'),
    'zero width.png': (png((0, 5), b''), ''),
    'too few rows.png': (png(SIZE, _rows(np.asarray(photo()))[:500]), 'truncated'),
    'RLE that never ends.bmp': (
      saved(photo().quantize(16), 'BMP')[:30] + b'\1' + saved(photo().quantize(16), 'BMP')[31:200],
      '',
    ),
    'negative width.bmp': (
      saved(photo(), 'BMP')[:18] + struct.pack('<i', -40) + saved(photo(), 'BMP')[22:],
      '',
    ),
    'without colours.gif': (b'GIF89a' + struct.pack('<HHBBB', 5, 5, 0, 0, 0) + b';', ''),
    'bad numbers.ppm': (b'P6 x y 255\n' + bytes(99), ''),
  }
  for extension, data in {
    'jpg': jpeg,
    'png': lossless,
    'gif': saved(photo(), 'GIF'),
    'bmp': saved(photo(), 'BMP'),
    'webp': saved(photo(), 'WEBP'),
    'tif': saved(photo(), 'TIFF', compression='tiff_lzw'),
  }.items():
    for percent in (2, 30, 90):
      found[f'cut at {percent} percent.{extension}'] = data[: len(data) * percent // 100], ''
  found |= {name: (data, '') for name, data in bombs().items()}
  return {name: Odd(data, 'skipped', reason) for name, (data, reason) in found.items()}


def _flipped(data, position):
  return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


def corpus():
  """Returns {file name: Odd}."""
  return {**_plain(), **_repaired(), **_skipped()}


def write(folder):
  """Writes the corpus and returns it."""
  folder.mkdir(parents=True, exist_ok=True)
  found = corpus()
  for name, odd in found.items():
    (folder / name).write_bytes(odd.data)
  return found


def write_no_files(folder):
  """Writes what only looks like image files; returns {reason to ignore them: number}."""
  (folder / 'dangling.jpg').symlink_to('nowhere.jpg')
  (folder / 'loop.jpg').symlink_to('loop.jpg')
  os.mkfifo(folder / 'pipe.jpg')
  (folder / 'folder.jpg').mkdir()
  (folder / 'folder.jpg' / 'inside.jpg').write_bytes(saved(photo(), 'JPEG'))
  (folder / '.hidden.jpg').write_bytes(b'')
  (folder / 'Thumbs.db').write_bytes(b'')
  return {
    'broken link': 2,
    'not a regular file': 1,
    'folder inside a class folder': 1,
    'hidden or system file': 2,
  }
