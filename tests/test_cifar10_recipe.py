"""CIFAR-10 by the way of folders and build_image_data: upright pictures, ten classes."""

import io
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image
from small_nets import run

from datasets import cifar10, dataset_factory, records
from scripts import build_image_data, cifar10_to_folders

_REPO = pathlib.Path(__file__).resolve().parents[1]
_NAMES = cifar10.FACTS.class_names
_BATCHES = [*(f'data_batch_{number}' for number in range(1, 6)), 'test_batch']


def _upright(label):
  """A picture whose top is bright, its left red and its right green; the label sets the blue."""
  pixels = np.zeros((32, 32, 3), np.uint8)
  pixels[:, :16, 0] = pixels[:, 16:, 1] = 120
  pixels[:16] += 100
  pixels[..., 2] = 20 * label
  return pixels


@pytest.fixture
def archive(tmp_path):
  """cifar-10-python.tar.gz with each class once a batch, as NumPy pickles it."""
  path = tmp_path / 'cifar-10-python.tar.gz'
  with tarfile.open(path, 'w:gz') as file:
    for batch in _BATCHES:
      rows = [_upright(label).transpose(2, 0, 1).reshape(-1) for label in range(10)]
      content = {b'data': np.array(rows), b'labels': list(range(10))}
      data = pickle.dumps(content, protocol=2)
      info = tarfile.TarInfo(f'cifar-10-batches-py/{batch}')
      info.size = len(data)
      file.addfile(info, io.BytesIO(data))
  return path


def _write(archive, folder):
  return run(cifar10_to_folders, f'--archive={archive}', f'--output_directory={folder}')


def test_pictures_are_upright_in_ten_folders(archive, tmp_path, capsys):
  folder = tmp_path / '十类 pictures'
  assert _write(archive, folder) == 0
  printed = capsys.readouterr().out.splitlines()
  assert printed == [f'50 pictures in {folder}/train', f'10 pictures in {folder}/validation']
  assert (folder / 'labels.txt').read_text(encoding='utf-8').splitlines() == list(_NAMES)
  for split, count in (('train', 5), ('validation', 1)):
    for label, name in enumerate(_NAMES):
      paths = list((folder / split / name).iterdir())
      assert len(paths) == count
      for path in paths:
        assert np.array_equal(np.asarray(Image.open(path)), _upright(label))
  assert sorted(os.listdir(tmp_path)) == [archive.name, folder.name]


def test_nothing_is_overwritten_or_left_half_done(archive, tmp_path, capsys):
  folder = tmp_path / 'pictures'
  folder.mkdir()
  assert _write(archive, folder) == 2
  assert 'pictures is there already' in capsys.readouterr().err
  folder.rmdir()
  assert _write(tmp_path / 'nothing', tmp_path / 'new' / 'pictures') == 2
  assert 'nothing is not there' in capsys.readouterr().err
  assert _write(archive, archive / 'pictures') == 2
  assert 'cannot be written to' in capsys.readouterr().err
  assert run(cifar10_to_folders, f'--output_directory={folder}') == 2
  with tarfile.open(archive, 'w:gz'):
    pass
  assert _write(archive, folder) == 2
  assert 'data_batch_1, so this is not CIFAR-10' in capsys.readouterr().err
  assert os.listdir(tmp_path) == [archive.name]


def test_the_records_of_the_folders_have_labels_1_to_10(archive, tmp_path):
  pictures, out = tmp_path / 'pictures', tmp_path / 'records'
  assert _write(archive, pictures) == 0
  flags = (
    f'--train_directory={pictures / "train"}',
    f'--validation_directory={pictures / "validation"}',
    f'--output_directory={out}',
    f'--labels_file={pictures / "labels.txt"}',
  )
  assert run(build_image_data, *flags) == 0
  for path in out.glob('*-of-00002'):
    for example in records.read_examples(path):
      label, name = records.example_label(example, '')
      assert _NAMES[label - 1] == name
      encoded = example.features.feature['image/encoded'].bytes_list.value[0]
      pixels = np.asarray(Image.open(io.BytesIO(encoded))).astype(int)
      assert np.abs(pixels - _upright(label - 1)).max() < 12
  dataset = dataset_factory.get_dataset(None, 'train', str(out))
  assert dataset.labels_to_names == dict(enumerate(['background', *_NAMES]))


@pytest.mark.slow  # seven commands, each a process of its own
def test_the_recipe_ends_with_a_net_of_ten_classes(archive, tmp_path):
  command = [str(_REPO / 'scripts/train_on_cifar10.sh'), str(archive), str(tmp_path / 'out put')]
  settings = {'PYTHON': sys.executable, 'STEPS': '2', 'BATCH_SIZE': '8'}
  for _ in range(2):  # the second goes on where the first ended
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
  assert 'Labels count from 1 (airplane) to 10 (truck)' in done.stdout
  text = (tmp_path / 'out put' / 'frozen_graph.pb.json').read_text(encoding='utf-8')
  assert json.loads(text)['class_names'] == list(_NAMES)
  report = (tmp_path / 'out put/train_dir/eval/report.json').read_text(encoding='utf-8')
  assert json.loads(report)['num_examples'] == 10
