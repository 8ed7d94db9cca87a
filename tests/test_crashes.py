"""A run that is killed at any moment and started again ends as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import REPO
from small_nets import write_checkpoint

from image_classifier import checkpoints, saving
from image_classifier.optimization import optimizers
from image_classifier.training import recipes
from slim_compat import tf

_KILLED = -signal.SIGKILL
_STEPS = 6


class _Driver:
  """tests/crash_driver.py, to which jobs are given."""

  def __init__(self, folder, shim):
    self._log = folder / 'log'
    with open(self._log, 'wb') as log:
      self._process = subprocess.Popen(
        [sys.executable, REPO / 'tests' / 'crash_driver.py'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=os.environ | ({'LD_PRELOAD': str(shim)} if shim else {}),
      )

  def run(self, job, folder, *, arguments, kill_at=0, kill_after=0):
    """Returns the answer to a job; fails when it ends otherwise than done or killed."""
    order = {'job': job, 'folder': str(folder), 'arguments': arguments}
    order |= {'kill_at': kill_at, 'kill_after': kill_after}
    print(json.dumps(order), file=self._process.stdin, flush=True)
    answer = json.loads(self._process.stdout.readline())
    assert answer['code'] in (0, _KILLED), (order, answer, self._log.read_text(encoding='utf-8'))
    return answer

  def close(self):
    self._process.stdin.close()
    self._process.stdout.close()
    self._process.wait()


def _driver(folder, shim):
  driver = _Driver(folder, shim)
  try:
    yield driver
  finally:
    driver.close()


def _compiler():
  return shutil.which('cc') or shutil.which('gcc') or shutil.which('clang')


@pytest.fixture(scope='module')
def python_driver(tmp_path_factory):
  """Counts the file operations of Python, where nothing counts those of libc, which these are."""
  if _compiler():
    pytest.skip('the file operations of Python are among those of libc, which are counted')
  yield from _driver(tmp_path_factory.mktemp('python driver'), None)


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
  """Counts the file operations of Python and TensorFlow, by a library before libc."""
  compiler = _compiler()
  if not compiler:
    pytest.skip('there is no C compiler to count the file operations of TensorFlow with')
  folder = tmp_path_factory.mktemp('driver')
  shim = folder / 'kill_at.so'
  source = REPO / 'tests' / 'kill_at.c'
  subprocess.run([compiler, '-shared', '-fPIC', '-o', shim, source, '-ldl'], check=True)
  yield from _driver(folder, shim)


def _values(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _differences(prefix, other):
  a, b = _values(prefix), _values(other)
  assert a.keys() == b.keys()
  return [name for name in a if a[name].tobytes() != b[name].tobytes()]


# One save: small files, the checkpoint, rotation, `checkpoint`.


def _saved_run(driver, folder):
  """A folder after three saves, of which two are kept."""
  folder.mkdir()
  for step in (1, 2, 3):
    driver.run('save', folder, arguments={'folder': str(folder), 'step': step})
  return folder


def _check(folder, steps):
  """Recovers a folder, whose newest checkpoint must be of one of the steps, and whole."""
  saving.recover(str(folder))
  newest = checkpoints.newest_intact(str(folder))
  step = checkpoints.step_of(newest)
  assert step in steps
  values = _values(newest)
  assert values['global_step'] == step
  assert (values['weights'] == step).all() and (values['biases'] == -step).all()
  expected = {'checkpoint', 'metrics.jsonl', 'run.json', 'graph.pbtxt'}
  for kept in (step - 1, step):
    endings = ('index', 'meta', 'data-00000-of-00001')
    expected |= {f'model.ckpt-{kept}.{ending}' for ending in endings}
  assert set(os.listdir(folder)) == expected  # nothing is left behind, nothing is missing
  assert json.loads((folder / 'run.json').read_text())['model_name'] == 'lenet'
  return step


def _kill_everywhere(driver, tmp_path):
  whole = _saved_run(driver, tmp_path / 'whole')
  run = tmp_path / 'run'
  order = {'arguments': {'folder': str(run), 'step': 4}}
  shutil.copytree(whole, run)
  points = driver.run('save', run, **order)['operations']
  assert _check(run, [4]) == 4
  seen = set()
  for point in range(1, points + 1):
    shutil.rmtree(run)
    shutil.copytree(whole, run)
    assert driver.run('save', run, **order, kill_at=point)['code'] == _KILLED
    seen.add(_check(run, [3, 4]))
  assert seen == {3, 4}
  return points


def test_a_save_killed_at_any_file_operation_of_python(python_driver, tmp_path):
  assert _kill_everywhere(python_driver, tmp_path) > 25


def test_a_save_killed_at_any_file_operation_of_libc(driver, tmp_path):
  assert _kill_everywhere(driver, tmp_path) > 40


def test_a_recovery_may_be_killed_too(driver, tmp_path):
  run = _saved_run(driver, tmp_path / 'run')
  rng = random.Random(0)
  step = 3
  for _ in range(25):
    arguments = {'folder': str(run), 'step': step + 1}
    driver.run('save', run, arguments=arguments, kill_at=rng.randint(1, 70))
    if rng.random() < 0.3:
      step = _check(run, [step, step + 1])
    elif checkpoints.step_of(checkpoints.newest_intact(str(run))) != step:
      step += 1
  assert _check(run, [step, step + 1]) > 3


# Whole runs.


def _options(dataset_dir, train_dir, **settings):
  """A run that saves at every step, and logs every second."""
  settings = {'model_name': 'cifarnet', 'train_image_size': 16, **settings}
  return {
    'train_dir': str(train_dir),
    'dataset_dir': str(dataset_dir),
    'batch_size': 7,  # of 30 images: the epochs end within batches
    'max_number_of_steps': _STEPS,
    'log_every_n_steps': 2,
    'save_interval_secs': 1e-9,
    **settings,
  }


def _killed_run(driver, options, kills):
  """Runs until the end through kills; returns how many of them hit."""
  folder = options['train_dir']
  hits = sum(driver.run('train', folder, arguments=options, **kill)['code'] != 0 for kill in kills)
  assert driver.run('train', folder, arguments=options)['code'] == 0
  return hits


def _assert_same(options, reference):
  name = f'model.ckpt-{_STEPS}'
  folder = options['train_dir']
  assert _differences(f'{folder}/{name}', reference / name) == []
  log = (reference / 'metrics.jsonl').read_bytes()
  assert len(log.splitlines()) == 4  # the steps 1, 2, 4 and 6
  with open(f'{folder}/metrics.jsonl', 'rb') as file:
    assert file.read() == log
  kept = sorted(p for p in os.listdir(folder) if p.endswith('.index'))
  assert kept == [f'model.ckpt-{step}.index' for step in range(2, 7)]
  assert not [p for p in os.listdir(folder) if p.startswith('.') and p != '.lock']


def _kill_and_compare(driver, dataset, tmp_path, chains, **settings):
  """Compares runs that were killed with one that was not; returns how many kills hit."""
  reference = tmp_path / 'reference'
  options = _options(dataset, reference, **settings)
  whole = driver.run('train', reference, arguments=options)
  hits = 0
  for number, chain in enumerate(chains):
    kills = [
      {'kill_at': round(share * whole['operations'])}
      if is_operation
      else {'kill_after': share * whole['seconds']}
      for is_operation, share in chain
    ]
    options = _options(dataset, tmp_path / str(number), **settings)
    hits += _killed_run(driver, options, kills)
    _assert_same(options, reference)
    shutil.rmtree(options['train_dir'])
  return hits


def test_a_killed_run_goes_on_as_if_it_had_not_been(driver, tiny_dataset, tmp_path):
  chains = [[(True, 0.5), (False, 0.4), (True, 0.1)]]
  settings = {'optimizer': 'momentum', 'moving_average_decay': 0.9}
  assert _kill_and_compare(driver, tiny_dataset, tmp_path, chains, **settings) > 0


_BATCH_NORM = {'model_name': 'mobilenet_v1_025', 'train_image_size': 32}
_EVERYTHING = {
  'moving_average_decay': 0.9,
  'warmup_epochs': 0.5,
  'label_smoothing': 0.1,
  'optimizer': 'adamw',
  'learning_rate_decay_type': 'cosine',
  'layer_decay': 0.8,
  'clip_gradient_norm': 1.0,
  'mixup_alpha': 0.4,
  'accumulate_steps': 2,
}


@pytest.mark.slow
@pytest.mark.parametrize(
  'settings',
  [*({'optimizer': name} for name in optimizers.OPTIMIZERS), _BATCH_NORM | _EVERYTHING],
  ids=lambda settings: settings.get('model_name', settings['optimizer']),
)
def test_random_moments(settings, driver, tiny_dataset, tmp_path):
  rng = random.Random(str(settings))
  kills = 3 if settings.items() >= _EVERYTHING.items() else 1
  chain = [(rng.random() < 0.5 or kill == 0, rng.random()) for kill in range(kills)]
  assert _kill_and_compare(driver, tiny_dataset, tmp_path, [chain], **settings) > 0


@pytest.mark.slow
def test_a_fine_tuning_killed_in_and_between_its_stages(driver, tiny_dataset, tmp_path):
  settings = {'model_name': 'lenet', 'train_image_size': 28, 'optimizer': 'adamw'}
  settings |= {'recipe': 'fine_tune', 'eval_every_steps': 3, 'learning_rate': 0.001}
  settings['checkpoint_path'] = write_checkpoint(tmp_path / 'start', 'lenet', 9, size=28)

  def run(folder, *, dies_between=False, **kill):
    options = _options(tiny_dataset, folder, cache_dir=f'{folder} cache', **settings)
    options['dies_between'] = dies_between
    return driver.run('fine_tune', folder, arguments=options, **kill)

  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  soon = run(whole)['operations'] // 6
  stage_after = []
  for kill in [{'kill_at': soon}] * 2 + [{'dies_between': True}] + [{'kill_at': soon}] * 2:
    assert run(killed, **kill)['code'] == _KILLED
    begun = [recipes.has_checkpoint(str(folder)) for folder in (killed / 'head', killed)]
    stage_after.append(sum(begun))
  assert stage_after == [1, 1, 1, 2, 2]
  assert run(killed)['code'] == 0
  for stage, step in (('head', 9), ('.', _STEPS)):  # two epochs of 30 images in batches of 7
    folders = (killed / stage, whole / stage)
    assert _differences(*(folder / f'model.ckpt-{step}' for folder in folders)) == []
    log, expected = ((folder / 'metrics.jsonl').read_bytes() for folder in folders)
    assert log == expected
