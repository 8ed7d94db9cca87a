"""The learning-rate range test: its curve, its suggestion, and that it leaves no trace."""

import csv
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from conftest import REPO, TINY_CLASSES
from PIL import Image
from small_nets import run, write_checkpoint, write_run

from image_classifier.training import rate_chart, rate_test
from scripts import lr_find


def _curve(losses, num_steps=100, exploded=False):
  rates = np.geomspace(1e-6, 10, num_steps).tolist()[: len(losses)]
  return rate_test.Curve(rates, losses, rate_test.smooth(losses, num_steps), exploded, None)


def test_smoothing_is_a_weighted_mean_of_what_came_before():
  # 40 steps: over 2, a decay of 1/2; weights 1, then 1/3 and 2/3, then 1/7, 2/7 and 4/7.
  smoothed = rate_test.smooth([7.0, 4.0, 0.0], 40)
  assert smoothed == pytest.approx([7, 7 / 3 + 8 / 3, 7 / 7 + 8 / 7])


def test_suggestion_is_where_the_loss_falls_fastest():
  # A step in the logarithm of the rate, steepest at 10^-2.5: step 50 of 100 over seven decades.
  decades = np.linspace(-6, 1, 100)
  losses = (2 - np.tanh(2 * (decades + 2.5))).tolist()
  found = rate_test.suggestion(_curve(losses), 100)
  assert np.log10(found) == pytest.approx(-2.5, abs=7 / 99)


def test_single_batches_decide_nothing():
  decades = np.linspace(-6, 1, 100)
  losses = 2 - np.tanh(2 * (decades + 2.5))
  losses[10:40:5] += 20  # a hard batch now and then
  found = rate_test.suggestion(_curve(losses.tolist()), 100)
  assert np.log10(found) == pytest.approx(-2.5, abs=0.3)


def test_an_explosion_after_the_fall_does_not_matter():
  decades = np.linspace(-6, 1, 100)
  losses = (2 - np.tanh(2 * (decades + 2.5))).tolist()
  found = rate_test.suggestion(_curve(losses), 100)
  exploding = losses[:70] + [2.0, 5.0, 3.0, 9.0]
  assert rate_test.suggestion(_curve(exploding, exploded=True), 100) == found


@pytest.mark.parametrize('losses', [[1.0] * 100, np.linspace(1, 2, 100).tolist()])
def test_no_suggestion_for_a_loss_that_never_falls(losses):
  assert rate_test.suggestion(_curve(losses), 100) is None


def test_losses_that_only_scatter_rarely_suggest_a_rate():
  curves = np.random.default_rng(0).normal(2.0, 0.3, [100, 40]).tolist()
  found = [rate_test.suggestion(_curve(losses, 40), 40) for losses in curves]
  assert sum(rate is not None for rate in found) < 30


def _find(dataset_dir, output, *flags):
  argv = [f'--dataset_dir={dataset_dir}', f'--output={output}', '--model_name=lenet']
  argv += ['--batch_size=5', '--optimizer=sgd', '--num_steps=30']
  return run(lr_find, *argv, *flags)


@pytest.fixture(scope='module')
def found(tiny_dataset, tmp_path_factory):
  """A test of lenet at rates of which the highest are far too high, and where temporaries go."""
  folder = tmp_path_factory.mktemp('a test')
  (folder / 'temporary').mkdir()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tempfile, 'tempdir', str(folder / 'temporary'))
    argv = ('--min_rate=1e-6', '--max_rate=1e2', f'--train_dir={folder / "run"}')
    assert _find(tiny_dataset, folder / 'a curve', *argv) == 0
  return folder


def test_it_leaves_nothing_but_the_curve(found):
  assert {path.name for path in found.iterdir()} == {'a curve.csv', 'a curve.png', 'temporary'}
  assert not list((found / 'temporary').iterdir())


def test_curve(found):
  with open(found / 'a curve.csv', encoding='utf-8', newline='') as file:
    rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
  assert 10 <= len(rows) < 30  # it stopped when the loss exploded
  assert [row['step'] for row in rows] == list(range(1, len(rows) + 1))
  # 29 equal factors from 1e-6 to 1e2.
  rates = [1e-6 * 10 ** (8 * i / 29) for i in range(len(rows))]
  assert [row['learning_rate'] for row in rows] == pytest.approx(rates)
  smoothed = rate_test.smooth([row['loss'] for row in rows], 30)
  assert [row['smoothed_loss'] for row in rows] == pytest.approx(smoothed)


def test_picture(found):
  with Image.open(found / 'a curve.png') as image:
    assert image.size == (960, 600)
    colours = {colour for _, colour in image.convert('RGB').getcolors(100_000)}
  assert {rate_chart._SMOOTHED, rate_chart._RAW, rate_chart._GRID} <= colours


def test_picture_marks_the_suggestion():
  curve = _curve(np.linspace(3, 1, 100).tolist())
  marked, bare = (rate_chart.draw(curve, suggestion) for suggestion in (1e-3, None))
  # 3 of the 7 decades between 90 and 930 pixels: 450.
  assert marked.getpixel((450, 300)) == rate_chart._MARK != bare.getpixel((450, 300))


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--num_steps=9'], '--num_steps=9 must be at least 10'),
    (['--min_rate=0'], '--min_rate=0 must be above 0 and below'),
    (['--min_rate=1', '--max_rate=1'], 'must be above 0 and below --max_rate=1'),
    (['--output=missing/curve'], 'lies in no folder that there is'),
    (['--num_clones=2'], 'training runs on one device'),
  ],
)
def test_flags_are_checked(tmp_path, capsys, flags, message):
  assert _find(tmp_path, tmp_path / 'curve', *flags) == 2
  assert message in capsys.readouterr().err


def test_rates_that_are_all_too_high(tiny_dataset, tmp_path, capsys):
  flags = ('--min_rate=1e15', '--max_rate=1e20', '--learning_rate=1')
  assert _find(tiny_dataset, tmp_path / 'curve', *flags) == 2
  stderr = capsys.readouterr().err
  assert 'lower --min_rate=1e+15' in stderr
  assert '--learning_rate has no effect any more: the test tries rates of its own' in stderr
  assert not list(tmp_path.iterdir())


def test_a_run_in_the_train_dir_has_no_say(tiny_dataset, tmp_path, capsys):
  write_checkpoint(tmp_path / 'run', 'lenet', 3, size=28)
  write_run(tmp_path / 'run', 'lenet', TINY_CLASSES, recipe='head')
  flags = [f'--train_dir={tmp_path}/run', '--model_name=lenet']
  assert _find(tiny_dataset, tmp_path / 'curve', *flags, '--recipe=head') == 2
  assert 'name its checkpoint with --checkpoint_path' in capsys.readouterr().err
  assert _find(tiny_dataset, tmp_path / 'curve', *flags) == 0  # legacy as without a run


def test_the_stage_of_fine_tune_is_told(tiny_dataset, tmp_path, capsys):
  old = write_checkpoint(tmp_path / 'old', 'lenet', 5, size=28)
  flags = ['--recipe=fine_tune', '--num_steps=10', '--max_rate=1e-5', '--batch_size=30']
  assert _find(tiny_dataset, tmp_path / 'curve', *flags, f'--checkpoint_path={old}') == 0
  assert 'below a new head; fine_tune trains them below a trained one' in capsys.readouterr().out
  write_checkpoint(tmp_path / 'head', 'lenet', 3, size=28)
  write_run(tmp_path / 'head', 'lenet', TINY_CLASSES)
  assert _find(tiny_dataset, tmp_path / 'curve', *flags, f'--checkpoint_path={tmp_path}/head') == 0
  assert 'below a new head' not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(tiny_dataset, tmp_path, number, code):
  (tmp_path / 'temporary').mkdir()
  script = REPO / 'scripts' / 'lr_find.py'
  argv = [f'--dataset_dir={tiny_dataset}', '--model_name=lenet', '--num_steps=1000000']
  argv += [f'--output={tmp_path / "curve"}', f'--train_dir={tmp_path / "run"}', '--batch_size=5']
  process = subprocess.Popen(
    [sys.executable, script, *argv],
    env={'TMPDIR': str(tmp_path / 'temporary'), 'PATH': ''},
    stderr=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    text=True,
  )
  with process:
    for line in process.stderr:
      if 'Starting Session' in line:
        process.send_signal(number)
        break
    process.stderr.read()
  assert process.returncode == code
  assert [path.name for path in tmp_path.iterdir()] == ['temporary']
  assert not list((tmp_path / 'temporary').iterdir())
