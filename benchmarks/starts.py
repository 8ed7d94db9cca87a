"""Seconds from a command to its first answer, measured from outside."""

import os
import subprocess
import sys
import time

from benchmarks import ours
from benchmarks.machine import REPO
from nets import net_info
from slim_errors import RunError

_FIRST_STEP = 'global step 1: '
_REFERENCE_STEP = (
  'import sys; from benchmarks import reference; from benchmarks.material import Material; '
  'reference.first_step(eval(sys.argv[1]), sys.argv[2])'
)
# research/slim's commands import TensorFlow and slim before they look at their flags.
_REFERENCE_HELP = 'import slim_compat'


def first_step(material, model_name):
  """Starts full training from a checkpoint; returns the seconds until the first step has ended."""
  size = net_info.net_info(model_name).default_image_size
  train_dir = f'{material.folder}/start'
  words = ours.training_flags(material, model_name, size, 'all', train_dir, max_number_of_steps=1)
  return _seconds_until(_FIRST_STEP, 'train_image_classifier.py', *words)


def reference_first_step(material, model_name):
  return _seconds_until(_FIRST_STEP, '-c', _REFERENCE_STEP, repr(material), model_name)


def help_page(material):
  """Returns the seconds of --help."""
  del material
  return _seconds_until('', 'train_image_classifier.py', '--help')


def reference_help_page(material):
  del material
  return _seconds_until('', '-c', _REFERENCE_HELP)


def _seconds_until(mark, *words):
  """Runs Python; returns the seconds until the mark is on standard error, or until its end."""
  environment = {**os.environ, 'PYTHONPATH': str(REPO)}
  start = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, *words],
    cwd=REPO,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  seconds, last = None, ''
  with process:
    for line in process.stderr:
      last = line
      if seconds is None and mark and mark in line:
        seconds = time.perf_counter() - start
  if process.returncode:
    raise RunError(f'{words[0]} ended with {process.returncode}: {last.strip()}')
  return {'seconds': seconds or time.perf_counter() - start}
