"""The feature cache: what is computed is computed once, and nothing of it is ever stale."""

import collections
import errno
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO

from datasets import dataset_factory
from datasets import records as record_files
from image_classifier import inputs
from image_classifier.features import cache, row_batches
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import RunError

_VIEWS = cache.Views({'name': 'inception', 'use_grayscale': False}, 28)
_FLIPPED = {'name': 'inception', 'use_grayscale': False, 'vertical_flip': True}
_RANDOM_VIEWS = _VIEWS._replace(count=3, seed=5)


def _frozen(weight=1.0, precision='float32', name='features', size=28):
  """A net without layers: a vector of `size` and a map of half that size and three channels."""
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [None, size, size, 3], 'images')
    vector = tf.multiply(tf.reduce_mean(images, [2, 3]), weight, name=name)
    pooled = tf.nn.avg_pool2d(images, 2, 2, 'VALID', name='map')
    names, shapes = (vector.name, pooled.name), ((size,), tuple(pooled.shape.as_list()[1:]))
  config = tf.ConfigProto()
  return cache.Frozen(graph.as_graph_def(), images.name, names, shapes, precision, config)


def _split(folder, name='train'):
  return dataset_factory.get_dataset(None, name, str(folder))


def _fill(root, dataset, frozen=None, views=_VIEWS):
  """Opens the store and fills it; returns it, and how many rows were computed."""
  frozen = frozen or _frozen(size=views.image_size)
  store = cache.open_store(str(root), dataset, frozen, views)
  images = cache.read_records(dataset).images
  return store, cache.fill(store, dataset, frozen, views, images)


def _rows(store, dataset, num_views=1):
  """The features of a split in the order of its records."""
  images = cache.read_records(dataset).images
  return store.gather(store.places((image, v) for image in images for v in range(num_views)))


@pytest.fixture(scope='module')
def filled(tiny_dataset, tmp_path_factory):
  """Stores of the train split in blocks of ten rows, one of another checkpoint beside."""
  root = tmp_path_factory.mktemp('缓存')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(cache, '_BATCH_SIZE', 10)
    patch.setattr(cache, '_BLOCK_BYTES', 1)
    store, _ = _fill(root, _split(tiny_dataset), _frozen(0.5))
    os.rename(store.folder, root / 'of another checkpoint')
    _fill(root, _split(tiny_dataset))
  return root


@pytest.fixture
def root(tmp_path):
  return tmp_path / '特征 缓存'


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_features_are_those_of_the_evaluation_views(precision, tiny_dataset, root):
  dataset, frozen = _split(tiny_dataset), _frozen(2.0, precision)
  store, count = _fill(root, dataset, frozen)
  assert count == 30
  vectors, maps = _rows(store, dataset)
  with tf.Graph().as_default(), tf.Session() as session:
    fn = preprocessing_factory.get_preprocessing('inception')
    images = session.run(inputs.evaluation_batches(dataset, fn, 30, 28)['images'])
    pooled = session.run(tf.nn.avg_pool2d(images, 2, 2, 'VALID'))
    np.testing.assert_allclose(vectors, images.mean((2, 3)) * 2, rtol=1e-5, atol=1e-6)
    if precision == 'bfloat16':
      pooled, pooled_type = session.run(tf.bitcast(tf.cast(pooled, tf.bfloat16), tf.uint16)), 'u2'
    else:
      pooled_type = 'f4'
  assert maps.dtype == pooled_type
  np.testing.assert_array_equal(maps, pooled)


def test_what_is_there_is_not_computed_again(tiny_dataset, root):
  assert [_fill(root, _split(tiny_dataset))[1] for _ in range(2)] == [30, 0]
  assert _fill(root, _split(tiny_dataset, 'validation'))[1] == 15


@pytest.mark.parametrize(
  ('frozen', 'views'),
  [
    (_frozen(1.5), _VIEWS),  # another checkpoint
    (_frozen(name='other'), _VIEWS),  # another cut
    (_frozen(precision='bfloat16'), _VIEWS),
    (_frozen(size=32), _VIEWS._replace(image_size=32)),
    (_frozen(), _VIEWS._replace(preprocessing={'name': 'vgg'})),
    (_frozen(), _RANDOM_VIEWS),
    (_frozen(), _RANDOM_VIEWS._replace(seed=6)),
    (_frozen(), _RANDOM_VIEWS._replace(preprocessing=_FLIPPED)),
    (_frozen(), _RANDOM_VIEWS._replace(preprocessing={**_FLIPPED, 'brightness': 0.3})),
  ],
)
def test_another_identity_has_a_store_of_its_own(frozen, views, tiny_dataset, filled):
  dataset = _split(tiny_dataset)
  store = cache.open_store(str(filled), dataset, frozen, views)
  assert os.path.basename(store.folder) not in os.listdir(filled)
  images = cache.read_records(dataset).images
  assert cache.missing_rows(store, images, views.count).all()


def test_what_makes_no_difference_to_the_evaluation_view_shares_a_store(tiny_dataset, filled):
  views = _VIEWS._replace(preprocessing=_FLIPPED, seed=7)
  store = cache.open_store(str(filled), _split(tiny_dataset), _frozen(), views)
  assert os.path.basename(store.folder) in os.listdir(filled)


def test_the_code_that_makes_the_pictures_counts(tiny_dataset, filled, tmp_path, monkeypatch):
  root = shutil.copytree(filled, tmp_path / 'copy')
  monkeypatch.setattr(cache, '_digest_of_code', lambda: 'other')
  assert _fill(root, _split(tiny_dataset))[1] == 30


def _changed_copy(tiny_dataset, folder):
  """A data set of the train split under other file names; one image has other bytes."""
  folder.mkdir()
  examples = [
    example
    for path in sorted(tiny_dataset.glob('*_train_*'))
    for example in record_files.read_examples(str(path))
  ]
  encoded = examples[3].features.feature['image/encoded'].bytes_list
  encoded.value[0] = encoded.value[0] + b'\0'  # which no decoder minds
  with tf.io.TFRecordWriter(str(folder / 'tiny_train_00000-of-00001.tfrecord')) as writer:
    for i, example in enumerate(reversed(examples)):
      example.features.feature['image/filename'].bytes_list.value[0] = b'%d.jpg' % i
      writer.write(example.SerializeToString())
  return folder


def test_only_changed_images_are_computed_anew(tiny_dataset, root, tmp_path):
  _fill(root, _split(tiny_dataset))
  changed = _split(_changed_copy(tiny_dataset, tmp_path / 'changed'))
  store, count = _fill(root, changed)
  assert count == 1
  whole = _rows(_fill(tmp_path / 'anew', changed)[0], changed)
  for one, other in zip(_rows(store, changed), whole, strict=True):
    np.testing.assert_array_equal(one, other)


def test_views_are_decided_by_seed_content_and_number(tiny_dataset, root, tmp_path):
  dataset = _split(tiny_dataset)
  store, count = _fill(root, dataset, views=_RANDOM_VIEWS)
  assert count == 90
  vectors, _ = _rows(store, dataset, 3)
  assert len(np.unique(vectors.round(6), axis=0)) == 90  # no view is that of another image
  store, count = _fill(root, dataset, views=_RANDOM_VIEWS._replace(count=4))
  assert count == 30  # the fourth of each
  anew, _ = _rows(_fill(tmp_path / 'anew', dataset, views=_RANDOM_VIEWS)[0], dataset, 3)
  np.testing.assert_array_equal(anew, vectors)


def _blocks(store):
  return sorted(pathlib.Path(store.folder).glob('*.npy'))


def _damage(path):
  content = bytearray(path.read_bytes())
  content[-5] ^= 1
  path.write_bytes(content)


def _put_foreign(path):
  other = sorted(path.parents[1].glob('of another checkpoint/*.npy'))[1]
  path.write_bytes(other.read_bytes())
  path.rename(path.with_name(other.name))


@pytest.mark.parametrize(
  'harm',
  [
    _damage,
    lambda path: os.truncate(path, path.stat().st_size - 100),
    lambda path: os.truncate(path, 0),
    lambda path: path.rename(path.with_name(f'000009-{"0" * 32}.npy')),
    _put_foreign,
  ],
)
def test_a_block_that_is_not_what_it_was_is_computed_anew(
  harm, tiny_dataset, filled, tmp_path, caplog
):
  root, dataset = shutil.copytree(filled, tmp_path / 'copy'), _split(tiny_dataset)
  store, count = _fill(root, dataset)
  assert count == 0
  whole = _rows(store, dataset)
  harm(_blocks(store)[1])
  store, count = _fill(root, dataset)
  assert count == 10
  message = f'Damaged blocks of the feature cache {store.folder}, left out and computed anew: 1.'
  assert message in caplog.messages
  for one, other in zip(_rows(store, dataset), whole, strict=True):
    np.testing.assert_array_equal(one, other)
  assert cache.open_store(str(root), dataset, _frozen(), _VIEWS).folder == store.folder
  assert len(_blocks(store)) == 3 and caplog.messages.count(message) == 1


# A process that stands still after two blocks of three rows.
_HALF = """
import sys, time
sys.path[:0] = [sys.argv[1], sys.argv[1] + '/tests']
import test_feature_cache
from image_classifier.features import cache, storage
cache._BATCH_SIZE, cache._BLOCK_BYTES = 3, 1
add = storage.FeatureStore.add
def add_two(store, rows):
  add(store, rows)
  if len(test_feature_cache._blocks(store)) == 2:
    print('half', flush=True)
    time.sleep(1000)
storage.FeatureStore.add = add_two
test_feature_cache._fill(sys.argv[2], test_feature_cache._split(sys.argv[3]))
"""


def test_a_killed_process_leaves_what_it_computed_to_one_that_waits(
  tiny_dataset, root, monkeypatch
):
  arguments = [sys.executable, '-c', _HALF, REPO, root, tiny_dataset]
  process = subprocess.Popen(list(map(str, arguments)), stdout=subprocess.PIPE)
  assert process.stdout.readline() == b'half\n'
  (folder,) = root.iterdir()
  leftover = folder / '.000003-0123456789abcdef0123456789abcdef.npy.abcdefgh'
  leftover.write_bytes(b'half a block')
  said = []

  def kill_the_other(message, *arguments):
    said.append(message % arguments)
    process.kill()  # SIGKILL

  monkeypatch.setattr(tf.logging, 'info', kill_the_other)
  store, count = _fill(root, _split(tiny_dataset))
  process.communicate()
  assert said[0] == f'Another process fills the feature cache {folder}: waiting for it.'
  assert count == 24
  assert len(_rows(store, _split(tiny_dataset))[0]) == 30
  assert not leftover.exists()


def test_a_full_disk_keeps_the_rows_before(tiny_dataset, root, monkeypatch):
  monkeypatch.setattr(cache, '_BATCH_SIZE', 10)
  monkeypatch.setattr(cache, '_BLOCK_BYTES', 1)
  replace, count = os.replace, collections.Counter()

  def replace_or_fail(source, target):
    count['blocks'] += str(target).endswith('.npy')
    if count['blocks'] == 2:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    replace(source, target)

  with monkeypatch.context() as patch, pytest.raises(RunError) as caught:
    patch.setattr('os.replace', replace_or_fail)
    _fill(root, _split(tiny_dataset))
  assert 'whose 10 rows stay good: free some' in str(caught.value)
  assert _fill(root, _split(tiny_dataset))[1] == 20


def test_a_damaged_record_is_named(tiny_dataset, root):
  with pytest.raises(RunError, match=r'tfrecord: record 0 cannot be used'):
    cache.read_records(_split(tiny_dataset), labels_offset=2)


# Batches.


def _batches(store, dataset, steps, num_views=1, batch_size=7, **settings):
  """[(vectors, maps, labels, filenames)] of the first training batches."""
  records = cache.read_records(dataset)
  with tf.Graph().as_default(), tf.Session() as session:
    rows = row_batches.training_rows(records, num_views, batch_size, **settings)
    keys = [(image, view) for image in records.images for view in range(num_views)]
    features, initializer = row_batches.features(rows, store, keys)
    assert [f.shape.as_list() for f in features] == [[batch_size, 28], [batch_size, 14, 14, 3]]
    assert all(f.dtype == tf.float32 for f in features)
    assert not tf.global_variables()  # which checkpoints hold
    session.run([rows.initializer, initializer])
    return [session.run([*features, rows.labels, rows.filenames]) for _ in range(steps)]


def _joined(batches):
  return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]


@pytest.mark.parametrize('in_memory', [True, False])
@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_an_epoch_holds_every_image_once_with_its_label(
  in_memory, precision, tiny_dataset, root, monkeypatch
):
  monkeypatch.setattr(row_batches, '_MEMORY_SHARE', in_memory)
  dataset = _split(tiny_dataset)
  store, _ = _fill(root, dataset, _frozen(1.0, precision))
  records, (expected, _) = cache.read_records(dataset), _rows(store, dataset)
  known = {name: i for i, name in enumerate(records.filenames)}
  vectors, maps, labels, filenames = _joined(_batches(store, dataset, 9, seed=3))
  for epoch in (filenames[:30], filenames[30:60]):
    assert set(epoch) == set(known)
  assert not np.array_equal(filenames[:30], filenames[30:60])
  rows = [known[name] for name in filenames]
  np.testing.assert_array_equal(vectors, expected[rows])
  np.testing.assert_array_equal(labels, records.labels[rows])
  np.testing.assert_allclose(maps.mean((2, 3)).repeat(2, 1), vectors, atol=0.5)


@pytest.mark.parametrize('in_memory', [True, False])
def test_a_resumed_run_sees_what_it_would_have_seen(in_memory, tiny_dataset, root, monkeypatch):
  monkeypatch.setattr(row_batches, '_MEMORY_SHARE', in_memory)
  dataset = _split(tiny_dataset)
  store, _ = _fill(root, dataset, views=_RANDOM_VIEWS)
  whole = _joined(_batches(store, dataset, 12, 3))
  for step in (0, 4, 11):
    rest = _joined(_batches(store, dataset, 12 - step, 3, start_step=step))
    for one, other in zip(whole, rest, strict=True):
      np.testing.assert_array_equal(one[7 * step :], other)
  other = _joined(_batches(store, dataset, 12, 3, seed=1))
  assert not np.array_equal(whole[3], other[3])


def test_an_image_shows_its_views_in_turn(tiny_dataset, root):
  dataset = _split(tiny_dataset)
  store, _ = _fill(root, dataset, views=_RANDOM_VIEWS)
  vectors, _, _, filenames = _joined(_batches(store, dataset, 6, 3, batch_size=30))
  for name in set(filenames):
    seen = vectors[filenames == name]
    assert len(np.unique(seen, axis=0)) == 3
    np.testing.assert_array_equal(seen[:3], seen[3:])


def test_classes_are_balanced_on_demand(tiny_dataset, root, monkeypatch):
  dataset = _split(tiny_dataset)
  store, _ = _fill(root, dataset)
  records = cache.read_records(dataset)
  records = records._replace(labels=np.minimum(records.labels, 1))  # 10 of class 0, 20 of class 1
  monkeypatch.setattr(cache, 'read_records', lambda _: records)
  settings = {'batch_size': 5, 'class_counts': [10, 20]}
  (labels,) = _joined([[batch[2]] for batch in _batches(store, dataset, 6, **settings)])
  assert collections.Counter(labels.tolist()) == {0: 15, 1: 15}
  rest = _batches(store, dataset, 2, start_step=4, **settings)
  np.testing.assert_array_equal(labels[20:], np.concatenate([batch[2] for batch in rest]))


def test_a_batch_may_be_larger_than_the_split(tiny_dataset, root):
  dataset = _split(tiny_dataset)
  store, _ = _fill(root, dataset)
  ((_, _, labels, _),) = _batches(store, dataset, 1, batch_size=70)
  assert collections.Counter(labels[:60].tolist()) == {0: 20, 1: 20, 2: 20}
