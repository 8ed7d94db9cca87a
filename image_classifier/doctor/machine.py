"""What the doctor says of the machine: versions, what its processor can do, GPUs, free space."""

import glob
import importlib.metadata
import os
import platform
import shutil

PACKAGES = ('tensorflow', 'tf_slim', 'numpy', 'pillow')
# Names of /proc/cpuinfo: what speeds up training on a CPU, the fastest first.
_CPU_FEATURES = {'amx_bf16': 'AMX', 'avx512_bf16': 'AVX512-BF16', 'avx2': 'AVX2'}
_NVIDIA = '/proc/driver/nvidia/gpus/*/information'


def describe(path):
  """Returns a dict that JSON can hold.

  Args:
    path: where free space is asked for.
  """
  return {
    'versions': {'python': platform.python_version()} | {name: _version(name) for name in PACKAGES},
    'cpu': {'cores': len(os.sched_getaffinity(0)), 'features': _cpu_features()},
    'gpus': _gpus(),
    'free_bytes': shutil.disk_usage(path).free,
  }


def _version(package):
  """Returns a version, None for a package that is not installed."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _cpu_features():
  """Returns the names of the features that there are, None where the system does not say."""
  for line in _lines('/proc/cpuinfo'):
    name, _, values = line.partition(':')
    if name.strip() == 'flags':
      flags = set(values.split())
      return [feature for flag, feature in _CPU_FEATURES.items() if flag in flags]
  return None


def _gpus():
  """Returns the models of NVIDIA's GPUs, as its driver lists them: asking TensorFlow takes long."""
  models = []
  for path in sorted(glob.glob(_NVIDIA)):
    models += [line.partition(':')[2].strip() for line in _lines(path) if line.startswith('Model:')]
  return models


def _lines(path):
  try:
    with open(path, encoding='utf-8', errors='replace') as file:
      return file.read().splitlines()
  except OSError:
    return []
