"""Reads the files of CIFAR-10 as published: the binary version, or the one for Python.

https://www.cs.toronto.edu/~kriz/cifar.html describes both.
"""

import io
import os
import pickle
import pickletools

import numpy as np

from datasets import cifar10, original_files
from datasets.image_folder import ImageFile
from slim_errors import UserError

_SIDE, _CHANNELS = 32, 3
_VALUES = _SIDE * _SIDE * _CHANNELS  # of a picture
_BATCHES = {
  'train': tuple(f'data_batch_{number}' for number in range(1, 6)),
  'test': ('test_batch',),
}
# A published batch has 31 MB.
_MAX_BYTES = 1 << 28
# Python 2 wrote 2; what Python 3 writes by itself is taken too.
_MAX_PROTOCOL = 4


def read(folder):
  """Reads the pictures and labels of all batches.

  Args:
    folder: folder that holds data_batch_1 ... test_batch (or the same with .bin), itself or in one
      of its folders.

  Returns:
    ({'train': original_files.Split, 'test': ...} in the order of the batches, class names).

  Raises:
    UserError: a batch is missing or is not what CIFAR-10's are.
  """
  folder, ending = _find_batches(folder)
  read_batch = _read_binary if ending else _read_pickle
  splits = {
    split_name: _split([(name, *read_batch(os.path.join(folder, name + ending))) for name in names])
    for split_name, names in _BATCHES.items()
  }
  return splits, cifar10.FACTS.class_names


def _find_batches(folder):
  """Returns (folder of the batches, '.bin' or '')."""
  first = _BATCHES['train'][0]
  for where, folders, files in os.walk(folder):
    folders.sort()
    for ending in ('.bin', ''):
      if first + ending in files:
        return where, ending
  raise UserError(f'{folder} holds no {first}, so this is not CIFAR-10.')


def _split(batches):
  """Returns the Split of [(name, uint8 [n, 3072], labels), ...]."""
  images, rows = [], []
  for name, data, batch_labels in batches:
    images += [
      ImageFile(f'{name}/{number:05d}.png', cifar10.FACTS.class_names[label], '')
      for number, label in enumerate(batch_labels)
    ]
    rows += list(data)
  return original_files.Split(
    images, ((image, _picture(row)) for image, row in zip(images, rows, strict=True))
  )


def _picture(row):
  """Encodes 3072 values, which are a red, a green and a blue plane of 32 rows each."""
  planes = row.reshape(_CHANNELS, _SIDE, _SIDE)
  return original_files.as_png(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _read_binary(path):
  """Returns (uint8 [n, 3072], labels) of a binary batch: a label, then its picture, and so on."""
  data = np.frombuffer(_content(path), np.uint8)
  if data.size % (1 + _VALUES):
    raise UserError(f'{path} is cut short or no batch of CIFAR-10: fetch the archive again.')
  data = data.reshape(-1, 1 + _VALUES)
  return data[:, 1:], _checked_labels(data[:, 0].tolist(), path)


def _read_pickle(path):
  """Returns (uint8 [n, 3072], labels) of a batch for Python."""
  try:
    content = _content(path)
    _check_opcodes(content)
    batch = _BatchUnpickler(path, content).load()
    batch = {_text(key): value for key, value in batch.items()}
    data, batch_labels = batch['data'].value(), batch['labels']
    if data.shape != (len(batch_labels), _VALUES):
      raise ValueError(f'{len(batch_labels)} labels for data of shape {data.shape}')
  except UserError:
    raise
  except Exception as error:  # what a damaged pickle raises is not specified
    reason = f'{type(error).__name__}: {error}'
    raise UserError(
      f'{path} is damaged or no batch of CIFAR-10 ({reason}): fetch the archive again.'
    ) from None
  return data, _checked_labels(batch_labels, path)


def _content(path):
  try:
    if os.path.getsize(path) > _MAX_BYTES:
      raise UserError(f'{path} is larger than {_MAX_BYTES >> 20} MB, so it is not of CIFAR-10.')
    with open(path, 'rb') as file:
      return file.read()
  except FileNotFoundError:
    raise UserError(f'{path} is missing: fetch the whole archive.') from None


def _checked_labels(values, path):
  classes = len(cifar10.FACTS.class_names)
  for number, label in enumerate(values):
    if type(label) is not int or not 0 <= label < classes:
      raise UserError(
        f'{path} has the label {label!r} for picture {number}, so it is not of CIFAR-10, '
        f'whose labels are 0 to {classes - 1}.'
      )
  return values


def _text(key):
  return key.decode('ascii') if isinstance(key, bytes) else key


def _check_opcodes(content):
  """Raises ValueError for what makes an unpickler claim memory that the file does not fill."""
  for opcode, argument, _ in pickletools.genops(content):
    if opcode.proto > _MAX_PROTOCOL:
      raise ValueError(f'{opcode.name} is none of its opcodes')
    if opcode.name.endswith('PUT') and argument > len(content):
      raise ValueError(f'{opcode.name} {argument} is out of range')


class _BatchUnpickler(pickle.Unpickler):
  """Reads dicts, lists, numbers, texts and byte arrays, and refuses everything else.

  A pickle may call any function it names, so one that came from elsewhere could do anything. A
  batch of CIFAR-10 names three of NumPy's, by which Python 2 wrote its array. They are answered
  with classes of this module, which keep what they are given: nothing of NumPy's runs either.
  """

  def __init__(self, path, content):
    # A batch's texts are Python 2's, which are bytes.
    super().__init__(io.BytesIO(content), encoding='bytes')
    self._path = path

  def find_class(self, module, name):
    try:
      return _STAND_INS[module.replace('numpy._core', 'numpy.core'), name]
    except KeyError:
      raise UserError(
        f'{self._path} asks for {module}.{name}, which no batch of CIFAR-10 needs and which might '
        'do harm: fetch the archive from its publisher.'
      ) from None


class _Array:
  """Stands in for a NumPy array."""

  def __init__(self, *unused_first_guess):
    self._state = None

  def __setstate__(self, state):
    self._state = state

  def value(self):
    """Returns the array; ValueError or TypeError for another than uint8 in two dimensions."""
    _, shape, dtype, is_fortran, data = self._state
    if not isinstance(dtype, _Dtype) or dtype.name not in ('u1', b'u1') or is_fortran:
      raise ValueError('the pictures are no rows of bytes')
    return np.frombuffer(data, np.uint8).reshape(shape)


class _Dtype:
  """Stands in for a NumPy dtype."""

  def __init__(self, name, *unused_flags):
    self.name = name

  def __setstate__(self, state):
    pass


class _ArrayClass:
  """Stands in for numpy.ndarray, which only is an argument of `_reconstruct`."""


def _to_bytes(text, encoding):
  """Stands in for _codecs.encode, by which Python 3 writes bytes for Python 2."""
  if encoding not in ('latin1', b'latin1'):
    raise ValueError(f'encoding {encoding!r}')
  return text.encode('latin1')


_STAND_INS = {
  ('numpy.core.multiarray', '_reconstruct'): _Array,
  ('numpy', 'ndarray'): _ArrayClass,
  ('numpy', 'dtype'): _Dtype,
  ('_codecs', 'encode'): _to_bytes,
}
