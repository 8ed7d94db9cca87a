"""The tables of Inception v3 and Inception-ResNet v2, whose layers Keras only numbers.

Keras lists the layers of a model by their distance from the output, the longest way counts, and
at the same distance in the order of the branches. A block is written down here as its branches; a
branch is the convolutions from its input to its output, with '|' between those side by side.
"""

import itertools

from image_classifier.keras_weights.rows import conv, dense, norm

_STEM = 'Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3'
_SEVENS = (
  'Conv2d_0a_1x1',
  'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1',
  'Conv2d_0a_1x1 Conv2d_0b_7x1 Conv2d_0c_1x7 Conv2d_0d_7x1 Conv2d_0e_1x7',
  'Conv2d_0b_1x1',
)
_THREES = 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_0c_3x3'
_SPLIT = 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_0c_1x3|Conv2d_0d_3x1'
_FIVES = ('Conv2d_0a_1x1', 'Conv2d_0a_1x1 Conv2d_0b_5x5', _THREES, 'Conv2d_0b_1x1')

_INCEPTION_V3 = {
  'Mixed_5b': _FIVES,
  'Mixed_5c': ('Conv2d_0a_1x1', 'Conv2d_0b_1x1 Conv_1_0c_5x5', _THREES, 'Conv2d_0b_1x1'),
  'Mixed_5d': _FIVES,
  'Mixed_6a': ('Conv2d_1a_1x1', 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_1x1'),
  'Mixed_6b': _SEVENS,
  'Mixed_6c': _SEVENS,
  'Mixed_6d': _SEVENS,
  'Mixed_6e': _SEVENS,
  'Mixed_7a': (
    'Conv2d_0a_1x1 Conv2d_1a_3x3',
    'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1 Conv2d_1a_3x3',
  ),
  'Mixed_7b': (
    'Conv2d_0a_1x1',
    'Conv2d_0a_1x1 Conv2d_0b_1x3|Conv2d_0b_3x1',
    _SPLIT,
    'Conv2d_0b_1x1',
  ),
  'Mixed_7c': (
    'Conv2d_0a_1x1',
    'Conv2d_0a_1x1 Conv2d_0b_1x3|Conv2d_0c_3x1',
    _SPLIT,
    'Conv2d_0b_1x1',
  ),
}

_MIXED_5B = ('Conv2d_1x1', *_FIVES[1:])
_BLOCK35 = ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_3x3', _THREES)
_MIXED_6A = ('Conv2d_1a_3x3', 'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3')
_BLOCK17 = ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_1x7 Conv2d_0c_7x1')
_MIXED_7A = (
  'Conv2d_0a_1x1 Conv2d_1a_3x3',
  'Conv2d_0a_1x1 Conv2d_1a_3x3',
  'Conv2d_0a_1x1 Conv2d_0b_3x3 Conv2d_1a_3x3',
)
_BLOCK8 = ('Conv2d_1x1', 'Conv2d_0a_1x1 Conv2d_0b_1x3 Conv2d_0c_3x1')


def inception_v3():
  """Returns the rows of InceptionV3: (those below the top, those of the top)."""
  root = 'InceptionV3'
  rows = _chain(root, _STEM)
  for block, branches in _INCEPTION_V3.items():
    rows += _block(f'{root}/{block}', branches)
  return rows, [dense('predictions', f'{root}/Logits/Conv2d_1c_1x1')]


def inception_resnet_v2():
  """Returns the rows of InceptionResNetV2: (those below the top, those of the top)."""
  root = 'InceptionResnetV2'
  rows = _chain(root, _STEM) + _block(f'{root}/Mixed_5b', _MIXED_5B)
  rows += _residual_blocks(f'{root}/Repeat/block35', 10, _BLOCK35)
  rows += _block(f'{root}/Mixed_6a', _MIXED_6A)
  rows += _residual_blocks(f'{root}/Repeat_1/block17', 20, _BLOCK17)
  rows += _block(f'{root}/Mixed_7a', _MIXED_7A)
  rows += _residual_blocks(f'{root}/Repeat_2/block8', 9, _BLOCK8)
  rows += _residual_block(f'{root}/Block8', 'block8_10', _BLOCK8)
  rows += _convolution(f'{root}/Conv2d_7b_1x1', 'conv_7b')
  return rows, [dense('predictions', f'{root}/Logits/Logits')]


def _residual_blocks(scope, count, branches):
  blocks = [f'{scope}_{i}' for i in range(1, count + 1)]
  rows = [_residual_block(block, block.rpartition('/')[2], branches) for block in blocks]
  return list(itertools.chain(*rows))


def _residual_block(scope, name, branches):
  """The branches, then the linear convolution whose output is added to the block's input."""
  up = conv(f'{name}_conv', f'{scope}/Conv2d_1x1', bias=True)
  return [*_block(scope, branches), up]


def _block(scope, branches):
  """The rows of a block, the convolutions farthest from its output first."""
  placed = []
  for number, branch in enumerate(branches):
    stages = [stage.split('|') for stage in branch.split()]
    # A convolution is three layers with its normalization and ReLU, a concatenation is one more.
    distance = 3 * len(stages) + (len(stages[-1]) > 1)
    for stage in stages:
      placed += [(distance, f'{scope}/Branch_{number}/{name}') for name in stage]
      distance -= 3
  placed.sort(key=lambda pair: -pair[0])  # stable: the branches' order decides the rest
  return list(itertools.chain(*(_convolution(scope) for _, scope in placed)))


def _chain(root, names):
  return list(itertools.chain(*(_convolution(f'{root}/{name}') for name in names.split())))


def _convolution(scope, name=None):
  """A convolution and its normalization, which has no gamma."""
  return [
    conv(name, scope),
    norm(name and f'{name}_bn', f'{scope}/BatchNorm', scale=False),
  ]
