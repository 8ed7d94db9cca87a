"""What a run does on a small disk: `full_disk.py DISK DATASET_DIR` prints a line of JSON.

DISK is a file system of 44 MB of its own, on which three checkpoints of lenet have room.
"""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import train_image_classifier
from image_classifier import checkpoints, command
from image_classifier.training import loop, metrics_log, summaries
from slim_compat import tf


def _train(train_dir, dataset_dir, steps):
  """Returns the exit code, the last line of the messages and what the newest checkpoint is."""
  argv = ['train', f'--train_dir={train_dir}', f'--dataset_dir={dataset_dir}', '--batch_size=2']
  argv += ['--model_name=lenet', '--optimizer=sgd', f'--max_number_of_steps={steps}']
  argv += ['--log_every_n_steps=1']
  errors = io.StringIO()
  with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
    code = command.run('', train_image_classifier.FLAGS, train_image_classifier.main, argv)
  newest = checkpoints.newest_intact(str(train_dir)) if os.path.isdir(train_dir) else None
  return {
    'code': code,
    'error': errors.getvalue(),
    'newest': newest and checkpoints.step_of(newest),
    'files': sorted(os.listdir(train_dir)) if os.path.isdir(train_dir) else [],
  }


def _fill(path, left=0):
  """Fills the disk but for `left` bytes."""
  with contextlib.suppress(OSError), open(path, 'wb', buffering=0) as file:
    while file.write(bytes(4096)) == 4096:
      pass
  os.truncate(path, max(0, os.path.getsize(path) - left))


def _small_files(folder):
  """Writes metrics and events through a time without room; returns what can be read of them."""
  folder.mkdir()
  filler = folder / 'filler'
  log = metrics_log.MetricsLog(str(folder), 0)
  with tf.Graph().as_default() as graph:
    events = summaries.EventFile(str(folder), graph.as_graph_def(), 0)
  for step in range(1, 40):
    if step == 10:
      _fill(filler, 7000)
    if step == 30:
      filler.unlink()
    log.add(step=step, loss=0.5, text='x' * 500)
    value = tf.Summary.Value(tag='a' * 700, simple_value=step)
    events.add_summary(tf.Summary(value=[value]), step)
  events.close()
  paths = sorted(folder.glob('events.*'))
  steps = [
    e.step for path in paths for e in tf.train.summary_iterator(str(path)) if e.summary.value
  ]
  lines = (folder / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return {'metrics': [json.loads(line)['step'] for line in lines], 'events': steps}


def main(disk, dataset_dir):
  tf.logging.set_verbosity(tf.logging.ERROR)
  answers = {'small files': _small_files(disk / 'small')}
  loop._Every.is_over = lambda self: True  # a checkpoint a step
  answers['frees'] = _train(disk / 'run', dataset_dir, steps=6)
  _fill(disk / 'filler')
  answers['full at start'] = _train(disk / 'run', dataset_dir, steps=7)
  shutil.rmtree(disk / 'run')
  (disk / 'filler').unlink()
  _fill(disk / 'filler', 20 << 20)
  answers['stops'] = _train(disk / 'one', dataset_dir, steps=2)
  (disk / 'filler').unlink()
  answers['goes on'] = _train(disk / 'one', dataset_dir, steps=2)
  subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
  answers['read only'] = _train(disk / 'one', dataset_dir, steps=3)
  answers['read only, new'] = _train(disk / 'new', dataset_dir, steps=1)
  print(json.dumps(answers))


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), sys.argv[2])
