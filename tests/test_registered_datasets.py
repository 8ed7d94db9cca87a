"""The data sets that have a name: what they know, and records as the original tools wrote them."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import dataset_factory, record_writer
from slim_compat import slim, tf
from slim_errors import UserError

CIFAR10 = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']
DIGITS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
# name: (images in each split, classes, files of two splits as their tools call them)
TABLE = {
  'cifar10': ({'train': 50000, 'test': 10000}, 10, 'cifar10_{}.tfrecord'),
  'flowers': ({'train': 3320, 'validation': 350}, 5, 'flowers_{}_00000-of-00001.tfrecord'),
  'imagenet': ({'train': 1281167, 'validation': 50000}, 1001, '{}-00000-of-00001'),
  'mnist': ({'train': 60000, 'test': 10000}, 10, 'mnist_{}.tfrecord'),
  'satellite': ({'train': 4800, 'validation': 1200}, 6, 'satellite_{}_00000-of-00001.tfrecord'),
  'visualwakewords': ({'train': 82783, 'val': 40504}, 2, '{}.record-00000-of-00001'),
}


def _png(value, size=(28, 28), mode='L'):
  stream = io.BytesIO()
  Image.new(mode, size, value).save(stream, 'PNG')
  return stream.getvalue()


def _feature(value):
  if isinstance(value, list):
    if value and isinstance(value[0], float):
      return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _write(path, labels, encoded=None, **more):
  """Writes records with the features that research/slim's converters write, and others."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for label in labels:
      features = {
        'image/encoded': encoded or _png(label % 256),
        'image/format': b'png',
        'image/class/label': [label],
        'image/height': [28],
        'image/width': [28],
        **{key.replace('__', '/'): value for key, value in more.items()},
      }
      features = {key: _feature(value) for key, value in features.items()}
      example = tf.train.Example(features=tf.train.Features(feature=features))
      writer.write(example.SerializeToString())


def _first(dataset, items):
  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.data.TFRecordDataset(dataset.data_sources)
    data = data.map(lambda record: tuple(dataset.decoder.decode(record, items)))
    return session.run(tf.data.make_one_shot_iterator(data).get_next())


def test_the_table_is_whole():
  assert set(dataset_factory.datasets_map) == set(TABLE)


@pytest.mark.parametrize('name', TABLE)
def test_what_a_name_says_without_a_folder(name):
  sizes, num_classes, _ = TABLE[name]
  assert dataset_factory.split_names(name, None) == sorted(sizes)
  for split_name, size in sizes.items():
    dataset = dataset_factory.get_dataset(name, split_name, None)
    assert isinstance(dataset, slim.dataset.Dataset)
    assert (dataset.num_samples, dataset.num_classes) == (size, num_classes)
    assert set(dataset.labels_to_names) == set(range(num_classes))
    assert set(dataset.items_to_descriptions) == set(dataset.decoder.list_items())
    assert dataset.reader is tf.TFRecordReader
  with pytest.raises(ValueError, match='split name dev was not recognized'):
    dataset_factory.get_dataset(name, 'dev', None)


def test_a_name_that_is_not_in_the_table():
  with pytest.raises(ValueError, match='Name of dataset unknown cifar100.*cifar10'):
    dataset_factory.get_dataset('cifar100', 'train', None)


@pytest.mark.parametrize('name', TABLE)
def test_files_of_the_original_tools_are_found_and_counted(tmp_path, name):
  sizes, num_classes, file = TABLE[name]
  for count, split_name in enumerate(sizes, 2):
    _write(tmp_path / file.format(split_name), range(count))
    if num_classes == 2:
      _write(tmp_path / file.format(split_name), [0, 1, 1][:count])
  (tmp_path / 'notes-of-mine.txt').write_text('x', encoding='utf-8')
  assert dataset_factory.split_names(name, str(tmp_path)) == sorted(sizes)
  for count, split_name in enumerate(sizes, 2):
    dataset = dataset_factory.get_dataset(name, split_name, str(tmp_path))
    assert dataset.num_samples == count
    assert dataset.num_classes == num_classes
    assert dataset.data_sources == [str(tmp_path / file.format(split_name))]
  assert len(dataset_factory.fingerprint(str(tmp_path))) == 64
  with pytest.raises(UserError, match='split name dev was not recognized'):
    dataset_factory.get_dataset(name, 'dev', str(tmp_path))


def test_a_missing_shard_is_named(tmp_path):
  _write(tmp_path / 'train.record-00000-of-00002', [0, 1])
  with pytest.raises(UserError, match='train.record-00001-of-00002 is missing'):
    dataset_factory.get_dataset('visualwakewords', 'train', str(tmp_path))


def test_cifar10_and_flowers_name_their_classes():
  names = dataset_factory.get_dataset('cifar10', 'test', None).labels_to_names
  assert [names[label] for label in range(10)] == CIFAR10
  names = dataset_factory.get_dataset('flowers', 'train', None).labels_to_names
  assert list(names.values()) == ['daisy', 'dandelion', 'roses', 'sunflowers', 'tulips']
  assert list(names.values()) == sorted(names.values())


def test_digits_have_one_channel_and_a_scalar_label(tmp_path):
  _write(tmp_path / 'mnist_train.tfrecord', [6, 9], encoded=_png(77))
  dataset = dataset_factory.get_dataset('mnist', 'train', str(tmp_path))
  image, label = _first(dataset, ['image', 'label'])
  assert (image.shape, image.dtype, image[0, 0, 0]) == ((28, 28, 1), np.uint8, 77)
  assert (label.shape, label.dtype, label) == ((), np.int64, 6)
  assert '1]' in dataset.items_to_descriptions['image']


@pytest.mark.parametrize('spelled', ['size', 'six', None])
def test_the_sixth_digit_is_called_six(tmp_path, spelled):
  _write(tmp_path / 'mnist_train.tfrecord', [6])
  if spelled:
    names = [spelled if name == 'six' else name for name in DIGITS]
    text = ''.join(f'{label}:{name}\n' for label, name in enumerate(names))
    (tmp_path / 'labels.txt').write_text(text, encoding='utf-8')
  names = dataset_factory.get_dataset('mnist', 'train', str(tmp_path)).labels_to_names
  assert names == dict(enumerate(DIGITS))


BOXES = {
  'image__object__bbox__ymin': [0.1, 0.5],
  'image__object__bbox__xmin': [0.2, 0.6],
  'image__object__bbox__ymax': [0.3, 0.7],
  'image__object__bbox__xmax': [0.4, 0.8],
  'image__object__class__label': [17, 3],
}


def test_imagenets_further_items(tmp_path):
  encoded = _png((9, 8, 7), mode='RGB')
  file = tmp_path / 'train-00000-of-00001'
  _write(file, [17], encoded, image__class__text=b'jay', **BOXES)
  dataset = dataset_factory.get_dataset('imagenet', 'train', str(tmp_path))
  items = ['image', 'label', 'label_text', 'object/bbox', 'object/label']
  image, label, text, boxes, box_labels = _first(dataset, items)
  assert image.shape == (28, 28, 3) and image[0, 0].tolist() == [9, 8, 7]
  assert (label, text) == (17, b'jay')
  np.testing.assert_allclose(boxes, [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], rtol=1e-6)
  assert box_labels.tolist() == [17, 3]
  _write(file, [17], encoded)
  _, _, text, boxes, box_labels = _first(dataset, items)
  assert (text, boxes.shape, box_labels.shape) == (b'', (0, 4), (0,))


def test_imagenets_names_come_from_the_label_file(tmp_path):
  _write(tmp_path / 'train-00000-of-00001', [1, 1000], image__class__text=b'n01440764')
  names = ['background', *(f'name {label}' for label in range(1, 1001))]
  text = ''.join(f'{label}:{name}\n' for label, name in enumerate(names))
  (tmp_path / 'labels.txt').write_text(text, encoding='utf-8')
  dataset = dataset_factory.get_dataset('imagenet', 'train', str(tmp_path))
  assert dataset.labels_to_names == dict(enumerate(names))


def test_imagenets_thousand_names_stand_behind_the_background(tmp_path):
  _write(tmp_path / 'train-00000-of-00001', [1], image__class__text=b'n01440764')
  (tmp_path / 'train-pictures').mkdir()
  names = [f'name {label}' for label in range(1, 1001)]
  (tmp_path / 'label.txt').write_text('\n'.join(names), encoding='utf-8')
  dataset = dataset_factory.get_dataset('imagenet', 'train', str(tmp_path))
  assert dataset.labels_to_names == dict(enumerate(['background', *names]))


def test_imagenets_names_come_from_the_records_of_all_splits_else(tmp_path):
  _write(tmp_path / 'train-00000-of-00001', [17], image__class__text=b'jay')
  _write(tmp_path / 'validation-00000-of-00001', [282], image__class__text=b'tabby, tabby cat')
  train, validation = (
    dataset_factory.get_dataset('imagenet', split_name, str(tmp_path)).labels_to_names
    for split_name in ('train', 'validation')
  )
  assert train == validation  # evaluation refuses other classes than those of the training
  assert (train[0], train[17], train[282]) == ('background', 'jay', 'tabby, tabby cat')
  assert (train[1], train[1000]) == ('class 1', 'class 1000')
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'train-00000-of-00001',
    'validation-00000-of-00001',
  ]


def test_labels_beyond_a_set_are_refused(tmp_path):
  _write(tmp_path / 'train-00000-of-00001', [1001])
  with pytest.raises(UserError, match='has the label 1001'):
    dataset_factory.get_dataset('imagenet', 'train', str(tmp_path))


def test_a_gray_record_says_so():
  data = record_writer.example(b'x', 'png', 0, 'zero', 28, 28, 'a', channels=1)
  feature = tf.train.Example.FromString(data).features.feature
  assert feature['image/channels'].int64_list.value[0] == 1
  assert feature['image/colorspace'].bytes_list.value[0] == b'Grayscale'
