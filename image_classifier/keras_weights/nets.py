"""The nets that keras.applications and slim share, with a table of the Keras layers of each.

Within a kind, the rows of a table stand in the order of the Keras model, which is the order in
which Keras writes and loads weights.
"""

import functools
import typing

from image_classifier.keras_weights import inception, nasnet
from image_classifier.keras_weights.rows import BGR_TO_RGB, EPSILON, conv, dense, depthwise, norm

# Units of the four blocks, and convolutions of the five stages, by the number of layers.
_RESNET_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_VGG_CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class KerasNet(typing.NamedTuple):
  """A net of both libraries."""

  keras_name: str  # how to build it from keras.applications
  table: typing.Callable  # returns the rows below the top and those of the top
  first_channels: int  # of the first convolution, which tells the widths of a net apart
  preprocessing: str | None = None  # what its Keras weights were trained with, None for slim's
  difference: str = ''  # why the same weights give other answers, '' when they give the same


def _mobilenet_v1():
  root = 'MobilenetV1'
  rows = [conv('conv1', f'{root}/Conv2d_0'), norm('conv1_bn', f'{root}/Conv2d_0/BatchNorm')]
  for i in range(1, 14):
    wide, deep = f'{root}/Conv2d_{i}_depthwise', f'{root}/Conv2d_{i}_pointwise'
    rows += [depthwise(f'conv_dw_{i}', wide), norm(f'conv_dw_{i}_bn', f'{wide}/BatchNorm')]
    rows += [conv(f'conv_pw_{i}', deep), norm(f'conv_pw_{i}_bn', f'{deep}/BatchNorm')]
  return rows, [conv('conv_preds', f'{root}/Logits/Conv2d_1c_1x1', bias=True)]


def _mobilenet_v2():
  root = 'MobilenetV2'
  rows = [conv('Conv1', f'{root}/Conv'), norm('bn_Conv1', f'{root}/Conv/BatchNorm')]
  for i in range(17):
    name, scope = f'block_{i}', f'{root}/expanded_conv_{i}'
    if i == 0:
      name, scope = 'expanded_conv', f'{root}/expanded_conv'
    for part in ('expand', 'depthwise', 'project')[i == 0 :]:  # the first block does not expand
      layer = depthwise if part == 'depthwise' else conv
      rows += [
        layer(f'{name}_{part}', f'{scope}/{part}'),
        norm(f'{name}_{part}_BN', f'{scope}/{part}/BatchNorm'),
      ]
  rows += [conv('Conv_1', f'{root}/Conv_1'), norm('Conv_1_bn', f'{root}/Conv_1/BatchNorm')]
  return rows, [dense('predictions', f'{root}/Logits/Conv2d_1c_1x1')]


def _vgg(num_layers):
  root = f'vgg_{num_layers}'
  rows = []
  for stage, count in enumerate(_VGG_CONVOLUTIONS[num_layers], 1):
    for i in range(1, count + 1):
      change = BGR_TO_RGB if not rows else None
      scope = f'{root}/conv{stage}/conv{stage}_{i}'
      rows.append(conv(f'block{stage}_conv{i}', scope, bias=True, change=change))
  top = zip(('fc1', 'fc2', 'predictions'), ('fc6', 'fc7', 'fc8'), strict=True)
  return rows, [dense(name, f'{root}/{scope}') for name, scope in top]


def _resnet_v2(num_layers):
  root = f'resnet_v2_{num_layers}'
  rows = [conv('conv1_conv', f'{root}/conv1', bias=True)]
  for block, units in enumerate(_RESNET_UNITS[num_layers], 1):
    for unit in range(1, units + 1):
      rows += _resnet_unit(
        f'conv{block + 1}_block{unit}', f'{root}/block{block}/unit_{unit}/bottleneck_v2', unit == 1
      )
  rows.append(norm('post_bn', f'{root}/postnorm', change=EPSILON))
  return rows, [dense('predictions', f'{root}/logits')]


def _resnet_unit(name, scope, has_shortcut):
  rows = [norm(f'{name}_preact_bn', f'{scope}/preact', change=EPSILON)]
  for i in (1, 2):
    rows += [
      conv(f'{name}_{i}_conv', f'{scope}/conv{i}'),
      norm(f'{name}_{i}_bn', f'{scope}/conv{i}/BatchNorm', change=EPSILON),
    ]
  if has_shortcut:
    rows.append(conv(f'{name}_0_conv', f'{scope}/shortcut', bias=True))
  return [*rows, conv(f'{name}_3_conv', f'{scope}/conv3', bias=True)]


def _resnet(num_layers):
  return KerasNet(
    f'ResNet{num_layers}V2',
    functools.partial(_resnet_v2, num_layers),
    64,
    preprocessing='inception',
    difference='its first pooling pads with a row and a column of zeros where slim has none',
  )


def _nasnet(keras_name, penultimate_filters, num_blocks, stem_filters, skip_reduction):
  return KerasNet(
    keras_name,
    functools.partial(nasnet.nasnet, penultimate_filters, num_blocks, stem_filters, skip_reduction),
    stem_filters,
    difference='its reduction cells pool over a border of zeros that slim leaves out',
  )


KERAS_NETS = {
  'inception_v3': KerasNet('InceptionV3', inception.inception_v3, 32),
  'inception_resnet_v2': KerasNet('InceptionResNetV2', inception.inception_resnet_v2, 32),
  'mobilenet_v1': KerasNet('MobileNet(alpha=1.0)', _mobilenet_v1, 32),
  'mobilenet_v1_075': KerasNet('MobileNet(alpha=0.75)', _mobilenet_v1, 24),
  'mobilenet_v1_050': KerasNet('MobileNet(alpha=0.5)', _mobilenet_v1, 16),
  'mobilenet_v1_025': KerasNet('MobileNet(alpha=0.25)', _mobilenet_v1, 8),
  'mobilenet_v2': KerasNet('MobileNetV2(alpha=1.0)', _mobilenet_v2, 32),
  'mobilenet_v2_140': KerasNet('MobileNetV2(alpha=1.4)', _mobilenet_v2, 48),
  'mobilenet_v2_035': KerasNet('MobileNetV2(alpha=0.35)', _mobilenet_v2, 16),
  'nasnet_mobile': _nasnet('NASNetMobile', 1056, 4, 32, False),
  'nasnet_large': _nasnet('NASNetLarge', 4032, 6, 96, True),
  'vgg_16': KerasNet('VGG16', functools.partial(_vgg, 16), 64),
  'vgg_19': KerasNet('VGG19', functools.partial(_vgg, 19), 64),
  'resnet_v2_50': _resnet(50),
  'resnet_v2_101': _resnet(101),
  'resnet_v2_152': _resnet(152),
}
