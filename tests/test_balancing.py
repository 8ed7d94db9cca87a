"""Balanced sampling: how often each image and each class comes."""

import collections

import pytest

from image_classifier import balancing
from slim_compat import tf

# Image i of class c is the record c * 100 + i.


def _epochs(class_counts, epochs):
  """The records of some epochs, a list each."""
  split = [c * 100 + i for c, count in enumerate(class_counts) for i in range(count)]
  with tf.Graph().as_default(), tf.Session() as session:
    epoch = tf.placeholder(tf.int64, [])
    records = tf.data.Dataset.from_tensor_slices(tf.constant(split, tf.int64))
    balanced = balancing.balanced(records, epoch, lambda record: record // 100, class_counts)
    iterator = tf.data.make_initializable_iterator(balanced.batch(10_000))
    batch, seen = iterator.get_next(), []
    for number in epochs:
      session.run(iterator.initializer, {epoch: number})
      seen.append(session.run(batch).tolist())
    return seen


@pytest.mark.parametrize('class_counts', [[10, 10, 10], [20, 8, 2], [1, 30], [7, 0, 4], [3]])
def test_every_class_comes_as_often(class_counts):
  present = sum(count > 0 for count in class_counts)
  for epoch in _epochs(class_counts, [0, 1, 2, 77]):
    assert len(epoch) == balancing.epoch_size(class_counts)
    assert 0 <= len(epoch) - sum(class_counts) < present
    per_class = collections.Counter(record // 100 for record in epoch)
    assert set(per_class.values()) == {balancing.images_per_class(class_counts)}


def test_every_image_comes_as_often_as_others_of_its_class_in_the_long_run():
  times = collections.Counter(
    record for epoch in _epochs([20, 8, 2], range(60)) for record in epoch
  )
  for c, count in enumerate([20, 8, 2]):
    for i in range(count):
      assert times[c * 100 + i] == pytest.approx(60 * 10 / count, rel=0.1)


def test_an_epoch_depends_on_its_number_alone():
  first, other, again = _epochs([20, 8, 2], [3, 4, 3])
  assert first == again and first != other
