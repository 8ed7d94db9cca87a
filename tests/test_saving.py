"""Saving and what is saved: damage is found, a full disk costs no good checkpoint, one owner."""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import REPO

from image_classifier import checkpoints, run_lock, saving
from image_classifier.training import metrics_log, watchdog
from slim_compat import tf
from slim_errors import RunError, UserError

_DATA = '.data-00000-of-00001'


def _values(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@contextlib.contextmanager
def _saver(folder, **settings):
  """A session with a few variables, and its tf.train.Saver."""
  with tf.Graph().as_default(), tf.Session() as session:
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(3, 3, 4, 8), (8,), (600, 7), (7,)]):
      tf.get_variable(f'layer{i}/weights', initializer=rng.normal(size=shape).astype(np.float32))
    step = tf.get_variable('global_step', initializer=np.int64(0), trainable=False)
    session.run(tf.global_variables_initializer())
    yield session, tf.train.Saver(max_to_keep=None, **settings), tf.assign_add(step, 1)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A train_dir with whole checkpoints of the steps 1, 2 and 3."""
  folder = tmp_path_factory.mktemp('run')
  (folder / 'run.json').write_text('{}')
  with _saver(folder) as (session, saver, next_step):
    writer = saving.CheckpointWriter(session, saver, str(folder), None, num_kept=3)
    for step in (1, 2, 3):
      session.run([next_step, *[tf.assign_add(v, v) for v in tf.global_variables()[:4]]])
      writer.save(step)
  return folder


@pytest.fixture
def copy(run, tmp_path):
  return pathlib.Path(shutil.copytree(run, tmp_path / 'copy of the run'))


# Damage.


def _cut(content, at):
  return content[:at]


def _flip(content, at):
  return content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]


def _zero(content, at):
  at = at // 512 * 512
  page = content[at : at + 512]
  return content[:at] + bytes(len(page)) + content[at + len(page) :]


@pytest.mark.parametrize('spoil', [_cut, _flip, _zero])
@pytest.mark.parametrize('ending', ['.index', _DATA])
def test_damage_anywhere_is_found(spoil, ending, copy):
  """Or it is in bytes that TensorFlow does not read, and then the values are as they were."""
  path = copy / f'model.ckpt-3{ending}'
  content, good = path.read_bytes(), _values(copy / 'model.ckpt-3')
  rng = random.Random(0)
  places = range(len(content)) if ending == '.index' else rng.sample(range(len(content)), 300)
  found = 0
  for place in places:
    spoilt = spoil(content, place)
    path.write_bytes(spoilt)
    if spoilt == content:
      continue
    if checkpoints.damage(str(copy / 'model.ckpt-3')):
      found += 1
    else:
      assert ending == '.index' and spoil is _flip
      values = _values(copy / 'model.ckpt-3')
      assert all(values[name].tobytes() == good[name].tobytes() for name in good)
  assert found > 0.7 * len(places)


def _move(old, new):
  for ending in ('.index', '.meta', _DATA):
    old.with_name(old.name + ending).rename(new.with_name(new.name + ending))


def _spoil_newest(copy, how):
  newest, other = copy / 'model.ckpt-3', copy / 'model.ckpt-1'
  data = newest.with_name(newest.name + _DATA)
  if how == 'cut':
    os.truncate(data, data.stat().st_size - 1)
  elif how == 'no data':
    data.unlink()
  elif how == 'no index':
    newest.with_name(f'{newest.name}.index').unlink()
  elif how == 'data of another step':
    shutil.copy(other.with_name(other.name + _DATA), data)
  elif how == 'another step by its name':
    _move(other, newest)


@pytest.mark.parametrize(
  ('how', 'words'),
  [
    ('cut', ''),
    ('no data', f'.index has no .*{_DATA} beside it'),
    ('no index', '.index does not exist'),
    ('data of another step', 'Checksum|checksum'),
    ('another step by its name', 'it is of step 1 by its content'),
  ],
)
def test_the_one_before_a_damaged_one_is_taken(how, words, copy, caplog):
  _spoil_newest(copy, how)
  assert checkpoints.newest_intact(str(copy)) == f'{copy}/model.ckpt-2'
  (message,) = caplog.messages
  assert f'{copy}/model.ckpt-3 is damaged, the one before it is taken: ' in message
  assert '\n' not in message
  assert re.search(words, message)


def test_there_is_no_false_alarm(copy, shared, caplog):
  prefixes = [f'{copy}/model.ckpt-{step}' for step in (1, 2, 3)]
  prefixes += [str(path.with_suffix('')) for path in (shared / 'pretrained').glob('*.index')]
  assert len(prefixes) > 4
  assert [checkpoints.damage(prefix) for prefix in prefixes] == [''] * len(prefixes)
  assert checkpoints.newest_intact(str(copy)) == f'{copy}/model.ckpt-3'
  assert not caplog.messages


def test_checkpoints_of_old_tools_are_no_false_alarm(tmp_path, caplog):
  # One file, before TensorFlow 1.0; and slim.learning.train's, whose name may be a step behind.
  with _saver(tmp_path, write_version=tf.train.SaverDef.V1) as (session, saver, _):
    saver.save(session, f'{tmp_path}/old.ckpt', write_state=False)
  assert checkpoints.resolve(f'{tmp_path}/old.ckpt') == f'{tmp_path}/old.ckpt'
  assert checkpoints.damage(f'{tmp_path}/old.ckpt') == ''
  with _saver(tmp_path) as (session, saver, next_step):
    session.run(next_step)
    saver.save(session, f'{tmp_path}/model.ckpt', global_step=0)
  assert checkpoints.newest_intact(str(tmp_path)) == f'{tmp_path}/model.ckpt-0'
  assert checkpoints.saved_step(f'{tmp_path}/model.ckpt-0') == 1
  caplog.clear()
  content = bytearray((tmp_path / 'old.ckpt').read_bytes())
  content[2000] ^= 1
  (tmp_path / 'old.ckpt').write_bytes(content)
  assert checkpoints.damage(f'{tmp_path}/old.ckpt') != ''


@pytest.mark.parametrize('content', [b'', bytes(40), b'\xff\xfe', b'model_checkpoint_path: "gone"'])
def test_a_spoilt_file_named_checkpoint_costs_nothing(content, copy):
  (copy / 'checkpoint').write_bytes(content)
  assert checkpoints.newest_intact(str(copy)) == f'{copy}/model.ckpt-3'


def test_who_edits_the_file_named_checkpoint_goes_back(copy):
  path = copy / 'checkpoint'
  text = path.read_text()
  path.write_text(
    text.replace(
      'model_checkpoint_path: "model.ckpt-3"', 'model_checkpoint_path: "model.ckpt-2"', 1
    )
  )
  assert checkpoints.newest_intact(str(copy)) == f'{copy}/model.ckpt-2'


# Rotation.


def test_a_good_checkpoint_outlives_a_damaged_newer_one(copy):
  _spoil_newest(copy, 'cut')
  names = set(os.listdir(copy))
  with _saver(copy) as (session, saver, _):
    writer = saving.CheckpointWriter(session, saver, str(copy), f'{copy}/model.ckpt-2', num_kept=2)
    assert writer.newest == f'{copy}/model.ckpt-2'
    writer.save(7)
  assert checkpoints.listed(str(copy)) == [f'{copy}/model.ckpt-2', f'{copy}/model.ckpt-7']
  gone = names - set(os.listdir(copy))
  assert {name.split('.')[1] for name in gone} == {'ckpt-1'}  # rotated; the damaged one stays


def test_what_others_keep_in_the_folder_stays(copy):
  for ending in ('.index', _DATA):
    shutil.copy(copy / f'model.ckpt-1{ending}', copy / f'best.ckpt-1{ending}')
    shutil.copy(copy / f'model.ckpt-1{ending}', copy / f'model.ckpt-0{ending}')  # is not listed
  with _saver(copy) as (session, saver, _):
    writer = saving.CheckpointWriter(session, saver, str(copy), f'{copy}/model.ckpt-3', num_kept=2)
    writer.save(9)
  kept = {path.name for path in copy.glob('*.index')}
  steps = {f'model.ckpt-{step}.index' for step in (0, 3, 9)}
  assert kept == {'best.ckpt-1.index'} | steps


def test_what_cannot_be_read_back_does_not_count(copy, monkeypatch):
  with _saver(copy) as (session, saver, _):
    writer = saving.CheckpointWriter(session, saver, str(copy), f'{copy}/model.ckpt-3', num_kept=3)
    monkeypatch.setattr(checkpoints, 'damage', lambda prefix: 'bits are missing')
    with pytest.raises(RunError, match='bits are missing.*model.ckpt-3 is the last good one') as e:
      writer.save(4)
    monkeypatch.undo()
    assert '\n' not in str(e.value)
    assert checkpoints.newest_intact(str(copy)) == f'{copy}/model.ckpt-3'
    assert not list(copy.glob('*ckpt-4*')) and not (copy / '.saving').exists()


# A full disk, for real.


@pytest.fixture(scope='module')
def on_a_full_disk(tiny_dataset, tmp_path_factory):
  """What tests/full_disk.py answers."""
  disk = tmp_path_factory.mktemp('disk')
  mount = 'mount -t tmpfs -o size=44m none "$0"'
  if subprocess.run(['unshare', '-rm', 'sh', '-c', mount, disk], capture_output=True).returncode:
    pytest.skip('a small file system of its own needs user and mount namespaces')
  script = ['exec', '"$1"', '"$2"', '"$0"', '"$3"']
  done = subprocess.run(
    ['unshare', '-rm', 'sh', '-c', f'{mount} && {" ".join(script)}']
    + [disk, sys.executable, REPO / 'tests' / 'full_disk.py', tiny_dataset],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert 'Traceback' not in done.stderr
  return json.loads(done.stdout)


def _steps(answer):
  return [int(name[11:-6]) for name in answer['files'] if name.endswith('.index')]


def test_old_checkpoints_make_room(on_a_full_disk):
  answer = on_a_full_disk['frees']
  assert answer['code'] == 0 and answer['newest'] == 6
  assert 1 <= len(_steps(answer)) <= 3 and '.saving' not in answer['files']


def test_without_room_a_run_stops_with_its_last_checkpoint(on_a_full_disk):
  answer = on_a_full_disk['stops']
  assert answer['code'] == 3
  assert answer['error'].startswith('error: The checkpoint of step 1 cannot be saved in ')
  assert '(the disk is full); ' in answer['error'] and answer['error'].count('\n') == 1
  assert answer['newest'] == 0 and _steps(answer) == [0] and '.saving' not in answer['files']
  assert on_a_full_disk['goes on']['code'] == 0 and on_a_full_disk['goes on']['newest'] == 2


@pytest.mark.parametrize(
  ('when', 'words'),
  [
    ('full at start', 'There is no room left in --train_dir='),
    ('read only', 'cannot be written to: Read-only file system'),
    ('read only, new', 'cannot be written to: Read-only file system'),
  ],
)
def test_a_disk_that_cannot_be_written_to_is_refused(when, words, on_a_full_disk):
  answer = on_a_full_disk[when]
  assert answer['code'] == 2 and words in answer['error'] and answer['error'].count('\n') == 1


def test_small_files_outlive_a_full_disk(on_a_full_disk):
  answer = on_a_full_disk['small files']
  assert answer['metrics'] == list(range(1, 40))  # late, but all of them
  events = answer['events']
  assert events == sorted(set(events)) and set(range(1, 10)) | set(range(30, 40)) <= set(events)
  assert len(events) < 39  # the disk was full indeed


# metrics.jsonl.


def test_a_resumed_run_drops_later_and_spoilt_lines(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  lines = [json.dumps({'step': step}) + '\n' for step in (1, 5, 10, 15)]
  for tail in ('', '{"step": 1', '\0\0\0', '\0\0\n{"step": 3}\n', '[]\n', 'null'):
    path.write_text(''.join(lines) + tail)
    log = metrics_log.MetricsLog(str(tmp_path), 10)
    log.add(step=20)
    assert [json.loads(line)['step'] for line in path.read_text().splitlines()] == [1, 5, 10, 20]


# One owner.

_OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from image_classifier import run_lock
with run_lock.locked(sys.argv[2]):
  print('locked', flush=True)
  time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
  command = [sys.executable, '-c', _OWNER, str(REPO), str(tmp_path)]
  with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
    try:
      assert owner.stdout.readline() == 'locked\n'
      refused = pytest.raises(UserError, match=f'in use by process {owner.pid} on ')
      with refused, run_lock.locked(str(tmp_path)):
        pass
    finally:
      owner.send_signal(signal.SIGKILL)
  with run_lock.locked(str(tmp_path)):
    assert f'process {os.getpid()} on' in (tmp_path / '.lock').read_text()
  with run_lock.locked(str(tmp_path)):  # an owner that has ended is none
    pass


# The watchdog.


def test_standing_still_is_said_at_growing_intervals(caplog):
  said = []

  def where():
    said.append(time.monotonic())
    return 'step 1 waits'

  def wait_for(count):
    deadline = time.monotonic() + 60
    while len(said) < count and time.monotonic() < deadline:
      time.sleep(0.01)

  dog = watchdog.Watchdog(where, patience=0.2)
  with dog.watching():
    wait_for(3)
    assert np.all(np.array(said[:3]) - dog._last >= [0.2, 0.4, 0.8])
    assert caplog.messages[0].endswith(' s: step 1 waits.')
    for _ in range(3):
      time.sleep(0.3)
      dog.step_ended()
    said.clear()
    wait_for(1)
    assert said[0] - dog._last >= 10 * dog._usual > 0.2
  assert not any(thread.name == dog._thread.name for thread in threading.enumerate())
