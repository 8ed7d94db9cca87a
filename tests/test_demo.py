"""The demo: what it draws, and that it ends with a classifier that works."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from scripts import make_demo_images

REPO = pathlib.Path(__file__).parent.parent


def mean_colours(split_index, images):
  """Returns the mean RGB of each class's first images, float [classes, images, 3]."""
  return np.array(
    [
      [
        np.asarray(make_demo_images.draw(name, (0, split_index, class_index, i))).mean((0, 1))
        for i in range(images)
      ]
      for class_index, name in enumerate(make_demo_images.CLASSES)
    ]
  )


def test_mean_colour_does_not_tell_the_classes_apart():
  centres = mean_colours(0, 50).mean(1)
  seen = mean_colours(1, 25)
  distances = np.linalg.norm(seen[:, :, None] - centres, axis=-1)
  found = (distances.argmin(-1) == np.arange(6)[:, None]).mean()
  assert found < 0.6  # 1 in 6 by chance


def test_same_seed_same_picture_and_other_seed_another():
  first, again, other = (make_demo_images.draw('wood', seed) for seed in (1, 1, 2))
  assert first.size == (make_demo_images.SIZE, make_demo_images.SIZE)
  assert np.array_equal(first, again)
  assert not np.array_equal(first, other)


def test_images_lie_in_the_tutorials_folders_and_stay_when_drawn_again(tmp_path, monkeypatch):
  monkeypatch.setattr(make_demo_images, 'SPLITS', {'train': 2, 'validation': 1})
  assert make_demo_images.write_images(tmp_path) == 6 * 3
  kept = tmp_path / 'train/glacier/glacier_0001.jpg'
  written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.jpg')}
  assert kept in written and len(written) == 6 * 3
  kept.unlink()
  make_demo_images.write_images(tmp_path)
  again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.jpg')}
  assert {path for path in written if written[path] != again[path]} == {kept}
  assert not list(tmp_path.rglob('*.partial'))


def run_demo(folder, *arguments):
  return subprocess.run(
    [sys.executable, str(REPO / 'scripts/demo.py'), *arguments],
    cwd=folder,
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--images', 'nowhere'], '--images nowhere is not a folder'),
    (['--checkpoint', 'inception_v3.ckpt'], '--checkpoint needs --model'),
  ],
)
def test_a_wrong_option_is_answered_in_one_sentence(tmp_path, arguments, message):
  done = run_demo(tmp_path, *arguments)
  assert done.returncode == 2
  assert message in done.stderr
  assert not list(tmp_path.iterdir())


def test_the_demo_stops_with_the_exit_code_of_the_command_that_failed(tmp_path):
  (tmp_path / 'empty').mkdir()
  done = run_demo(tmp_path, '--images', 'empty')
  assert done.returncode == 2
  assert done.stdout.count('$ ') == 1  # no further command after the first
  assert 'data_convert.py ended with exit code 2' in done.stderr


@pytest.mark.slow
def test_the_demo_ends_with_a_good_classifier(tmp_path):
  done = run_demo(tmp_path)
  assert done.returncode == 0, done.stderr
  report = json.loads((tmp_path / 'demo/run-1/eval_dir/report.json').read_text(encoding='utf-8'))
  assert report['accuracy'] >= 0.9
  assert f'Validation accuracy: {report["accuracy"]:.1%}' in done.stdout
  assert (tmp_path / 'demo/run-1/frozen_graph.pb').exists()
  assert 'demo/run-1/frozen_graph.pb' in done.stdout
