"""What the figures were measured on, and the most that this machine can compute."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
_RATE_REPETITIONS = 4


def describe():
  """Returns what belongs to every figure: a dict of texts, numbers and None for the unknown."""
  cpu = _cpu_info()
  words = cpu.get('flags', '').split()
  return {
    'cpu': cpu.get('model name', platform.processor() or platform.machine()),
    'cores': os.cpu_count(),
    'bfloat16': [name for name in ('avx512_bf16', 'amx_bf16', 'amx_tile') if name in words],
    'tensorflow': importlib.metadata.version('tensorflow'),
    'python': platform.python_version(),
    'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    'commit': _commit(),
    'load_average': round(os.getloadavg()[0], 2),
  }


def peak_bytes():
  """Returns the most memory that this process has had in use at once, by Linux's VmHWM."""
  try:
    with open('/proc/self/status', encoding='ascii') as file:
      return 1024 * int(re.search(r'VmHWM:\s*(\d+) kB', file.read()).group(1))
  except OSError:  # no Linux
    return None


def matrix_rates(size):
  """Returns {'float32': rate, 'bfloat16': rate} of square matrix products, operations a second."""
  from slim_compat import tf

  rates = {}
  for dtype in ('float32', 'bfloat16'):
    with tf.Graph().as_default(), tf.Session() as session:
      numbers = tf.random.uniform([size, size], seed=0)
      left, right = (tf.Variable(tf.cast(numbers, dtype)) for _ in range(2))
      product = tf.matmul(left, right).op
      session.run(tf.global_variables_initializer())
      session.run(product)
      fastest = min(_seconds_of(session.run, product) for _ in range(_RATE_REPETITIONS))
    rates[dtype] = 2 * size**3 / fastest
  return rates


def _seconds_of(function, *arguments):
  start = time.perf_counter()
  function(*arguments)
  return time.perf_counter() - start


def _cpu_info():
  """Returns the fields of the first processor in /proc/cpuinfo."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      first = file.read().split('\n\n')[0]
  except OSError:  # no Linux
    return {}
  return {name.strip(): value.strip() for name, _, value in map(_parted, first.splitlines())}


def _parted(line):
  return line.partition(':')


def _commit():
  """Returns the commit that is checked out, + when files differ from it; None outside git."""
  words = ['git', '-C', str(REPO), 'describe', '--always', '--dirty=+', '--exclude=*']
  done = subprocess.run(words, capture_output=True, text=True)
  return done.stdout.strip() or None
