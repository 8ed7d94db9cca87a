"""What training views are made to differ by, and how strongly."""

import numpy as np
import pytest

from preprocessing import augmentation, colours, preprocessing_factory
from preprocessing.augmentation import Augmentation
from slim_compat import tf
from slim_errors import UserError

_NOISE = np.random.default_rng(0).integers(0, 256, [64, 64, 3], np.uint8)
_STILL = {
  'horizontal_flip': False,
  'min_crop_area': 1,
  'brightness': 0,
  'saturation': 0,
  'contrast': 0,
  'hue': 0,
}
_ONE_COLOUR = np.tile(np.uint8([160, 130, 100]), (32, 32, 1))


def _views(family, picture, count=24, size=None, **asked):
  """Training views [count, size, size, channels], of as many seeds."""
  size = size or len(picture)
  with tf.Graph().as_default(), tf.Session() as session:
    fn = preprocessing_factory.get_preprocessing(family, is_training=True, **asked)
    seed = tf.placeholder(tf.int64, [2])
    view = fn(tf.constant(picture), size, size, seed=seed)
    return np.array([session.run(view, {seed: [3, number]}) for number in range(count)])


@pytest.mark.parametrize('family', ['inception', 'vgg'])
def test_with_every_strength_at_0_a_view_is_the_whole_picture(family):
  views = _views(family, _NOISE, 3, **_STILL)
  facts = preprocessing_factory.describe(family)
  expected = (_NOISE - np.float32(facts['mean'])) * facts['scale']
  np.testing.assert_allclose(views, np.stack([expected] * 3), atol=1e-4)


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'lenet', 'vgg'])
@pytest.mark.parametrize('flip', [None, True, False])
def test_views_are_mirrored_where_it_is_asked_for_or_usual(family, flip):
  ramp = np.tile(np.linspace(80, 160, 32).astype(np.uint8)[None, :, None], (32, 1, 3))
  views = _views(family, ramp, horizontal_flip=flip)
  middle = views[:, 8:-8, 8:-8]  # inside what cifarnet pads
  rises = middle[:, :, -1].mean((1, 2)) > middle[:, :, 0].mean((1, 2))
  flips = family != 'lenet' if flip is None else flip
  assert 0.2 < rises.mean() < 0.8 if flips else rises.all()


@pytest.mark.parametrize(
  ('family', 'own'),
  [
    ('inception', {'min_crop_area': 0.1, 'brightness': 32 / 255, 'saturation': 0.5}),
    ('inception', {'contrast': 0, 'hue': 0, 'horizontal_flip': True}),
    ('vgg', {'min_crop_area': (224 / 512) ** 2, 'brightness': 0, 'saturation': 0, 'hue': 0}),
    ('cifarnet', {'brightness': 63 / 255, 'contrast': 0.8, 'horizontal_flip': True}),
  ],
)
def test_what_is_left_out_is_the_familys_own(family, own):
  usual, same = (_views(family, _NOISE, 3, 32, **asked) for asked in ({}, own))
  np.testing.assert_array_equal(usual, same)


@pytest.mark.parametrize(('family', 'size'), [('inception', 64), ('vgg', 224)])
@pytest.mark.parametrize('area', [0.02, 0.3, 0.9])
def test_views_show_no_less_than_the_least_area(family, size, area):
  ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
  views = _views(family, ramp, 30, size, **{**_STILL, 'min_crop_area': area})
  scale = preprocessing_factory.describe(family)['scale']
  shown = (views[:, 0, -1, 0] - views[:, 0, 0, 0]) / scale / 255  # share of the width
  # The narrowest part has the aspect ratio 3:4; vgg keeps that of the picture.
  narrowest = np.sqrt(area * (0.75 if family == 'inception' else 1))
  assert narrowest - 0.03 < shown.min() < narrowest + 0.16
  assert shown.max() > min(narrowest + 0.2, 0.9)


@pytest.mark.parametrize('family', ['inception', 'vgg'])
@pytest.mark.parametrize('strength', [0.1, 0.3])
def test_brightness_shifts_the_values(family, strength):
  shifts = _colours(family, brightness=strength) - _ONE_COLOUR[0, 0] / 255
  np.testing.assert_allclose(np.ptp(shifts, axis=1), 0, atol=1e-5)
  assert 0.7 * strength < shifts.max() <= strength + 1e-5
  assert -strength - 1e-5 <= shifts.min() < -0.5 * strength


@pytest.mark.parametrize('family', ['inception', 'vgg'])
def test_saturation_moves_the_channels_apart(family):
  seen = _colours(family, saturation=0.8)
  spreads = np.ptp(seen, axis=1) / (60 / 255)
  np.testing.assert_allclose(seen.max(1), 160 / 255, atol=1e-5)
  assert 0.2 <= spreads.min() < 0.5 and 1.5 < spreads.max() <= 1.8


@pytest.mark.parametrize('family', ['inception', 'vgg'])
def test_hue_turns_the_colours(family):
  seen = _colours(family, hue=0.5)
  np.testing.assert_allclose(seen.max(1), 160 / 255, atol=1e-4)
  np.testing.assert_allclose(seen.min(1), 100 / 255, atol=1e-4)
  assert set(seen.argmax(1)) == {0, 1, 2}


def test_contrast_moves_the_values_from_their_mean():
  views = _views('inception', _NOISE // 2 + 64, **{**_STILL, 'contrast': 0.6})
  deviations = views.std((1, 2)) / ((_NOISE // 2 + 64) / 127.5).std((0, 1))
  assert 0.4 <= deviations.min() < 0.7 and 1.3 < deviations.max() < 1.6
  np.testing.assert_allclose(views.mean((1, 2)), np.tile(views.mean((0, 1, 2)), (24, 1)), atol=0.02)


def _colours(family, **asked):
  """The one colour of many views of a picture of one colour: [views, 3] in [0, 1]."""
  facts = preprocessing_factory.describe(family)
  views = _views(family, _ONE_COLOUR, 40, **{**_STILL, **asked}) / facts['scale'] + facts['mean']
  np.testing.assert_allclose(np.ptp(views, axis=(1, 2)), 0, atol=1e-3)
  return views[:, 0, 0] / 255


def test_gray_pictures_have_no_colours_to_change():
  views = _views('inception', _NOISE[..., :1], 3, **{**_STILL, 'saturation': 1, 'hue': 0.5})
  np.testing.assert_allclose(views, np.stack([_NOISE[..., :1] / 127.5 - 1] * 3), atol=1e-5)


@pytest.mark.parametrize('factor', [0.0, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize('is_compiled', [False, True])
def test_saturation_is_tensorflows(factor, is_compiled):
  rng = np.random.default_rng(1)
  image = rng.uniform(-0.13, 1.13, [64, 64, 3]).astype(np.float32)
  image[:8] = image[:8, :, :1]  # gray
  image[8:12] *= rng.integers(0, 2, [4, 64, 3])  # full saturation, black
  with tf.Graph().as_default(), tf.Session() as session:
    saturated = tf.function(colours.saturated, jit_compile=is_compiled, autograph=False)
    ours = tf.clip_by_value(saturated(tf.constant(image), factor), 0, 1)
    theirs = tf.clip_by_value(tf.image.adjust_saturation(image, factor), 0, 1)
    np.testing.assert_allclose(*session.run([ours, theirs]), atol=1e-5)


@pytest.mark.parametrize('white', [1.0, 255.0])
def test_changes_are_those_of_tensorflows_operations(white):
  strengths = Augmentation(brightness=0.2, saturation=0.5, contrast=0.4, hue=0.1)

  class Drawn:
    """The values of the four changes, in place of random ones."""

    def __init__(self):
      self._values = iter([-0.1, 1.4, 0.7, 0.06])

    def uniform(self, *_):
      return tf.constant(next(self._values))

  image = np.float32(_NOISE / 255)
  with tf.Graph().as_default(), tf.Session() as session:
    ours = colours.changed(tf.constant(image * white), strengths, Drawn(), white=white)
    theirs = tf.image.adjust_saturation(tf.image.adjust_brightness(image, -0.1), 1.4)
    theirs = tf.image.adjust_hue(tf.image.adjust_contrast(theirs, 0.7), 0.06)
    ours, theirs = session.run([ours / white, tf.clip_by_value(theirs, 0, 1)])
  np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize('rotation', ['10', '180'])
def test_views_are_turned_up_to_an_angle(rotation):
  # Left to right and top to bottom, so that a view's gradient is the way it is turned.
  ramp = np.stack([*np.meshgrid(np.arange(64), np.arange(64)), np.zeros((64, 64))], -1)
  views = _views('inception', ramp.astype(np.uint8), 40, rotation=rotation, **_STILL)
  middle = (views * 127.5)[:, 28:36, 28:36]
  x = np.diff(middle, axis=2).mean((1, 2))  # change of (column, row) a pixel to the right
  angles = np.degrees(np.arctan2(x[:, 1], x[:, 0]))
  np.testing.assert_allclose(np.hypot(x[:, 0], x[:, 1]), 1, atol=0.01)
  assert 0.7 * float(rotation) < np.abs(angles).max() <= float(rotation) + 0.1
  assert angles.min() < 0 < angles.max()
  # No corner is black: what a picture does not have is mirrored.
  bright = _views('inception', _ONE_COLOUR, 5, rotation=rotation, **_STILL)
  np.testing.assert_allclose(
    bright, np.broadcast_to(_ONE_COLOUR / 127.5 - 1, bright.shape), atol=1e-4
  )


@pytest.mark.parametrize(
  ('family', 'asked', 'message'),
  [
    ('inception', {'brightness': 1.5}, '--brightness=1.5 must be from 0 to 1.'),
    ('vgg', {'saturation': -0.1}, '--saturation=-0.1 must be from 0 to 1.'),
    ('vgg', {'hue': 0.6}, '--hue=0.6 must be from 0 to 0.5.'),
    ('inception', {'contrast': float('nan')}, '--contrast=nan must be from 0 to 1.'),
    ('inception', {'min_crop_area': 0}, '--min_crop_area=0 must be above 0, up to 1.'),
    ('cifarnet', {'min_crop_area': 0.5}, '--min_crop_area does nothing in the cifarnet'),
    ('lenet', {'brightness': 0.1}, '--brightness does nothing in the lenet preprocessing'),
    ('lenet', {'rotation': '200'}, '--rotation=200 must be above 0, up to 180 degrees.'),
    ('lenet', {'rotation': '0'}, '--rotation=0 must be above 0'),
    ('lenet', {'rotation': 'nan'}, '--rotation=nan must be above 0'),
    ('lenet', {'rotation': 'left'}, "Unknown rotation 'left': .*an angle in degrees"),
  ],
)
def test_what_cannot_be_is_said(family, asked, message):
  with pytest.raises(UserError, match=message):
    preprocessing_factory.get_preprocessing(family, is_training=True, **asked)


def test_flags_that_ask_for_other_views():
  asked = Augmentation(False, False, 'none', brightness=0.0)
  assert augmentation.named(asked) == augmentation.named(Augmentation()) == []
  asked = Augmentation(True, rotation='5', hue=0.1)
  assert augmentation.named(asked) == ['--horizontal_flip', '--rotation', '--hue']
