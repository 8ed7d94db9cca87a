"""Published data sets become records: from archives in the original formats, tiny or damaged."""

import collections
import functools
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile

import loopback
import numpy as np
import pytest
from PIL import Image
from small_nets import run

import eval_image_classifier
import export_inference_graph
import train_image_classifier
from datasets import dataset_factory, flower_files
from image_classifier import inputs
from image_classifier.downloads import dataset_sources
from preprocessing import preprocessing_factory
from scripts import download_and_convert_data
from slim_compat import tf

BATCHES = [f'data_batch_{number}' for number in range(1, 6)] + ['test_batch']
FLOWERS = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
A_BATCH = 4  # pictures in one


def _convert(name, folder, *flags):
  return run(download_and_convert_data, f'--dataset_name={name}', f'--dataset_dir={folder}', *flags)


def _tar(path, files):
  with tarfile.open(path, 'w:gz') as archive:
    for name, data in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      archive.addfile(info, io.BytesIO(data))
  return path


def _pictures():
  """Returns {batch: (uint8 [n, 32, 32, 3], labels)}; no picture is its own mirror image."""
  rng = np.random.default_rng(0)
  return {
    batch: (rng.integers(0, 256, (A_BATCH, 32, 32, 3), np.uint8), [number, 9, 0, 3])
    for number, batch in enumerate(BATCHES)
  }


def _planes(pixels):
  """Pictures as CIFAR-10 lays them out: a red, a green and a blue plane."""
  return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def _pickled(batch, pixels, labels):
  """A batch as NumPy pickles it today, with the keys of Python 2."""
  content = {
    b'batch_label': batch.encode(),
    b'labels': labels,
    b'data': _planes(pixels),
    b'filenames': [b'x.png'] * len(labels),
  }
  return pickle.dumps(content, protocol=2)


def _python_files(**changes):
  files = {f'cifar-10-batches-py/{name}': _pickled(name, *p) for name, p in _pictures().items()}
  return files | {f'cifar-10-batches-py/{name}': data for name, data in changes.items()}


def _binary_files():
  files = {}
  for name, (pixels, labels) in _pictures().items():
    rows = np.concatenate([np.array(labels, np.uint8)[:, None], _planes(pixels)], axis=1)
    files[f'cifar-10-batches-bin/{name}.bin'] = rows.tobytes()
  return files | {'cifar-10-batches-bin/readme.html': b'<html>'}


def _idx(magic, values):
  return struct.pack(f'>{1 + values.ndim}I', magic, *values.shape) + values.tobytes()


def _digits():
  """Returns {split: (uint8 [n, 28, 28], uint8 [n])}."""
  rng = np.random.default_rng(0)
  return {
    split: (rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10)
    for split, n in (('train', 12), ('t10k', 6))
  }


def _write_mnist(folder):
  folder.mkdir()
  for split, (pixels, labels) in _digits().items():
    for file, data in (
      (f'{split}-images-idx3-ubyte.gz', _idx(0x803, pixels)),
      (f'{split}-labels-idx1-ubyte.gz', _idx(0x801, labels)),
    ):
      (folder / file).write_bytes(gzip.compress(data))
  return folder


def _jpeg(red):
  stream = io.BytesIO()
  Image.new('RGB', (12, 8), (red, 90, 90)).save(stream, 'JPEG')
  return stream.getvalue()


def _flower_files(per_class=6):
  files = {
    f'flower_photos/{name}/{number}.jpg': _jpeg(40 * kind + number)
    for kind, name in enumerate(FLOWERS)
    for number in range(per_class)
  }
  return files | {'flower_photos/LICENSE.txt': b'CC-BY', 'flower_photos/._x': b'mac'}


def _rows(name, split_name, folder):
  """Returns [(image, label, file name), ...] of a split, as the decoder gives them."""
  dataset = dataset_factory.get_dataset(name, split_name, str(folder))
  with tf.Graph().as_default(), tf.Session() as session:
    data = tf.data.TFRecordDataset(dataset.data_sources)
    items = ['image', 'label', 'filename']
    data = data.map(lambda record: tuple(dataset.decoder.decode(record, items)))
    following = tf.data.make_one_shot_iterator(data).get_next()
    return [session.run(following) for _ in range(dataset.num_samples)]


def _listed(folder):
  return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def cifar10(tmp_path):
  return _tar(tmp_path / 'cifar-10-python.tar.gz', _python_files())


@pytest.mark.parametrize('make', [_python_files, _binary_files])
def test_cifar10(tmp_path, capsys, make):
  archive = _tar(tmp_path / 'cifar.tar.gz', make())
  folder = tmp_path / '数据 sets' / 'c10'
  assert _convert('cifar10', folder, f'--archive={archive}') == 0
  assert _listed(folder) == [
    'cifar10_test.tfrecord',
    'cifar10_train.tfrecord',
    'dataset.json',
    'label.txt',
    'labels.txt',
    'skipped.csv',
  ]
  printed = capsys.readouterr().out
  assert '\r>> Converting image 20/20 shard 0\n' in printed
  assert '\nFinished converting the Cifar10 dataset!\n' in printed
  expected = _pictures()
  for split_name, batches in (('train', BATCHES[:5]), ('test', BATCHES[5:])):
    rows = _rows('cifar10', split_name, folder)
    pixels = np.concatenate([expected[batch][0] for batch in batches])
    labels = sum((expected[batch][1] for batch in batches), [])
    np.testing.assert_array_equal([image for image, _, _ in rows], pixels)
    assert [label for _, label, _ in rows] == labels
    assert len({file for _, _, file in rows}) == len(rows)
  text = (folder / 'labels.txt').read_text(encoding='utf-8')
  assert text.startswith('0:airplane\n1:automobile\n') and text.endswith('9:truck\n')
  value = json.loads((folder / 'dataset.json').read_text(encoding='utf-8'))
  assert value['name'] == 'cifar10' and value['classes'][9] == 'truck'
  assert value['splits']['train']['images_per_class']['truck'] == 5


def test_records_have_the_features_of_the_original(tmp_path, cifar10):
  assert _convert('cifar10', tmp_path / 'out', f'--archive={cifar10}') == 0
  path = str(tmp_path / 'out' / 'cifar10_test.tfrecord')
  example = tf.train.Example.FromString(next(tf.io.tf_record_iterator(path)))
  feature = example.features.feature
  assert feature['image/encoded'].bytes_list.value[0].startswith(b'\x89PNG')
  assert feature['image/format'].bytes_list.value[0] == b'png'
  assert feature['image/height'].int64_list.value[0] == 32
  assert feature['image/class/label'].int64_list.value[0] == 5


def test_both_versions_of_cifar10_become_the_same_records(tmp_path):
  found = []
  for make in (_python_files, _binary_files):
    archive = _tar(tmp_path / f'{make.__name__}.tgz', make())
    folder = tmp_path / make.__name__
    assert _convert('cifar10', folder, f'--archive={archive}') == 0
    found.append(dataset_factory.fingerprint(str(folder)))
  assert found[0] == found[1]


def test_a_batch_as_python_2_wrote_it(tmp_path):
  """The opcodes of the published file: texts are Python 2's str, which Python 3 cannot write."""

  def text(data):
    return b'T' + struct.pack('<I', len(data)) + data

  def batch(pixels, labels):
    data = _planes(pixels)
    array = (
      b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t' + text(b'b') + b'tR'
      b'(K\x01(K'
      + bytes([len(data)])
      + b'M\x00\x0ctcnumpy\ndtype\n('
      + text(b'u1')
      + b'K\x00K\x01tR'
      b'(K\x03'
      + text(b'|')
      + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89'
      + text(data.tobytes())
      + b'tb'
    )
    numbers = b''.join(b'K' + bytes([label]) for label in labels)
    return b'\x80\x02}(' + text(b'data') + array + text(b'labels') + b'](' + numbers + b'eu.'

  files = {f'cifar-10-batches-py/{name}': batch(*value) for name, value in _pictures().items()}
  archive = _tar(tmp_path / 'c.tar.gz', files)
  assert _convert('cifar10', tmp_path / 'out', f'--archive={archive}') == 0
  image, label, _ = _rows('cifar10', 'test', tmp_path / 'out')[0]
  np.testing.assert_array_equal(image, _pictures()['test_batch'][0][0])
  assert label == 5


def test_mnist(tmp_path, capsys):
  folder = tmp_path / 'out'
  assert _convert('mnist', folder, f'--archive={_write_mnist(tmp_path / "idx")}') == 0
  assert 'Finished converting the MNIST dataset!' in capsys.readouterr().out
  assert {'mnist_train.tfrecord', 'mnist_test.tfrecord'} < set(_listed(folder))
  for split_name, original in (('train', 'train'), ('test', 't10k')):
    rows = _rows('mnist', split_name, folder)
    pixels, labels = _digits()[original]
    np.testing.assert_array_equal([image for image, _, _ in rows], pixels[..., None])
    assert [label for _, label, _ in rows] == labels.tolist()
  assert '6:six\n' in (folder / 'labels.txt').read_text(encoding='utf-8')


def test_mnist_unpacked(tmp_path):
  folder = _write_mnist(tmp_path / 'idx')
  for path in list(folder.iterdir()):
    path.with_suffix('').write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
  assert _convert('mnist', tmp_path / 'out', f'--archive={folder}') == 0


def test_flowers(tmp_path, capsys):
  archive = _tar(tmp_path / 'flower_photos.tgz', _flower_files(20))
  folder = tmp_path / 'out'
  assert _convert('flowers', folder, f'--archive={archive}') == 0
  printed = capsys.readouterr().out
  assert '\r>> Converting image 1/90 shard 0' in printed
  assert '\r>> Converting image 90/90 shard 4' in printed
  assert '\nFinished converting the Flowers dataset!\n' in printed
  assert [file for file in _listed(folder) if 'tfrecord' in file] == [
    f'flowers_{split}_{index:05d}-of-00005.tfrecord'
    for split in ('train', 'validation')
    for index in range(5)
  ]
  rows = {split: _rows('flowers', split, folder) for split in ('train', 'validation')}
  assert [len(part) for part in rows.values()] == [90, 10]
  files = collections.Counter(file for part in rows.values() for _, _, file in part)
  assert len(files) == 100 and set(files.values()) == {1}
  for image, label, file in rows['train']:
    assert file.decode().startswith(f'{FLOWERS[label]}/')
    assert image.shape == (8, 12, 3) and abs(int(image[0, 0, 0]) - 40 * label) < 30
  assert {label for _, label, _ in rows['train'][:18]} == set(range(5))  # shuffled
  value = json.loads((folder / 'dataset.json').read_text(encoding='utf-8'))
  assert (value['seed'], value['classes']) == (0, list(FLOWERS))


def test_of_all_flowers_350_validate_and_the_seed_decides(tmp_path):
  for name in FLOWERS:
    (tmp_path / name).mkdir()
    for number in range(734):
      (tmp_path / name / f'{number}.jpg').touch()
  splits, class_names = flower_files.read(str(tmp_path))
  assert class_names == list(FLOWERS)
  assert {name: len(split.images) for name, split in splits.items()} == {
    'train': 3320,
    'validation': 350,
  }
  again, _ = flower_files.read(str(tmp_path))
  assert again['validation'].images == splits['validation'].images


def test_a_flower_that_cannot_be_read_is_left_out_and_listed(tmp_path, capsys):
  files = _flower_files() | {'flower_photos/roses/bad.jpg': b'<html>'}
  archive = _tar(tmp_path / 'f.tgz', files)
  assert _convert('flowers', tmp_path / 'out', f'--archive={archive}') == 0
  assert 'Skipped 1:' in capsys.readouterr().out
  assert 'roses/bad.jpg' in (tmp_path / 'out' / 'skipped.csv').read_text(encoding='utf-8')


def test_an_unpacked_archive_will_do(tmp_path, cifar10):
  with tarfile.open(cifar10) as archive:
    for member in archive:
      path = tmp_path / member.name
      path.parent.mkdir(exist_ok=True)
      path.write_bytes(archive.extractfile(member).read())
  where = tmp_path / 'cifar-10-batches-py'
  assert _convert('cifar10', tmp_path / 'out', f'--archive={where}') == 0
  assert len(_listed(where)) == len(BATCHES)


@pytest.mark.parametrize(
  ('name', 'size', 'preprocessing', 'shape'),
  [('cifar10', 32, 'cifarnet', (32, 32, 3)), ('mnist', 28, 'lenet', (28, 28, 1))],
)
def test_trainings_inputs_read_them(tmp_path, cifar10, name, size, preprocessing, shape):
  archive = cifar10 if name == 'cifar10' else _write_mnist(tmp_path / 'idx')
  assert _convert(name, tmp_path / 'out', f'--archive={archive}') == 0
  dataset = dataset_factory.get_dataset(None, 'train', str(tmp_path / 'out'))
  fn = preprocessing_factory.get_preprocessing(preprocessing, is_training=True)
  with tf.Graph().as_default(), tf.Session() as session:
    images, labels, *_, initializer = inputs.training_batches(dataset, fn, 3, size)
    session.run(initializer)
    images, labels = session.run([images, labels])
  assert (images.shape, images.dtype, labels.shape) == ((3, *shape), np.float32, (3,))


def test_what_is_there_stays(tmp_path, capsys, cifar10):
  folder = tmp_path / 'out'
  assert _convert('cifar10', folder, f'--archive={cifar10}') == 0
  before = {file: (folder / file).stat().st_mtime_ns for file in _listed(folder)}
  capsys.readouterr()
  assert _convert('cifar10', folder) == 0  # without a download either
  assert capsys.readouterr().out == (
    'Dataset files already exist. Exiting without re-creating them.\n'
  )
  assert before == {file: (folder / file).stat().st_mtime_ns for file in _listed(folder)}
  assert _convert('mnist', folder, f'--archive={_write_mnist(tmp_path / "idx")}') == 2
  assert 'holds dataset.json: --overwrite replaces the data set' in capsys.readouterr().err
  fewer = _tar(tmp_path / 'x.tar.gz', _python_files())
  assert _convert('cifar10', folder, f'--archive={fewer}', '--overwrite') == 0
  assert _listed(folder) == sorted(before)
  assert before != {file: (folder / file).stat().st_mtime_ns for file in _listed(folder)}


def test_half_a_data_set_is_not_taken_for_one(tmp_path, capsys, cifar10):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'cifar10_train.tfrecord').write_bytes(b'mine')
  assert _convert('cifar10', tmp_path / 'out', f'--archive={cifar10}') == 2
  assert 'holds cifar10_train.tfrecord' in capsys.readouterr().err
  assert (tmp_path / 'out' / 'cifar10_train.tfrecord').read_bytes() == b'mine'


def test_a_label_file_of_others_is_not_replaced(tmp_path, capsys, cifar10):
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'label.txt').write_text('mine\n', encoding='utf-8')
  assert _convert('cifar10', tmp_path / 'out', f'--archive={cifar10}') == 2
  assert 'label.txt names other classes' in capsys.readouterr().err
  assert _listed(tmp_path / 'out') == ['label.txt']


class _Harm:
  def __reduce__(self):
    return os.system, ('touch harmed',)


def _cut(path):
  path.write_bytes(path.read_bytes()[:-30])


def _batch(labels=(1,), dtype=np.uint8):
  data = np.zeros((1, 3072), dtype)
  return pickle.dumps({b'labels': list(labels), b'data': data}, protocol=2)


@pytest.mark.parametrize(
  ('changes', 'code', 'message'),
  [
    ({'data_batch_2': pickle.dumps({b'data': _Harm()})}, 2, 'asks for posix.system, which no'),
    ({'data_batch_2': pickle.dumps({b'labels': np.int64(3)}, 2)}, 2, '.scalar, which no batch'),
    ({'data_batch_2': b''}, 2, 'data_batch_2 is damaged or no batch of CIFAR-10 (ValueError'),
    ({'data_batch_2': _batch()[:-40]}, 2, 'data_batch_2 is damaged or no batch'),
    ({'data_batch_2': pickle.dumps([1])}, 2, 'data_batch_2 is damaged or no batch'),
    ({'data_batch_2': pickle.dumps({b'x': 1})}, 2, "(KeyError: 'data')"),
    ({'data_batch_2': b'\x80\x05}r\xff\xff\xff\xff.'}, 2, 'LONG_BINPUT 4294967295 is out of range'),
    ({'data_batch_2': b'\x80\x05\x96' + b'\x01' * 9 + b'.'}, 2, 'no batch of CIFAR-10'),
    ({'data_batch_2': _batch([10])}, 2, 'has the label 10 for picture 0'),
    ({'data_batch_2': _batch([1, 2])}, 2, '2 labels for data of shape (1, 3072)'),
    ({'data_batch_2': _batch(dtype=np.float64)}, 2, 'no rows of bytes'),
  ],
)
def test_batches_that_are_none(tmp_path, monkeypatch, capsys, changes, code, message):
  monkeypatch.chdir(tmp_path)
  _tar(tmp_path / 'c.tar.gz', _python_files(**changes))
  assert _convert('cifar10', tmp_path / 'out', '--archive=c.tar.gz') == code
  printed = capsys.readouterr().err
  assert message in printed and 'c.tar.gz/cifar-10-batches-py/data_batch_2' in printed
  assert printed.count('\n') == 1
  assert _listed(tmp_path) == ['c.tar.gz']


def _wrong_archives():
  def missing_batch(path):
    files = _python_files()
    del files['cifar-10-batches-py/data_batch_3']
    _tar(path, files)

  def cut_binary(path):
    files = _binary_files()
    files['cifar-10-batches-bin/test_batch.bin'] += b'x'
    _tar(path, files)

  return [
    (lambda path: _cut(_tar(path, _python_files())), 3, 'c.tar.gz is damaged'),
    (lambda path: path.write_bytes(b'<html>'), 3, 'c.tar.gz is damaged'),
    (lambda path: _tar(path, _python_files() | {'../out': b'x'}), 2, "holds '../out', a name"),
    (lambda path: _tar(path, _python_files() | {'/tmp/x': b'x'}), 2, "holds '/tmp/x', a name"),
    (lambda path: _tar(path, {'cifar-100-python/train': b'x'}), 2, 'this is not CIFAR-10'),
    (missing_batch, 2, 'data_batch_3 is missing: fetch the whole archive'),
    (cut_binary, 2, 'test_batch.bin is cut short or no batch'),
    (lambda path: None, 2, 'c.tar.gz does not exist'),
  ]


@pytest.mark.parametrize(('make', 'code', 'message'), _wrong_archives())
def test_wrong_archives_are_refused_and_leave_nothing(tmp_path, capsys, make, code, message):
  archive = tmp_path / 'c.tar.gz'
  make(archive)
  before = _listed(tmp_path)
  assert _convert('cifar10', tmp_path / 'out', f'--archive={archive}') == code
  printed = capsys.readouterr().err
  assert message in printed and printed.count('\n') == 1
  assert _listed(tmp_path) == before


# Without the time of day, which would be part of a test's name.
_gzipped = functools.partial(gzip.compress, mtime=0)
IMAGES, LABELS = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'


@pytest.mark.parametrize(
  ('file', 'data', 'message'),
  [
    (IMAGES, _gzipped(_idx(0x801, np.zeros(3, np.uint8))), '0x00000801 in place of'),
    (IMAGES, _gzipped(_idx(0x803, np.zeros((12, 28, 28), np.uint8))[:-1]), 'ends too early'),
    (IMAGES, _gzipped(_idx(0x803, np.zeros((12, 28, 28), np.uint8)))[:-9], 'ends too early'),
    (IMAGES, _gzipped(_idx(0x803, np.zeros((12, 28, 28), np.uint8)) + b'x'), 'goes on after'),
    (IMAGES, _gzipped(_idx(0x803, np.zeros((12, 28, 20), np.uint8))), '28 x 20 pixels'),
    (IMAGES, _gzipped(_idx(0x803, np.zeros((11, 28, 28), np.uint8))), '11 pictures and'),
    (IMAGES, _gzipped(struct.pack('>4I', 0x803, 2**31, 28, 28)), 'not of MNIST'),
    (IMAGES, _gzipped(b'\0\0'), 'ends too early'),
    (IMAGES, b'<html>', 'cannot be read (Not a gzipped file'),
    (LABELS, _gzipped(_idx(0x801, np.full(12, 10, np.uint8))), 'has the label 10'),
    (LABELS, None, f'holds no {LABELS}: fetch all four files'),
  ],
)
def test_wrong_files_of_mnist(tmp_path, capsys, file, data, message):
  path = _write_mnist(tmp_path / 'idx') / file
  path.unlink()
  if data is not None:
    path.write_bytes(data)
  assert _convert('mnist', tmp_path / 'out', f'--archive={tmp_path / "idx"}') == 2
  printed = capsys.readouterr().err
  assert message in printed and file in printed and printed.count('\n') == 1
  assert _listed(tmp_path) == ['idx']


def test_flowers_without_classes(tmp_path, capsys):
  archive = _tar(tmp_path / 'f.tgz', {'flower_photos/roses/1.jpg': _jpeg(1)})
  assert _convert('flowers', tmp_path / 'out', f'--archive={archive}') == 2
  assert f'{archive}/flower_photos holds one class' in capsys.readouterr().err
  assert _listed(tmp_path) == ['f.tgz']


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], 'You must supply the dataset name with --dataset_name'),
    (['--dataset_name=mnist'], 'You must supply the dataset directory with --dataset_dir'),
    (
      ['--dataset_name=cifar', '--dataset_dir=d'],
      "dataset_name [cifar] was not recognized. Unknown data set 'cifar': did you mean 'cifar10'?",
    ),
    (
      ['--dataset_name=mnist', '--dataset_dir=d', '--archive=f.gz'],
      'f.gz is a file: give the folder that holds train-images-idx3-ubyte.gz',
    ),
  ],
)
def test_wrong_flags(tmp_path, monkeypatch, capsys, flags, message):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'f.gz').touch()
  assert run(download_and_convert_data, *flags) == 2
  assert message in capsys.readouterr().err
  assert _listed(tmp_path) == ['f.gz']


def _published(data, url):
  digest = hashlib.sha256(data).hexdigest()
  return dataset_sources.Archive(url, len(data), digest)


def test_a_download_is_announced_checked_and_kept(tmp_path, monkeypatch, capsys):
  data = _tar(tmp_path / 'c.tar.gz', _binary_files()).read_bytes()
  monkeypatch.setenv('no_proxy', '*')
  with loopback.serving(data) as server:
    source = dataset_sources.Source('Cifar10', ((_published(data, server.url),),))
    monkeypatch.setitem(dataset_sources.SOURCES, 'cifar10', source)
    assert _convert('cifar10', tmp_path / 'out') == 0
    assert f'kB): {server.url}' in capsys.readouterr().err
    assert (tmp_path / 'out' / 'net.tar.gz').read_bytes() == data
    assert _convert('cifar10', tmp_path / 'out', '--overwrite') == 0
    assert len(server.requests) == 1
    other = dataset_sources.Source('Cifar10', ((_published(data + b'x', server.url),),))
    monkeypatch.setitem(dataset_sources.SOURCES, 'cifar10', other)
    assert _convert('cifar10', tmp_path / 'out', '--overwrite') == 3
    assert 'its publisher says' in capsys.readouterr().err
    assert len(_rows('cifar10', 'test', tmp_path / 'out')) == A_BATCH


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('no_proxy', '*')
  with loopback.serving(b'') as server:
    url = server.url
  files = tuple(
    dataset_sources.Archive(url.replace('net.tar', file), 9_912_422, '0' * 64)
    for file in ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte')
  )
  source = dataset_sources.Source('MNIST', (files,))
  monkeypatch.setitem(dataset_sources.SOURCES, 'mnist', source)
  assert _convert('mnist', tmp_path / 'out') == 3
  printed = capsys.readouterr().err
  path = tmp_path / 'out' / 'train-images-idx3-ubyte.gz'
  assert f'fetch it by hand (9.9 MB) and put it at {path}.' in printed
  assert f'The same goes for {files[1].url}.' in printed


def test_what_was_put_there_by_hand_is_not_fetched(tmp_path, monkeypatch, cifar10):
  data = cifar10.read_bytes()
  alternatives = (
    (dataset_sources.Archive('http://no.such/cifar-10-binary.tar.gz', 1, '0' * 64),),
    (_published(data, 'http://no.such/cifar-10-python.tar.gz'),),
  )
  source = dataset_sources.Source('Cifar10', alternatives)
  monkeypatch.setitem(dataset_sources.SOURCES, 'cifar10', source)
  assert _convert('cifar10', tmp_path) == 0
  assert len(_rows('cifar10', 'train', tmp_path)) == 5 * A_BATCH


def test_every_published_file_has_a_size_and_a_checksum():
  files = [
    file
    for source in dataset_sources.SOURCES.values()
    for alternative in source.alternatives
    for file in alternative
  ]
  assert len(files) == 7
  assert {file.file() for file in files} > {'cifar-10-python.tar.gz', 'flower_photos.tgz', IMAGES}
  for file in files:
    assert file.size > 4000 and len(bytes.fromhex(file.sha256)) == 32


@pytest.mark.parametrize(('name', 'net'), [('cifar10', 'cifarnet'), ('mnist', 'lenet')])
def test_from_the_archive_to_an_evaluated_net(tmp_path, monkeypatch, cifar10, name, net):
  archive = cifar10 if name == 'cifar10' else _write_mnist(tmp_path / 'idx')
  folder, train_dir = tmp_path / 'data', tmp_path / 'run'
  assert _convert(name, folder, f'--archive={archive}') == 0
  flags = [f'--dataset_name={name}', f'--dataset_dir={folder}', f'--model_name={net}']
  steps = ['--max_number_of_steps=2', '--batch_size=4', '--learning_rate=0.001']
  assert run(train_image_classifier, *flags, f'--train_dir={train_dir}', *steps) == 0
  assert (
    run(
      eval_image_classifier,
      *flags,
      '--dataset_split_name=test',
      f'--checkpoint_path={train_dir}',
      f'--eval_dir={tmp_path / "eval"}',
    )
    == 0
  )
  report = json.loads((tmp_path / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert report['num_examples'] == {'cifar10': A_BATCH, 'mnist': 6}[name]
  record = json.loads((train_dir / 'run.json').read_text(encoding='utf-8'))
  assert record['num_classes'] == 10 and record['use_grayscale'] is (name == 'mnist')
  graph = tmp_path / 'graph.pb'
  assert run(export_inference_graph, f'--train_dir={train_dir}', f'--output_file={graph}') == 0
  facts = json.loads((tmp_path / 'graph.pb.json').read_text(encoding='utf-8'))
  assert facts['preprocessing']['colour_order'] == ('GRAY' if name == 'mnist' else 'RGB')
