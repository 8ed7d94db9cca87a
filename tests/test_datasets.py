"""The registry, the description of a split, dataset.json and label files."""

import io
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from small_nets import run, write_checkpoint, write_run

import eval_image_classifier
from datasets import dataset_factory, image_files, labels, manifest, record_writer, records
from scripts import compare_models
from slim_compat import tf
from slim_errors import UserError

_CLASSES = ('cat', 'dog', 'owl')


def _encoded(colour, image_format='JPEG', size=(8, 6)):
  stream = io.BytesIO()
  Image.new('RGB', size, colour).save(stream, image_format)
  return stream.getvalue()


JPEG, PNG, GIF = (_encoded((200, 100, 50), kind) for kind in ('JPEG', 'PNG', 'GIF'))


def _write_shard(path, examples):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for example in examples:
      writer.write(example if isinstance(example, bytes) else example.SerializeToString())


def _example(label, name=None, encoded=JPEG):
  name = _CLASSES[label] if name is None else name
  return tf.train.Example.FromString(
    record_writer.example(encoded, 'JPEG', label, name, 6, 8, f'{name}/1.jpg')
  )


def _slim_example(label):
  """A record as research/slim writes it: no text, no file name."""
  example = _example(label, 'x')
  for key in ('image/class/text', 'image/filename', 'image/colorspace', 'image/channels'):
    del example.features.feature[key]
  return example


def _write_split(folder, name='pets', split='train', counts=(3, 4), make=_example):
  for index, count in enumerate(counts):
    path = folder / f'{name}_{split}_{index:05d}-of-{len(counts):05d}.tfrecord'
    _write_shard(path, [make(number % 3) for number in range(count)])


@pytest.fixture
def plain(tmp_path):
  """A folder of shards and label.txt without dataset.json, as the tutorial copies it."""
  _write_split(tmp_path)
  _write_split(tmp_path, split='validation', counts=(2, 1))
  (tmp_path / 'label.txt').write_text('cat\ndog\nowl\n', encoding='utf-8')
  return tmp_path


def _decode(dataset, items=('image', 'label', 'filename', 'encoded')):
  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.data.TFRecordDataset(dataset.data_sources)
    data = data.map(lambda record: tuple(dataset.decoder.decode(record, list(items))))
    following = tf.data.make_one_shot_iterator(data).get_next()
    found = []
    while True:
      try:
        found.append(session.run(following))
      except tf.errors.OutOfRangeError:
        return found


def test_registered_name_knows_its_classes_without_a_folder():
  dataset = dataset_factory.get_dataset('satellite', 'validation', None)
  assert (dataset.num_classes, dataset.num_samples, dataset.data_sources) == (6, 1200, [])
  assert dataset.labels_to_names[5] == 'wood'
  assert dataset_factory.split_names('satellite', None) == ['train', 'validation']


def test_every_registered_module_describes_its_splits():
  for name, module in dataset_factory.datasets_map.items():
    for split_name in dataset_factory.split_names(name, None):
      dataset = module.get_split(split_name, None, file_pattern=None, reader=None)
      assert dataset.num_classes == len(dataset.labels_to_names)


@pytest.mark.parametrize('name', [None, 'pets'])
def test_a_folder_without_dataset_json(plain, name):
  dataset = dataset_factory.get_dataset(name, 'train', str(plain))
  assert [os.path.basename(path) for path in dataset.data_sources] == [
    'pets_train_00000-of-00002.tfrecord',
    'pets_train_00001-of-00002.tfrecord',
  ]
  assert dataset.num_samples == 7
  assert dataset.num_classes == 3
  assert dataset.labels_to_names == {0: 'cat', 1: 'dog', 2: 'owl'}
  assert dataset.reader is tf.TFRecordReader
  assert set(dataset.items_to_descriptions) == set(dataset.decoder.list_items())
  assert dataset_factory.split_names(name, str(plain)) == ['train', 'validation']


def test_decoder_gives_image_label_filename_and_bytes(plain):
  dataset = dataset_factory.get_dataset(None, 'validation', str(plain))
  rows = _decode(dataset)
  assert [row[1] for row in rows] == [0, 1, 0]
  image, label, filename, encoded = rows[1]
  assert (image.shape, image.dtype, label.dtype) == ((6, 8, 3), np.uint8, np.int64)
  assert (filename, encoded) == (b'dog/1.jpg', JPEG)


def test_records_of_research_slim_load(tmp_path):
  _write_split(tmp_path, make=_slim_example, counts=(4,))
  (tmp_path / 'labels.txt').write_text('0:cat\n1:a:b\n2:owl\n', encoding='utf-8')
  dataset = dataset_factory.get_dataset('pets', 'train', str(tmp_path))
  assert dataset.labels_to_names == {0: 'cat', 1: 'a:b', 2: 'owl'}
  assert [(row[1], row[2]) for row in _decode(dataset)] == [(0, b''), (1, b''), (2, b''), (0, b'')]


@pytest.mark.parametrize('encoded', [GIF, b'\0', b'\1\2\3 raw pixels'])
def test_only_jpeg_and_png_reach_the_decoder(tmp_path, encoded):
  path = tmp_path / 'pets_train_00000-of-00001.tfrecord'
  _write_shard(path, [_example(0, encoded=PNG), _example(1, encoded=encoded)])
  (tmp_path / 'label.txt').write_text('cat\ndog\n', encoding='utf-8')
  dataset = dataset_factory.get_dataset(None, 'train', str(tmp_path))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'neither JPEG nor PNG.*dog/1\.jpg'):
    _decode(dataset)


def test_class_names_come_from_the_records_when_no_file_names_them(plain):
  (plain / 'label.txt').unlink()
  dataset = dataset_factory.get_dataset(None, 'train', str(plain))
  assert dataset.labels_to_names == {0: 'cat', 1: 'dog', 2: 'owl'}


def test_reader_and_file_pattern_are_the_callers(plain):
  os.rename(plain / 'pets_train_00000-of-00002.tfrecord', plain / 'mine-train.rec')
  dataset = dataset_factory.get_dataset(
    'pets', 'train', str(plain), file_pattern='mine-%s.rec', reader=tf.TextLineReader
  )
  assert (dataset.num_samples, dataset.reader) == (3, tf.TextLineReader)


def _mutated(data, generator):
  """Changes, cuts out or inserts bytes at a few places."""
  data = bytearray(data)
  for _ in range(generator.choice([1, 1, 3, 20])):
    position = generator.randint(len(data))
    data[position : position + generator.choice([0, 1, 20])] = generator.bytes(
      generator.choice([0, 1, 20])
    )
  return bytes(data)


@pytest.mark.slow  # 2,000 pictures
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_what_is_kept_of_damaged_pictures_decodes_in_tensorflow():
  generator = np.random.RandomState(0)
  picture = Image.fromarray(generator.randint(0, 256, (48, 48, 3), np.uint8))
  sources = []
  for kind, options in (
    ('JPEG', {}),
    ('JPEG', {'progressive': True}),
    ('JPEG', {'restart_marker_rows': 1}),
    ('PNG', {}),
    ('GIF', {}),
    ('BMP', {}),
    ('WEBP', {}),
  ):
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    sources.append(stream.getvalue())
  outcomes = {'kept': 0, 'repaired': 0, 'refused': 0}
  with tf.Graph().as_default(), tf.Session() as session:
    encoded = tf.placeholder(tf.string, [])
    image = records.decode_image(encoded)
    for number in range(2000):
      data = _mutated(sources[number % len(sources)], generator)
      try:
        readable, _, width, height, note = image_files.readable_bytes(data)
      except image_files.UnreadableImage:
        outcomes['refused'] += 1
        continue
      outcomes['repaired' if note else 'kept'] += 1
      assert session.run(image, {encoded: readable}).shape == (height, width, 3)
  assert min(outcomes.values()) > 50


def _wrong_folders():
  def nothing(folder):
    for file in folder.iterdir():
      file.unlink()

  def two_names(folder):
    _write_split(folder, name='flowers')

  def shard_missing(folder):
    (folder / 'pets_train_00001-of-00002.tfrecord').unlink()

  def mixed(folder):
    _write_split(folder, counts=(1, 1, 1))

  def empty_shard(folder):
    (folder / 'pets_train_00001-of-00002.tfrecord').write_bytes(b'')

  def cut(folder):
    path = folder / 'pets_train_00001-of-00002.tfrecord'
    path.write_bytes(path.read_bytes()[:-9])

  def no_record_file(folder):
    (folder / 'pets_train_00001-of-00002.tfrecord').write_text('<html>' * 9, encoding='utf-8')

  def no_example(folder):
    _write_shard(folder / 'pets_train_00001-of-00002.tfrecord', [_example(0), b'\xff\xff\xff'])

  def no_pixels(folder):
    example = _example(0)
    del example.features.feature['image/encoded']
    _write_shard(folder / 'pets_train_00001-of-00002.tfrecord', [example])

  def no_label(folder):
    example = _example(0)
    del example.features.feature['image/class/label']
    _write_shard(folder / 'pets_train_00001-of-00002.tfrecord', [example])

  def few_labels(folder):
    (folder / 'label.txt').write_text('cat\ndog\n', encoding='utf-8')

  def other_order(folder):
    (folder / 'label.txt').write_text('dog\ncat\nowl\n', encoding='utf-8')

  def no_names(folder):
    (folder / 'label.txt').unlink()
    _write_split(folder, make=_slim_example)

  return [
    (nothing, {}, 'holds no data set, it holds nothing'),
    (two_names, {}, r'several data sets \(flowers, pets\): choose one with --dataset_name'),
    (lambda folder: None, {'split': 'test'}, 'split name test was not recognized.*train, valid'),
    (lambda folder: None, {'name': 'pet'}, 'Name of dataset unknown pet: .* holds pets'),
    (lambda folder: None, {'name': 'satellite'}, r'no shards satellite_train_.*label\.txt'),
    (shard_missing, {}, r'pets_train_00001-of-00002\.tfrecord is missing'),
    (mixed, {}, 'mixes shards of 2 and of 3'),
    (empty_shard, {}, r'00001-of-00002\.tfrecord holds no records'),
    (cut, {}, r'00001-of-00002\.tfrecord is cut short.* record 3'),
    (no_record_file, {}, 'no TFRecord file: record 0'),
    (no_example, {}, r'Record 1 of .*00001-of-00002\.tfrecord is damaged'),
    (no_pixels, {}, 'Record 0 of .* has no image/encoded'),
    (no_label, {}, 'Record 0 of .* has 0 values of image/class/label'),
    (few_labels, {}, r'Record 2 of .* has the label 2, label\.txt has 2 classes \(0 to 1\)'),
    (other_order, {}, r"label 0 is 'cat', label\.txt says 'dog'"),
    (no_names, {}, 'has no label.txt'),
  ]


@pytest.mark.parametrize('damage, call, message', _wrong_folders())
def test_what_is_wrong_with_a_folder_is_said(plain, damage, call, message):
  damage(plain)
  with pytest.raises(UserError, match=message):
    dataset_factory.get_dataset(call.get('name'), call.get('split', 'train'), str(plain))


@pytest.mark.parametrize(
  'name, split_name, folder, message',
  [
    ('satelite', 'train', None, "Name of dataset unknown satelite.*did you mean 'satellite'"),
    ('satellite', 'test', None, 'split name test was not recognized'),
    (None, 'train', None, 'give dataset_dir'),
    (None, 'train', '/no/such/folder', '/no/such/folder is not a folder'),
  ],
)
def test_wrong_names_and_folders(name, split_name, folder, message):
  with pytest.raises(ValueError, match=message):
    dataset_factory.get_dataset(name, split_name, folder)


@pytest.fixture
def listed(plain):
  """The same data set with dataset.json."""
  splits = {}
  for split_name in ('train', 'validation'):
    paths = sorted(plain.glob(f'pets_{split_name}_*'))
    shards = [
      {
        'file': path.name,
        'num_images': records.count_records(path),
        'bytes': path.stat().st_size,
        'sha256': f'{index}' * 64,
      }
      for index, path in enumerate(paths)
    ]
    count = sum(shard['num_images'] for shard in shards)
    splits[split_name] = {'num_images': count, 'images_per_class': {}, 'shards': shards}
  value = {'format_version': 1, 'name': 'pets', 'classes': ['cat', 'dog', 'owl'], 'splits': splits}
  manifest.write_manifest(plain, value)
  return plain


def test_the_shard_list_of_dataset_json_decides(listed):
  _write_split(listed, name='pets', counts=(1, 1, 1))  # a stray set of another shard count
  _write_split(listed, name='other')
  (listed / 'label.txt').unlink()
  dataset = dataset_factory.get_dataset(None, 'train', str(listed))
  assert (dataset.num_samples, len(dataset.data_sources)) == (7, 2)
  assert dataset.labels_to_names[2] == 'owl'
  assert dataset_factory.split_names(None, str(listed)) == ['train', 'validation']


def test_dataset_json_against_its_folder(listed):
  with pytest.raises(UserError, match="holds the data set 'pets', not 'satellite'"):
    dataset_factory.get_dataset('satellite', 'train', str(listed))
  with pytest.raises(UserError, match='split name test was not recognized'):
    dataset_factory.get_dataset('pets', 'test', str(listed))
  path = listed / 'pets_train_00000-of-00002.tfrecord'
  path.write_bytes(path.read_bytes() + b'x')
  with pytest.raises(UserError, match=r'00000-of-00002.tfrecord has \d+ bytes, dataset.json says'):
    dataset_factory.get_dataset('pets', 'train', str(listed))
  path.unlink()
  with pytest.raises(UserError, match=r'00000-of-00002.tfrecord is missing'):
    dataset_factory.get_dataset('pets', 'train', str(listed))


def _shard(value):
  return value['splits']['train']['shards'][0]


@pytest.mark.parametrize(
  'spoil, field',
  [
    (lambda value: value.update(format_version=2), 'format_version'),
    (lambda value: value.pop('name'), 'name'),
    (lambda value: value.update(classes=['cat', 'cat']), 'classes'),
    (lambda value: value.update(classes='cat'), 'classes'),
    (lambda value: value.update(splits={}), 'splits'),
    (lambda value: value['splits'].update(train=3), r'splits\.train'),
    (lambda value: value['splits']['train'].update(num_images=8), r'train\.num_images'),
    (lambda value: value['splits']['train'].update(num_images='7'), r'train\.num_images'),
    (lambda value: value['splits']['train'].update(images_per_class={'elk': 1}), r'per_class'),
    (lambda value: value['splits']['train'].update(shards={}), r'train\.shards'),
    (lambda value: _shard(value).update(file='../x'), r'train\.shards\[0\]\.file'),
    (lambda value: _shard(value).update(num_images=-1), r'shards\[0\]\.num_images'),
    (lambda value: _shard(value).update(bytes=True), r'shards\[0\]\.bytes'),
    (lambda value: _shard(value).pop('sha256'), r'shards\[0\]\.sha256'),
  ],
)
def test_wrong_fields_of_dataset_json_are_named(listed, spoil, field):
  path = listed / 'dataset.json'
  value = json.loads(path.read_text(encoding='utf-8'))
  spoil(value)
  path.write_text(json.dumps(value), encoding='utf-8')
  with pytest.raises(UserError, match=rf'dataset\.json: .*{field} should be'):
    dataset_factory.get_dataset(None, 'train', str(listed))


def test_dataset_json_that_is_no_json(listed):
  (listed / 'dataset.json').write_text('{', encoding='utf-8')
  with pytest.raises(UserError, match=r'dataset\.json cannot be read'):
    dataset_factory.split_names(None, str(listed))


def test_fingerprint_follows_classes_and_shards(listed):
  def changed(spoil):
    path = listed / 'dataset.json'
    text = path.read_text(encoding='utf-8')
    value = json.loads(text)
    spoil(value)
    path.write_text(json.dumps(value), encoding='utf-8')
    found = dataset_factory.fingerprint(str(listed))
    path.write_text(text, encoding='utf-8')
    return found

  before = dataset_factory.fingerprint(str(listed))
  assert changed(lambda value: value.update(seed=5)) == before
  assert changed(lambda value: value.update(classes=['cat', 'owl', 'dog'])) != before
  assert changed(lambda value: _shard(value).update(sha256='f' * 64)) != before
  (listed / 'dataset.json').unlink()
  plain = dataset_factory.fingerprint(str(listed))
  _write_split(listed, counts=(3, 5))
  assert dataset_factory.fingerprint(str(listed)) not in (plain, before)
  with pytest.raises(UserError, match='holds no data set'):
    dataset_factory.fingerprint(str(pathlib.Path(__file__).parent))


def test_an_interrupted_swap_is_finished_by_the_next_reader(listed):
  ready = listed / manifest.READY_FOLDER
  ready.mkdir()
  for file in [*listed.glob('pets_*'), listed / 'dataset.json']:
    os.rename(file, ready / file.name)
  _write_split(listed, counts=(1, 1, 1))  # what is left of the old set
  dataset = dataset_factory.get_dataset(None, 'train', str(listed))
  assert dataset.num_samples == 7
  assert not ready.exists()
  assert not list(listed.glob('*-of-00003.tfrecord'))


@pytest.mark.parametrize(
  'file, data, expected',
  [
    ('label.txt', b'cat\ndog\n', ['cat', 'dog']),
    ('label.txt', b'\xef\xbb\xbfcat\r\ndog\r\n\r\n\n', ['cat', 'dog']),
    ('label.txt', b'0:cat\n1:dog', ['0:cat', '1:dog']),
    ('label.txt', '冰川\ncafe\u0301\n wood \n'.encode(), ['冰川', 'caf\u00e9', ' wood ']),
    ('labels.txt', b'0:cat\n1:dog: small\n', ['cat', 'dog: small']),
    ('names.txt', b'4:3\nwide\n', ['4:3', 'wide']),
  ],
)
def test_label_files(tmp_path, file, data, expected):
  (tmp_path / file).write_bytes(data)
  assert labels.read_labels(str(tmp_path / file)) == dict(enumerate(expected))


@pytest.mark.parametrize(
  'data, message',
  [
    (b'', 'is empty'),
    (b'cat\n\ndog\n', 'line 2 is blank'),
    (b'0:cat\n0:dog\n', 'label 0 twice'),
    (b'\xff\xfec\0', 'not UTF-8'),
  ],
)
def test_label_files_that_are_wrong(tmp_path, data, message):
  (tmp_path / 'labels.txt').write_bytes(data)
  with pytest.raises(UserError, match=message):
    labels.read_labels(str(tmp_path / 'labels.txt'))


def test_a_repeated_name_is_wrong_only_where_names_are_folders(tmp_path):
  path = tmp_path / 'label.txt'
  path.write_text('crane\ndog\ncrane\n', encoding='utf-8')
  assert labels.read_labels(str(path)) == {0: 'crane', 1: 'dog', 2: 'crane'}
  with pytest.raises(UserError, match="'crane' twice, in lines 1 and 3"):
    labels.read_class_names(str(path))


def test_missing_label_file(tmp_path):
  with pytest.raises(UserError, match='No such file'):
    labels.read_labels(str(tmp_path / 'label.txt'))


def test_a_run_knows_its_own_of_several_data_sets(plain, tmp_path_factory):
  _write_split(plain, name='flowers', split='validation')
  folder = tmp_path_factory.mktemp('run')
  write_checkpoint(folder, 'lenet', 3, size=28)
  about = {'image_size': 28, 'data_fingerprint': None, 'dataset_dir': str(plain)}
  write_run(folder, 'lenet', _CLASSES, **about)
  evaluation = (eval_image_classifier, f'--checkpoint_path={folder}', f'--eval_dir={folder}/eval')
  commands = (evaluation, (compare_models, folder, folder))
  assert [run(*arguments) for arguments in commands] == [2, 2]
  write_run(folder, 'lenet', _CLASSES, **about, dataset_name='pets')
  assert [run(*arguments) for arguments in commands] == [0, 0]
  report = json.loads((folder / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert report['num_examples'] == 3
