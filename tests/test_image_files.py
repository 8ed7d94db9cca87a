"""What a network can read is kept, what Pillow can read is repaired, the rest is refused."""

import io
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import image_files

_REPO = pathlib.Path(__file__).parents[1]
_SIZE = (24, 16)  # width, height


def _rgb(seed=0, size=_SIZE):
  """A smooth coloured picture, which JPEG keeps nearly as it is."""
  x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
  channels = [x, y, (x + y + seed) % 2 / 2]
  return Image.fromarray((np.stack(channels, axis=-1) * 255).astype(np.uint8), 'RGB')


def _saved(image, image_format, **kwargs):
  stream = io.BytesIO()
  image.save(stream, image_format, **kwargs)
  return stream.getvalue()


def _pixels(data):
  image = Image.open(io.BytesIO(data))
  assert image.mode == 'RGB'
  assert 'exif' not in image.info
  return np.asarray(image).astype(int)


def _assert_close(actual, expected, tolerance):
  assert actual.shape == expected.shape
  assert np.abs(actual - np.asarray(expected).astype(int)).mean() < tolerance


JPEG = _saved(_rgb(), 'JPEG')
PNG = _saved(_rgb(), 'PNG')
NOISE = _saved(
  Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8)), 'JPEG'
)


@pytest.mark.parametrize(
  'data, expected',
  [
    (JPEG, 'JPEG'),
    (NOISE, 'JPEG'),
    (PNG, 'PNG'),
    (_saved(_rgb(), 'JPEG', progressive=True), 'JPEG'),
    (_saved(_rgb(), 'JPEG', optimize=True, quality=30, subsampling=2), 'JPEG'),
    (_saved(_rgb(), 'JPEG', restart_marker_rows=1), 'JPEG'),
    (_saved(_rgb(), 'JPEG', keep_rgb=True), 'JPEG'),
    (_saved(_rgb(), 'JPEG', comment=b'\xff\xd9 in a comment'), 'JPEG'),
    (JPEG + b'a trailer behind the end marker', 'JPEG'),
    (_saved(_rgb(size=(1, 1)), 'JPEG'), 'JPEG'),
    (_saved(_rgb(size=(300, 1)), 'PNG'), 'PNG'),
  ],
)
def test_what_a_network_reads_is_kept(data, expected):
  with Image.open(io.BytesIO(data)) as image:
    size = image.size
  assert image_files.readable_bytes(data) == (data, expected, *size, None)


def test_no_clean_jpeg_is_taken_for_a_damaged_one():
  # The last bytes of the scan decide, so that many endings have to be tried.
  generator = np.random.RandomState(1)
  for index in range(300):
    size = tuple(generator.randint(1, 40, 2))
    image = Image.fromarray(generator.randint(0, 256, (*size, 3), np.uint8))
    data = _saved(image, 'JPEG', quality=int(generator.randint(5, 100)), subsampling=index % 3)
    assert image_files.readable_bytes(data)[4] is None


def _with_alpha():
  image = _rgb().convert('RGBA')
  image.putalpha(Image.new('L', _SIZE, 64))
  return image


def _over_white():
  return np.asarray(_rgb()) * (64 / 255) + 255 * (1 - 64 / 255)


def _transparent_palette():
  image = Image.new('P', _SIZE, 0)
  image.putpalette([200, 10, 10, 10, 200, 10])
  image.paste(1, (12, 0, 24, 16))
  return image


def _palette_over_white():
  expected = np.full((16, 24, 3), 255)
  expected[:, 12:] = (10, 200, 10)
  return expected


def _gray():
  return _rgb().convert('L')


def _gray_as_rgb():
  return np.asarray(_gray().convert('RGB'))


def _ramp_16_bit():
  return Image.fromarray(np.tile(np.linspace(0, 65535, 24).astype(np.uint16), (16, 1)))


def _ramp_8_bit():
  return np.stack([np.asarray(_ramp_16_bit()) // 257] * 3, axis=-1)


def _rgb_png_16_bit():
  """A PNG of 16 bits a channel, which Pillow cannot write."""
  rows = (np.asarray(_rgb()).astype('>u2') * 257).reshape(16, -1)
  data = zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))
  return _png(_SIZE, data, bit_depth=16)


def _png(size, data, bit_depth=8):
  header = struct.pack('>IIBBBBB', *size, bit_depth, 2, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    [_chunk(b'IHDR', header), _chunk(b'IDAT', data), _chunk(b'IEND', b'')]
  )


def _chunk(kind, data):
  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def _frames():
  return {'save_all': True, 'append_images': [_rgb(1)], 'duration': 100}


def _cmyk():
  """Full cyan, magenta, yellow and black in four stripes."""
  stripes = np.zeros((16, 24, 4), np.uint8)
  for channel in range(4):
    stripes[:, channel * 6 : channel * 6 + 6, channel] = 255
  return Image.fromarray(stripes, 'CMYK')


def _cmyk_as_rgb():
  expected = np.zeros((16, 24, 3))
  for stripe, colour in enumerate([(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0)]):
    expected[:, stripe * 6 : stripe * 6 + 6] = colour
  return expected


def _quantized():
  return _rgb().quantize(256)


@pytest.mark.parametrize(
  'data, image_format, expected, note',
  [
    (_saved(_gray(), 'JPEG'), 'JPEG', _gray_as_rgb(), 'gray'),
    (_saved(_gray(), 'PNG'), 'PNG', _gray_as_rgb(), 'gray'),
    (_saved(_gray().convert('LA'), 'PNG'), 'PNG', _gray_as_rgb(), 'gray, alpha'),
    (_saved(_with_alpha(), 'PNG'), 'PNG', _over_white(), 'alpha'),
    (_saved(_rgb(), 'PNG', transparency=(1, 2, 3)), 'PNG', np.asarray(_rgb()), 'alpha'),
    (_saved(_quantized(), 'PNG'), 'PNG', np.asarray(_quantized().convert('RGB')), 'palette'),
    (
      _saved(_transparent_palette(), 'PNG', transparency=0),
      'PNG',
      _palette_over_white(),
      'palette, alpha',
    ),
    (
      _saved(_transparent_palette(), 'PNG', transparency=b'\0\xff'),
      'PNG',
      _palette_over_white(),
      'palette, alpha',
    ),
    (_saved(_ramp_16_bit(), 'PNG'), 'PNG', _ramp_8_bit(), '16 bit'),
    (_saved(_ramp_16_bit(), 'TIFF'), 'PNG', _ramp_8_bit(), 'TIFF, 16 bit'),
    (_rgb_png_16_bit(), 'PNG', np.asarray(_rgb()), '16 bit'),
    (_saved(_rgb(), 'BMP'), 'PNG', np.asarray(_rgb()), 'BMP'),
    (_saved(_rgb(), 'PPM'), 'PNG', np.asarray(_rgb()), 'PPM'),
    (_saved(_rgb(), 'TIFF'), 'PNG', np.asarray(_rgb()), 'TIFF'),
    (_saved(_rgb(), 'TIFF', compression='jpeg'), 'JPEG', np.asarray(_rgb()), 'TIFF'),
    (_saved(_rgb(), 'WEBP', quality=100), 'JPEG', np.asarray(_rgb()), 'WEBP'),
    (_saved(_rgb(), 'WEBP', lossless=True), 'PNG', np.asarray(_rgb()), 'WEBP'),
    (_saved(_rgb(), 'PNG', **_frames()), 'PNG', np.asarray(_rgb()), 'first frame'),
    (_saved(_rgb(), 'TIFF', **_frames()), 'PNG', np.asarray(_rgb()), 'TIFF, first frame'),
    (_saved(_rgb(), 'MPO', **_frames()), 'JPEG', np.asarray(_rgb()), 'MPO, first frame'),
    (_saved(_cmyk(), 'TIFF'), 'PNG', _cmyk_as_rgb(), 'TIFF, CMYK'),
    (_saved(_cmyk(), 'JPEG', quality=100, subsampling=0), 'JPEG', _cmyk_as_rgb(), 'CMYK'),
  ],
)
def test_odd_pictures_are_repaired(data, image_format, expected, note):
  repaired, actual_format, width, height, actual_note = image_files.readable_bytes(data)
  assert (actual_format, width, height, actual_note) == (image_format, *_SIZE, note)
  _assert_close(_pixels(repaired), expected, tolerance=4 if image_format == 'JPEG' else 1)
  again = image_files.readable_bytes(repaired)
  assert again[0] == repaired and again[4] is None


def test_first_frame_of_an_animated_gif():
  red, blue = Image.new('RGB', _SIZE, (250, 0, 0)), Image.new('RGB', _SIZE, (0, 0, 250))
  data = _saved(red, 'GIF', save_all=True, append_images=[blue, red], duration=50)
  repaired, image_format, *_, note = image_files.readable_bytes(data)
  assert image_format == 'PNG'
  assert 'GIF, first frame' in note
  _assert_close(_pixels(repaired), np.asarray(red), tolerance=1)


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('image_format', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_exif_rotation_is_applied_once(orientation, image_format):
  upright = _rgb()
  # A camera that is held like this stores the picture turned the other way.
  undo = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  data = _saved(upright.transpose(undo), image_format, exif=exif, quality=95)
  repaired, _, width, height, note = image_files.readable_bytes(data)
  assert (width, height) == _SIZE
  assert 'EXIF rotation' in note
  _assert_close(_pixels(repaired), np.asarray(upright), tolerance=4)
  assert image_files.readable_bytes(repaired)[4] is None


def test_orientation_one_is_no_rotation():
  exif = Image.Exif()
  exif[0x0112] = 1
  data = _saved(_rgb(), 'JPEG', exif=exif)
  assert image_files.readable_bytes(data)[4] is None


def test_stray_bytes_before_the_end_marker_are_removed():
  data = NOISE[:-2] + bytes(range(1, 60)) + NOISE[-2:]
  repaired, _, _, _, note = image_files.readable_bytes(data)
  assert note == 'stray bytes in the JPEG'
  assert image_files.readable_bytes(repaired)[4] is None
  _assert_close(_pixels(repaired), _pixels(NOISE), tolerance=4)


def _damaged():
  bmp, gif = _saved(_rgb(), 'BMP'), _saved(_rgb(), 'GIF')
  return [
    (b'', 'empty file'),
    (b'\0' * 500, 'zero bytes'),
    (b'<!DOCTYPE html><html><body>404 not found</body></html>', 'HTML page'),
    (b'\xef\xbb\xbf\n <html>', 'HTML page'),
    (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG drawing'),
    (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'PostScript'),
    (b'%PDF-1.4\n', 'PDF document'),
    (b'PK\x03\x04' + b'\0' * 30, 'ZIP archive'),
    (b'\0\0\0\x18ftypheic' + b'\0' * 30, 'HEIC'),
    (b'a note to myself\n', 'text'),
    (bytes(range(200, 256)) * 3, 'no image format'),
    (NOISE[: len(NOISE) // 2], 'truncated'),
    (NOISE[: len(NOISE) // 2] + b'\xff\xd9', 'truncated'),
    (NOISE[:-2], 'truncated'),
    (NOISE[:30], 'truncated'),
    (PNG[: len(PNG) // 2], 'truncated'),
    (PNG[:60] + b'\xaa' + PNG[61:], 'checksum'),
    (bmp[: len(bmp) // 2], 'truncated'),
    (gif[: len(gif) // 2], 'truncated'),
    (_saved(Image.fromarray(np.ones((4, 4), np.float32)), 'TIFF'), 'range of values'),
  ]


@pytest.mark.parametrize('data, reason', _damaged(), ids=range(len(_damaged())))
def test_what_cannot_be_read_is_refused_with_the_reason(data, reason):
  with pytest.raises(image_files.UnreadableImage, match=reason):
    image_files.readable_bytes(data)


@pytest.mark.parametrize('data', [NOISE, PNG, _saved(_rgb(), 'PNG', compress_level=0)])
def test_a_cut_file_is_refused_or_complete_and_repaired(data):
  for length in range(len(data)):
    try:
      repaired, *_, note = image_files.readable_bytes(data[:length])
    except image_files.UnreadableImage:
      continue
    assert note == 'PNG without its end'
    np.testing.assert_array_equal(_pixels(repaired), _pixels(data))


def _patched_jpeg(size):
  position = JPEG.index(b'\xff\xc0') + 5
  return JPEG[:position] + struct.pack('>HH', *size) + JPEG[position + 4 :]


def _bombs():
  side = 60_000
  gif = _saved(_rgb(), 'GIF')
  bmp = _saved(_rgb(), 'BMP')
  webp = _saved(_rgb(), 'WEBP', lossless=True)
  return {
    'JPEG': _patched_jpeg((side, side)),
    'PNG': _png((side, side), zlib.compress(bytes(1000))),
    'GIF': gif[:6] + struct.pack('<HH', side, side) + gif[10:],
    'BMP': bmp[:18] + struct.pack('<ii', side, side) + bmp[26:],
    'WEBP': webp[:21] + struct.pack('<I', 16383 - 1 | (16383 - 1) << 14) + webp[25:],
  }


@pytest.mark.parametrize('name', ['JPEG', 'PNG', 'GIF', 'BMP', 'WEBP'])
def test_bombs_are_refused_from_the_header(name):
  with pytest.raises(image_files.UnreadableImage, match='pixels'):
    image_files.readable_bytes(_bombs()[name])


def test_bombs_take_no_memory(tmp_path):
  for name, data in _bombs().items():
    (tmp_path / name).write_bytes(data)
  program = (
    'import pathlib, re, sys\n'
    'from datasets import image_files\n'
    'for path in pathlib.Path(sys.argv[1]).iterdir():\n'
    '  try:\n'
    '    image_files.readable_bytes(path.read_bytes())\n'
    '  except image_files.UnreadableImage:\n'
    '    print(path.name)\n'
    'status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")\n'
    'print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) // 1024)\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', program, str(tmp_path)],
    cwd=_REPO,
    capture_output=True,
    text=True,
    check=True,
  )
  *refused, megabytes = done.stdout.split()
  assert sorted(refused) == ['BMP', 'GIF', 'JPEG', 'PNG', 'WEBP']
  assert int(megabytes) < 200


def test_a_large_jpeg_is_read_at_a_reduced_size():
  data = _saved(_rgb(size=(400, 200)), 'JPEG', quality=95)
  repaired, image_format, width, height, note = image_files.readable_bytes(data, max_pixels=20_000)
  assert (image_format, width, height, note) == ('JPEG', 200, 100, 'reduced to 1/2')
  _assert_close(_pixels(repaired), np.asarray(_rgb(size=(200, 100))), tolerance=4)
  with pytest.raises(image_files.UnreadableImage, match='more than 4000 pixels: 400x200'):
    image_files.readable_bytes(data, max_pixels=4_000)
  with pytest.raises(image_files.UnreadableImage, match='more than 20000 pixels'):
    image_files.readable_bytes(_saved(_rgb(size=(400, 200)), 'PNG'), max_pixels=20_000)


def test_a_raised_limit_goes_beyond_pillows_own(monkeypatch):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  data = _saved(_rgb(size=(100, 50)), 'PNG')
  with pytest.raises(image_files.UnreadableImage, match='more than 900 pixels'):
    image_files.readable_bytes(data, max_pixels=900)
  assert image_files.readable_bytes(data, max_pixels=5000)[4] is None
