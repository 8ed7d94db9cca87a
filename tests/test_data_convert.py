"""data_convert.py: what it writes, keeps, repairs, leaves out, refuses and says."""

import csv
import fcntl
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import data_convert
from datasets import dataset_factory, image_folder, manifest, records, splitting
from image_classifier import command
from slim_compat import tf

_REPO = pathlib.Path(data_convert.__file__).parent
_SATELLITE = _REPO.parent / 'shared' / 'data' / 'satellite'


def _convert(folder, *arguments):
  """Runs the command in this process and returns its exit code."""
  argv = ['data_convert.py', '-t', str(folder), *map(str, arguments)]
  return command.run(data_convert.__doc__, data_convert.FLAGS, data_convert.main, argv)


def _picture(number, image_format='JPEG', size=(10, 8)):
  pixels = np.random.RandomState(number).randint(0, 256, (size[1], size[0], 3), np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, image_format)
  return stream.getvalue()


_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _same_pictures(monkeypatch):
  """Whatever tests ran before."""
  monkeypatch.setitem(globals(), '_NUMBERS', itertools.count())


def _fill(folder, count, image_format='JPEG', extension='jpg'):
  """Writes so many different pictures into a folder."""
  folder.mkdir(parents=True, exist_ok=True)
  for index in range(count):
    (folder / f'{index}.{extension}').write_bytes(_picture(next(_NUMBERS), image_format))
  return folder


@pytest.fixture
def flat(tmp_path):
  """A folder with three classes and no splits."""
  for name, count in (('dog', 7), ('cat', 5), ('owl', 6)):
    _fill(tmp_path / 'pic' / name, count)
  return tmp_path / 'pic'


@pytest.fixture
def split(tmp_path):
  """A folder with train/ and validation/ of two classes."""
  for split_name, count in (('train', 5), ('validation', 3)):
    for name in ('wood', 'rock'):
      _fill(tmp_path / 'pic' / split_name / name, count)
  return tmp_path / 'pic'


def _listed(folder):
  return json.loads((folder / 'dataset.json').read_text(encoding='utf-8'))


def _counts(folder):
  return {name: entry['images_per_class'] for name, entry in _listed(folder)['splits'].items()}


def _skipped(folder):
  with open(folder / 'skipped.csv', encoding='utf-8', newline='') as file:
    header, *rows = csv.reader(file)
  assert header == ['file', 'reason']
  return dict(rows)


def _examples(folder):
  """Returns {split: [{key: value}]} of all records."""
  found = {}
  for split_name, entry in _listed(folder)['splits'].items():
    found[split_name] = [
      {key: _value(feature) for key, feature in example.features.feature.items()}
      for shard in entry['shards']
      for example in records.read_examples(folder / shard['file'])
    ]
  return found


def _value(feature):
  values = feature.bytes_list.value or feature.int64_list.value
  assert len(values) == 1
  return values[0]


def _names(folder):
  return {
    split_name: [example['image/filename'].decode() for example in examples]
    for split_name, examples in _examples(folder).items()
  }


def _shards(folder):
  """Returns {file name: SHA-256} of the shards that are in a folder."""
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob('*.tfrecord')
  }


def _decoded(folder):
  """Returns {file name: (image, label)} of every record, decoded as training does."""
  found = {}
  for split_name in dataset_factory.split_names(None, str(folder)):
    dataset = dataset_factory.get_dataset(None, split_name, str(folder))
    with tf.Graph().as_default(), tf.Session() as session:
      data = tf.data.TFRecordDataset(dataset.data_sources).map(
        lambda record, decode=dataset.decoder.decode: tuple(
          decode(record, ['filename', 'image', 'label'])
        )
      )
      following = tf.data.make_one_shot_iterator(data).get_next()
      for _ in range(dataset.num_samples):
        name, image, label = session.run(following)
        found[name.decode()] = (image, label)
      with pytest.raises(tf.errors.OutOfRangeError):
        session.run(following)
  return found


def test_the_tutorials_command(split, capfd):
  code = _convert(
    split, '--train-shards', 2, '--validation-shards', 2, '--num-threads', 2, '--dataset-name', 'x'
  )
  assert code == command.EXIT_DONE
  assert sorted(os.listdir(split)) == [
    'dataset.json',
    'label.txt',
    'skipped.csv',
    'train',
    'validation',
    'x_train_00000-of-00002.tfrecord',
    'x_train_00001-of-00002.tfrecord',
    'x_validation_00000-of-00002.tfrecord',
    'x_validation_00001-of-00002.tfrecord',
  ]
  assert (split / 'label.txt').read_text(encoding='utf-8') == 'rock\nwood\n'
  out, err = capfd.readouterr()
  assert "WARNING:root:Can't find label.txt. Now create it.\n" in err
  assert f'INFO:root:Found 10 JPEG files across 2 labels inside {split}/train.\n' in err
  assert f'INFO:root:Found 6 JPEG files across 2 labels inside {split}/validation.\n' in err
  assert f' [thread 1]: Wrote 5 images to {split}/x_train_00001-of-00002.tfrecord\n' in err
  assert ': Finished writing all 16 images in data set.\n' in err
  assert 'it/s' not in err and 'images/s' not in err
  rows = [line.split() for line in out.splitlines()]
  assert ['label', 'class', 'train', 'validation'] in rows
  assert ['1', 'wood', '5', '3'] in rows
  assert ['all', '10', '6'] in rows
  assert f'--dataset_dir={split}' in out


def test_every_record_has_the_features_of_the_book_and_of_slim(split):
  _convert(split)
  examples = _examples(split)
  assert {name: len(found) for name, found in examples.items()} == {'train': 10, 'validation': 6}
  for split_name, found in examples.items():
    for example in found:
      path = example['image/filename'].decode()
      class_name = path.split('/')[1]
      assert path.startswith(f'{split_name}/')
      assert example == {
        'image/encoded': (split / path).read_bytes(),
        'image/format': b'JPEG',
        'image/class/label': ['rock', 'wood'].index(class_name),
        'image/class/text': class_name.encode(),
        'image/height': 8,
        'image/width': 10,
        'image/colorspace': b'RGB',
        'image/channels': 3,
        'image/filename': path.encode(),
      }


def test_dataset_json_tells_what_is_there(split):
  _convert(split, '--seed', 3)
  value = _listed(split)
  assert (value['name'], value['classes'], value['seed']) == ('satellite', ['rock', 'wood'], 3)
  for entry in value['splits'].values():
    for shard in entry['shards']:
      path = split / shard['file']
      assert shard['bytes'] == path.stat().st_size
      assert shard['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
      assert shard['num_images'] == records.count_records(path)
  dataset = dataset_factory.get_dataset(None, 'train', str(split))
  assert (dataset.num_samples, dataset.num_classes) == (10, 2)


@pytest.mark.parametrize(
  'threads, train_shards, validation_shards', [(1, 2, 2), (3, 2, 1), (2, 7, 5), (4, 3, 99)]
)
def test_any_number_of_threads_and_shards(flat, threads, train_shards, validation_shards):
  code = _convert(
    flat,
    f'--num_threads={threads}',
    f'--train_shards={train_shards}',
    f'--validation_shards={validation_shards}',
  )
  assert code == command.EXIT_DONE
  splits = _listed(flat)['splits']
  for split_name, wanted in (('train', train_shards), ('validation', validation_shards)):
    sizes = [shard['num_images'] for shard in splits[split_name]['shards']]
    assert len(sizes) == min(wanted, sum(sizes))
    assert max(sizes) - min(sizes) <= 1
  assert sum(len(names) for names in _names(flat).values()) == 18


def test_same_seed_same_bytes(flat, tmp_path):
  other_place = tmp_path / 'elsewhere'
  shutil.copytree(flat, other_place)
  _convert(flat, '--num_threads=1')
  _convert(other_place, '--num_threads=3')
  assert _shards(flat) == _shards(other_place)
  assert (flat / 'dataset.json').read_bytes() == (other_place / 'dataset.json').read_bytes()
  _convert(other_place, '--overwrite', '--seed=1')
  assert _shards(flat) != _shards(other_place)
  for split_name, names in _names(flat).items():
    other_names = _names(other_place)[split_name]
    assert names != other_names and sorted(names) == sorted(other_names)


def test_split_is_stable_and_keeps_every_class_on_both_sides(flat):
  _fill(flat / 'two', 2)
  _fill(flat / 'one', 1)
  _fill(flat / 'many', 60)
  assert _convert(flat) == command.EXIT_DONE
  before = {name: set(names) for name, names in _names(flat).items()}
  counts = _counts(flat)
  assert counts['train']['two'] == counts['validation']['two'] == 1
  assert (counts['train']['one'], counts['validation']['one']) == (1, 0)
  assert all(counts[side][name] for side in counts for name in ('cat', 'dog', 'owl', 'many'))
  assert 3 <= counts['validation']['many'] <= 25
  for index in range(40):
    (flat / 'many' / f'new{index}.jpg').write_bytes(_picture(next(_NUMBERS)))
  _convert(flat, '--overwrite')
  for split_name, names in _names(flat).items():
    assert before[split_name] <= set(names)


@pytest.mark.parametrize('fraction, validation', [(0.0, 3), (1.0, 15)])
def test_validation_fraction(flat, fraction, validation):
  _convert(flat, '--validation-fraction', fraction)
  assert _listed(flat)['splits']['validation']['num_images'] == validation


def test_exact_duplicates_stay_on_one_side(flat, capfd):
  for index in range(12):
    shutil.copy(flat / 'dog' / f'{index % 6}.jpg', flat / 'dog' / f'copy{index}.jpg')
  shutil.copy(flat / 'dog' / '0.jpg', flat / 'cat' / 'dog.jpg')
  assert _convert(flat) == command.EXIT_DONE
  sides = {}
  for split_name, examples in _examples(flat).items():
    for example in examples:
      sides.setdefault(example['image/encoded'], set()).add(split_name)
  assert all(len(found) == 1 for found in sides.values())
  shared = [line for line in capfd.readouterr().out.splitlines() if 'cat/dog.jpg' in line]
  assert len(shared) == 1
  assert 'dog/0.jpg' in shared[0] and 'the same picture in different classes' in shared[0]
  assert _convert(flat, '--overwrite', '--strict') == command.EXIT_USAGE
  assert 'cat/dog.jpg' in capfd.readouterr().err


def test_a_copy_of_a_training_picture_is_left_out_of_validation(split, capfd):
  shutil.copy(split / 'train' / 'wood' / '0.jpg', split / 'validation' / 'wood' / 'copy.jpg')
  assert _convert(split, '--max_skipped_fraction=0') == command.EXIT_DONE
  assert _skipped(split) == {
    'validation/wood/copy.jpg': 'the picture is in train too: train/wood/0.jpg'
  }
  assert _counts(split)['validation'] == {'rock': 3, 'wood': 3}
  assert '     1  the picture is in train too\n' in capfd.readouterr().out


def test_guarantee_of_classes_that_share_pictures():
  generator = np.random.RandomState(0)
  for _ in range(200):
    images, hashes = [], {}
    for class_name in 'abc':
      for index in range(generator.randint(1, 5)):
        name = f'{class_name}/{index}'
        images.append(image_folder.ImageFile(name, class_name, name))
        hashes[name] = hashlib.sha256(str(generator.randint(0, 12)).encode()).hexdigest()
    sides = splitting.split_by_content(images, hashes, 0.2)
    assert sorted(sides['train'] + sides['validation']) == sorted(images)
    for picture in set(hashes.values()):
      assert (
        sum(any(hashes[image.name] == picture for image in side) for side in sides.values()) == 1
      )
    for class_name in 'abc':
      pictures = {hashes[image.name] for image in images if image.class_name == class_name}
      others = {hashes[image.name] for image in images if image.class_name != class_name}
      on = {side for side, found in sides.items() if any(i.class_name == class_name for i in found)}
      if pictures - others:
        assert on == ({'train'} if len(pictures) == 1 else {'train', 'validation'})


def _odd_files(folder):
  """Writes odd and damaged pictures; returns the names that can be used."""
  picture = Image.open(io.BytesIO(_picture(1)))
  exif = Image.Exif()
  exif[0x0112] = 6
  picture.save(folder / 'png named.jpg', 'PNG')
  picture.save(folder / 'jpeg.PNG', 'JPEG')
  picture.save(folder / 'upper.JPG')
  picture.save(folder / 'progressive.jpg', progressive=True)
  picture.save(folder / 'rotated.jpg', exif=exif)
  picture.convert('CMYK').save(folder / 'cmyk.jpg')
  picture.convert('L').save(folder / 'gray.jpg')
  picture.convert('LA').save(folder / 'gray alpha.png')
  picture.convert('RGBA').save(folder / 'alpha.png')
  picture.quantize(8).save(folder / 'palette.png', transparency=0)
  Image.fromarray(np.full((8, 10), 40_000, np.uint16)).save(folder / '16bit.png')
  picture.save(folder / 'picture.webp')
  picture.save(folder / 'picture.bmp')
  picture.save(folder / 'picture.tif')
  picture.save(folder / 'animated.gif', save_all=True, append_images=[picture.rotate(180)])
  picture.save(folder / 'apng.png', save_all=True, append_images=[picture.rotate(180)])
  picture.save(folder / '圖 片=,"x".jpg')
  usable = set(os.listdir(folder))
  jpeg = _picture(2, size=(64, 64))
  (folder / 'cut.jpg').write_bytes(jpeg[: len(jpeg) // 2])
  (folder / 'empty.jpg').write_bytes(b'')
  (folder / 'page.jpg').write_text('<!DOCTYPE html><p>404', encoding='utf-8')
  (folder / 'drawing.jpg').write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
  (folder / 'notes.txt').write_text('remember\n', encoding='utf-8')
  (folder / '=1+1.jpg').write_bytes(b'')
  (folder / 'two\nlines.jpg').write_bytes(b'')
  return usable


def test_odd_pictures_are_converted_and_all_decode(tmp_path, capfd):
  _fill(tmp_path / 'train' / 'plain', 3)
  _fill(tmp_path / 'validation' / 'plain', 1)
  odd = tmp_path / 'train' / 'odd'
  odd.mkdir()
  usable = _odd_files(odd)
  _fill(tmp_path / 'validation' / 'odd', 1)
  assert _convert(tmp_path, '--train_shards=3') == command.EXIT_LEFT_OUT
  decoded = _decoded(tmp_path)
  assert {name for name in decoded if name.startswith('train/odd/')} == {
    f'train/odd/{name}' for name in usable
  }
  for name, (image, label) in decoded.items():
    expected = (10, 8, 3) if 'rotated' in name else (8, 10, 3)
    assert (image.shape, label) == (expected, int('plain' in name)), name
  assert (decoded['train/odd/16bit.png'][0] == 40_000 * 255 // 65535).all()
  skipped = _skipped(tmp_path)
  assert {name: reason.split(':')[0].split(',')[0] for name, reason in skipped.items()} == {
    'train/odd/cut.jpg': 'truncated',
    'train/odd/empty.jpg': 'empty file',
    'train/odd/page.jpg': 'HTML page',
    'train/odd/drawing.jpg': 'SVG drawing',
    'train/odd/notes.txt': 'text',
    'train/odd/=1+1.jpg': 'empty file',
    'train/odd/two\nlines.jpg': 'empty file',
  }
  value = _listed(tmp_path)
  assert value['skipped']['empty file'] == 3
  assert value['repaired']['CMYK'] == value['repaired']['EXIF rotation'] == 1
  out, err = capfd.readouterr()
  assert '     3  empty file\n' in out
  assert '     1  CMYK\n' in out
  assert '--max_skipped_fraction=0.1' in err
  total = sum(value['splits'][name]['num_images'] for name in value['splits'])
  assert total + len(skipped) == sum(len(files) for _, _, files in os.walk(tmp_path / 'train')) + 2


def test_formulas_are_harmless_in_skipped_csv(tmp_path):
  _fill(tmp_path / '=cmd', 3)
  _fill(tmp_path / 'cat', 3)
  (tmp_path / '=cmd' / 'bad.jpg').write_bytes(b'')
  _convert(tmp_path)
  assert _skipped(tmp_path) == {"'=cmd/bad.jpg": 'empty file'}


def test_max_skipped_fraction_and_strict(flat, capfd):
  (flat / 'cat' / 'bad.jpg').write_bytes(b'')
  assert _convert(flat, '--strict') == command.EXIT_USAGE
  assert 'cat/bad.jpg cannot be used: empty file' in capfd.readouterr().err
  assert not list(flat.glob('*.*'))
  assert _convert(flat, '--max_skipped_fraction=0.06') == command.EXIT_DONE
  assert _convert(flat, '--max_skipped_fraction=0.05', '--overwrite') == command.EXIT_LEFT_OUT
  assert (flat / 'dataset.json').exists()


def test_max_pixels(flat):
  (flat / 'cat' / 'large.png').write_bytes(_picture(1, 'PNG', size=(100, 50)))
  _convert(flat, '--max-pixels', 4999)
  assert _skipped(flat) == {'cat/large.png': 'more than 4999 pixels: 100x50'}


def test_unreadable_pictures_do_not_break_the_split_or_leave_empty_shards(tmp_path):
  for name in ('cat', 'dog'):
    # The pictures nearest to the border are damaged, so that the split has to be made again.
    folder = _fill(tmp_path / name, 12)
    by_hash = sorted(folder.iterdir(), key=lambda path: hashlib.sha256(path.read_bytes()).digest())
    for path in by_hash[:10]:
      path.write_bytes(path.read_bytes()[:300])
  assert _convert(tmp_path, '--train_shards=2', '--validation_shards=2') == command.EXIT_LEFT_OUT
  assert _counts(tmp_path) == {'train': {'cat': 1, 'dog': 1}, 'validation': {'cat': 1, 'dog': 1}}
  for entry in _listed(tmp_path)['splits'].values():
    assert [shard['num_images'] for shard in entry['shards']] == [1, 1]
  assert len(_skipped(tmp_path)) == 20


def test_a_class_without_readable_pictures_stops(flat, capfd):
  shutil.rmtree(flat / 'cat')
  (flat / 'cat').mkdir()
  (flat / 'cat' / 'bad.jpg').write_bytes(b'')
  assert _convert(flat) == command.EXIT_USAGE
  assert "'cat' has no readable pictures to train on; cat/bad.jpg is left out: empty file" in (
    capfd.readouterr().err
  )
  assert sorted(os.listdir(flat)) == ['cat', 'dog', 'owl']


def test_hidden_and_stray_files_are_ignored_and_counted(split, capfd):
  wood = split / 'train' / 'wood'
  for name in ('.DS_Store', '._0.jpg', 'Thumbs.db', 'desktop.ini'):
    (wood / name).write_bytes(b'x')
  (split / 'train' / '.ipynb_checkpoints').mkdir()
  (split / 'train' / '__MACOSX').mkdir()
  (split / 'train' / '.feature_cache').mkdir()  # of a training run, and nobody's surprise
  (split / 'train' / 'readme.txt').write_text('x', encoding='utf-8')
  _fill(wood / 'nested', 2)
  _fill(wood / '.thumbnails', 1)
  (wood / 'dangling.jpg').symlink_to('nowhere.jpg')
  (wood / 'loop.jpg').symlink_to('loop.jpg')
  os.mkfifo(wood / 'pipe.jpg')
  (split / 'train' / 'empty').mkdir()
  (split / 'train_dir').mkdir()
  assert _convert(split) == command.EXIT_DONE
  assert _listed(split)['ignored'] == {
    'broken link': 2,
    'file outside the class folders': 1,
    'folder beside train/ and validation/': 1,
    'folder inside a class folder': 1,
    'hidden or system file': 4,
    'hidden or system folder': 3,
    'not a regular file': 1,
  }
  assert _counts(split)['train'] == {'rock': 5, 'wood': 5}
  assert 'The class folder empty holds no pictures and is left out.' in capfd.readouterr().out


def test_recursive_takes_nested_folders(split):
  _fill(split / 'train' / 'wood' / 'more' / 'deep', 2)
  _convert(split, '--recursive')
  assert _counts(split)['train'] == {'rock': 5, 'wood': 7}
  assert 'train/wood/more/deep/1.jpg' in _names(split)['train']


def test_recursive_follows_links_but_not_in_circles(split, tmp_path):
  _fill(tmp_path / 'elsewhere', 2)
  (split / 'train' / 'wood' / 'linked').symlink_to(tmp_path / 'elsewhere')
  (split / 'train' / 'wood' / 'circle').symlink_to(split / 'train' / 'wood')
  assert _convert(split, '--recursive') == command.EXIT_DONE
  assert _counts(split)['train'] == {'rock': 5, 'wood': 7}
  assert _listed(split)['ignored'] == {'link to a folder of the class': 1}


@pytest.mark.parametrize('folder', ['dog', '.'])
def test_a_folder_that_cannot_be_read_is_no_empty_one(folder, flat, monkeypatch, capfd):
  closed = os.path.normpath(flat / folder)

  def refusing(read):
    def refuse(path):
      if str(path) == closed:
        raise PermissionError(13, 'Permission denied', closed)
      return read(path)

    return refuse

  for name in ('listdir', 'scandir'):
    monkeypatch.setattr(os, name, refusing(getattr(os, name)))
  assert _convert(flat) == command.EXIT_USAGE
  assert f'{closed} cannot be read (Permission denied)' in capfd.readouterr().err


def test_chinese_names_and_spaces(tmp_path):
  root = tmp_path / '我的 图片'
  _fill(root / '冰川 a:b', 3)
  _fill(root / 'cafe\u0301', 3)
  assert _convert(root, '--dataset_name', '遥感 1') == command.EXIT_DONE
  assert (root / 'label.txt').read_text(encoding='utf-8') == 'caf\u00e9\n冰川 a:b\n'
  dataset = dataset_factory.get_dataset(None, 'train', str(root))
  assert dataset.labels_to_names == {0: 'caf\u00e9', 1: '冰川 a:b'}
  assert {name.split('/')[0] for name in _decoded(root)} == {'caf\u00e9', '冰川 a:b'}


def test_a_class_may_be_called_train(tmp_path):
  for name in ('train', 'car'):
    _fill(tmp_path / name, 3)
  assert _convert(tmp_path) == command.EXIT_DONE
  assert _listed(tmp_path)['classes'] == ['car', 'train']


def test_train_without_validation_is_split(split):
  shutil.rmtree(split / 'validation')
  assert _convert(split) == command.EXIT_DONE
  counts = _counts(split)
  assert counts['train']['wood'] + counts['validation']['wood'] == 5
  assert counts['validation']['wood'] and counts['validation']['rock']


def test_a_folder_of_another_name_for_validation_is_said(split, capfd):
  (split / 'validation').rename(split / 'val')
  assert _convert(split) == command.EXIT_DONE
  assert 'Not used: val beside train/' in capfd.readouterr().out


def test_why_there_is_no_validation_split(split, flat, tmp_path, capfd):
  shutil.rmtree(split / 'validation')
  shutil.copytree(split / 'train', split / 'validation')
  assert _convert(split) == command.EXIT_DONE
  assert 'validation/ holds no picture that can be read and is not' in capfd.readouterr().out
  for name in ('a', 'b'):
    _fill(tmp_path / 'single' / name, 1)
  assert _convert(tmp_path / 'single') == command.EXIT_DONE
  assert 'No class has two different pictures' in capfd.readouterr().out


def test_a_terminal_that_lacks_letters_gets_them_in_code(flat):
  (flat / 'owl').rename(flat / '犬')
  (flat / 'cat' / 'empty.jpg').write_bytes(b'')
  argv = [sys.executable, str(_REPO / 'data_convert.py'), '-t', str(flat)]
  environment = {**os.environ, 'PYTHONIOENCODING': 'latin-1'}
  done = subprocess.run(argv, capture_output=True, env=environment, check=False)
  assert done.returncode == command.EXIT_DONE, done.stderr
  assert b'\\u72ac' in done.stdout


@pytest.mark.parametrize('text', ['owl\ncat\n', '\ufeffowl\r\ncat\r\n\r\n\n', 'owl\ncat'])
def test_label_txt_decides_the_numbering(flat, text, capfd):
  (flat / 'label.txt').write_bytes(text.encode())
  assert _convert(flat) == command.EXIT_DONE
  assert _listed(flat)['classes'] == ['owl', 'cat', 'dog']
  assert (flat / 'label.txt').read_text(encoding='utf-8') == 'owl\ncat\ndog\n'
  assert "Can't find label.txt" not in capfd.readouterr().err
  labels_of = {e['image/class/text']: e['image/class/label'] for e in _examples(flat)['train']}
  assert labels_of == {b'owl': 0, b'cat': 1, b'dog': 2}


def test_label_txt_that_says_the_same_is_left_alone(flat):
  (flat / 'label.txt').write_bytes(b'\xef\xbb\xbfowl\r\ncat\r\ndog\r\n')
  _convert(flat)
  assert (flat / 'label.txt').read_bytes() == b'\xef\xbb\xbfowl\r\ncat\r\ndog\r\n'


def test_output_dir(flat, tmp_path):
  (flat / 'label.txt').write_text('owl\ndog\ncat\n', encoding='utf-8')
  output = tmp_path / 'new' / 'data'
  assert _convert(flat, '--output_dir', output) == command.EXIT_DONE
  assert sorted(os.listdir(flat)) == ['cat', 'dog', 'label.txt', 'owl']
  assert (output / 'label.txt').read_text(encoding='utf-8') == 'owl\ndog\ncat\n'
  assert len(_shards(output)) == 4


def test_an_existing_data_set_is_replaced_only_when_told_to(flat, capfd):
  _convert(flat, '--train_shards=3')
  before = _shards(flat)
  assert _convert(flat) == command.EXIT_USAGE
  assert 'Dataset files already exist. Exiting without re-creating them.' in capfd.readouterr().err
  assert _shards(flat) == before
  _fill(flat / 'elk', 4)
  assert _convert(flat, '--overwrite') == command.EXIT_DONE
  assert _listed(flat)['classes'] == ['cat', 'dog', 'owl', 'elk']
  shards = [shard for entry in _listed(flat)['splits'].values() for shard in entry['shards']]
  assert sorted(_shards(flat)) == sorted(shard['file'] for shard in shards)
  assert _convert(flat, '--overwrite', '--dataset_name=pets') == command.EXIT_DONE
  assert all(name.startswith('pets_') for name in _shards(flat))


def test_old_shards_without_dataset_json_are_not_mixed_with_new_ones(flat, capfd):
  (flat / 'satellite_train_00004-of-00005.tfrecord').write_bytes(b'old')
  (flat / 'other_train_00000-of-00001.tfrecord').write_bytes(b'of somebody else')
  assert _convert(flat) == command.EXIT_USAGE
  assert 'satellite_train_00004-of-00005.tfrecord' in capfd.readouterr().err
  assert _convert(flat, '--overwrite') == command.EXIT_DONE
  assert not (flat / 'satellite_train_00004-of-00005.tfrecord').exists()
  assert (flat / 'other_train_00000-of-00001.tfrecord').read_bytes() == b'of somebody else'


def test_overwrite_leaves_files_alone_that_no_data_set_lists(flat):
  stranger = flat / 'satellite_test_00000-of-00001.tfrecord'
  stranger.write_bytes(b'of the user')
  for train_shards in (3, 2, 1):
    assert _convert(flat, '--overwrite', f'--train_shards={train_shards}') == command.EXIT_DONE
    assert stranger.read_bytes() == b'of the user'
    assert len(list(flat.glob('satellite_train_*'))) == train_shards
    if train_shards == 2:
      (flat / 'dataset.json').unlink()


def test_a_failed_overwrite_keeps_the_old_data_set(flat, monkeypatch, capfd):
  _convert(flat)
  before = _shards(flat), (flat / 'dataset.json').read_bytes()

  def disk_full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(manifest, 'write_manifest', disk_full)
  assert _convert(flat, '--overwrite', '--seed=9') == command.EXIT_FAULT
  assert 'No space left on device' in capfd.readouterr().err
  assert (_shards(flat), (flat / 'dataset.json').read_bytes()) == before
  assert not [name for name in os.listdir(flat) if name.startswith('.')]


def _wrong_folders():
  def one_class(folder):
    shutil.rmtree(folder / 'cat')
    shutil.rmtree(folder / 'owl')

  def no_images(folder):
    shutil.rmtree(folder)
    folder.mkdir()

  def only_files(folder):
    no_images(folder)
    _fill(folder, 3)

  def differ_by_case(folder):
    _fill(folder / 'Cat', 1)

  def differ_by_form(folder):
    _fill(folder / 'caf\u00e9', 1)
    _fill(folder / 'cafe\u0301', 1)

  def line_end(folder):
    _fill(folder / 'two\nlines', 1)

  def blank(folder):
    _fill(folder / ' ', 1)

  def not_utf8(folder):
    _fill(pathlib.Path(os.fsdecode(os.fsencode(folder) + b'/\xff\xfe')), 1)

  def listed_but_gone(folder):
    (folder / 'label.txt').write_text('cat\ndog\nemu\nowl\n', encoding='utf-8')

  def only_validation(folder):
    no_images(folder)
    _fill(folder / 'validation' / 'cat', 1)

  def validation_only_class(folder):
    no_images(folder)
    for name in ('train/cat', 'train/dog', 'validation/cat', 'validation/emu'):
      _fill(folder / name, 2)

  return [
    (one_class, [], ['holds one class', 'two are needed', 'dog/ (7 files, 0 folders)']),
    (no_images, [], ['holds no classes', 'nothing']),
    (only_files, [], ['holds no classes', '0.jpg']),
    (differ_by_case, [], ["'Cat'", "'cat'", 'upper and lower case']),
    (differ_by_form, [], [r"'cafe\u0301'", r"'caf\xe9'", 'Unicode form']),
    (line_end, [], [r"'two\nlines'", 'line end']),
    (blank, [], ['blank name']),
    (not_utf8, [], ['not UTF-8']),
    (listed_but_gone, [], ["'emu'", 'label.txt', 'no pictures']),
    (only_validation, [], ['validation/ but no train/']),
    (validation_only_class, [], ["'emu'", 'all in validation/']),
    (shutil.rmtree, [], ['is not a folder', '-t']),
    (lambda folder: None, ['--output_dir=/dev/null'], ['/dev/null cannot be written to']),
    (lambda folder: None, ['--dataset_name=a/b'], ['--dataset_name', 'a/b']),
    (lambda folder: None, [f'--dataset_name={"犬" * 70}'], ['--dataset_name', 'shorten it']),
    (lambda folder: None, ['--num_threads=0'], ['num_threads']),
    (lambda folder: None, ['--train_shards=0'], ['train_shards']),
    (lambda folder: None, ['--validation_shards=-1'], ['validation_shards']),
    (lambda folder: None, ['--validation_fraction=1.5'], ['validation_fraction']),
    (lambda folder: None, ['--max_pixels=0'], ['max_pixels']),
    (lambda folder: None, ['--max_pixels=1000000000000000000'], ['max_pixels']),
  ]


@pytest.mark.parametrize('damage, arguments, words', _wrong_folders())
def test_what_cannot_be_converted_is_said(flat, damage, arguments, words, capfd):
  damage(flat)
  assert _convert(flat, *arguments) == command.EXIT_USAGE
  error = capfd.readouterr().err
  assert all(word in error for word in words), error
  assert not list(flat.glob('*.tfrecord'))


def test_output_in_a_class_folder_is_refused(flat, capfd):
  for output in (flat / 'cat', flat / 'cat' / 'data'):
    assert _convert(flat, '--output_dir', output) == command.EXIT_USAGE
    assert 'lies in the class folder' in capfd.readouterr().err
  assert sorted(os.listdir(flat / 'cat')) == [f'{index}.jpg' for index in range(5)]


@pytest.mark.parametrize('root', ['', 'train'])
def test_output_among_the_class_folders_is_refused(root, tmp_path, capfd):
  for name in ('a', 'b'):
    _fill(tmp_path / root / name, 2)
  for output in ('data', 'data/deep'):
    assert _convert(tmp_path, '--output_dir', tmp_path / root / output) == command.EXIT_USAGE
    assert 'lies among the class folders' in capfd.readouterr().err
  for output in ('.data', '.'):
    assert _convert(tmp_path, '--output_dir', tmp_path / root / output) == command.EXIT_DONE


def test_a_second_conversion_at_once_is_refused(flat, capfd):
  partial = flat / '.data_convert-partial'
  partial.mkdir()
  handle = os.open(flat, os.O_RDONLY)
  fcntl.flock(handle, fcntl.LOCK_EX)
  assert _convert(flat) == command.EXIT_USAGE
  assert 'Another conversion is writing to' in capfd.readouterr().err
  assert partial.exists()
  os.close(handle)
  assert _convert(flat) == command.EXIT_DONE


def test_leftovers_of_a_killed_conversion_are_removed(flat):
  partial = flat / '.data_convert-partial'
  partial.mkdir()
  (partial / 'satellite_train_00000-of-00009.tfrecord').write_bytes(b'half')
  assert _convert(flat) == command.EXIT_DONE
  assert not partial.exists()
  assert not (flat / 'satellite_train_00000-of-00009.tfrecord').exists()


@pytest.mark.slow  # a process of its own imports TensorFlow
def test_a_killed_conversion_leaves_no_data_set_and_the_next_starts_clean(flat):
  _fill(flat / 'many', 400)
  program = [sys.executable, str(_REPO / 'data_convert.py'), '-t', str(flat)]
  process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  deadline = time.monotonic() + 60
  while not list(flat.glob('.data_convert-*/*.tfrecord')) and time.monotonic() < deadline:
    time.sleep(0.002)
  process.send_signal(signal.SIGKILL)
  if process.wait() == -signal.SIGKILL:
    assert not (flat / 'dataset.json').exists()
  assert _convert(flat, '--overwrite') == command.EXIT_DONE
  assert not [name for name in os.listdir(flat) if name.startswith('.')]
  assert sum(len(names) for names in _names(flat).values()) == 418


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def test_a_progress_bar_is_shown_on_a_terminal_only(flat, monkeypatch):
  for stream, is_shown in ((_Terminal(), True), (io.StringIO(), False)):
    monkeypatch.setattr(sys, 'stderr', stream)
    assert _convert(flat, '--overwrite') == command.EXIT_DONE
    assert ('images/s' in stream.getvalue()) == is_shown
    assert 'INFO:root:Found 18 JPEG files' in stream.getvalue()


def test_verbosity(flat, capfd):
  _convert(flat, '--v=-1')
  err = capfd.readouterr().err
  assert 'INFO' not in err and 'WARNING:root:' in err


def test_every_flag_is_in_the_help(capfd):
  argv = ['data_convert.py', '--help']
  assert command.run(data_convert.__doc__, data_convert.FLAGS, data_convert.main, argv) == 0
  out = capfd.readouterr().out
  for flag in ('-t, --tensorflow_data_dir=pic/', '--dataset_name=satellite', '--train_shards=2'):
    assert flag in out


@pytest.mark.skipif(not _SATELLITE.is_dir(), reason='needs the satellite images in ../shared')
def test_the_five_files_of_the_tutorial(tmp_path):
  pictures = tmp_path / 'pic'
  for split_name, count in (('train', 4), ('validation', 2)):
    for folder in (_SATELLITE / split_name).iterdir():
      (pictures / split_name / folder.name).mkdir(parents=True)
      for path in sorted(folder.iterdir())[:count]:
        (pictures / split_name / folder.name / path.name).symlink_to(path)
  assert _convert(pictures) == command.EXIT_DONE
  data = tmp_path / 'data'
  data.mkdir()
  for path in [*pictures.glob('*.tfrecord'), pictures / 'label.txt']:
    shutil.copy(path, data)
  for name in (None, 'satellite'):
    dataset = dataset_factory.get_dataset(name, 'validation', str(data))
    assert (dataset.num_samples, dataset.num_classes) == (12, 6)
  assert {image.shape for image, _ in _decoded(data).values()} == {(256, 256, 3)}
