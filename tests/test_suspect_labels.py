"""Suspect labels: planted mistakes come first, and what is written is harmless."""

import base64
import csv
import html.parser
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from small_nets import run, write_checkpoint, write_run

import data_convert
from image_classifier.features import cache
from image_classifier.suspects import linear_probe, search
from scripts import suspect_labels

_COLOURS = {'=rot <b>&': (200, 30, 30), '绿色': (30, 200, 30), 'blue': (30, 30, 200)}
_PLANTED = {('=rot <b>&', 'wrong.png'): '绿色', ('绿色', '错误 1.png'): 'blue'}


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
  """Forty pictures of three colours, in two of which class and colour disagree."""
  pictures, folder = tmp_path_factory.mktemp('图片'), tmp_path_factory.mktemp('数据 集')
  rng = np.random.default_rng(0)
  files = {(name, f'{i}.png'): name for name in _COLOURS for i in range(12)} | _PLANTED
  for (name, file), colour in files.items():
    (pictures / 'train' / name).mkdir(parents=True, exist_ok=True)
    pixels = np.clip(rng.normal(_COLOURS[colour], 20, (40, 60, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(pictures / 'train' / name / file)
  shutil.copytree(pictures / 'train', pictures / 'validation')
  arguments = ['-t', pictures, '--output_dir', folder, '--dataset_name=colours']
  assert run(data_convert, *arguments) == 0
  return folder


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  return write_checkpoint(tmp_path_factory.mktemp('checkpoint'), 'lenet', 7, size=28)


def _suspects(dataset_dir, checkpoint, output_dir, *arguments):
  flags = {'dataset_dir': dataset_dir, 'checkpoint_path': checkpoint, 'output_dir': output_dir}
  flags = [f'--{name}={value}' for name, value in flags.items()]
  return run(suspect_labels, *flags, '--model_name=lenet', '--precision=float32', *arguments)


@pytest.fixture(scope='module')
def found(dataset_dir, checkpoint, tmp_path_factory):
  folder = tmp_path_factory.mktemp('out') / '可疑'
  assert _suspects(dataset_dir, checkpoint, folder, '--limit=2') == 0
  return folder


def test_planted_mistakes_come_first(found):
  rows = list(csv.DictReader(io.StringIO((found / 'suspects.csv').read_text('utf-8'))))
  planted = {(f'train/{name}/{file}', guess) for (name, file), guess in _PLANTED.items()}
  guesses = {(row['file'], row['looks_like'].removeprefix("'")) for row in rows[:2]}
  assert guesses == planted
  for row in rows[:2]:
    assert row['likely_wrong'] == 'yes'
    assert float(row['probability_of_looks_like']) > float(row['probability_of_label'])
  assert {row['label'] for row in rows[:2]} == {"'=rot <b>&", '绿色'}  # no formula
  assert len(rows) < 6


class _Tags(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.tags = []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)


def test_page_is_harmless_and_whole(found):
  text = (found / 'suspects.html').read_bytes().decode('utf-8')
  tags = _Tags(text).tags
  assert tags.count('img') == 2
  assert not {'script', 'b', 'link', 'a'} & set(tags)
  assert 'train/=rot &lt;b&gt;&amp;/wrong.png' in text and '错误 1.png' in text
  thumbnails = re.findall('base64,([^"]+)"', text)
  for data in thumbnails:
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
      assert (image.format, image.size) == ('JPEG', (60, 40))


def test_a_second_run_computes_nothing(dataset_dir, checkpoint, found, tmp_path, capsys):
  before = sorted(path.name for path in dataset_dir.iterdir())
  assert _suspects(dataset_dir, checkpoint, tmp_path, '--limit=0', '--folds=3') == 0
  said = capsys.readouterr().out
  assert '1024 features of 38 images, of which 0 were computed now.' in said
  assert 'labelled 绿色, looks like blue (1 likely wrong)' in said
  assert 'pictures and labels are as they were' in said and '95 % interval' in said
  assert '<img' not in (tmp_path / 'suspects.html').read_text('utf-8')
  assert sorted(path.name for path in dataset_dir.iterdir()) == before


@pytest.mark.parametrize(
  ('arguments', 'why'),
  [
    (['--folds=1'], '--folds=1 must be 2 to 100.'),
    (['--limit=-1'], '--limit=-1 must be 0 or more.'),
    (['--model_name=lenett'], "did you mean 'lenet'?"),
    (['--preprocessing_name=lenett'], "did you mean 'lenet'?"),
    (['--dataset_split_name=test'], 'test'),
    (['--checkpoint_path=nowhere'], 'nowhere'),
    (['--checkpoint_path='], 'Name the checkpoint with --checkpoint_path.'),
    (['--output_dir='], 'with --output_dir.'),
    (['--output_dir=/dev/null/x'], '--output_dir=/dev/null/x cannot be written to'),
    (['--model_name=cifarnet'], 'pass --model_name=lenet.'),
  ],
)
def test_mistakes_are_said_in_a_sentence(dataset_dir, checkpoint, tmp_path, capsys, arguments, why):
  assert _suspects(dataset_dir, checkpoint, tmp_path, *arguments) == 2
  said = capsys.readouterr().err
  assert why in said and 'Traceback' not in said


def test_pictures_are_prepared_as_in_training(dataset_dir, tmp_path):
  write_checkpoint(tmp_path / 'run', 'lenet', 7, size=32)
  write_run(tmp_path / 'run', 'lenet', preprocessing_name='cifarnet', image_size=32)
  for flags, name in (((), 'cifarnet'), (('--preprocessing_name=inception',), 'inception')):
    folder = shutil.copytree(dataset_dir, tmp_path / name)
    shutil.rmtree(folder / '.feature_cache', ignore_errors=True)
    assert _suspects(folder, tmp_path / 'run', tmp_path / 'out', *flags) == 0
    (identity,) = folder.glob('.feature_cache/*/identity.json')
    views = json.loads(identity.read_text('utf-8'))
    assert (views['preprocessing']['name'], views['image_size']) == (name, 32)


def test_copies_share_a_fold_and_classes_are_spread():
  labels = np.repeat([0, 1, 2], [10, 20, 30])
  images = [b'%d' % (i // 2) for i in range(60)]
  folds = linear_probe.folds(images, labels, 5)
  assert (folds[::2] == folds[1::2]).all()
  counts = [np.bincount(folds[labels == label], minlength=5) for label in range(3)]
  np.testing.assert_array_equal(counts, [[2] * 5, [4] * 5, [6] * 5])
  np.testing.assert_array_equal(linear_probe.folds(images, labels, 5), folds)


def test_the_classifier_has_converged():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 90)
  features = rng.normal(0, 1, (90, 20)) + 5 * rng.normal(0, 1, (90, 1)) + labels[:, None] * 0.3
  features = linear_probe._standardized(features.astype(np.float32))
  weights = linear_probe._fit(features, labels, np.ones([90, 1], bool), 3)
  truth = np.eye(3, dtype=np.float32)[labels]
  errors = linear_probe._errors((features @ weights)[:, None], truth, np.ones([90, 1], bool))
  gradient = features.T @ errors / 90
  gradient[:-1] += linear_probe._PENALTY * weights[:-1]
  assert np.abs(gradient).max() < 1e-3


def test_features_that_say_little_are_told():
  records = cache.Records([b'%d' % i for i in range(40)], np.arange(40) % 2, np.array([b''] * 40))
  noise = np.random.default_rng(0).normal(0, 1, (40, 4)).astype(np.float32)
  for features, is_told in ((noise, True), (noise + 9 * records.labels[:, None], False)):
    findings = search.find(records, features.astype(np.float32), ['a', 'b'], 5)
    assert ('many suspects will be right' in search.accuracy_line(findings)) == is_told


def test_the_only_image_of_a_class_is_not_judged():
  rng = np.random.default_rng(0)
  labels = np.array([0] * 10 + [1] * 10 + [2])
  features = rng.normal(0, 0.1, (21, 4)).astype(np.float32) + labels[:, None]
  names = np.array([b''] * 20 + [b'\x1b[2J.jpg'])
  records = cache.Records([b'%d' % i for i in range(21)], labels, names)
  findings = search.find(records, features, ['a', 'b', 'c\x1b'], 5)
  assert findings.alone == ['c\x1b'] and findings.suspects == []
  assert '\x1b' not in search.summary(findings)
