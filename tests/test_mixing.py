"""Mixup, cutmix and random erasing: what they make of a batch, by its numbers."""

import numpy as np
import pytest

from image_classifier.optimization import mixing
from image_classifier.options import TrainingOptions
from slim_compat import tf
from slim_errors import UserError

_SHAPE = 8, 20, 30, 3
# Image i is all 1 + i, of class i.
_IMAGES = np.ones(_SHAPE, np.float32) * (1 + np.arange(8, dtype=np.float32))[:, None, None, None]
_LABELS = np.eye(8, dtype=np.float32)


def _mixed(steps=(0,), seed=0, **settings):
  """[(images, labels)] of every step."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(seed)
    step = tf.train.get_or_create_global_step()
    images, labels = tf.constant(_IMAGES), tf.constant(_LABELS)
    mixed = mixing.mixed(TrainingOptions(**settings), images, labels)
    session.run(tf.global_variables_initializer())
    seen = []
    for number in steps:
      step.load(number, session)
      seen.append(session.run(mixed))
    return seen


def _own_shares(labels):
  """Returns how much of each image is its own, and checks that the next has the rest."""
  np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
  own = np.diag(labels)
  partners = np.array([labels[i, (i + 1) % 8] for i in range(8)])
  np.testing.assert_allclose(own + partners, 1, rtol=1e-5)
  return own


def test_mixup_blends_images_and_labels_alike():
  ((images, labels),) = _mixed(mixup_alpha=1.0)
  own = _own_shares(labels)
  assert own.min() > 0 and own.max() < 1 and len(set(own)) == 8
  for i, share in enumerate(own):
    expected = share * (i + 1) + (1 - share) * ((i + 1) % 8 + 1)
    np.testing.assert_allclose(images[i], expected, rtol=1e-4)


def test_cutmix_cuts_a_box_of_the_share_of_the_label():
  for images, labels in _mixed(range(20), cutmix_alpha=1.0):
    for i, share in enumerate(_own_shares(labels)):
      is_own = (images[i] == i + 1).all(axis=-1)
      assert (is_own | (images[i] == (i + 1) % 8 + 1).all(axis=-1)).all()
      assert is_own.mean() == pytest.approx(share, abs=1e-5)
      rows, columns = np.nonzero(~is_own)
      if rows.size:  # a box
        assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_with_both_each_image_takes_one():
  kinds = []
  for images, labels in _mixed(range(20), mixup_alpha=1.0, cutmix_alpha=1.0):
    _own_shares(labels)
    kinds += [len(np.unique(image)) for image in images]
  assert 40 < kinds.count(1) < 140  # of 160 are blends, or cut by nothing


def test_the_strength_of_mixup():
  shares = {
    alpha: np.concatenate(
      [_own_shares(labels) for _, labels in _mixed(range(60), mixup_alpha=alpha)]
    )
    for alpha in (0.2, 8.0)
  }
  for alpha, values in shares.items():
    assert values.mean() == pytest.approx(0.5, abs=0.06)
    assert values.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.25)  # of Beta


def test_random_erasing_erases_boxes_of_some_images():
  areas = []
  for images, labels in _mixed(range(25), random_erasing=0.4):
    assert np.array_equal(labels, _LABELS)
    for i, image in enumerate(images):
      is_erased = (image == 0).all(axis=-1)
      assert (image[~is_erased] == i + 1).all()
      rows, columns = np.nonzero(is_erased)
      if rows.size:
        assert rows.size == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        areas.append(is_erased.mean())
  assert 50 < len(areas) < 110  # of 200
  assert min(areas) < 0.08 and 0.3 < max(areas) <= 0.45


def test_what_is_drawn_depends_on_seed_and_step_alone():
  settings = {'mixup_alpha': 0.5, 'cutmix_alpha': 0.5, 'random_erasing': 0.5}
  first, other, again = _mixed([5, 6, 5], **settings)
  ((anew, _),) = _mixed([5], **settings)
  ((other_seed, _),) = _mixed([5], seed=1, **settings)
  assert np.array_equal(first[0], again[0]) and np.array_equal(first[0], anew)
  assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[0], other_seed)


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'mixup_alpha': -1.0}, '--mixup_alpha=-1.0 must be 0'),
    ({'cutmix_alpha': float('nan')}, '--cutmix_alpha=nan must be 0'),
    ({'random_erasing': 1.5}, '--random_erasing=1.5 must be from 0 to 1'),
    ({'mixup_alpha': 1.0, 'batch_size': 1}, 'need a --batch_size of 2'),
  ],
)
def test_strengths_that_cannot_be(settings, words):
  with pytest.raises(UserError, match=words):
    mixing.check(TrainingOptions(**settings))
