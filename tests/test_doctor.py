"""scripts/doctor.py: what it finds in pictures, data sets and runs, and that it only reads."""

import functools
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import decoders
from image_classifier import command, run_record
from image_classifier.doctor import examination, findings
from image_classifier.doctor import folder as folder_module
from scripts import doctor

REPO = pathlib.Path(__file__).parent.parent
_HARMFUL = re.compile('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]')


def _run(*arguments):
  return command.run('', doctor.FLAGS, doctor.main, ['doctor', *map(str, arguments)], True)


def _json(capsys, *arguments, code=1):
  capsys.readouterr()
  assert _run(*arguments, '--json') == code
  return json.loads(capsys.readouterr().out)


def _found(report):
  """{check: sorted list of the sorted files of its items}."""
  return {
    group['check']: sorted(sorted(item['files']) for item in group['items'])
    for group in report['findings']
  }


def _scene(seed, size=(256, 256)):
  """A picture with shapes of all sizes, another for every seed."""
  rng = np.random.default_rng(seed)
  image = np.zeros((256, 256, 3))
  for cells, weight in ((4, 90), (16, 60), (64, 40)):
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
    image += np.asarray(noise.resize((256, 256), Image.Resampling.BICUBIC)) * (weight / 190)
  return Image.fromarray(image.astype(np.uint8)).resize(size)


def _encoded(image, kind='JPEG', **settings):
  stream = io.BytesIO()
  image.save(stream, kind, **settings)
  return stream.getvalue()


def _write(folder, files):
  for name, data in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else _encoded(data, quality=92))
  return folder


def _good(folder, count=3):
  """Two classes of different pictures."""
  names = [f'{name}/{i}.jpg' for name in ('cat', 'dog') for i in range(count)]
  return _write(folder, {name: _scene(100 + i) for i, name in enumerate(names)})


def _tree(folder):
  """{path: (mode, time of change, content)} of everything below a folder."""
  return {
    str(path): (
      path.stat().st_mode,
      path.stat().st_mtime_ns,
      path.read_bytes() if path.is_file() else sorted(os.listdir(path)),
    )
    for path in [folder, *folder.rglob('*')]
  }


def _bomb():
  """A PNG of 60,000 x 60,000 pixels in a few bytes."""

  def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

  header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 2, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b'')


def _with_wrong_checksum(png):
  return png[:-20] + bytes([png[-20] ^ 1]) + png[-19:]


def _with_exif_rotation(image):
  exif = Image.Exif()
  exif[0x0112] = 6
  return _encoded(image, exif=exif)


def _broken_pictures():
  """{check: {file: content}}, each of which has to be found under that check."""
  sixteen = Image.fromarray(np.random.default_rng(1).integers(0, 65536, (64, 64), np.uint16))
  frames = [_scene(seed, (64, 64)) for seed in (5, 6)]
  return {
    'truncated': {'cat/cut.jpg': _encoded(_scene(1))[:3000]},
    'damaged': {'cat/damaged.png': _with_wrong_checksum(_encoded(_scene(2, (64, 64)), 'PNG'))},
    'wrong_type': {'cat/png.jpg': _encoded(_scene(3, (64, 64)), 'PNG')},
    'cmyk': {'cat/cmyk.jpg': _encoded(_scene(4, (64, 64)).convert('CMYK'))},
    'sixteen_bit': {'cat/sixteen.png': _encoded(sixteen, 'PNG')},
    'animated': {
      'cat/moving.gif': _encoded(frames[0], 'GIF', save_all=True, append_images=frames[1:])
    },
    'exif_rotation': {'dog/turned.jpg': _with_exif_rotation(_scene(7, (64, 96)))},
    'tiny': {'dog/tiny.jpg': _scene(8, (20, 40))},
    'blank': {'dog/blank.jpg': Image.new('RGB', (80, 80), 'navy')},
    'too_large': {'dog/bomb.png': _bomb()},
    'no_picture': {
      'dog/empty.jpg': b'',
      'dog/page.jpg': b'<html><body>not found</body></html>',
      'dog/text.jpg': b'a text\n',
    },
  }


def test_nothing_is_found_in_good_pictures(tmp_path, capsys):
  report = _json(capsys, _good(tmp_path), code=0)
  assert report['findings'] == []
  assert report['kinds'] == ['image folder']
  facts = report['facts']['image folder']
  assert facts['classes'] == {'cat': {'all': 3}, 'dog': {'all': 3}}
  assert set(report['machine']) == {'versions', 'cpu', 'gpus', 'free_bytes'}
  assert report['machine']['versions']['numpy'] == np.__version__
  assert _run(tmp_path) == 0
  text = capsys.readouterr().out
  assert 'Nothing found.' in text
  assert f', numpy {np.__version__}, pillow ' in text


def test_every_kind_of_bad_picture_is_found_with_a_fix(tmp_path, capsys):
  broken = _broken_pictures()
  folder = _good(tmp_path / 'pic')
  for files in broken.values():
    _write(folder, files)
  before = _tree(folder)
  report = _json(capsys, folder)
  assert _found(report) == {check: [[name] for name in files] for check, files in broken.items()}
  assert _run(folder) == 1
  text = capsys.readouterr().out
  for group in report['findings']:
    assert f'{group["title"]}. Fix: {group["fix"]}.' in text
  assert _tree(folder) == before


def test_what_is_no_fault_of_a_picture_is_not_found(tmp_path, capsys):
  two = _encoded(_scene(7, (64, 64)), 'MPO', save_all=True, append_images=[_scene(8, (64, 64))])
  files = {'cat/phone.jpg': two, 'cat/photo.2019.05.03': _scene(9, (64, 64))}
  report = _json(capsys, _write(_good(tmp_path), files), code=0)
  assert report['findings'] == []


def test_a_class_folder_that_cannot_be_read_is_found(tmp_path, capsys, monkeypatch):
  listed = os.listdir

  def refuse(path):
    if str(path).endswith('pic'):
      raise PermissionError(13, 'Permission denied', path)
    return listed(path)

  folder = _good(tmp_path / 'pic')
  monkeypatch.setattr(folder_module.image_folder.os, 'listdir', refuse)
  report = findings.Report(str(folder), [])
  folder_module.examine(report, str(folder), examination.Settings(False, 32, 10**6, 1))
  assert [finding.check for finding in report.findings] == ['layout']
  assert 'pic cannot be read (Permission denied)' in report.findings[0].why


def test_small_pictures_are_fine_where_most_are_small(tmp_path, capsys):
  _write(
    tmp_path, {f'{c}/{i}.jpg': _scene(20 * ord(c) + i, (28, 28)) for c in 'ab' for i in range(10)}
  )
  report = _json(capsys, tmp_path, code=0)
  assert report['notes'] == ['20 of 20 pictures are below --min_side.']
  assert _json(capsys, tmp_path, '--min_side=28', code=0)['notes'] == []


def test_flags_for_pictures(tmp_path, capsys):
  _good(tmp_path)
  _write(tmp_path, {'cat/inside/1.jpg': _scene(1), 'dog/wide.jpg': _scene(2, (300, 256))})
  assert list(_found(_json(capsys, tmp_path))) == ['ignored']
  report = _json(capsys, tmp_path, '--recursive', '--num_workers=1', code=0)
  assert report['facts']['image folder']['pictures'] == 8
  report = _json(capsys, tmp_path, '--recursive', '--max_pixels=65536', '--min_side=257')
  found = _found(report)
  # A JPEG beyond the limit is read at half its size.
  assert found['reduced'] == [['dog/wide.jpg']]
  assert len(found['tiny']) == 8


def test_a_decoder_that_hangs_does_not_stop_it(tmp_path, capsys, monkeypatch):
  impatient = functools.partial(decoders.Decoders, decode_seconds=0.03)
  monkeypatch.setattr(decoders, 'Decoders', impatient)
  _write(_good(tmp_path), {'cat/slow.jpg': Image.new('RGB', (9000, 9000), 'navy')})
  report = _json(capsys, tmp_path)
  assert _found(report) == {'decoder': [['cat/slow.jpg']]}
  assert report['facts']['image folder']['readable'] == 6


def test_exact_copies_are_found_within_and_across_classes_and_splits(tmp_path, capsys):
  one, two, three = (_encoded(_scene(seed)) for seed in (1, 2, 3))
  _good(tmp_path / 'train')
  _write(
    tmp_path,
    {
      'train/cat/one.jpg': one,
      'train/dog/one.jpg': one,
      'train/cat/two.jpg': two,
      'train/cat/two again.jpg': two,
      'train/dog/three.jpg': three,
      'validation/dog/three.jpg': three,
      'validation/cat/four.jpg': _scene(4),
    },
  )
  found = _found(_json(capsys, tmp_path))
  assert found['same_in_classes'] == [['train/cat/one.jpg', 'train/dog/one.jpg']]
  assert found['same_in_splits'] == [['train/dog/three.jpg', 'validation/dog/three.jpg']]
  assert found['same_in_class'] == [['train/cat/two again.jpg', 'train/cat/two.jpg']]


def test_near_copies_are_found_and_other_pictures_are_not(tmp_path, capsys):
  pytest.importorskip('dhash')
  width = 256
  _good(tmp_path, count=8)
  _write(
    tmp_path,
    {
      'cat/encoded.jpg': _scene(1),
      'dog/encoded.jpg': _encoded(_scene(1), quality=50),
      'cat/resized.jpg': _scene(2),
      'cat/half.png': _encoded(_scene(2).resize((128, 128)), 'PNG'),
      'dog/cropped.jpg': _scene(3),
      'dog/crop.jpg': _scene(3).crop((8, 5, width - 10, width - 3)),
    },
  )
  found = _found(_json(capsys, tmp_path))
  assert found == {
    'near_in_classes': [['cat/encoded.jpg', 'dog/encoded.jpg']],
    'near_in_class': [['cat/half.png', 'cat/resized.jpg'], ['dog/crop.jpg', 'dog/cropped.jpg']],
  }


def test_without_its_extra_it_says_in_one_line_what_was_not_looked_for(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'dhash', None)
  assert _run(_good(tmp_path)) == 0
  notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith('Note:')]
  assert len(notes) == 1 and 'dhash' in notes[0] and 'extra doctor' in notes[0]


def test_names_and_label_file_are_compared(tmp_path, capsys):
  nfc = unicodedata.normalize('NFC', 'caf\xe9')
  nfd = unicodedata.normalize('NFD', nfc)
  _good(tmp_path)
  _write(
    tmp_path,
    {
      'Dog/1.jpg': _scene(1),
      f'{nfc}/1.jpg': _scene(2),
      f'{nfd}/2.jpg': _scene(3),
      'cat/A.jpg': _scene(4),
      'cat/a.JPG': _scene(5),
      'cat/line\nend.jpg': _scene(6),
      'label.txt': b'cat\ncow\n',
    },
  )
  (tmp_path / 'empty').mkdir()
  report = _json(capsys, tmp_path)
  found = _found(report)
  whys = {group['check']: [item['why'] for item in group['items']] for group in report['findings']}
  assert len(whys['class_name']) == 2
  assert any('upper and lower case' in why for why in whys['class_name'])
  assert any('Unicode form' in why for why in whys['class_name'])
  assert found['alike_names'] == [['cat/A.jpg', 'cat/a.JPG']]
  assert found['odd_name'] == [['cat/line\nend.jpg']]
  assert whys['empty_class'] == ['empty']
  assert "label.txt lists 'cow', which has no pictures" in whys['label_file']
  assert set(whys['new_class']) == {'Dog', 'dog', nfc}
  assert set(whys['few_images']) == {'Dog has 1'}


def test_imbalance_and_missing_classes(tmp_path, capsys):
  rng = np.random.default_rng(0)
  for i in range(22):
    noise = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    _write(tmp_path, {f'train/many/{i}.jpg': noise})
  _write(
    tmp_path,
    {f'train/few/{i}.jpg': _scene(i) for i in range(2)} | {'validation/many/1.jpg': _scene(9)},
  )
  report = _json(capsys, tmp_path)
  assert {group['check'] for group in report['findings']} == {'imbalance', 'not_in_split'}
  assert report['facts']['image folder']['classes']['few'] == {'train': 2, 'validation': 0}


def test_harmful_names_are_harmless_in_text_json_and_html(tmp_path, capsys):
  data = _encoded(_scene(1))
  names = (
    '\x1b[31mred\x1b[0m.jpg',
    'two\nlines.jpg',
    '=1+1.jpg',
    '<script>alert(1)<',
    '\u202e.jpg',
  )
  folder = _good(tmp_path / 'pic')
  _write(folder, {f'cat/{name}': data for name in names})
  if sys.platform == 'linux':
    (folder / 'cat' / os.fsdecode(b'\xff\xfe.jpg')).write_bytes(data)
  page = tmp_path / 'page.html'
  assert _run(folder, '--all', f'--html={page}') == 1
  text = capsys.readouterr().out
  assert not _HARMFUL.search(text)
  assert r'\x1b[31mred' in text and r'two\nlines.jpg' in text
  assert _run(folder, '--json') == 1
  printed = capsys.readouterr().out
  assert not _HARMFUL.search(printed)
  assert printed.encode('utf-8')
  group = next(g for g in json.loads(printed)['findings'] if g['check'] == 'same_in_class')
  assert set(group['items'][0]['files']) >= {f'cat/{name}' for name in names}
  drawn = page.read_text(encoding='utf-8')
  assert not _HARMFUL.search(drawn)
  assert '<script' not in drawn and '&lt;script&gt;alert(1)&lt;' in drawn
  assert drawn.count('<img alt="" src="data:image/jpeg;base64,') > len(names)
  assert not re.search(r'(src|href)="(?!data:)', drawn)


def test_a_page_never_lands_in_the_source_or_on_another_file(tmp_path, capsys):
  folder = _good(tmp_path / 'pic')
  own = tmp_path / 'own.html'
  own.write_text('my page')
  assert _run(folder, f'--html={folder}/page.html') == 2
  assert _run(folder, f'--html={own}') == 2
  assert own.read_text() == 'my page'
  assert _run(folder, f'--html={own}/page.html') == 2
  assert _run(folder, f'--html={tmp_path}/page.html') == 0
  assert _run(folder, f'--html={tmp_path}/page.html') == 0


@pytest.mark.parametrize(
  'arguments', [[], ['a', 'b'], ['missing'], ['.', '--min_side=0'], ['.', '--colour']]
)
def test_wrong_usage(arguments, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert _run(*arguments) == 2
  assert capsys.readouterr().err.startswith('error: ')


def test_a_folder_without_classes_is_described(tmp_path, capsys):
  _write(tmp_path, {'1.jpg': _scene(1)})
  report = _json(capsys, tmp_path)
  assert [group['check'] for group in report['findings']] == ['layout']


def test_a_read_only_folder_is_enough_and_tensorflow_is_not_imported(tmp_path):
  folder = _good(tmp_path / 'pic')
  for path in [*folder.rglob('*'), folder]:
    path.chmod(0o555 if path.is_dir() else 0o444)
  without_tensorflow = (
    'import sys\n'
    'for name in ("tensorflow", "tf_keras", "tf_slim", "slim_compat"): sys.modules[name] = None\n'
    'from scripts import doctor\n'
    f'sys.argv = ["doctor.py", {str(folder)!r}]\n'
    'sys.exit(doctor.cli())\n'
  )
  before = _tree(folder)
  done = subprocess.run(
    [sys.executable, '-c', without_tensorflow], cwd=REPO, capture_output=True, text=True
  )
  for path in [folder, *folder.rglob('*')]:
    path.chmod(0o755)
  assert done.returncode == 0, done.stderr + done.stdout
  assert before == {name: (before[name][0], *facts[1:]) for name, facts in _tree(folder).items()}


# Data sets.


@pytest.fixture
def dataset(tiny_dataset, tmp_path):
  """A copy of the tiny data set, to be damaged."""
  return pathlib.Path(shutil.copytree(tiny_dataset, tmp_path / 'records'))


def _shard(folder, split='train'):
  return min(folder.glob(f'*{split}*.tfrecord'))


def _rewrite(path, change):
  """Applies `change` to the first example of a shard and writes the shard anew."""
  from datasets import records
  from slim_compat import tf

  examples = list(records.read_examples(str(path)))
  change(examples[0].features.feature)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for example in examples:
      writer.write(example.SerializeToString())


def _without_near_copies(report):
  """The tiny data set's stripes and checks are alike."""
  return {check: files for check, files in _found(report).items() if not check.startswith('near_')}


def test_nothing_is_found_in_a_converted_data_set(dataset, capsys):
  before = _tree(dataset)
  report = _json(capsys, dataset, code=0)
  assert report['kinds'] == ['data set']
  assert report['facts']['data set']['pictures'] == 45
  assert _tree(dataset) == before
  (dataset / 'dataset.json').unlink()
  report = _json(capsys, dataset, code=0)
  assert report['facts']['data set']['classes']['sea ice'] == {'train': 10, 'validation': 5}


def test_a_damaged_record_does_not_hide_the_others(dataset, capsys):
  shard = _shard(dataset)
  data = bytearray(shard.read_bytes())
  data[40] ^= 1
  shard.write_bytes(data)
  found = _found(_json(capsys, dataset))
  assert found['record'] == [[f'{shard.name} record 0']]
  assert found['shard'] == [[shard.name]]
  assert 'counts' in found
  report = _json(capsys, dataset)
  assert report['facts']['data set']['pictures'] == 44


def test_a_shard_that_is_cut_short_missing_or_a_stranger(dataset, capsys):
  train, validation = _shard(dataset), _shard(dataset, 'validation')
  train.write_bytes(train.read_bytes()[:-100])
  validation.unlink()
  shutil.copy(train, dataset / 'other_train.tfrecord')
  found = _found(_json(capsys, dataset))
  assert found['shard'] == [[train.name], [validation.name]]
  assert found['record'] == [[train.name]]
  assert found['extra_shard'] == [['other_train.tfrecord']]


def _set_label(features):
  features['image/class/label'].int64_list.value[0] = 99


def _drop_label(features):
  del features['image/class/label']


def _drop_picture(features):
  del features['image/encoded']


def _cut_picture(features):
  encoded = features['image/encoded'].bytes_list.value
  encoded[0] = encoded[0][:400]


def _gif(features):
  features['image/encoded'].bytes_list.value[0] = _encoded(_scene(1, (40, 40)), 'GIF')


def _png_without_its_end(features):
  png = _encoded(_scene(1, (40, 40)), 'PNG')
  features['image/encoded'].bytes_list.value[0] = png[: png.rindex(b'IEND') - 4]


def _set_text(features):
  features['image/class/text'].bytes_list.value[0] = b'lake'


@pytest.mark.parametrize(
  ('change', 'check'),
  [
    (_set_label, 'record_label'),
    (_set_text, 'record_label'),
    (_drop_label, 'record_keys'),
    (_drop_picture, 'record_keys'),
    (_cut_picture, 'record_picture'),
    (_gif, 'record_picture'),
    (_png_without_its_end, 'record_picture'),
  ],
)
def test_every_kind_of_bad_record_is_found(change, check, dataset, capsys):
  shard = _shard(dataset)
  _rewrite(shard, change)
  page = dataset.parent / 'page.html'
  found = _found(_json(capsys, dataset, f'--html={page}'))
  assert f'{shard.name} record 0' in page.read_text(encoding='utf-8')
  assert [files[0].partition(' (')[0] for files in found[check]] == [f'{shard.name} record 0']


def test_an_empty_shard_is_found_without_dataset_json_too(dataset, capsys):
  (dataset / 'dataset.json').unlink()
  _shard(dataset).write_bytes(b'')
  assert _found(_json(capsys, dataset))['shard'] == [[_shard(dataset).name]]


def test_folders_of_runs_beside_records_are_no_classes(dataset, capsys):
  for run in ('run1', 'run2'):
    _write(dataset / run / 'eval', {'confusion_matrix.png': _encoded(_scene(1), 'PNG')})
  assert _json(capsys, dataset, code=0)['kinds'] == ['data set']


def test_label_file_and_duplicates_of_a_data_set(dataset, capsys):
  (dataset / 'label.txt').write_text('sea ice\nforest\n城市\n', encoding='utf-8')
  encoded = []
  _rewrite(_shard(dataset), lambda f: encoded.append(f['image/encoded'].bytes_list.value[0]))

  def put(features):
    features['image/encoded'].bytes_list.value[0] = encoded[0]

  _rewrite(_shard(dataset, 'validation'), put)
  report = _json(capsys, dataset)
  found = _found(report)
  assert 'label_file' in found
  assert len((found.get('same_in_splits') or found['same_in_classes'])[0]) == 2


def test_an_unfinished_conversion_is_left_as_it_is(dataset, capsys):
  (dataset / '.data_convert-ready').mkdir()
  shutil.copy(dataset / 'dataset.json', dataset / '.data_convert-ready')
  before = _tree(dataset)
  assert list(_found(_json(capsys, dataset))) == ['unfinished']
  assert _tree(dataset) == before


def test_pictures_and_records_in_one_folder_are_both_looked_at(tiny_images, tmp_path, capsys):
  import data_convert

  folder = shutil.copytree(tiny_images, tmp_path / 'pic')
  argv = ['data_convert', '-t', str(folder), '--dataset_name=tiny']
  assert command.run('', data_convert.FLAGS, data_convert.main, argv) == 0
  report = _json(capsys, folder, code=0)
  assert report['kinds'] == ['image folder', 'data set']


# Runs.


@pytest.fixture
def run(tmp_path):
  """A train_dir with two checkpoints of cifarnet and run.json."""
  import small_nets

  for step in (5, 7):
    small_nets.write_checkpoint(tmp_path / 'run', step=step)
  record = {
    'model_name': 'cifarnet',
    'num_classes': 3,
    'class_names': ['a', 'b', 'c'],
    'labels_offset': 0,
    'image_size': 32,
    'use_grayscale': False,
    'data_fingerprint': '0',
  }
  run_record.write(str(tmp_path / 'run'), record)
  return tmp_path / 'run'


def _newest(report):
  newest = report['facts']['train_dir']['newest_good_checkpoint']
  return newest and os.path.basename(newest)


def test_a_good_run(run, capsys):
  before = _tree(run)
  report = _json(capsys, run, code=0)
  assert report['kinds'] == ['train_dir']
  assert _newest(report) == 'model.ckpt-7'
  assert report['facts']['train_dir']['good_checkpoints'] == 2
  assert _tree(run) == before


def test_damaged_and_incomplete_checkpoints(run, capsys):
  data = run / 'model.ckpt-7.data-00000-of-00001'
  content = bytearray(data.read_bytes())
  content[len(content) // 2] ^= 255
  data.write_bytes(content)
  (run / 'model.ckpt-9.data-00000-of-00001').write_bytes(b'')
  report = _json(capsys, run)
  assert _found(report) == {'checkpoint': [['model.ckpt-7'], ['model.ckpt-9']]}
  assert _newest(report) == 'model.ckpt-5'


def test_values_that_are_no_numbers(run, capsys):
  from slim_compat import tf

  with tf.Graph().as_default(), tf.Session() as session:
    broken = tf.Variable(np.array([1, np.nan], np.float32), name='CifarNet/logits/biases')
    step = tf.Variable(np.int64(8), name='global_step')
    session.run([broken.initializer, step.initializer])
    saver = tf.train.Saver([broken, step])
    saver.save(session, str(run / 'model.ckpt'), 8, write_meta_graph=False, write_state=False)
  report = _json(capsys, run)
  assert _found(report) == {'not_finite': [['model.ckpt-8']]}
  assert _newest(report) == 'model.ckpt-7'


def test_checkpoints_of_another_net_or_number_of_classes(run, capsys):
  import small_nets

  small_nets.write_checkpoint(run, num_classes=4, step=8)
  small_nets.write_checkpoint(run, 'lenet', step=9, size=28, channels=1)
  report = _json(capsys, run)
  assert _found(report) == {'other_run': [['model.ckpt-8'], ['model.ckpt-9']]}
  for path in run.glob('model.ckpt-[57].*'):
    path.unlink()
  assert 'no_checkpoint' in _found(_json(capsys, run))


def test_digests_are_of_the_content(tmp_path, capsys):
  """Two files of one size and different content are no copies."""
  one, two = (_encoded(_scene(seed, (64, 64)), 'BMP') for seed in (1, 2))
  assert len(one) == len(two) and hashlib.sha256(one) != hashlib.sha256(two)
  _write(_good(tmp_path), {'cat/one.bmp': one, 'cat/two.bmp': two})
  assert _json(capsys, tmp_path, code=0)['findings'] == []


@pytest.mark.slow
def test_the_satellite_tile_in_two_classes_is_found(shared):
  done = subprocess.run(
    [sys.executable, 'scripts/doctor.py', str(shared / 'data' / 'satellite'), '--json'],
    cwd=REPO,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1, done.stderr
  report = json.loads(done.stdout)
  pair = sorted(f'train/{name}/76112_99580_18.jpg' for name in ('water', 'wetland'))
  assert pair in _found(report)['same_in_classes']
  assert report['facts']['image folder']['readable'] == 4800
