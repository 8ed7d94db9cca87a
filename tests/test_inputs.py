"""Batches: every image once an epoch or a pass, the same for the same seed, resumed where left."""

import collections

import numpy as np
import pytest

from datasets import dataset_factory
from image_classifier import inputs
from preprocessing import preprocessing_factory
from slim_compat import tf


def _training_labels(folder, steps, batch_size=6, **settings):
  """Images and labels of the first training batches."""
  dataset = dataset_factory.get_dataset(None, 'train', str(folder))
  fn = preprocessing_factory.get_preprocessing('inception', is_training=True)
  with tf.Graph().as_default(), tf.Session() as session:
    images, labels, _, initializer = inputs.training_batches(
      dataset, fn, batch_size, 28, **settings
    )
    assert images.shape.as_list() == [batch_size, 28, 28, 3]
    session.run(initializer)
    return [session.run([images, labels]) for _ in range(steps)]


def _sums(batches):
  return np.concatenate([images.sum(axis=(1, 2, 3)) for images, _ in batches])


def test_an_epoch_holds_every_image_once(tiny_dataset):
  batches = _training_labels(tiny_dataset, 10)
  labels = np.concatenate([labels for _, labels in batches])
  for epoch in (labels[:30], labels[30:]):
    assert collections.Counter(epoch.tolist()) == {0: 10, 1: 10, 2: 10}
  first, second = np.split(_sums(batches), 2)
  assert not np.isin(first, second).any()  # another view of every image


@pytest.mark.parametrize('readers', [1, 4])
def test_the_seed_decides_the_order(tiny_dataset, readers):
  first, again, other = (
    _sums(_training_labels(tiny_dataset, 5, num_readers=readers, seed=seed)) for seed in (3, 3, 4)
  )
  assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize('threads', [1, 7])
def test_the_number_of_threads_changes_no_batch(tiny_dataset, threads, monkeypatch):
  monkeypatch.setattr(inputs.os, 'sched_getaffinity', lambda pid: set(range(32)))
  one_a_core = _sums(_training_labels(tiny_dataset, 7))
  assert np.array_equal(one_a_core, _sums(_training_labels(tiny_dataset, 7, num_threads=threads)))


def test_a_resumed_run_sees_what_it_would_have_seen(tiny_dataset):
  whole = _sums(_training_labels(tiny_dataset, 9))
  rest = _sums(_training_labels(tiny_dataset, 2, start_step=7))
  assert np.array_equal(whole[7 * 6 :], rest)


def test_a_batch_may_be_larger_than_the_split(tiny_dataset):
  ((images, labels),) = _training_labels(tiny_dataset, 1, batch_size=70)
  assert len(images) == len(labels) == 70


@pytest.mark.parametrize('batch_size', [1, 4, 15, 100])
def test_evaluation_sees_every_image_once_in_order(tiny_dataset, batch_size):
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  fn = preprocessing_factory.get_preprocessing('lenet')
  seen = []
  with tf.Graph().as_default(), tf.Session() as session:
    batch = inputs.evaluation_batches(dataset, fn, batch_size, 28)
    while True:
      try:
        values = session.run(batch)
      except tf.errors.OutOfRangeError:
        break
      seen += zip(values['filenames'].tolist(), values['labels'].tolist(), strict=True)
  assert len(set(seen)) == len(seen) == 15
  assert {label for _, label in seen} == {0, 1, 2}


def test_a_shuffle_that_does_not_fit_in_memory_is_partial(tiny_dataset, monkeypatch):
  monkeypatch.setattr(inputs, '_SHUFFLE_BYTES', 5000)
  labels = np.concatenate([labels for _, labels in _training_labels(tiny_dataset, 5)])
  assert collections.Counter(labels.tolist()) == {0: 10, 1: 10, 2: 10}


def test_the_damaged_record_is_found(tiny_dataset):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  assert inputs.damaged_record(dataset) is None
  error = str(inputs.damaged_record(dataset, labels_offset=2))
  assert 'tfrecord: record 0 cannot be used (assertion failed: [label] [' in error


def test_no_thread_that_tunes_outlives_the_batches(tiny_dataset):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  fn = preprocessing_factory.get_preprocessing('inception', is_training=True)
  with tf.Graph().as_default() as graph:
    inputs.training_batches(dataset, fn, 6, 28)
    (node,) = [op for op in graph.get_operations() if op.type == 'OptionsDataset']
  options = tf.data.Options()
  options._from_proto(type(options._to_proto()).FromString(node.get_attr('serialized_options')))
  assert options.autotune.enabled is False
