"""The weight files of Keras models, read and written as arrays: no code in a file is ever run.

Three layouts hold the same arrays. The legacy `.h5` of Keras 2 lists its layers in the order of
the model; the `.weights.h5` of Keras 3 numbers them in that order within each class; a `.keras` is
a zip archive with the latter inside. Keras itself loads by this order, since the numbers in names
such as 'conv2d_17' depend on how many models a program had built before.
"""

import contextlib
import io
import itertools
import re
import tempfile
import typing
import zipfile
import zlib

import h5py
import numpy as np

import slim_files
from slim_errors import UserError

_MEMBER = 'model.weights.h5'  # of a .keras archive
_MOST_BYTES = 4 * 2**30  # NASNetLarge with an optimizer's slots takes 1 GB
_ATTRIBUTE_BYTES = 60_000  # HDF5 has room for 64 KiB; Keras splits longer lists, too
_LAYER = re.compile(r'layers/(?P<kind>[^/]+?)(?:_(?P<number>\d+))?/vars/(?P<index>\d+)')

# Kind of a layer -> its class in a .weights.h5, and its weights' names in a legacy .h5.
CLASSES = {
  'conv': 'conv2d',
  'depthwise': 'depthwise_conv2d',
  'separable': 'separable_conv2d',
  'norm': 'batch_normalization',
  'dense': 'dense',
}
_WEIGHT_NAMES = {
  'conv': ('kernel', 'bias'),
  'depthwise': ('depthwise_kernel',),
  'separable': ('depthwise_kernel', 'pointwise_kernel'),
  'norm': ('gamma', 'beta', 'moving_mean', 'moving_variance'),
  'dense': ('kernel', 'bias'),
}


class Layer(typing.NamedTuple):
  """A layer's weights, in the order in which Keras lists them."""

  kind: str  # key of CLASSES, or 'other'
  name: str | None  # None when the file does not say
  arrays: list  # of numpy arrays, or of datasets that np.asarray reads


@contextlib.contextmanager
def open_layers(path):
  """Opens a `.h5`, `.weights.h5` or `.keras` file and yields the layers that have weights.

  Args:
    path: the file; what it holds decides, not what it is called.

  Yields:
    A list of Layer, those of one kind in the order of the model; arrays are read on demand.

  Raises:
    UserError: for no file, another file, or one that is damaged.
  """
  with contextlib.ExitStack() as stack:
    try:
      file = stack.enter_context(h5py.File(_hdf5(path, stack), 'r'))
      layers = _layers(file)
    except FileNotFoundError:
      raise UserError(f'{path} does not exist: give a .h5, .weights.h5 or .keras file.') from None
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
      first_line = str(error).splitlines()[0]
      raise UserError(f'{path} is truncated or damaged ({first_line}): fetch it again.') from None
    if not layers:
      nested = ' but a model inside a model: save the weights of the inner one' * _is_nested(file)
      raise UserError(f'{path} holds no layers of a Keras model{nested}.')
    yield layers


def _hdf5(path, stack):
  """Returns what h5py.File opens: the path itself, or the open member of a .keras archive."""
  with open(path, 'rb') as file:
    start = file.read(8)
  if start.startswith(b'\x89HDF'):
    return path
  if not start.startswith(b'PK'):
    raise UserError(f'{path} is neither an HDF5 file (.h5) nor a .keras archive.')
  with zipfile.ZipFile(path) as archive:
    if _MEMBER not in archive.namelist():
      raise UserError(f'{path} is a zip archive without {_MEMBER}, so no .keras file.')
    if archive.getinfo(_MEMBER).file_size > _MOST_BYTES:
      raise UserError(f'{path} holds more than {_MOST_BYTES // 2**30} GiB of weights.')
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    with archive.open(_MEMBER) as member:
      while block := member.read(2**20):
        copy.write(block)
  return copy


def _layers(file):
  """Returns the layers of an open HDF5 file, whichever layout it has."""
  if 'model_weights' in file:
    file = file['model_weights']  # a whole model in one legacy file
  if 'layer_names' in file.attrs or 'layer_names0' in file.attrs:
    return _legacy_layers(file)
  return _numbered_layers(file)


def _legacy_layers(group):
  datasets = _datasets(group)
  layers = []
  for name in _names(group, 'layer_names'):
    paths = [f'{name}/{weight}' for weight in _names(group[name], 'weight_names')]
    if paths:
      layers.append(_layer(name, [datasets[path] for path in paths]))
  return layers


def _numbered_layers(file):
  found = {}
  for path, dataset in _datasets(file).items():
    match = _LAYER.fullmatch(path)
    if match:
      key = (match['kind'], int(match['number'] or 0))
      found.setdefault(key, {})[int(match['index'])] = dataset
  layers = []
  for _, datasets in sorted(found.items()):
    arrays = [dataset for _, dataset in sorted(datasets.items())]
    layers.append(_layer(_text(arrays[0].parent.attrs.get('name')), arrays))
  return layers


def _datasets(group):
  """Returns {path below the group: dataset}, without links into other files."""
  found = {}

  def add(path, value):
    if not isinstance(value, h5py.Dataset):
      return
    if value.external or value.is_virtual:
      raise OSError(f'{path} points into another file')
    found[path] = value

  group.visititems(add)
  return found


def _names(group, attribute):
  """Returns a list of names; Keras splits a long one over attribute0, attribute1 and so on."""
  if attribute in group.attrs:
    parts = [group.attrs[attribute]]
  else:
    keys = (f'{attribute}{i}' for i in itertools.count())
    parts = [group.attrs[key] for key in itertools.takewhile(group.attrs.__contains__, keys)]
  return [_text(name) for part in parts for name in part]


def _text(value):
  return value.decode('utf-8') if isinstance(value, bytes) else value


def _layer(name, arrays):
  return Layer(_kind([array.shape for array in arrays]), name, arrays)


def _kind(shapes):
  """Returns what kind of layer has weights of these shapes, 'other' for one of no net here."""
  ranks = [len(shape) for shape in shapes]
  if ranks in ([1] * 3, [1] * 4) and len(set(shapes)) == 1:
    return 'norm'
  if ranks[:2] == [4, 4] and shapes[1][:2] == (1, 1):
    return 'separable'
  if ranks in ([4], [4, 1]):
    height, width, _, last = shapes[0]
    return 'depthwise' if last == 1 and height * width > 1 else 'conv'
  return 'dense' if ranks in ([2], [2, 1]) else 'other'


def _is_nested(file):
  return any('/layers/' in path or path.count('/') > 3 for path in _datasets(file))


def write_layers(path, layers):
  """Writes layers so that `load_weights` of the model reads them: all at once or not at all.

  Args:
    path: `.weights.h5` for the layout of Keras 3, another `.h5` for the legacy one.
    layers: list of Layer with numpy arrays, in the order of the model.
  """
  content = io.BytesIO()
  with h5py.File(content, 'w') as file:
    (_write_numbered if path.endswith('.weights.h5') else _write_legacy)(file, layers)
  slim_files.write_atomically(path, content.getbuffer())


def _write_numbered(file, layers):
  for layer, (kind, number) in zip(layers, _numbers(layers), strict=True):
    group = file.create_group(f'layers/{_numbered(kind, number)}/vars')
    group.attrs['name'] = layer.name or _numbered(kind, number)
    for i, array in enumerate(layer.arrays):
      group.create_dataset(str(i), data=array)


def _write_legacy(file, layers):
  file.attrs['backend'] = 'tensorflow'
  file.attrs['keras_version'] = '2.15.0'  # the last Keras whose own layout this is
  names = []
  for layer, (kind, number) in zip(layers, _numbers(layers), strict=True):
    names.append(layer.name or _numbered(kind, number))
    group = file.create_group(names[-1])
    weights = _WEIGHT_NAMES[layer.kind]
    if layer.kind == 'norm':
      weights = weights[-len(layer.arrays) :]  # gamma is what may be missing
    weights = [f'{names[-1]}/{weight}:0' for weight in weights[: len(layer.arrays)]]
    _write_names(group, 'weight_names', weights)
    for weight, array in zip(weights, layer.arrays, strict=True):
      group.create_dataset(weight, data=array)
  _write_names(file, 'layer_names', names)


def _write_names(group, attribute, names):
  names = np.array([name.encode('utf-8') for name in names])
  if names.nbytes <= _ATTRIBUTE_BYTES:
    group.attrs[attribute] = names
    return
  parts = np.array_split(names, -(-names.nbytes // _ATTRIBUTE_BYTES))
  for i, part in enumerate(parts):
    group.attrs[f'{attribute}{i}'] = part


def _numbers(layers):
  """Returns (class, number within the class) of each layer."""
  counts = {kind: itertools.count() for kind in CLASSES}
  return [(CLASSES[layer.kind], next(counts[layer.kind])) for layer in layers]


def _numbered(kind, number):
  return f'{kind}_{number}' if number else kind
