"""RandAugment: its operations, against Pillow's, and how it is drawn."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from preprocessing import geometry, preprocessing_factory, rand_augment
from preprocessing.draws import Draws
from slim_compat import tf
from slim_errors import UserError

_PICTURE = np.random.default_rng(0).integers(30, 200, [24, 32, 3]).astype(np.uint8)
_MOVING = ('rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y')


def _done(amount, names=tuple(rand_augment.OPERATIONS), image=_PICTURE):
  """{name: result of the operation}."""
  image, amount = tf.constant(image, tf.float32), tf.constant(amount, tf.float32)
  with tf.Session() as session:
    return session.run({name: rand_augment.OPERATIONS[name](image, amount) for name in names})


@pytest.mark.parametrize('amount', [-0.8, 0.5])
def test_colours_change_as_pillow_changes_them(amount):
  picture, factor = Image.fromarray(_PICTURE), 1 + 0.9 * amount
  gray_mean = int(np.asarray(picture.convert('L')).mean() + 0.5)
  bits = 8 - round(4 * abs(amount))
  expected = {
    'identity': picture,
    'autocontrast': ImageOps.autocontrast(picture),
    'equalize': ImageOps.equalize(picture),
    'solarize': ImageOps.solarize(picture, 256 * (1 - abs(amount))),
    'posterize': ImageOps.posterize(picture, bits),
    'color': ImageEnhance.Color(picture).enhance(factor),
    'brightness': ImageEnhance.Brightness(picture).enhance(factor),
    'contrast': ImageEnhance.Contrast(picture).enhance(factor),
    'sharpness': ImageEnhance.Sharpness(picture).enhance(factor),
  }
  assert set(expected) | set(_MOVING) == set(rand_augment.OPERATIONS)
  assert 30 < gray_mean < 200
  done = _done(amount, expected)
  for name, theirs in expected.items():
    inside = (slice(1, -1),) * 2 if name == 'sharpness' else ()  # Pillow leaves the edge as it is
    ours = np.clip(done[name], 0, 255)[inside]
    np.testing.assert_allclose(ours, np.asarray(theirs)[inside], atol=1.6, err_msg=name)


def test_nothing_changes_at_magnitude_0():
  for name, result in _done(0.0).items():
    if name not in ('autocontrast', 'equalize'):
      np.testing.assert_allclose(result, _PICTURE, atol=0.01, err_msg=name)


def test_pictures_of_one_colour_stay_so():
  one = np.full([8, 8, 1], 77)
  done = _done(1.0, ('autocontrast', 'equalize', 'color', 'contrast', 'sharpness', *_MOVING), one)
  for name, result in done.items():
    np.testing.assert_allclose(result, one, atol=0.01, err_msg=name)


def test_pictures_move_about_their_middle_and_go_on_mirrored():
  square = _PICTURE[:, :24].astype(np.float32)
  quarter, moved = (
    geometry.rotated(tf.constant(square), np.float32(np.pi / 2)),
    geometry.mapped(tf.constant(square), np.eye(2, dtype=np.float32), [3.0, -2.0]),
  )
  with tf.Session() as session:
    quarter, moved = session.run([quarter, moved])
  np.testing.assert_allclose(quarter, np.rot90(square), atol=0.01)
  padded = np.pad(square, [(2, 0), (0, 3), (0, 0)], 'symmetric')
  np.testing.assert_allclose(moved, padded[:24, 3:], atol=0.01)
  assert np.abs(moved - square).mean() > 10


def test_shears_lean_and_translations_shift():
  ramp = np.stack([*np.meshgrid(np.arange(40.0), np.arange(40.0)), np.zeros([40, 40])], -1)
  done = _done(1.0, _MOVING, ramp)
  x, y = (
    {
      name: np.gradient(result[15:25, 15:25], axis=axis).mean((0, 1))
      for name, result in done.items()
    }
    for axis in (1, 0)
  )
  np.testing.assert_allclose(y['shear_x'], [0.3, 1, 0], atol=0.01)
  np.testing.assert_allclose(x['shear_y'], [1, 0.3, 0], atol=0.01)
  np.testing.assert_allclose(np.abs(x['rotate']), [0.75**0.5, 0.5, 0], atol=0.01)
  shift = 40 * 150 / 331
  np.testing.assert_allclose(done['translate_x'][20, 10] - ramp[20, 10], [shift, 0, 0], atol=0.01)
  np.testing.assert_allclose(done['translate_y'][10, 20] - ramp[10, 20], [0, shift, 0], atol=0.01)


def test_every_operation_is_drawn_as_often_and_either_way(monkeypatch):
  recorders = {
    name: lambda image, amount, number=number: image + number * tf.sign(amount)
    for number, name in enumerate(rand_augment.OPERATIONS, 1)
  }
  monkeypatch.setattr(rand_augment, 'OPERATIONS', recorders)
  with tf.Graph().as_default(), tf.Session() as session:
    seeds = tf.stack([tf.zeros([500], tf.int64), tf.range(500, dtype=tf.int64)], axis=1)
    views = tf.map_fn(
      lambda seed: rand_augment.applied(tf.fill([1, 1, 1], 100.0), 1, 5, Draws(seed)),
      seeds,
      tf.float32,
    )
    drawn = session.run(views).ravel().astype(int) - 100
  counts = np.bincount(np.abs(drawn), minlength=15)[1:]
  assert len(counts) == 14 and counts.min() > 15 and counts.max() < 65  # 500 / 14 = 36
  assert 0.4 < (drawn > 0).mean() < 0.6


def _views(family, seeds, **asked):
  with tf.Graph().as_default(), tf.Session() as session:
    fn = preprocessing_factory.get_preprocessing(family, is_training=True, **asked)
    seed = tf.placeholder(tf.int64, [2])
    view = fn(tf.constant(_PICTURE), 24, 24, seed=seed)
    return np.array([session.run(view, {seed: [1, number]}) for number in seeds])


@pytest.mark.parametrize('family', ['cifarnet', 'inception', 'vgg'])
def test_a_seed_decides_the_view(family):
  first, second = (_views(family, seeds, rand_augment=2) for seeds in ([1, 2, 3], [3, 2, 1]))
  np.testing.assert_array_equal(first, second[::-1])
  assert np.isfinite(first).all()
  assert np.abs(first - _views(family, [1, 2, 3])).max((1, 2, 3)).min() > 0.01
  facts = preprocessing_factory.describe(family)
  if facts['scale']:
    values = first / facts['scale'] + facts['mean']
    assert values.min() >= -0.01 and values.max() <= 255.01


def test_colours_are_left_to_it_unless_they_are_asked_for():
  still = {'min_crop_area': 1, 'horizontal_flip': False, 'rand_augment_magnitude': 0}
  usual, alone, asked = (
    _views('inception', range(8), **still, **other)
    for other in ({}, {'rand_augment': 1}, {'rand_augment': 1, 'brightness': 32 / 255})
  )
  one = _views('inception', [0], **still, brightness=0, saturation=0)[0]
  unchanged = [np.allclose(view, one, atol=1e-4) for view in alone]
  assert sum(unchanged) > 4  # all operations but two of the 14 do nothing at 0
  assert not any(np.allclose(view, one, atol=1e-4) for view in [*usual, *asked])


@pytest.mark.parametrize(
  ('family', 'asked', 'message'),
  [
    ('inception', {'rand_augment': -1}, '--rand_augment=-1 must be from 0 to 14.'),
    ('vgg', {'rand_augment_magnitude': 11}, '--rand_augment_magnitude=11 must be from 0 to 10.'),
    ('lenet', {'rand_augment': 1}, '--rand_augment does nothing in the lenet preprocessing'),
  ],
)
def test_what_cannot_be_is_said(family, asked, message):
  with pytest.raises(UserError, match=message):
    preprocessing_factory.get_preprocessing(family, is_training=True, **asked)
