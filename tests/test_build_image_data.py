"""scripts/build_image_data.py: inception's records, and that the other commands take them."""

import csv
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_nets import run

import classify_image
import eval_image_classifier
import export_inference_graph
import freeze_graph
import train_image_classifier
from datasets import dataset_factory, records
from scripts import build_image_data

_REPO = pathlib.Path(__file__).resolve().parents[1]
_NAMES = ('sea ice', '城市', 'forest')  # not sorted: the labels file decides
_COUNTS = {'train': 7, 'validation': 3}  # pictures a class
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _same_pictures(monkeypatch):
  """Whatever tests ran before."""
  monkeypatch.setitem(globals(), '_NUMBERS', itertools.count())


def _encoded(image_format='JPEG', mode='RGB', size=(40, 30), **options):
  pixels = np.random.RandomState(next(_NUMBERS)).randint(0, 256, (size[1], size[0], 3), np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(stream, image_format, **options)
  return stream.getvalue()


@pytest.fixture
def pictures(tmp_path):
  """A folder with train/, validation/ and names.txt, with blanks and Chinese in its path."""
  folder = tmp_path / '图片 with blanks'
  for split, count in _COUNTS.items():
    for name in _NAMES:
      (folder / split / name).mkdir(parents=True)
      for number in range(count):
        (folder / split / name / f'{number}.jpg').write_bytes(_encoded())
  (folder / 'names.txt').write_text(''.join(f'{name}\n' for name in _NAMES), encoding='utf-8')
  return folder


def _arguments(folder, output):
  return (
    f'--train_directory={folder / "train"}',
    f'--validation_directory={folder / "validation"}',
    f'--output_directory={output}',
    f'--labels_file={folder / "names.txt"}',
  )


def _build(folder, output, *flags):
  return run(build_image_data, *_arguments(folder, output), *flags)


def _examples(folder, split='train'):
  """Returns [{key: value}] of the records of a split, in their order."""
  return [
    {key: _value(feature) for key, feature in example.features.feature.items()}
    for path in sorted(folder.glob(f'{split}-?????-of-?????'))
    for example in records.read_examples(path)
  ]


def _value(feature):
  values = feature.bytes_list.value or feature.int64_list.value
  assert len(values) == 1
  return values[0]


def _content(folder):
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.iterdir()
    if path.is_file()
  }


def test_the_old_command_line_in_a_process_of_its_own(pictures, tmp_path):
  done = subprocess.run(
    [
      *(sys.executable, str(_REPO / 'scripts/build_image_data.py')),
      *('--train_directory', 'train', '--validation_directory', 'validation'),
      *('--output_directory', '../out', '--labels_file', 'names.txt'),
      *('--train_shards', '4', '--validation_shards', '2', '--num_threads', '2'),
    ],
    cwd=pictures,
    capture_output=True,
    text=True,
    check=True,
  )
  out = '../out'
  time = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+'
  lines = [f'Saving results to {out}']
  for split, count, spacings, shards in (
    ('validation', 9, '[[0, 4], [4, 9]]', ((0, 4), (1, 5))),
    ('train', 21, '[[0, 10], [10, 21]]', ((0, 5), (0, 5), (1, 5), (1, 6))),
  ):
    lines += [
      'Determining list of input files and labels from names.txt.',
      f'Found {count} JPEG files across 3 labels inside {split}.',
      f'Launching 2 threads for spacings: {spacings}',
    ]
    lines += [
      f'TIME [thread {thread}]: Wrote {images} images to '
      f'{out}/{split}-{index:05d}-of-{len(shards):05d}'
      for index, (thread, images) in enumerate(shards)
    ]
    lines += [f'TIME: Finished writing all {count} images in data set.']
  assert re.sub(rf'^{time}', 'TIME', done.stdout, flags=re.MULTILINE).splitlines() == lines
  assert sorted(os.listdir(tmp_path / 'out')) == [
    'dataset.json',
    'labels.txt',
    'skipped.csv',
    *(f'train-{index:05d}-of-00004' for index in range(4)),
    *(f'validation-{index:05d}-of-00002' for index in range(2)),
  ]


def test_a_record_has_inceptions_features(pictures, tmp_path):
  assert _build(pictures, tmp_path / 'out') == 0
  examples = _examples(tmp_path / 'out')
  assert len(examples) == 21
  for example in examples:
    encoded = example.pop('image/encoded')
    name = example.pop('image/filename').decode()
    text = example.pop('image/class/text').decode()
    assert encoded == (pictures / 'train' / text / name).read_bytes()
    assert example == {
      'image/height': 30,
      'image/width': 40,
      'image/colorspace': b'RGB',
      'image/channels': 3,
      'image/class/label': 1 + _NAMES.index(text),
      'image/format': b'JPEG',
    }
  lines = (tmp_path / 'out' / 'labels.txt').read_text(encoding='utf-8').splitlines()
  assert lines == ['0:background', '1:sea ice', '2:城市', '3:forest']


def test_pictures_are_shuffled_the_same_way_every_time(pictures, tmp_path):
  assert (
    _build(pictures, tmp_path / 'a') == _build(pictures, tmp_path / 'b', '--num_threads=5') == 0
  )
  assert _content(tmp_path / 'a') == _content(tmp_path / 'b')
  labels = [example['image/class/label'] for example in _examples(tmp_path / 'a')]
  assert labels not in (sorted(labels), sorted(labels, reverse=True))


def test_what_is_no_rgb_jpeg_becomes_one(pictures, tmp_path, capsys):
  folder = pictures / 'train' / 'forest'
  upright = np.zeros((20, 40, 3), np.uint8)
  upright[:, :20] = (200, 30, 30)  # its left half is red
  exif = Image.Exif()
  exif[0x0112] = 6  # shown turned by a quarter, clockwise
  stream = io.BytesIO()
  Image.fromarray(np.rot90(upright)).save(stream, 'JPEG', exif=exif, quality=100)
  for name, data in {
    'a.png': _encoded('PNG'),
    'b.PNG': _encoded('PNG', 'P'),
    'png named.jpg': _encoded('PNG'),
    'cmyk.jpg': _encoded('JPEG', 'CMYK'),
    'gray.jpg': _encoded('JPEG', 'L'),
    'gif.gif': _encoded('GIF', 'P'),
    'jpeg.png': _encoded('JPEG'),
    'turned.jpg': stream.getvalue(),
  }.items():
    (folder / name).write_bytes(data)
  assert _build(pictures, tmp_path / 'out') == 0
  found = {
    example['image/filename'].decode(): example
    for example in _examples(tmp_path / 'out')
    if example['image/class/text'] == b'forest'
  }
  assert len(found) == 15
  for example in found.values():
    image = Image.open(io.BytesIO(example['image/encoded']))
    assert (image.format, image.mode, example['image/format']) == ('JPEG', 'RGB', b'JPEG')
    assert image.size == (example['image/width'], example['image/height'])
  turned = np.asarray(Image.open(io.BytesIO(found['turned.jpg']['image/encoded'])))
  assert turned.shape == upright.shape
  assert np.abs(turned.astype(int) - upright)[:, [5, 35]].max() < 20
  before = np.asarray(Image.open(folder / 'a.png')).astype(int)
  after = np.asarray(Image.open(io.BytesIO(found['a.png']['image/encoded'])))
  assert np.abs(after - before).max() < 8  # at quality 100
  converted = re.findall('Converting PNG to JPEG for .*/(.*)', capsys.readouterr().out)
  assert sorted(converted) == ['a.png', 'b.PNG', 'png named.jpg']


def test_bad_files_are_skipped_and_listed(pictures, tmp_path, capsys):
  folder = pictures / 'train' / '城市'
  (folder / 'page.jpg').write_text('<html></html>', encoding='utf-8')
  (folder / 'empty.jpg').write_bytes(b'')
  (folder / 'cut.jpg').write_bytes(_encoded()[:400])
  (folder / '.DS_Store').write_bytes(b'x')
  assert _build(pictures, tmp_path / 'out') == 0
  printed = capsys.readouterr().out
  for name in ('page', 'empty', 'cut'):
    assert f'SKIPPED: Unexpected error while decoding {folder / name}.jpg.' in printed
  assert 'Found 24 JPEG files' in printed and 'Finished writing all 21 images' in printed
  with open(tmp_path / 'out' / 'skipped.csv', encoding='utf-8', newline='') as file:
    rows = dict(list(csv.reader(file))[1:])
  assert rows.pop('train/城市/cut.jpg').startswith('truncated')
  assert rows == {
    'train/城市/empty.jpg': 'empty file',
    'train/城市/page.jpg': 'HTML page, not an image',
  }
  assert _build(pictures, tmp_path / 'b', '--max_skipped_fraction=0.05') == 1
  assert '9.1% of the files could not be read' in capsys.readouterr().err
  assert len(_examples(tmp_path / 'b')) == 21


@pytest.mark.parametrize(
  ('shards', 'threads', 'count'), [(3, 2, 3), (2, 5, 2), (5, 3, 5), (50, 4, 21)]
)
def test_any_number_of_threads_and_shards_fits(pictures, tmp_path, shards, threads, count):
  out = tmp_path / 'out'
  assert _build(pictures, out, f'--train_shards={shards}', f'--num_threads={threads}') == 0
  sizes = [records.count_records(path) for path in sorted(out.glob(f'train-*-of-{count:05d}'))]
  assert len(sizes) == count and sum(sizes) == 21 and max(sizes) - min(sizes) <= 1


def test_bad_files_leave_no_shard_empty(pictures, tmp_path):
  for path in (pictures / 'train').rglob('*.jpg'):
    if path.name != '0.jpg':
      path.write_bytes(b'')
  assert _build(pictures, tmp_path / 'out', '--train_shards=20') == 1
  assert [records.count_records(path) for path in (tmp_path / 'out').glob('train-*')] == [1] * 3


def test_a_thousand_pictures_are_worth_a_line(pictures, tmp_path, capsys):
  data = _encoded(size=(4, 4))
  for number in range(1000):
    (pictures / 'train' / 'forest' / f'more {number}.jpg').write_bytes(data)
  assert _build(pictures, tmp_path / 'out', '--train_shards=1', '--num_threads=1') == 0
  assert '[thread 0]: Processed 1000 of 1021 images in thread batch.' in capsys.readouterr().out


def test_a_hundred_classes_are_worth_a_line(pictures, tmp_path, capsys):
  names = [f'class {number}' for number in range(120)]
  (pictures / 'names.txt').write_text('\n'.join([*names, 'forest']), encoding='utf-8')
  assert _build(pictures, tmp_path / 'out') == 0
  assert capsys.readouterr().out.count('Finished finding files in 100 of 121 classes.') == 2
  assert {example['image/class/label'] for example in _examples(tmp_path / 'out')} == {121}


def test_an_old_data_set_is_replaced_only_when_asked(pictures, tmp_path, capsys):
  out = tmp_path / 'out'
  assert _build(pictures, out, '--train_shards=3') == 0
  (out / 'model.ckpt.data-00000-of-00001').write_bytes(b'mine')
  before = _content(out)
  assert _build(pictures, out) == 2
  assert 'Dataset files already exist' in capsys.readouterr().err
  assert _content(out) == before
  assert _build(pictures, out, '--overwrite') == 0
  assert not list(out.glob('*-of-00003'))
  assert (out / 'model.ckpt.data-00000-of-00001').read_bytes() == b'mine'
  assert len(_examples(out)) == 21
  assert not [name for name in os.listdir(out) if name.startswith('.')]


def test_shards_without_dataset_json_are_not_overwritten_either(pictures, tmp_path, capsys):
  out = tmp_path / 'out'
  out.mkdir()
  (out / 'train-00000-of-00007').write_bytes(b'mine')
  assert _build(pictures, out) == 2
  assert 'holds train-00000-of-00007: --overwrite' in capsys.readouterr().err
  assert os.listdir(out) == ['train-00000-of-00007']


def test_a_list_of_names_in_the_output_folder_stays(pictures, tmp_path, capsys):
  out = tmp_path / 'out'
  out.mkdir()
  (pictures / 'names.txt').rename(out / 'labels.txt')
  before = (out / 'labels.txt').read_bytes()
  flags = _arguments(pictures, out)[:3]
  assert run(build_image_data, *flags) == 2
  assert 'labels.txt names other classes: move it away' in capsys.readouterr().err
  assert os.listdir(out) == ['labels.txt']
  assert run(build_image_data, *flags, f'--labels_file={out / "labels.txt"}') == 0
  assert (out / 'labels.txt').read_bytes() == before
  # Without dataset.json too, the records tell that the names start at label 1.
  (out / 'dataset.json').unlink()
  dataset = dataset_factory.get_dataset(None, 'validation', str(out))
  assert dataset.labels_to_names == {0: 'background', **dict(enumerate(_NAMES, 1))}


def test_without_a_labels_file_the_folders_are_the_classes(pictures, tmp_path, capsys):
  flags = _arguments(pictures, tmp_path / 'a')[:3]
  assert run(build_image_data, *flags) == 0
  lines = (tmp_path / 'a' / 'labels.txt').read_text(encoding='utf-8').splitlines()
  assert lines == ['0:background', '1:forest', '2:sea ice', '3:城市']
  assert run(build_image_data, f'--output_directory={tmp_path / "b"}') == 2
  assert 'Neither --train_directory nor --labels_file is given' in capsys.readouterr().err


def test_label_files_of_other_programs_and_folders_of_other_systems(pictures, tmp_path, capsys):
  for split in _COUNTS:
    (pictures / split / 'forest').rename(pictures / split / 'fore\u0302t')  # as macOS spells ê
  (pictures / 'train' / 'unlisted').mkdir()
  text = '\ufeffsea ice \r\n城市\r\nfor\u00eat\r\nnobody\r\n\r\n'
  (pictures / 'names.txt').write_text(text, encoding='utf-8', newline='')
  assert _build(pictures, tmp_path / 'out') == 0
  printed = capsys.readouterr().out
  assert 'Warning: ' in printed and 'has no pictures of the class nobody.' in printed
  assert 'names.txt lacks unlisted, which is left out.' in printed
  dataset = dataset_factory.get_dataset(None, 'train', str(tmp_path / 'out'))
  assert dataset.labels_to_names == dict(
    enumerate(['background', 'sea ice', '城市', 'for\u00eat', 'nobody'])
  )
  assert {example['image/class/label'] for example in _examples(tmp_path / 'out')} == {1, 2, 3}


@pytest.mark.parametrize(
  ('names', 'flags', 'message'),
  [
    ('0:sea ice\n1:城市\n', (), 'write one class name a line without numbers'),
    (
      'cat\ndog\n',
      (),
      r'no pictures of any class of .*names.txt \(cat ...\), its folders are forest',
    ),
    # A line end that lost its backslash.
    ('sea icen城市nforestn', (), r'\(sea icen城市nforestn ...\), its folders are forest, sea ice'),
    ('background\nforest\n', (), 'background cannot be told from label 0.*take out the line'),
    ('forest\nforest \n', (), "class 'forest' twice"),
    ('forest\n\ncat\n', (), 'line 2 is blank'),
    ('', (), 'is empty'),
    ('forest\n', ('--train_directory=nowhere',), '--train_directory=nowhere is not a folder'),
    ('forest\n', ('--train_directory=',), '--train_directory is empty'),
    ('forest\n', ('--labels_file=nowhere',), 'nowhere cannot be read'),
    ('forest\n', ('--num_threads=0',), 'num_threads'),
  ],
)
def test_mistakes_are_said_and_nothing_is_written(
  pictures, tmp_path, capsys, names, flags, message
):
  (pictures / 'names.txt').write_text(names, encoding='utf-8')
  assert _build(pictures, tmp_path / 'out', *flags) == 2
  assert re.search(message, capsys.readouterr().err)
  assert not (tmp_path / 'out').exists() or not os.listdir(tmp_path / 'out')


def test_no_validation_pictures(pictures, tmp_path, capsys):
  empty = tmp_path / 'empty'
  empty.mkdir()
  assert _build(pictures, tmp_path / 'out', f'--validation_directory={empty}') == 2
  assert 'or give --validation_directory= to write no validation' in capsys.readouterr().err
  assert _build(pictures, tmp_path / 'out', '--validation_directory=') == 0
  assert dataset_factory.split_names(None, str(tmp_path / 'out')) == ['train']


def test_help_needs_no_tensorflow():
  code = (
    'import sys\n'
    'for name in ("tensorflow", "tf_slim", "slim_compat"): sys.modules[name] = None\n'
    'from scripts import build_image_data\n'
    'sys.argv = ["build_image_data.py", "--help"]\n'
    'sys.exit(build_image_data.cli())\n'
  )
  done = subprocess.run([sys.executable, '-c', code], cwd=_REPO, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert '--validation_shards=2' in done.stdout


@pytest.mark.parametrize(
  ('offset', 'classes'),
  [
    ((), ['background', *_NAMES]),
    pytest.param(('--labels_offset=1',), list(_NAMES), marks=pytest.mark.slow),
  ],
)
def test_from_records_to_an_answer(pictures, tmp_path, capsys, offset, classes):
  out, train_dir = tmp_path / 'out', tmp_path / 'run'
  assert _build(pictures, out) == 0
  flags = (f'--dataset_dir={out}', '--model_name=lenet', '--batch_size=4', *offset)
  capsys.readouterr()
  command = (f'--train_dir={train_dir}', *flags, '--max_number_of_steps=2')
  assert run(train_image_classifier, *command) == 0
  line = 'Labels count from 1 (sea ice) to 3 (forest), 0 is the background: the net has '
  assert f'{line}{len(classes)} classes' in capsys.readouterr().out
  record = json.loads((train_dir / 'run.json').read_text(encoding='utf-8'))
  assert record['class_names'] == classes

  flags = (f'--checkpoint_path={train_dir}', f'--eval_dir={tmp_path / "eval"}')
  assert run(eval_image_classifier, *flags) == 0
  report = json.loads((tmp_path / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert report['num_examples'] == 9
  with open(tmp_path / 'eval' / 'predictions.csv', encoding='utf-8', newline='') as file:
    truths = [row['truth'] for row in csv.DictReader(file)]
  assert truths == [text['image/class/text'].decode() for text in _examples(out, 'validation')]

  graph, frozen = tmp_path / 'g.pb', tmp_path / 'f.pb'
  assert run(export_inference_graph, f'--train_dir={train_dir}', f'--output_file={graph}') == 0
  flags = (f'--input_graph={graph}', f'--input_checkpoint={train_dir}', f'--output_graph={frozen}')
  assert run(freeze_graph, *flags) == 0
  picture = pictures / 'validation' / 'forest' / '0.jpg'
  capsys.readouterr()
  answers = []
  # The names without the background do too.
  for flags in ((), (f'--label_path={pictures / "names.txt"}',)):
    assert run(classify_image, f'--model_path={frozen}', *flags, str(picture)) == 0
    answers.append(re.findall(r'^(.*) \(score', capsys.readouterr().out, re.MULTILINE))
  assert sorted(answers[0]) == sorted(classes) and answers[0] == answers[1]
