"""Balanced sampling: how often each image and each class comes."""

import collections
import shutil

import pytest
from conftest import TINY_CLASSES

import data_convert
from datasets import dataset_factory
from image_classifier import balancing, command, inputs
from image_classifier.optimization import class_weights
from image_classifier.options import TrainingOptions
from slim_compat import tf

# Image i of class c is the record c * 1000 + i.


def _epochs(class_counts, epochs):
  """The records of some epochs, a list each."""
  split = [c * 1000 + i for c, count in enumerate(class_counts) for i in range(count)]
  with tf.Graph().as_default(), tf.Session() as session:
    epoch = tf.placeholder(tf.int64, [])
    records = tf.data.Dataset.from_tensor_slices(tf.constant(split, tf.int64))
    balanced = balancing.balanced(records, epoch, lambda record: record // 1000, class_counts)
    iterator = tf.data.make_initializable_iterator(balanced.batch(10_000))
    batch, seen = iterator.get_next(), []
    for number in epochs:
      session.run(iterator.initializer, {epoch: number})
      seen.append(session.run(batch).tolist())
    return seen


@pytest.mark.parametrize(
  'class_counts', [[10, 10, 10], [20, 8, 2], [1, 30], [7, 0, 4], [3], [49, 60], [196, 200]]
)
def test_every_class_comes_as_often(class_counts):
  present = sum(count > 0 for count in class_counts)
  for epoch in _epochs(class_counts, [0, 1, 2, 77]):
    assert len(epoch) == balancing.epoch_size(class_counts)
    assert 0 <= len(epoch) - sum(class_counts) < present
    per_class = collections.Counter(record // 1000 for record in epoch)
    assert set(per_class.values()) == {balancing.images_per_class(class_counts)}


def test_every_image_comes_as_often_as_others_of_its_class_in_the_long_run():
  times = collections.Counter(
    record for epoch in _epochs([20, 8, 2], range(60)) for record in epoch
  )
  for c, count in enumerate([20, 8, 2]):
    for i in range(count):
      assert times[c * 1000 + i] == pytest.approx(60 * 10 / count, rel=0.1)


def test_an_epoch_depends_on_its_number_alone():
  first, other, again = _epochs([20, 8, 2], [3, 4, 3])
  assert first == again and first != other


@pytest.fixture(scope='module')
def uneven_dataset(tiny_images, tmp_path_factory):
  """Records of 10, 4 and 2 images to train on."""
  folder = tmp_path_factory.mktemp('uneven')
  shutil.copytree(tiny_images, folder / 'images')
  for name, count in zip(TINY_CLASSES[1:], (4, 2), strict=True):
    for path in sorted((folder / 'images' / 'train' / name).iterdir())[count:]:
      path.unlink()
  argv = ['data_convert', '-t', str(folder / 'images'), '--output_dir', str(folder / 'records')]
  assert command.run('', data_convert.FLAGS, data_convert.main, argv) == 0
  return folder / 'records'


def _files(folder, num_batches, start_step=0):
  """(label, file) of every image of some batches of six."""
  dataset = dataset_factory.get_dataset(None, 'train', str(folder))
  options = TrainingOptions(dataset_dir=str(folder))
  with tf.Graph().as_default(), tf.Session() as session:
    *_, labels, filenames, initializer = inputs.training_batches(
      dataset,
      lambda image, height, width, seed: tf.zeros([height, width, 3]),
      *(6, 4),
      start_step=start_step,
      class_counts=class_weights.class_counts(options, dataset),
    )
    session.run(initializer)
    batches = [session.run([labels, filenames]) for _ in range(num_batches)]
  return [pair for batch in batches for pair in zip(*(v.tolist() for v in batch), strict=True)]


def test_batches_are_balanced_and_go_on_where_they_were(uneven_dataset):
  images = _files(uneven_dataset, 9)  # 16 images: six of each class are three batches
  epochs = [images[i : i + 18] for i in (0, 18, 36)]
  for epoch in epochs:
    assert collections.Counter(label for label, _ in epoch) == {0: 6, 1: 6, 2: 6}
  assert len({name for label, name in images if label == 0}) > 6  # left out by turns
  assert epochs[0] != epochs[1]
  for step in (1, 4):
    assert _files(uneven_dataset, 9 - step, start_step=step) == images[6 * step :]
