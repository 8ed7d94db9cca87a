"""A process that runs training in children that die where they are told to.

Imports TensorFlow once and forks for every job, which is a line of JSON on standard input:
`{"job": NAME, "arguments": {...}, "folder": F, "kill_at": n, "kill_after": seconds}`; the answer on
standard output is `{"code": exit code, "operations": file operations under F, "seconds": s}`.
"""

import ctypes
import json
import os
import pathlib
import signal
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

import slim_files
from image_classifier import checkpoints, run_record, saving
from image_classifier.options import TrainingOptions
from image_classifier.training import metrics_log, recipes, runs, stages
from slim_compat import tf

_SHIM = os.environ.pop('LD_PRELOAD', '')
# What Python tells of its file operations; os.fsync is none of these.
_EVENTS = ('open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.truncate')


class _PythonOperations:
  """Counts the operations of Python code, for machines without a C compiler."""

  def __init__(self, folder, fatal):
    self._folder, self._fatal, self.count = folder, fatal, 0
    sync, os.fsync = os.fsync, lambda handle: (self._happens(), sync(handle))
    sys.addaudithook(self._hear)

  def _hear(self, event, arguments):
    is_change = event in _EVENTS and str(arguments[0]).startswith(self._folder)
    if is_change and (event != 'open' or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
      self._happens()

  def _happens(self):
    self.count += 1
    if self.count == self._fatal:
      os.kill(os.getpid(), signal.SIGKILL)


def _count_operations(folder, fatal):
  """Arms what kills at operation `fatal`; returns a function that says how many there were."""
  if not _SHIM:
    counter = _PythonOperations(folder, fatal)
    return lambda: counter.count
  shim = ctypes.CDLL(_SHIM)
  shim.operations.restype = ctypes.c_long
  shim.kill_at(os.fsencode(folder), ctypes.c_long(fatal))
  return shim.operations


def train(**options):
  runs.train(TrainingOptions(**options))


def fine_tune(dies_between=False, **options):
  """Trains in two stages, the first a short one; dies before the second where it is told to."""
  recipes.HEAD_STAGE['max_epochs'] = 2.0
  if dies_between:
    stages._train_rest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
  stages.train(TrainingOptions(**options))


def save(folder, step):
  """Writes what a step of a run writes: small files, then a checkpoint, of which two stay."""
  saving.recover(folder)
  resumed = checkpoints.newest_intact(folder)
  run_record.write(folder, {'model_name': 'lenet'})
  slim_files.write_atomically(f'{folder}/graph.pbtxt', 'node')
  log = metrics_log.MetricsLog(folder, checkpoints.saved_step(resumed) if resumed else 0)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('weights', initializer=np.full([20, 30], step, np.float32))
    tf.get_variable('biases', initializer=np.full([30], -step, np.float32))
    tf.get_variable('global_step', initializer=np.int64(step), trainable=False)
    session.run(tf.global_variables_initializer())
    writer = saving.CheckpointWriter(
      session, tf.train.Saver(max_to_keep=None), folder, resumed, num_kept=2
    )
    log.add(step=step)
    log.sync()
    writer.save(step)


def _child(job, report):
  code = 1
  try:
    operations = _count_operations(job['folder'], job.get('kill_at') or 0)
    globals()[job['job']](**job['arguments'])
    os.write(report, str(operations()).encode())
    code = 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stderr.flush()
    os._exit(code)


def _run(job):
  reader, report = os.pipe()
  start = time.monotonic()
  child = os.fork()
  if not child:
    _child(job, report)
  os.close(report)
  timer = threading.Timer(job.get('kill_after') or 1e6, os.kill, (child, signal.SIGKILL))
  timer.start()
  with open(reader, encoding='utf-8') as file:
    operations = file.read()
  timer.cancel()
  code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
  return {
    'code': code,
    'operations': int(operations or 0),
    'seconds': time.monotonic() - start,
  }


if __name__ == '__main__':
  answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
  os.dup2(2, 1)  # what training prints is no answer
  tf.logging.set_verbosity(tf.logging.WARN)
  for line in sys.stdin:
    print(json.dumps(_run(json.loads(line))), file=answers, flush=True)
