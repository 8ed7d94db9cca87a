"""What needs no TensorFlow answers without importing it, which takes seconds."""

import pathlib
import subprocess
import sys

import pytest
from conftest import REPO

_COMMANDS = (
  'data_convert.py',
  'train_image_classifier.py',
  'eval_image_classifier.py',
  'export_inference_graph.py',
  'freeze_graph.py',
  'classify_image.py',
)
_SCRIPTS = sorted(f'scripts/{path.name}' for path in (REPO / 'scripts').glob('*.py'))
# Names and folders that do not exist, and flags that are missing.
_MISTAKES = {
  'data_convert.py': ['-t nowhere'],
  'train_image_classifier.py': [
    '',
    '--dataset_dir=nowhere',
    '--dataset_dir=. --model_name=x',
    '--dataset_dir=. --preprocessing_name=x',
    '--dataset_dir=. --model_name=lenet --brightness=0.1',
    '--dataset_dir=. --hue=0.6',
  ],
  'eval_image_classifier.py': [],
  'export_inference_graph.py': ['', '--output_file=g.pb --is_video_model'],
  'freeze_graph.py': ['', '--input_graph=g.pb'],
  'classify_image.py': ['picture.jpg', '--model_path=g.pb --json --csv'],
  'scripts/build_image_data.py': ['--train_directory=nowhere'],
  'scripts/cifar10_to_folders.py': ['', '--archive=a'],
  'scripts/demo.py': ['--images=nowhere'],
  'scripts/doctor.py': ['', 'nowhere'],
  'scripts/download_and_convert_data.py': ['', '--dataset_name=flower --dataset_dir=d'],
  'scripts/download_pretrained.py': ['', 'inception_v33'],
  'scripts/import_keras_weights.py': [''],
  'scripts/list_models.py': ['inception_v33'],
  'scripts/suspect_labels.py': ['', '--dataset_dir=nowhere', '--dataset_dir=. --folds=1'],
}


def _run(file, arguments, folder):
  """Runs a command; returns (exit code, what it printed, whether it imported TensorFlow)."""
  program = (
    'import atexit, runpy, sys\n'
    'atexit.register(lambda: print("tensorflow" in sys.modules))\n'
    f'sys.argv = {[file, *arguments]!r}\n'
    f'sys.path.insert(0, {str((REPO / file).parent)!r})\n'
    f'runpy.run_path({str(REPO / file)!r}, run_name="__main__")\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', program],
    cwd=folder,
    capture_output=True,
    text=True,
    env={'PYTHONPATH': str(REPO), 'PATH': '/usr/bin:/bin'},
  )
  *printed, imported = done.stdout.splitlines()
  return done.returncode, '\n'.join([*printed, done.stderr]), imported == 'True'


@pytest.mark.parametrize('file', (*_COMMANDS, *_SCRIPTS))
def test_help_and_mistakes_need_no_tensorflow(file, tmp_path):
  code, printed, imported = _run(file, ['--help'], tmp_path)
  assert (code, imported) == (0, False), printed
  for arguments in ['--datset=x', *_MISTAKES.get(file, [])]:
    code, printed, imported = _run(file, arguments.split(), tmp_path)
    assert (code, imported) == (2, False), (arguments, printed)
    assert 'Traceback' not in printed
  assert list(pathlib.Path(tmp_path).iterdir()) == []


def test_conversion_needs_no_tensorflow(tiny_images, tmp_path):
  arguments = ['-t', str(tiny_images), f'--output_dir={tmp_path}']
  code, printed, imported = _run('data_convert.py', arguments, tmp_path)
  assert (code, imported) == (0, False), printed
