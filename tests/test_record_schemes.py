"""Shards of every naming scheme, with labels from 0 and from 1, are read and told apart."""

import io
import os

import numpy as np
import pytest
from PIL import Image
from small_nets import run

import train_image_classifier
from datasets import dataset_factory, labels, record_writer, shard_names
from slim_compat import slim, tf
from slim_errors import UserError

_NAMES = ('海 ice', 'forest', 'rock')


def _picture():
  stream = io.BytesIO()
  Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(stream, 'JPEG')
  return stream.getvalue()


_JPEG = _picture()


def _write(path, base=0, count=6, with_text=True, leave_out=()):
  """Writes records of the classes in turn, labels from `base`, without those left out."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for number in range(count):
      name = _NAMES[number % 3]
      if name in leave_out:
        continue
      label = base + number % 3
      data = record_writer.example(_JPEG, 'JPEG', label, name, 32, 32, f'{number}.jpg')
      example = tf.train.Example.FromString(data)
      if not with_text:
        del example.features.feature['image/class/text']
      writer.write(example.SerializeToString())


def _lines(folder, file, lines):
  (folder / file).write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')


@pytest.mark.parametrize(
  ('file', 'expected'),
  [
    ('my_pets_train_00001-of-00005.tfrecord', ('my_pets', 'train', 1, 5)),
    ('宠 物_validation_00000-of-00001.tfrecord', ('宠 物', 'validation', 0, 1)),
    ('cifar10_test.tfrecord', ('cifar10', 'test', None, None)),
    ('train-00003-of-01024', ('unnamed', 'train', 3, 1024)),
    ('val.record-00009-of-00010', ('unnamed', 'val', 9, 10)),
    ('coco_val.record-00009-of-00010', ('coco', 'val', 9, 10)),
    ('model.ckpt-300.data-00000-of-00001', None),
    ('events.out.tfevents.1700000000.host', None),
    ('train.tfrecord', None),
    ('label.txt', None),
  ],
)
def test_names_of_shards(file, expected):
  shard = shard_names.parse(file)
  assert (shard and (shard.name, shard.split, shard.index, shard.count)) == expected


_SCHEMES = {
  'numbered': ['pets_train_00000-of-00002.tfrecord', 'pets_train_00001-of-00002.tfrecord'],
  'single': ['pets_train.tfrecord'],
  'inception': ['train-00000-of-00002', 'train-00001-of-00002'],
  'record': ['train.record-00000-of-00002', 'train.record-00001-of-00002'],
}


@pytest.mark.parametrize('name', [None, 'pets'])
@pytest.mark.parametrize('base', [0, 1])
@pytest.mark.parametrize('scheme', _SCHEMES)
def test_every_scheme_with_both_bases(tmp_path, scheme, base, name):
  for file in _SCHEMES[scheme]:
    _write(tmp_path / file, base)
    _write(tmp_path / file.replace('train', 'validation'), base, count=2)
  (tmp_path / 'train notes.txt').write_text('mine', encoding='utf-8')
  _lines(tmp_path, 'labels.txt', _NAMES)
  dataset = dataset_factory.get_dataset(name, 'train', str(tmp_path))
  assert [os.path.basename(path) for path in dataset.data_sources] == _SCHEMES[scheme]
  assert dataset.num_samples == 6 * len(_SCHEMES[scheme])
  assert dataset.num_classes == 3 + base
  classes = ['background', *_NAMES] if base else _NAMES
  assert dataset.labels_to_names == dict(enumerate(classes))
  assert dataset_factory.split_names(name, str(tmp_path)) == ['train', 'validation']
  # A split that lacks the class of the last label or of label 0 is not read in another way.
  validation = dataset_factory.get_dataset(name, 'validation', str(tmp_path))
  assert validation.labels_to_names == dataset.labels_to_names


@pytest.mark.parametrize('scheme', _SCHEMES)
def test_a_missing_shard_and_two_conversions_in_one_folder_are_named(tmp_path, scheme):
  files = _SCHEMES[scheme]
  for file in files:
    _write(tmp_path / file)
  if len(files) > 1:
    (tmp_path / files[0]).rename(tmp_path / 'kept')
    with pytest.raises(UserError, match=f'{files[0]} is missing in .*copy all 2 shards'):
      dataset_factory.get_dataset(None, 'train', str(tmp_path))
    (tmp_path / 'kept').rename(tmp_path / files[0])
  other = {'numbered': 'pets_train.tfrecord', 'single': 'pets_train_00000-of-00001.tfrecord'}
  _write(tmp_path / other.get(scheme, files[0].replace('of-00002', 'of-00001')))
  with pytest.raises(UserError, match=r'mixes shards of 1 and of \d.*one conversion'):
    dataset_factory.get_dataset(None, 'train', str(tmp_path))


def test_more_shards_than_their_names_say_are_refused(tmp_path):
  for file in ('00000-of-00002', '00001-of-00002', '00002-of-00002'):
    _write(tmp_path / f'pets_train_{file}.tfrecord')
  with pytest.raises(UserError, match='holds 3 shards where their names say 2 .*one conversion'):
    dataset_factory.get_dataset(None, 'train', str(tmp_path))


def test_unnamed_shards_beside_named_ones_are_another_data_set(tmp_path):
  _write(tmp_path / 'train-00000-of-00001', base=1)
  _write(tmp_path / 'pets_train.tfrecord')
  with pytest.raises(UserError, match=r'several data sets \(pets, unnamed\)'):
    dataset_factory.get_dataset(None, 'train', str(tmp_path))
  pets = dataset_factory.get_dataset('pets', 'train', str(tmp_path))
  unnamed = dataset_factory.get_dataset('unnamed', 'train', str(tmp_path))
  assert (pets.num_classes, unnamed.num_classes) == (3, 4)


@pytest.mark.parametrize('base', [0, 1])
@pytest.mark.parametrize('file', ['label.txt', 'labels.txt'])
@pytest.mark.parametrize('form', ['plain', 'with background', 'numbered'])
@pytest.mark.parametrize('with_text', [True, False])
def test_both_bases_with_every_label_file(tmp_path, base, file, form, with_text):
  """A file that is right is read; one that names another number for a class is refused."""
  _write(tmp_path / 'train-00000-of-00001', base, with_text=with_text)
  classes = ['background', *_NAMES] if base else list(_NAMES)
  lines = {
    'plain': _NAMES,
    'with background': classes,
    'numbered': [f'{label}:{name}' for label, name in enumerate(classes)],
  }[form]
  _lines(tmp_path, file, lines)
  if file == 'label.txt' and form == 'numbered':  # which holds names, never numbers
    if with_text:
      with pytest.raises(UserError, match=r"label\.txt says '\d:"):
        dataset_factory.get_dataset(None, 'train', str(tmp_path))
    return
  dataset = dataset_factory.get_dataset(None, 'train', str(tmp_path))
  assert dataset.labels_to_names == dict(enumerate(classes))
  assert dataset.smallest_label == base


@pytest.mark.parametrize(
  ('base', 'with_text', 'file', 'lines', 'message'),
  [
    (1, True, 'labels.txt', ['0:海 ice', '1:forest', '2:rock'], 'the records count from 1, so'),
    (1, False, 'labels.txt', ['0:海 ice', '1:forest', '2:rock'], 'the records count from 1, so'),
    (0, True, 'labels.txt', ['0:background', '1:海 ice', '2:forest', '3:rock'], 'count from 0, so'),
    (0, True, 'label.txt', ['background', *_NAMES], 'count from 0, so leave the background out'),
    (1, True, 'label.txt', ['forest', '海 ice', 'rock'], 'use the labels of these records'),
    (2, True, 'label.txt', _NAMES, 'use the labels of these records'),
  ],
)
def test_a_label_file_of_the_wrong_base_is_refused(tmp_path, base, with_text, file, lines, message):
  _write(tmp_path / 'train-00000-of-00001', base, with_text=with_text)
  _lines(tmp_path, file, lines)
  with pytest.raises(UserError, match=message):
    dataset_factory.get_dataset(None, 'train', str(tmp_path))


@pytest.mark.parametrize('base', [0, 1])
def test_names_come_from_the_records_of_all_splits(tmp_path, base):
  _write(tmp_path / 'train-00000-of-00001', base)
  _write(tmp_path / 'validation-00000-of-00001', base, leave_out=_NAMES[:2])
  dataset = dataset_factory.get_dataset(None, 'validation', str(tmp_path))
  classes = ['background', *_NAMES] if base else _NAMES
  assert dataset.labels_to_names == dict(enumerate(classes))


def _dataset(names, smallest=None):
  return slim.dataset.Dataset(
    [], None, None, 0, {}, num_classes=4, labels_to_names=names, smallest_label=smallest
  )


@pytest.mark.parametrize(
  ('dataset', 'offset', 'expected'),
  [
    (_dataset({0: 'a', 1: 'b', 2: 'c', 3: 'd'}, 0), 0, 'Labels count from 0 (a) to 3 (d).'),
    (
      _dataset({0: 'background', 1: 'b', 2: 'c', 3: 'd'}, 1),
      0,
      'Labels count from 1 (b) to 3 (d), 0 is the background: the net has 4 classes, '
      '--labels_offset=1 would leave it out.',
    ),
    (
      _dataset({0: 'background', 1: 'b', 2: 'c', 3: 'd'}, 1),
      1,
      'Labels count from 1 (b) to 3 (d), 0 is the background: the net has 3 classes, '
      '--labels_offset=1 leaves it out.',
    ),
    # A class of that name with pictures of its own.
    (_dataset({0: 'background', 1: 'b'}, 0), 0, 'Labels count from 0 (background) to 1 (b).'),
    (
      _dataset({0: 'a', 1: 'b', 2: 'c', 3: 'd'}, 1),
      0,
      'Labels count from 0 (a) to 3 (d), but no record has a label below 1: if they count from 1, '
      'write background as the first line of the label file.',
    ),
    (_dataset(None), 0, 'Labels count from 0 (0) to 3 (3).'),
  ],
)
def test_the_line_on_the_base(dataset, offset, expected):
  assert labels.describe_base(dataset, offset) == expected


@pytest.mark.parametrize(
  ('base', 'offset', 'message'),
  [
    (0, 1, '--labels_offset=1 leaves out the label 0 (海 ice), which has pictures: leave the flag'),
    (1, 2, '--labels_offset=2 leaves out the label 1 (海 ice), which has pictures: give --labels_'),
  ],
)
def test_an_offset_that_would_lose_a_class_is_refused(tmp_path, capsys, base, offset, message):
  _write(tmp_path / 'train-00000-of-00001', base)
  _lines(tmp_path, 'labels.txt', _NAMES)
  flags = (f'--dataset_dir={tmp_path}', f'--train_dir={tmp_path / "run"}', '--model_name=lenet')
  assert run(train_image_classifier, *flags, f'--labels_offset={offset}') == 2
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()
