"""Keras models with random weights: their files, and what they answer. Runs in its own process.

  python keras_reference.py make FOLDER NET ...        writes FOLDER/NET.* and FOLDER/NET.npz
  python keras_reference.py load NET FILE ...          prints whether the model loads each FILE

Keras 3 works eagerly and slim builds graphs, so the two do not share a process: the tests import
this module for MODELS alone, which imports no Keras.
"""

import os
import pathlib
import sys
import types

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np

CLASSES = 7
# Net: (function of keras.applications, its arguments, pixels, suffixes of the files with a top).
MODELS = {
  'inception_v3': ('InceptionV3', {}, 139, ['.weights.h5']),
  'inception_resnet_v2': ('InceptionResNetV2', {}, 139, ['.keras', '.h5']),
  'mobilenet_v1': ('MobileNet', {'alpha': 1.0}, 64, ['.keras']),
  'mobilenet_v1_075': ('MobileNet', {'alpha': 0.75}, 64, ['.h5']),
  'mobilenet_v1_050': ('MobileNet', {'alpha': 0.5}, 64, ['.weights.h5']),
  'mobilenet_v1_025': ('MobileNet', {'alpha': 0.25}, 64, ['.h5', '.weights.h5', '.keras']),
  'mobilenet_v2': ('MobileNetV2', {'alpha': 1.0}, 64, ['.weights.h5']),
  'mobilenet_v2_140': ('MobileNetV2', {'alpha': 1.4}, 64, ['.keras']),
  'mobilenet_v2_035': ('MobileNetV2', {'alpha': 0.35}, 97, ['.h5']),
  'nasnet_mobile': ('NASNetMobile', {}, 64, ['.keras']),
  'nasnet_large': ('NASNetLarge', {}, 64, ['.weights.h5']),
  'vgg_16': ('VGG16', {}, 224, ['.h5']),
  'vgg_19': ('VGG19', {}, 224, ['.weights.h5']),
  'resnet_v2_50': ('ResNet50V2', {}, 64, ['.weights.h5']),
  'resnet_v2_101': ('ResNet101V2', {}, 64, ['.h5']),
  'resnet_v2_152': ('ResNet152V2', {}, 64, ['.keras']),
}


def build(net, top=True):
  name, arguments, size, _ = MODELS[net]
  if not top:
    size, arguments = min(size, 139), {**arguments, 'include_top': False, 'pooling': 'avg'}
  return getattr(keras.applications, name)(
    weights=None,
    input_shape=(size, size, 3),
    classes=CLASSES,
    classifier_activation=None,
    **arguments,
  )


def _without_zero_padding(layers):
  """Returns keras.layers with the poolings that follow a zero padding padded as slim's are."""

  def zero_padding(*args, name=None, **kwargs):
    if name and name.startswith(('pool1_pad', 'reduction_pad_1')):
      return lambda x: x
    return layers.ZeroPadding2D(*args, name=name, **kwargs)

  def pooling(layer):
    def build_pooling(*args, name=None, **kwargs):
      padded = name and name.startswith(('pool1_pool', 'reduction_left', 'reduction_right'))
      return layer(*args, name=name, **kwargs | ({'padding': 'same'} if padded else {}))

    return build_pooling

  patched = {
    'ZeroPadding2D': zero_padding,
    'MaxPooling2D': pooling(layers.MaxPooling2D),
    'AveragePooling2D': pooling(layers.AveragePooling2D),
  }
  return types.SimpleNamespace(**vars(layers) | patched)


def _randomize(model):
  """Gives every weight random values with which no layer dies out or explodes."""
  rng = np.random.default_rng(0)
  for variable in model.variables:
    shape, name = variable.shape, variable.path.rpartition('/')[2]
    if name in ('gamma', 'moving_variance'):
      values = rng.uniform(0.5, 1.5, shape)
    elif len(shape) < 2:
      values = rng.normal(0, 0.1, shape)
    else:
      fan_in = np.prod(shape[:2]) if shape[-1] == 1 else np.prod(shape[:-1])
      values = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))
    variable.assign(values)


def make(folder, net):
  """Writes NET.npz with 'images', 'features', 'logits', and the files with and without a top.

  VGG with its top is too large for a test of seconds: it is made for the argument 'full' only.
  """
  has_top = not net.startswith('vgg') or 'full' in sys.argv
  resnet.layers = nasnet.layers = _without_zero_padding(keras.layers)
  model = build(net, has_top)
  _randomize(model)
  size = model.input_shape[1]
  images = np.random.default_rng(1).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
  answers = {'images': images}
  path = os.path.join(folder, net)
  if has_top:
    answers['logits'] = np.asarray(model(images, training=False))
    for suffix in MODELS[net][3]:
      (model.save_weights if suffix == '.weights.h5' else model.save)(path + suffix)
  if has_top and net.startswith('vgg'):
    np.savez(f'{path}.npz', **answers)
    return
  if has_top:
    pooled = next(x for x in model.layers if isinstance(x, keras.layers.GlobalAveragePooling2D))
    model = keras.Model(model.inputs, pooled.output)
  model.save_weights(f'{path}_notop.weights.h5')
  answers['features'] = np.asarray(model(images, training=False)).reshape(2, -1)
  if net.startswith(('resnet', 'nasnet')):
    answers['unpatched'] = _unpatched(net, model, images)
  np.savez(f'{path}.npz', **answers)


def _unpatched(net, model, images):
  """The features of Keras's own net with the model's weights."""
  resnet.layers = nasnet.layers = keras.layers
  own = build(net, top=False)
  own.set_weights(model.get_weights())
  return np.asarray(own(images, training=False))


def load(net, files):
  for file in files:
    model = build(net)
    model.load_weights(file)
    with h5py.File(pathlib.Path(file).with_suffix('.loaded'), 'w') as copy:
      for i, weight in enumerate(model.get_weights()):
        copy[str(i)] = weight


if __name__ == '__main__':
  import h5py
  import keras
  from keras.src.applications import nasnet, resnet

  if sys.argv[1] == 'make':
    for net_to_make in [argument for argument in sys.argv[3:] if argument != 'full']:
      make(sys.argv[2], net_to_make)
  else:
    load(sys.argv[2], sys.argv[3:])
