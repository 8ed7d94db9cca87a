"""Decoders that crash or hang, kills, full disks and vanishing files: no data set is ever half."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import odd_images
import pytest
from conftest import REPO

from datasets import (
  conversion,
  decoders,
  image_folder,
  manifest,
  output_folder,
  pictures,
  record_writer,
  records,
)
from image_classifier import command
from slim_errors import UserError

# What a reader in a worker does to its process, by the name of the file.
_READERS = """
import ctypes, os, signal, sys, time
from datasets import pictures

def read(path, *, max_pixels, jpeg_quality, when_decoded):
  name = os.path.basename(path).decode()
  if 'segfault' in name:
    ctypes.string_at(0)
  if 'kill' in name:
    os.kill(os.getpid(), signal.SIGKILL)
  if 'exit' in name:
    os._exit(7)
  if 'compute' in name:
    while True:
      pass
  if 'sleep' in name:
    time.sleep(1000)
  if 'memory' in name:
    return [bytes(1 << 30) for _ in range(100)]
  if 'once' in name and not os.path.exists(path + b'.seen'):
    open(path + b'.seen', 'wb').close()
    os.kill(os.getpid(), signal.SIGKILL)
  return pictures.read_picture(path, max_pixels, jpeg_quality, when_decoded)
"""
_REASONS = {
  'segfault': 'its decoder crashes: SIGSEGV',
  'kill': 'its decoder crashes: SIGKILL',
  'exit': 'its decoder crashes: exit code 7',
  'compute': 'decoding takes more than 0.25 s',
  'memory': 'needs more memory than there is',
}


@pytest.fixture
def reader(tmp_path, monkeypatch):
  folder = tmp_path / 'readers'
  folder.mkdir()
  (folder / 'harmful_readers.py').write_text(_READERS, encoding='utf-8')
  monkeypatch.syspath_prepend(folder)
  return 'harmful_readers:read'


def _workers(count, reader=decoders.READ_PICTURE, **limits):
  limits = {'decode_seconds': 0.25, 'silence_seconds': 60, **limits}
  return decoders.Decoders(count, 100_000, reader=reader, **limits)


def _processes(workers):
  return [worker._process.pid for worker in workers._workers]


def _is_running(pid):
  try:
    status = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='ascii')
  except (FileNotFoundError, ProcessLookupError):
    return False
  return status.rpartition(')')[2].split()[0] != 'Z'


def _wait_until_gone(pids, seconds=120):
  deadline = time.monotonic() + seconds
  while any(map(_is_running, pids)) and time.monotonic() < deadline:
    time.sleep(0.02)
  assert not any(map(_is_running, pids))


def _image(path):
  return image_folder.ImageFile(path.name, 'class', str(path))


def test_a_file_that_breaks_its_decoder_costs_only_itself(tmp_path, reader):
  files = []
  for number in range(80):
    harm = list(_REASONS)[number // 12] if number % 12 == 5 and number < 60 else 'fine'
    harm = 'once' if number == 75 else harm
    path = tmp_path / f'{number:02} {harm}.png'
    odd_images.photo(number).save(path)
    files.append(_image(path))
  with _workers(2, reader) as workers:
    found = list(workers.in_order(files))
    pids = _processes(workers)
  _wait_until_gone(pids)
  assert [image for image, _ in found] == files
  for image, picture in found:
    harm = image.name.split()[1].removesuffix('.png')
    if harm in _REASONS:
      assert picture == _REASONS[harm]
    else:
      assert picture.encoded == pathlib.Path(image.path).read_bytes()


def test_a_decoder_that_waits_for_something_is_given_up(tmp_path, reader):
  files = [_image(tmp_path / f'{name}.png') for name in ('fine', 'sleep')]
  for number, image in enumerate(files):
    odd_images.photo(number).save(image.path)
  with _workers(1, reader, silence_seconds=3) as workers:
    (_, picture), (_, reason) = workers.in_order(files)
  assert picture.encoded == pathlib.Path(files[0].path).read_bytes()
  assert reason == 'decoding stood still for 3 s'


def test_a_worker_that_was_killed_while_idle_charges_no_file(tmp_path):
  files = []
  for number in range(10):
    path = tmp_path / f'{number}.png'
    odd_images.photo(number).save(path)
    files.append(_image(path))
  with _workers(1) as workers:
    list(workers.in_order(files[:8]))
    os.kill(_processes(workers)[0], signal.SIGKILL)
    found = [picture for _, picture in workers.in_order(files[8:])]
  assert [picture.encoded for picture in found] == [
    pathlib.Path(image.path).read_bytes() for image in files[8:]
  ]


def test_workers_start_in_any_program_and_import_no_tensorflow(tmp_path):
  path = tmp_path / 'picture.png'
  odd_images.photo().save(path)
  program = (
    # A main module without `if __name__ == '__main__'`, which a second start would run again.
    'import sys\n'
    f'sys.path.insert(0, {str(REPO)!r})\n'
    'from datasets import decoders, image_folder\n'
    f'image = image_folder.ImageFile("x", "c", {str(path)!r})\n'
    'with decoders.Decoders(2, 10_000) as workers:\n'
    '  print([picture.width for _, picture in workers.in_order([image])])\n'
    '  for worker in workers._workers:\n'
    '    print("tensorflow" in open(f"/proc/{worker._process.pid}/maps").read())\n'
    'print("tensorflow" in sys.modules)\n'
  )
  script = tmp_path / 'main.py'
  script.write_text(program, encoding='utf-8')
  done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
  assert done.stdout.split() == [f'[{odd_images.SIZE[0]}]', 'False', 'False', 'False'], done.stderr


def test_a_worker_whose_start_was_interrupted_ends_in_silence(monkeypatch, capfd):
  started = []

  class InterruptedPopen(subprocess.Popen):
    def __init__(self, *arguments, **named):
      super().__init__(*arguments, **named)
      started.append(self)
      raise KeyboardInterrupt

  monkeypatch.setattr(subprocess, 'Popen', InterruptedPopen)
  with contextlib.suppress(KeyboardInterrupt):
    _workers(1)
  assert [process.wait(timeout=120) for process in started] == [0]
  assert capfd.readouterr().err == ''


def test_a_killed_parent_leaves_no_workers(tmp_path, reader):
  path = tmp_path / 'compute.png'
  odd_images.photo().save(path)
  program = (
    'import sys\n'
    f'sys.path[:0] = [{str(REPO)!r}, {str(tmp_path / "readers")!r}]\n'
    'from datasets import decoders, image_folder\n'
    f'image = image_folder.ImageFile("x", "c", {str(path)!r})\n'
    f'with decoders.Decoders(3, 10_000, decode_seconds=99, reader={reader!r}) as workers:\n'
    '  pictures = workers.in_order([image])\n'
    '  print(*[worker._process.pid for worker in workers._workers], flush=True)\n'
    '  list(pictures)\n'
  )
  parent = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True)
  with parent:
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 3
    time.sleep(0.5)  # one of them computes, whatever becomes of its socket
    parent.kill()
  _wait_until_gone(pids)


@contextlib.contextmanager
def _decoding_here(*unused):
  """Stands for worker processes, which would take most of the time of a test that forks."""

  class Here:
    count = 1

    def in_order(self, images):
      return ((image, pictures.read_picture(image.path, 100_000)) for image in images)

  yield Here()


@pytest.fixture
def pic(tmp_path):
  """A small image folder of two classes and no splits, with a file that has to be repaired."""
  for class_name in ('cat', 'dog'):
    folder = tmp_path / 'pic' / class_name
    folder.mkdir(parents=True)
    for number in range(5):
      odd_images.photo(number + 10 * (class_name == 'dog')).save(folder / f'{number}.png')
  odd_images.photo().convert('L').save(tmp_path / 'pic' / 'cat' / 'gray.jpg')
  (tmp_path / 'pic' / 'cat' / 'empty.jpg').write_bytes(b'')
  return tmp_path / 'pic'


def _options(folder, output, **others):
  return conversion.Options(str(folder), str(output), train_shards=2, **others)


def _content(folder):
  """Returns {file: SHA-256} of what a reader of the data set finds, None when there is none."""
  value = manifest.read_manifest(str(folder)) if folder.is_dir() else None
  if value is None:
    return None
  names = [shard['file'] for split in value['splits'].values() for shard in split['shards']]
  for split in value['splits'].values():
    for shard in split['shards']:
      path = manifest.check_shard(str(folder), shard)
      assert hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() == shard['sha256']
      assert records.count_records(path) == shard['num_images']
  names += ['label.txt', 'skipped.csv', 'dataset.json']
  return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


class _KilledAt:
  """Counts the operations of this process on a folder, and dies at one of them."""

  _EVENTS = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.chmod')

  def __init__(self, folder, fatal):
    self._folder, self._fatal, self.count = str(folder), fatal, 0
    sync, os.fsync = os.fsync, lambda handle: (self._happens(), sync(handle))
    write = record_writer.RecordWriter.write
    record_writer.RecordWriter.write = lambda *arguments: (self._happens(), write(*arguments))
    sys.addaudithook(self._hear)

  def _hear(self, event, arguments):
    if event in self._EVENTS and self._folder in str(arguments[0]):
      self._happens()

  def _happens(self):
    self.count += 1
    if self.count == self._fatal:
      os.kill(os.getpid(), signal.SIGKILL)


def _convert_in_child(options, fatal=0):
  """Converts in a forked child that dies at operation `fatal`; returns (exit code, operations)."""
  reader, report = os.pipe()
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # TensorFlow's threads do not matter to what the child does
    child = os.fork()
  if not child:
    code = 1
    try:
      conversion._decoders = _decoding_here
      operations = _KilledAt(options.output_dir, fatal)
      conversion.convert(options)
      os.write(report, str(operations.count).encode())
      code = 0
    finally:
      os._exit(code)
  os.close(report)
  with open(reader, encoding='ascii') as file:
    count = int(file.read() or 0)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), count


def _check_kill_points(folder, tmp_path, old, new, points):
  """Kills conversions at operations, and converts once more; returns how many points there were.

  Args:
    folder: of the images.
    tmp_path: an empty folder.
    old: keywords of the options of the data set that is there before, None for none.
    new: the same of the one that is written.
    points: function of their number that returns which to try.
  """
  before, reference = tmp_path / 'before', tmp_path / 'reference'
  states = [None]
  before.mkdir()
  (before / 'notes of the user.txt').write_text('stays', encoding='utf-8')
  if old is not None:
    assert _convert_in_child(_options(folder, before, **old))[0] == 0
    states = [_content(before)]
  shutil.copytree(before, reference)
  code, count = _convert_in_child(_options(folder, reference, overwrite=True, **new))
  assert code == 0 and count > 30
  states.append(_content(reference))
  assert states[0] != states[1]
  wanted = sorted(os.listdir(reference))
  seen, tried = set(), points(count)
  for fatal in tried:
    output = tmp_path / f'killed at {fatal}'
    shutil.copytree(before, output)
    assert _convert_in_child(_options(folder, output, overwrite=True, **new), fatal)[0] == -9
    if fatal % 2:  # else nobody looks before the next conversion
      content = _content(output)
      assert content in states, fatal
      seen.add(states.index(content))
    assert _convert_in_child(_options(folder, output, overwrite=True, **new))[0] == 0, fatal
    assert _content(output) == states[1], fatal
    assert sorted(os.listdir(output)) == wanted, fatal
    shutil.rmtree(output)
  if len(tried) > count // 2:
    assert seen == {0, 1}
  return len(tried)


_KILLED = {
  'no data set before': (None, {}),
  'other shards before': ({'seed': 5, 'validation_shards': 1}, {}),
  'other name before': ({'dataset_name': 'old', 'seed': 5}, {'dataset_name': 'new'}),
}


@pytest.mark.parametrize('case', _KILLED)
def test_a_kill_at_some_operations_leaves_the_old_or_the_new_data_set(pic, tmp_path, case):
  work = tmp_path / 'work'
  work.mkdir()
  # The first ones, some between, and the last ones: there the new files take their places.
  assert _check_kill_points(
    pic, work, *_KILLED[case], lambda count: [1, 2, *range(7, count, 13), *range(count - 7, count)]
  )


@pytest.mark.slow  # two processes for each operation of a conversion
@pytest.mark.parametrize('case', _KILLED)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_data_set(pic, tmp_path, case):
  work = tmp_path / 'work'
  work.mkdir()
  assert _check_kill_points(pic, work, *_KILLED[case], lambda count: range(1, count + 1)) > 50


def test_files_that_vanish_or_change_into_something_else_are_skipped(pic, tmp_path, monkeypatch):
  plan = conversion._plan

  def disturbed(*arguments):
    for name in ('cat/1.png', 'dog/2.png'):
      (pic / name).unlink(missing_ok=True)
    (pic / 'dog' / '3.png').write_bytes(b'')
    if not (pic / 'dog' / '4.png').is_fifo():
      (pic / 'dog' / '4.png').unlink()
      os.mkfifo(pic / 'dog' / '4.png')
    return plan(*arguments)

  monkeypatch.setattr(conversion, '_plan', disturbed)
  result = conversion.convert(_options(pic, tmp_path / 'out', num_threads=2))
  assert result.skipped == {
    'cat/1.png': 'cannot be read: No such file or directory',
    'dog/2.png': 'cannot be read: No such file or directory',
    'dog/3.png': 'empty file',
    'dog/4.png': 'not a regular file',
    'cat/empty.jpg': 'empty file',
  }
  assert _content(tmp_path / 'out')
  total = sum(split['num_images'] for split in result.manifest['splits'].values())
  assert total + len(result.skipped) == 12


def _command(*arguments):
  return [sys.executable, str(REPO / 'data_convert.py'), *map(str, arguments)]


def test_what_a_read_only_folder_keeps_from_being_finished_is_said(tmp_path, monkeypatch):
  ready = tmp_path / manifest.READY_FOLDER
  ready.mkdir()
  value = {'name': 'pets', 'splits': {}}
  (ready / 'dataset.json').write_text(json.dumps(value), encoding='utf-8')

  def refuse(*paths):
    raise PermissionError(13, 'Permission denied', *paths)

  monkeypatch.setattr(manifest.os, 'replace', refuse)
  with pytest.raises(UserError, match='conversion that was interrupted, and cannot be written to'):
    manifest.read_manifest(str(tmp_path))


def test_ctrl_c_ends_with_130_and_leaves_nothing(pic, tmp_path):
  rng = np.random.default_rng(0)
  for number in range(400):
    (pic / 'cat' / f'noise {number}.png').write_bytes(
      odd_images.saved(odd_images.photo(int(rng.integers(1 << 30)), (300, 200)), 'PNG')
    )
  output = tmp_path / 'out'
  process = subprocess.Popen(
    _command('-t', pic, '--output_dir', output), stderr=subprocess.PIPE, text=True
  )
  with process:
    children = pathlib.Path(f'/proc/{process.pid}/task/{process.pid}/children')
    pids = []
    while not (pids and list(output.glob('.data_convert-*'))) and process.poll() is None:
      time.sleep(0.01)
      pids = list(map(int, children.read_text(encoding='ascii').split()))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
  assert process.returncode == command.EXIT_INTERRUPTED
  assert 'Interrupted.' in errors and 'Traceback' not in errors
  assert pids
  _wait_until_gone(pids)
  assert not output.exists()


_PLACES = {
  'one worker, C': (1, {'LC_ALL': 'C', 'TZ': 'UTC', 'PYTHONHASHSEED': '0'}),
  'two workers, hash seed 7': (2, {'LC_ALL': 'C.UTF-8', 'TZ': 'Asia/Tokyo', 'PYTHONHASHSEED': '7'}),
  'eight workers, random hashes': (
    8,
    {'LC_ALL': 'de_DE.UTF-8', 'TZ': 'America/New_York', 'PYTHONHASHSEED': 'random'},
  ),
}


@pytest.mark.slow  # TensorFlow starts four times
def test_same_seed_same_bytes_in_every_process_place_and_locale(tmp_path):
  source = tmp_path / 'source'
  odd_images.write(source / '奇 odd')
  (source / 'plain').mkdir()
  for number in range(40):
    odd_images.photo(number).save(source / 'plain' / f'{number}.png')
  found = {}
  for place, (workers, environment) in (_PLACES | {'again': _PLACES['one worker, C']}).items():
    moved = tmp_path / f'{place} 图' / 'pictures'
    shutil.copytree(source, moved)
    done = subprocess.run(
      _command('-t', moved, f'--num_threads={workers}', '--seed=3', '--max_skipped_fraction=1'),
      env={**os.environ, **environment},
      cwd=moved.parent,
      capture_output=True,
      text=True,
      encoding='utf-8',
    )
    assert done.returncode == 0, done.stderr
    found[place] = _content(moved)
  assert len(found) == 4
  assert all(content == found['again'] for content in found.values())


_FULL_DISK = """
set -e
mount -t tmpfs -o size={size}k tmpfs "$1"
cp -r "$2" "$1/data"
"$3" "$4" -t "$5" --output_dir "$1/data" --overwrite --seed=4 --v=-1 &&
  echo written || echo "exit $?"
cp -r "$1/data" "$6"
mount -o remount,ro "$1"
"$3" "$4" -t "$5" --output_dir "$1/data" --overwrite --seed=4 --v=-1 || echo "exit $?"
"""


@pytest.mark.slow  # two processes that import TensorFlow
@pytest.mark.parametrize('kilobytes', [120, 200])
def test_a_full_or_read_only_disk_keeps_the_old_data_set(pic, tmp_path, kilobytes):
  if subprocess.run(['unshare', '-rm', 'true'], capture_output=True).returncode:
    pytest.skip('a namespace for a small file system is not permitted here')
  for number in range(60):
    odd_images.photo(number + 100).save(pic / 'cat' / f'more {number}.png')
  before, disk, copy = (tmp_path / name for name in ('before', 'disk', 'copy'))
  few = tmp_path / 'few'
  for class_name in ('cat', 'dog'):
    (few / class_name).mkdir(parents=True)
    for number in range(3):
      shutil.copy(pic / class_name / f'{number}.png', few / class_name)
  assert _convert_in_child(_options(few, before))[0] == 0
  disk.mkdir()
  script = _FULL_DISK.format(size=kilobytes)
  arguments = [disk, before, sys.executable, REPO / 'data_convert.py', pic, copy]
  done = subprocess.run(
    ['unshare', '-rm', 'sh', '-c', script, 'sh', *map(str, arguments)],
    capture_output=True,
    text=True,
  )
  assert 'Traceback' not in done.stderr
  assert 'written' not in done.stdout
  assert 'No space left' in done.stderr and 'exit 3' in done.stdout, done.stderr
  assert 'Read-only file system' in done.stderr and 'exit 2' in done.stdout
  assert _content(copy) == _content(before)
  assert not [name for name in os.listdir(copy) if name.startswith('.')]


def test_an_interrupted_swap_is_finished_by_whoever_comes_next(pic, tmp_path):
  output = tmp_path / 'out'
  conversion.convert(_options(pic, output, seed=1))
  old = _content(output)
  new = tmp_path / 'new'
  conversion.convert(_options(pic, new, seed=2))
  shutil.copytree(new, output / manifest.READY_FOLDER)
  (output / manifest.READY_FOLDER / 'dataset.json').touch()
  assert _content(output) == _content(new) != old
  assert not (output / manifest.READY_FOLDER).exists()
  value = json.loads((output / 'dataset.json').read_text(encoding='utf-8'))
  assert value['seed'] == 2
  assert not (output / output_folder.PARTIAL_FOLDER).exists()
