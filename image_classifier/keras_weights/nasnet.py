"""The tables of NASNetMobile and NASNetLarge.

Keras lists the layers of a model by their distance from the output, the longest way counts, and at
the same distance in the order in which it meets them on its way back from the output. The layers of
neighbouring cells mix in that order, so the model is drawn here, layers without weights too.
"""

import typing

from image_classifier.keras_weights.rows import Row, conv, dense, norm, separable


class _Tensor(typing.NamedTuple):
  """What a layer puts out."""

  layer: int
  halvings: int  # how often the map has been halved since the first convolution
  channels: int


class _Model:
  """The layers of a model: which layers each one reads, and the rows of those with weights."""

  def __init__(self):
    self._inputs = []
    self._rows = []

  def add(self, *inputs, row=None, halve=False, channels=None):
    """Adds a layer that reads tensors, and returns its output."""
    self._inputs.append([tensor.layer for tensor in inputs])
    self._rows.append(row)
    halvings = inputs[0].halvings + halve if inputs else 0
    return _Tensor(len(self._rows) - 1, halvings, channels or inputs[0].channels)

  def rows(self, output) -> list[Row]:
    """Returns the rows in the order in which Keras lists the layers of a model with an output."""
    met, waiting = {}, [output.layer]
    while waiting:
      layer = waiting.pop()
      if layer not in met:
        met[layer] = len(met)
        waiting += reversed(self._inputs[layer])
    distances = dict.fromkeys(met, 0)
    for layer in sorted(met, reverse=True):  # whoever reads a layer was added after it
      for read in self._inputs[layer]:
        distances[read] = max(distances[read], distances[layer] + 1)
    ordered = sorted(met, key=lambda layer: (-distances[layer], met[layer]))
    return [self._rows[layer] for layer in ordered if self._rows[layer]]


def nasnet(penultimate_filters, num_blocks, stem_filters, skip_reduction):
  """Returns the rows of a NASNet-A: (those below the top, those of the top).

  Args:
    penultimate_filters: channels of the last feature map.
    num_blocks: normal cells before, between and after the two reduction cells.
    stem_filters: channels of the first convolution.
    skip_reduction: whether the cell after a reduction reads, beside it, what the reduction cell
      read as its second input rather than its first.
  """
  model = _Model()
  filters = penultimate_filters // 24
  x = model.add(channels=stem_filters, row=conv('stem_conv1', 'conv0'))
  x = model.add(x, row=norm('stem_bn1', 'conv0_bn'))
  before = None
  for i in (0, 1):
    cell = _reduction_cell(model, x, before, filters // (4 >> i), f'stem_{i + 1}', f'cell_stem_{i}')
    x, before = cell, x
  for part in range(3):
    if part:
      count = part * num_blocks
      cell = _reduction_cell(
        model, x, before, filters, f'reduce_{count}', f'reduction_cell_{part - 1}'
      )
      x, before = cell, before if skip_reduction else x
    for i in range(part * num_blocks, (part + 1) * num_blocks):
      cell = _normal_cell(model, x, before, filters, str(i + (part > 0)), f'cell_{i}')
      x, before = cell, x
    filters *= 2
  return model.rows(x), [dense('predictions', 'final_layer/FC')]


def _normal_cell(model, x, before, filters, block, scope):
  p = _adjusted(model, before, x, filters, block, scope)
  h = _squeezed(model, x, filters, f'normal_{{}}_1_{block}', scope)
  sum_1 = model.add(
    _separable(model, h, 5, f'normal_left1_{block}', f'{scope}/comb_iter_0/left'),
    _separable(model, p, 3, f'normal_right1_{block}', f'{scope}/comb_iter_0/right'),
  )
  sum_2 = model.add(
    _separable(model, p, 5, f'normal_left2_{block}', f'{scope}/comb_iter_1/left'),
    _separable(model, p, 3, f'normal_right2_{block}', f'{scope}/comb_iter_1/right'),
  )
  sum_3 = model.add(model.add(h), p)
  sum_4 = model.add(model.add(p), model.add(p))
  left_5 = _separable(model, h, 3, f'normal_left5_{block}', f'{scope}/comb_iter_4/left')
  sum_5 = model.add(left_5, h)
  return model.add(p, sum_1, sum_2, sum_3, sum_4, sum_5, channels=6 * filters)


def _reduction_cell(model, x, before, filters, block, scope):
  p = _adjusted(model, before, x, filters, block, scope)
  h = _squeezed(model, x, filters, f'reduction_{{}}_1_{block}', scope)
  padded = model.add(h)

  def halved(tensor, size, name, part):
    return _separable(model, tensor, size, f'reduction_{name}_{block}', f'{scope}/{part}', True)

  sum_1 = model.add(
    halved(h, 5, 'left1', 'comb_iter_0/left'), halved(p, 7, 'right1', 'comb_iter_0/right')
  )
  pool_2 = model.add(padded, halve=True)
  sum_2 = model.add(pool_2, halved(p, 7, 'right2', 'comb_iter_1/right'))
  pool_3 = model.add(padded, halve=True)
  sum_3 = model.add(pool_3, halved(p, 5, 'right3', 'comb_iter_2/right'))
  sum_4 = model.add(sum_2, model.add(sum_1))
  left_5 = _separable(model, sum_1, 3, f'reduction_left4_{block}', f'{scope}/comb_iter_4/left')
  sum_5 = model.add(left_5, model.add(padded, halve=True))
  return model.add(sum_2, sum_3, sum_4, sum_5, channels=4 * filters)


def _adjusted(model, p, x, filters, block, scope):
  """Brings the input of the cell before to the size and the channels of this cell."""
  if p is None:
    return x
  if p.halvings != x.halvings:
    p = model.add(p)  # ReLU
    even = model.add(p, halve=True)
    even = model.add(even, row=conv(f'adjust_conv_1_{block}', f'{scope}/path1_conv'))
    odd = model.add(model.add(model.add(p)), halve=True)  # padding, cropping, pooling
    odd = model.add(odd, row=conv(f'adjust_conv_2_{block}', f'{scope}/path2_conv'))
    p = model.add(even, odd, channels=filters)
    return model.add(p, row=norm(f'adjust_bn_{block}', f'{scope}/final_path_bn'))
  if p.channels != filters:
    p = model.add(p)  # ReLU
    projection = conv(f'adjust_conv_projection_{block}', f'{scope}/prev_1x1')
    p = model.add(p, row=projection, channels=filters)
    return model.add(p, row=norm(f'adjust_bn_{block}', f'{scope}/prev_bn'))
  return p


def _squeezed(model, x, filters, name, scope):
  """ReLU, a convolution of 1 x 1 and its normalization."""
  x = model.add(x)
  x = model.add(x, row=conv(name.format('conv'), f'{scope}/1x1'), channels=filters)
  return model.add(x, row=norm(name.format('bn'), f'{scope}/beginning_bn'))


def _separable(model, x, size, block, scope, halve=False):
  """Twice ReLU, a separable convolution and its normalization; the first one may halve the map."""
  for i in (1, 2):
    x = model.add(x)
    if halve and i == 1:
      x = model.add(x, halve=True)  # padding
    kernel = f'{size}x{size}_{i}'
    x = model.add(x, row=separable(f'separable_conv_{i}_{block}', f'{scope}/separable_{kernel}'))
    x = model.add(x, row=norm(f'separable_conv_{i}_bn_{block}', f'{scope}/bn_sep_{kernel}'))
  return x
