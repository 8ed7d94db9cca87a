"""Weights of keras.applications as slim checkpoints, and slim checkpoints as weights for Keras."""

import collections
import glob
import itertools
import os

import numpy as np

from image_classifier import checkpoints
from image_classifier.graphs import sidecar
from image_classifier.keras_weights import weight_files
from image_classifier.keras_weights.nets import KERAS_NETS
from nets import nets_factory
from slim_compat import tf
from slim_errors import UserError, unknown

_IMAGENET_CLASSES = 1000  # of Keras, which knows no class for the background
_KINDS_IN_WORDS = {
  'conv': 'convolutions',
  'depthwise': 'depthwise convolutions',
  'separable': 'separable convolutions',
  'norm': 'batch normalizations',
  'dense': 'dense layers',
  'other': 'layers of other kinds',
}


def import_weights(weights, model_name, output, accept_difference=False):
  """Writes the slim checkpoint of a Keras weight file, and a sidecar that says how to use it.

  Args:
    weights: a `.h5`, `.weights.h5` or `.keras` file, of the whole net or of what is below its top.
    model_name: key of KERAS_NETS.
    output: prefix of the new checkpoint; the sidecar goes to the same name + '.json'.
    accept_difference: whether a net is taken whose slim form gives somewhat other answers.

  Returns:
    The sidecar's facts; `num_classes` is None when the file has no top. 'left_out' lists the scopes
    of slim's net that the file has no weights for.

  Raises:
    UserError: for a name that is taken, a file that is none of these or of another net.
  """
  net = _net(model_name, accept_difference)
  _refuse_existing([output, *glob.glob(f'{glob.escape(output)}.*')])
  with weight_files.open_layers(weights) as layers:
    pairs, has_top = _paired(weights, layers, model_name)
    num_classes = pairs[-1][1].arrays[0].shape[-1] if has_top else None
    shapes = _slim_shapes(model_name, num_classes or _IMAGENET_CLASSES)
    arrays = {}
    for row, layer in pairs:
      _check_layer(weights, row, layer, shapes, model_name, layers)
      for weight, dataset in zip(row.weights, layer.arrays, strict=True):
        array = np.asarray(dataset, np.float32)
        array = weight.change.to_slim(array) if weight.change else array
        arrays[weight.variable] = array.reshape(shapes[weight.variable])
  facts = sidecar.facts_of_net(
    model_name,
    num_classes=num_classes,
    labels_offset=int(num_classes == _IMAGENET_CLASSES),
    preprocessing_name=net.preprocessing,
  )
  facts['left_out'] = _scopes(shapes.keys() - arrays.keys())
  with checkpoints.written(output, arrays):
    sidecar.write(output, facts)
  return facts


def export_weights(checkpoint_path, model_name, output, accept_difference=False):
  """Writes a slim checkpoint as a file that `load_weights` of the Keras model reads.

  Args:
    checkpoint_path: a folder or prefix; its moving averages are taken where it holds some.
    model_name: key of KERAS_NETS.
    output: `.weights.h5` for Keras 3, another `.h5` for the layout of Keras 2, which both read.
    accept_difference: whether a net is taken whose Keras form gives somewhat other answers.

  Returns:
    The number of classes, None when the checkpoint holds no head and the file no top.

  Raises:
    UserError: for a name that is taken or ends otherwise, or a checkpoint of another net.
  """
  net = _net(model_name, accept_difference)
  if not output.endswith('.h5'):
    raise UserError(f'--output={output} must end with .weights.h5 for Keras 3, or .h5.')
  _refuse_existing([output])
  prefix = checkpoints.resolve(checkpoint_path)
  saved = checkpoints.variables(prefix)
  body, top = net.table()
  has_top = all(weight.variable in saved for row in top for weight in row.weights)
  rows = body + top * has_top
  num_classes = saved[top[-1].weights[0].variable][-1] if has_top else None
  _check_names(prefix, saved, rows, model_name)
  shapes = _slim_shapes(model_name, num_classes or _IMAGENET_CLASSES)
  reader = tf.train.load_checkpoint(prefix)
  layers = []
  for row in rows:
    arrays = []
    for weight in row.weights:
      array = _saved_array(reader, saved, weight.variable, shapes, prefix, model_name)
      array = weight.change.to_keras(array) if weight.change else array
      arrays.append(array.reshape(-1, array.shape[-1]) if _is_flat(row, array) else array)
    layers.append(weight_files.Layer(row.kind, row.name, arrays))
  weight_files.write_layers(output, layers)
  return num_classes


def _net(model_name, accept_difference):
  if model_name not in KERAS_NETS:
    raise unknown('model_name', model_name, KERAS_NETS)
  net = KERAS_NETS[model_name]
  if net.difference and not accept_difference:
    raise UserError(
      f'{net.keras_name} of Keras is not quite {model_name}: {net.difference}, so that the same '
      'weights give other answers; give --accept_difference to take them nevertheless.'
    )
  return net


def _refuse_existing(paths):
  for path in paths:
    if os.path.exists(path):
      raise UserError(f'{path} exists: give another --output.')


def _paired(path, layers, model_name):
  """Returns ([(row, layer of the file)], whether the top is among them); the top comes last."""
  body, top = KERAS_NETS[model_name].table()
  kinds = _kinds(layers)
  has_top = kinds == _kinds(body + top)
  if not has_top and kinds != _kinds(body):
    counts = ', '.join(f'{count} {_KINDS_IN_WORDS[kind]}' for kind, count in kinds.items())
    raise UserError(
      f'{path} is not of {model_name}: it holds {counts}; {_hint(layers, model_name)}.'
    )
  rows = body + top * has_top
  by_name = {layer.name: layer for layer in layers}
  if all(row.name in by_name for row in rows):
    return [(row, by_name[row.name]) for row in rows], has_top
  by_kind = {kind: iter([layer for layer in layers if layer.kind == kind]) for kind in kinds}
  return [(row, next(by_kind[row.kind])) for row in rows], has_top


def _kinds(rows_or_layers):
  return collections.Counter(item.kind for item in rows_or_layers)


def _hint(layers, model_name):
  """Says which nets have as many layers of each kind and as many channels in the first one."""
  kinds = _kinds(layers)
  first = next((layer.arrays[0].shape[-1] for layer in layers if layer.kind == 'conv'), None)
  likely = []
  for name, net in KERAS_NETS.items():
    body, top = net.table()
    if first == net.first_channels and kinds in (_kinds(body), _kinds(body + top)):
      likely.append(name)
  if likely and likely != [model_name]:
    return f'it looks like {" or ".join(likely)}, so give --model_name={likely[0]}'
  return f'give the weights of {KERAS_NETS[model_name].keras_name} of keras.applications'


def _check_layer(path, row, layer, shapes, model_name, layers):
  """Raises UserError unless a layer's arrays have the shapes of the row's variables."""
  there = [tuple(array.shape) for array in layer.arrays]
  here = [tuple(shapes[weight.variable]) for weight in row.weights]
  if row.kind == 'dense':
    here[0] = (int(np.prod(here[0][:-1])), here[0][-1])
  if there != here or layer.kind != row.kind:
    scope = row.weights[0].variable.rpartition('/')[0]
    raise UserError(
      f'{path} does not fit {model_name}: layer {layer.name or "without a name"} has weights of '
      f'shapes {there} where {scope} has {here}; {_hint(layers, model_name)}.'
    )
  for array in layer.arrays:
    if array.dtype.kind != 'f':
      raise UserError(f'{path} holds {array.dtype} in layer {layer.name}: save it in float32.')


def _slim_shapes(model_name, num_classes):
  """Returns {variable: shape as a list} of slim's net, in the order of its graph."""
  with tf.Graph().as_default():
    network_fn = nets_factory.get_network_fn(model_name, num_classes)
    size = network_fn.default_image_size
    network_fn(tf.placeholder(tf.float32, [1, size, size, 3]))
    return {v.op.name: v.shape.as_list() for v in tf.global_variables()}


def _scopes(variables):
  """Returns the scopes of two names that hold the variables: 'InceptionV3/AuxLogits'."""
  return sorted({'/'.join(name.split('/')[:2]) for name in variables})


def _check_names(prefix, saved, rows, model_name):
  for weight in itertools.chain(*(row.weights for row in rows)):
    if weight.variable not in saved:
      raise UserError(
        f'{prefix} is not of {model_name}: it lacks {weight.variable}; give its own --model_name.'
      )


def _saved_array(reader, saved, variable, shapes, prefix, model_name):
  average = variable + checkpoints.AVERAGE_SUFFIX
  name = average if average in saved else variable
  if saved[name] != shapes[variable]:
    raise UserError(
      f'{prefix} is not of {model_name}: {name} has shape {saved[name]} there, '
      f'{shapes[variable]} in the net; give its own --model_name.'
    )
  return reader.get_tensor(name)


def _is_flat(row, array):
  """Whether Keras holds the kernel of a convolution as that of a dense layer."""
  return row.kind == 'dense' and array.ndim == 4
