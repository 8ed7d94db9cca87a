"""Decoding just a part of a picture: the pixels of the whole, its limits and its errors."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import encoded_picture
from preprocessing import pictures, preprocessing_factory
from slim_compat import tf

_PARTS = [(0, 0, 61, 83), (0, 0, 1, 1), (60, 82, 1, 1), (7, 5, 30, 40), (16, 16, 32, 16)]


def _pixels(height=61, width=83, channels=3):
  """Waves and noise, so that colours differ from one pixel to the next."""
  rows, columns = np.mgrid[:height, :width]
  waves = [np.sin(rows / 7 + columns / 11), np.sin(columns / 3), np.cos(rows / 5), np.sin(rows)]
  noise = np.random.default_rng(0).normal(0, 10, (height, width, channels))
  return np.clip(128 + 80 * np.stack(waves[:channels], 2) + noise, 0, 255).astype(np.uint8)


def _encoded(pixels, image_format='JPEG', mode=None, **options):
  file = io.BytesIO()
  image = Image.fromarray(pixels, 'CMYK' if pixels.shape[2] == 4 else 'RGB')
  (image.convert(mode) if mode else image).save(file, image_format, **options)
  return file.getvalue()


def _run(function, encoded, channels=3):
  with tf.Graph().as_default(), tf.Session() as session:
    picture = encoded_picture.EncodedPicture(tf.constant(encoded), 'a name', channels)
    return session.run(function(picture))


def _reduced(picture, *sizes):
  """Parts of the whole picture, as they may be reduced for each of the sizes."""
  return [picture.crop([0, 0], picture.size, at_least=size) for size in sizes]


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize(
  'options',
  [
    *({'subsampling': s, 'progressive': p} for s in (0, 1, 2) for p in (False, True)),
    {'channels': 4, 'subsampling': 2},
    {'mode': 'L'},
    {'image_format': 'PNG'},
    {'image_format': 'PNG', 'mode': 'P'},
  ],
  ids=str,
)
def test_a_part_has_the_pixels_of_the_whole(options):
  encoded = _encoded(_pixels(channels=options.pop('channels', 3)), **options)
  whole, size, *parts = _run(
    lambda picture: [
      picture.pixels(),
      picture.size,
      *(picture.crop(part[:2], part[2:]) for part in _PARTS),
    ],
    encoded,
  )
  assert size.tolist() == [61, 83] and whole.shape == (61, 83, 3)
  for (y, x, height, width), part in zip(_PARTS, parts, strict=True):
    np.testing.assert_array_equal(part, whole[y : y + height, x : x + width])


def test_a_gray_part_has_one_channel():
  encoded = _encoded(_pixels(), mode='L')
  whole, part = _run(lambda picture: [picture.pixels(), picture.crop([3, 4], [5, 6])], encoded, 1)
  np.testing.assert_array_equal(part, whole[3:8, 4:10])


def test_what_is_much_larger_than_needed_is_decoded_smaller():
  sizes = [(61, 83), (31, 20), (30, 41), (15, 20), (7, 10), (1, 1)]
  encoded = _encoded(_pixels(), quality=95)
  parts = _run(lambda picture: _reduced(picture, *sizes), encoded)
  ratios = [1, 1, 2, 4, 8, 8]  # 31 is more than half of 61
  assert [part.shape for part in parts] == [
    ((61 + ratio // 2) // ratio, (83 + ratio // 2) // ratio, 3) for ratio in ratios
  ]
  for part, size in zip(parts, sizes, strict=True):
    assert part.shape[0] >= size[0] and part.shape[1] >= size[1]
  # A pixel of half the size is the mean of the four it stands for.
  means = parts[0][:60, :82].reshape(30, 2, 41, 2, 3).mean((1, 3))
  assert np.abs(means - parts[2][:30, :41]).mean() < 4


def test_a_png_is_never_reduced():
  (part,) = _run(lambda picture: _reduced(picture, (3, 3)), _encoded(_pixels(), 'PNG'))
  assert part.shape == (61, 83, 3)


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_the_limit_of_pixels_holds_for_a_part(image_format, monkeypatch):
  monkeypatch.setattr(encoded_picture, 'MAX_PIXELS', 61 * 83 - 1)
  with pytest.raises(tf.errors.InvalidArgumentError, match='more pixels than can be.*a name'):
    _run(lambda picture: picture.crop([0, 0], [1, 1]), _encoded(_pixels(), image_format))


@pytest.mark.parametrize('image_format', ['GIF', 'BMP'])
def test_only_jpeg_and_png_are_cut(image_format):
  with pytest.raises(tf.errors.InvalidArgumentError, match='neither JPEG nor PNG.*a name'):
    _run(lambda picture: picture.crop([0, 0], [1, 1]), _encoded(_pixels(), image_format))


@pytest.mark.parametrize('at_least', [None, (20, 20)])
def test_a_part_that_is_damaged_is_refused(at_least):
  encoded = _encoded(_pixels(400, 400), quality=95)
  with pytest.raises(tf.errors.InvalidArgumentError):
    _run(lambda picture: picture.crop([300, 0], [50, 50], at_least), encoded[: len(encoded) // 2])


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'lenet', 'vgg'])
@pytest.mark.parametrize('is_training', [False, True])
def test_views_are_those_of_the_decoded_picture(family, is_training):
  fn = preprocessing_factory.get_preprocessing(family, is_training)

  def view(image, number):
    if not is_training:
      return fn(image, 40, 40)
    # As in a pipeline: with a constant the colours would be compiled for it, and round otherwise.
    return fn(image, 40, 40, seed=tf.placeholder_with_default([1, number], [2]))

  def views(image):
    return [view(image, number) for number in range(6 if is_training else 1)]

  whole, cut = _run(
    lambda picture: [views(pictures.DecodedPicture(picture.pixels())), views(picture)],
    _encoded(_pixels(), subsampling=2),
  )
  np.testing.assert_array_equal(whole, cut)
