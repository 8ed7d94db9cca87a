"""Building blocks of the MobileNets: separable convolution, squeeze-excite, inverted bottleneck.

Papers: Sandler, Howard, Zhu, Zhmoginov, Chen, MobileNetV2: Inverted Residuals and Linear
Bottlenecks, https://arxiv.org/abs/1801.04381; Howard et al., Searching for MobileNetV3,
https://arxiv.org/abs/1905.02244
"""

import contextlib
import functools

from nets.conv_parts import (
  expand_input_by_factor,
  fixed_padding,
  hard_sigmoid,
  hard_swish,
  make_divisible,
  split_conv,
  split_divisible,
)
from slim_compat import slim, tf

__all__ = [
  'expand_input_by_factor',
  'expanded_conv',
  'fixed_padding',
  'fused_expanded_conv',
  'hard_sigmoid',
  'hard_swish',
  'make_divisible',
  'split_conv',
  'split_divisible',
  'split_separable_conv2d',
  'squeeze_excite',
]


@slim.add_arg_scope
def split_separable_conv2d(
  input_tensor,
  num_outputs,
  scope=None,
  normalizer_fn=None,
  stride=1,
  rate=1,
  endpoints=None,
  use_explicit_padding=False,
):
  """Builds MobileNet v1's layer: depthwise 3 x 3, then 1 x 1, either with its normalization.

  Args:
    input_tensor: float tensor [b, h, w, c].
    num_outputs: channels of the output.
    scope: name of the layer, whose variables start with 'SCOPE_depthwise' and 'SCOPE_pointwise';
      None for 'depthwise' and 'pointwise' inside a scope 'separable'.
    normalizer_fn: what follows either convolution.
    stride: stride of the depthwise convolution.
    rate: its dilation; either this or the stride is 1.
    endpoints: dict that gets both outputs by those names.
    use_explicit_padding: whether padding is the same on both sides, whatever the input's size.

  Returns:
    A tensor [b, h / stride, w / stride, num_outputs].
  """
  with _separable_prefix(scope) as prefix:
    if use_explicit_padding:
      input_tensor = fixed_padding(input_tensor, 3, rate)
    depthwise = slim.separable_conv2d(
      input_tensor,
      None,  # no pointwise part
      [3, 3],
      depth_multiplier=1,
      stride=stride,
      rate=rate,
      normalizer_fn=normalizer_fn,
      padding='VALID' if use_explicit_padding else 'SAME',
      scope=f'{prefix}depthwise',
    )
    output = slim.conv2d(
      depthwise, num_outputs, [1, 1], normalizer_fn=normalizer_fn, scope=f'{prefix}pointwise'
    )
  if endpoints is not None:
    endpoints.update({f'{prefix}depthwise': depthwise, f'{prefix}pointwise': output})
  return output


@contextlib.contextmanager
def _separable_prefix(scope):
  """Enters 'separable' when no scope is given, and gives what the layer's names start with."""
  if scope is not None:
    yield f'{scope}_'
    return
  with tf.variable_scope(None, 'separable') as sc, tf.name_scope(sc.original_name_scope):
    yield ''


@slim.add_arg_scope
def squeeze_excite(
  input_tensor,
  divisible_by=8,
  squeeze_factor=3,
  inner_activation_fn=tf.nn.relu,
  gating_fn=tf.sigmoid,
  squeeze_input_tensor=None,
  pool=None,
):
  """Scales channels by what two small layers make of their averages over the image.

  Args:
    input_tensor: float tensor [b, h, w, c].
    divisible_by: what the channels of the inner layer are a multiple of.
    squeeze_factor: how many times fewer channels than its input the inner layer has.
    inner_activation_fn: activation of the inner layer.
    gating_fn: activation of the outer layer, whose values are the scales.
    squeeze_input_tensor: [b, h', w', c'], what is averaged instead of `input_tensor`.
    pool: size of the squares over which it is averaged; the scales are resized bilinearly to the
      input's size. None averages over all of it.

  Returns:
    A tensor like `input_tensor`.
  """
  squeezed = input_tensor if squeeze_input_tensor is None else squeeze_input_tensor
  _, height, width, channels = squeezed.shape.as_list()
  with tf.variable_scope('squeeze_excite'):
    if pool is None:
      pooled = tf.reduce_mean(squeezed, axis=[1, 2], keepdims=True)
    else:
      # A map of unknown size is taken to hold a whole square.
      window = [min(pool, height or pool), min(pool, width or pool)]
      pooled = tf.nn.avg_pool2d(squeezed, window, window, padding='VALID')
    inner = slim.conv2d(
      pooled,
      make_divisible(channels / squeeze_factor, divisible_by),
      [1, 1],
      normalizer_fn=None,
      activation_fn=inner_activation_fn,
    )
    scales = slim.conv2d(
      inner, input_tensor.shape.as_list()[3], [1, 1], normalizer_fn=None, activation_fn=gating_fn
    )
    if pool is not None:
      size = tf.shape(input_tensor)[1:3]
      scales = tf.image.resize_bilinear(scales, size, align_corners=True)
    return input_tensor * scales


DEPTHWISE_LOCATIONS = (None, 'input', 'expansion', 'output')


@slim.add_arg_scope
def expanded_conv(
  input_tensor,
  num_outputs,
  expansion_size=expand_input_by_factor(6),  # noqa: B008
  stride=1,
  rate=1,
  kernel_size=(3, 3),
  residual=True,
  normalizer_fn=None,
  split_projection=1,
  split_expansion=1,
  split_divisible_by=8,
  expansion_transform=None,
  depthwise_location='expansion',
  depthwise_channel_multiplier=1,
  endpoints=None,
  use_explicit_padding=False,
  padding='SAME',
  inner_activation_fn=None,
  depthwise_activation_fn=None,
  project_activation_fn=tf.identity,
  depthwise_fn=slim.separable_conv2d,
  expansion_fn=split_conv,
  projection_fn=split_conv,
  scope=None,
):
  """Builds an inverted bottleneck: expand 1 x 1, depthwise, project 1 x 1, add the input.

  Its ops 'expansion_output', 'depthwise_output' and 'output' become end points.

  Args:
    input_tensor: float32 [b, h, w, c].
    num_outputs: channels of the output.
    expansion_size: channels inside, or a function of `num_inputs` that gives them; no expansion
      when they are not more than c.
    stride: stride of the depthwise convolution.
    rate: its dilation; either this or the stride is 1.
    kernel_size: its kernel.
    residual: whether the input is added where its shape allows it, or a function of
      (input_tensor, output_tensor) that combines both.
    normalizer_fn: what follows every convolution.
    split_projection: number of groups of the projection, see `split_conv`.
    split_expansion: number of groups of the expansion.
    split_divisible_by: what the channels of every group are a multiple of.
    expansion_transform: function of (expansion_tensor, input_tensor) whose result is projected,
      None for the expansion itself.
    depthwise_location: what the depthwise convolution follows: 'expansion', or, then without
      activation, 'input' or 'output'; None for no depthwise convolution.
    depthwise_channel_multiplier: channels of the depthwise convolution for one of its input.
    endpoints: dict that gets 'depthwise_output', 'expansion_output', 'expansion_transform' and
      'projection_output', also where a part is left out.
    use_explicit_padding: whether padding is the same on both sides, whatever the input's size.
    padding: 'SAME' or 'VALID'.
    inner_activation_fn: activation of expansion and depthwise convolution, None for that of the
      arg scope around.
    depthwise_activation_fn: activation of the depthwise convolution alone.
    project_activation_fn: activation of the projection.
    depthwise_fn: builds the depthwise convolution as `slim.separable_conv2d` does.
    expansion_fn: builds the expansion: a function of (tensor, channels, scope, normalizer_fn).
    projection_fn: builds the projection: the same, with `activation_fn`.
    scope: variable scope.

  Returns:
    float32 [b, h / stride, w / stride, num_outputs].

  Raises:
    ValueError: for an unknown `depthwise_location`, or explicit padding that is not 'SAME'.
  """
  if depthwise_location not in DEPTHWISE_LOCATIONS:
    raise TypeError(
      f'Unknown depthwise_location {depthwise_location!r}: choices are {DEPTHWISE_LOCATIONS}.'
    )
  if use_explicit_padding and padding != 'SAME':
    raise TypeError(f"use_explicit_padding goes with padding 'SAME', not {padding!r}.")
  points = {} if endpoints is None else endpoints

  def depthwise(net, **kwargs):
    if use_explicit_padding:
      net = fixed_padding(net, kernel_size, rate)
    net = depthwise_fn(
      net,
      num_outputs=None,  # no pointwise part
      kernel_size=kernel_size,
      depth_multiplier=depthwise_channel_multiplier,
      stride=stride,
      rate=rate,
      normalizer_fn=normalizer_fn,
      padding='VALID' if use_explicit_padding else padding,
      scope='depthwise',
      **kwargs,
    )
    points['depthwise_output'] = tf.identity(net, name='depthwise_output')
    return points['depthwise_output']

  def pointwise(function, num_ways, net, num_outputs, **kwargs):
    if function is split_conv:
      function = functools.partial(
        split_conv, num_ways=num_ways, divisible_by=split_divisible_by, stride=1
      )
    return function(net, num_outputs, normalizer_fn=normalizer_fn, **kwargs)

  with (
    tf.variable_scope(scope, 'expanded_conv') as sc,
    tf.name_scope(sc.original_name_scope),
    _activation([slim.conv2d], inner_activation_fn),
    _activation([slim.separable_conv2d], depthwise_activation_fn or inner_activation_fn),
  ):
    net = input_tensor = tf.identity(input_tensor, name='input')
    channels = input_tensor.shape.as_list()[3]
    if depthwise_location == 'input':
      net = depthwise(net, activation_fn=None)
    inner_size = expansion_size
    if callable(expansion_size):
      inner_size = expansion_size(num_inputs=channels)
    if inner_size > net.shape.as_list()[3]:
      net = pointwise(expansion_fn, split_expansion, net, inner_size, scope='expand')
      net = tf.identity(net, name='expansion_output')
    points['expansion_output'] = net
    if depthwise_location == 'expansion':
      net = depthwise(net)
    elif depthwise_location is None:
      points['depthwise_output'] = net
    if expansion_transform:
      net = expansion_transform(expansion_tensor=net, input_tensor=input_tensor)
    points['expansion_transform'] = net
    net = pointwise(
      projection_fn,
      split_projection,
      net,
      num_outputs,
      activation_fn=project_activation_fn,
      scope='project',
    )
    points['projection_output'] = net
    if depthwise_location == 'output':
      net = depthwise(net, activation_fn=None)
    if callable(residual):
      net = residual(input_tensor=input_tensor, output_tensor=net)
    elif residual and stride == 1 and channels == net.shape.as_list()[3]:
      net += input_tensor
    return tf.identity(net, name='output')


def _activation(functions, activation_fn):
  """Returns the arg scope that gives functions an activation, and changes none when it is None."""
  given = {} if activation_fn is None else {'activation_fn': activation_fn}
  return slim.arg_scope(functions, **given)


def fused_expanded_conv(
  input_tensor,
  num_outputs,
  kernel_size=(3, 3),
  stride=1,
  rate=1,
  use_explicit_padding=False,
  **kwargs,
):
  """Builds an `expanded_conv` that expands with a whole convolution instead of a depthwise one.

  Args:
    input_tensor: float32 [b, h, w, c].
    num_outputs: channels of the output.
    kernel_size: kernel of the expansion.
    stride: its stride; lost, as its kernel, where nothing is expanded.
    rate: its dilation; either this or the stride is 1.
    use_explicit_padding: whether padding is the same on both sides, whatever the input's size.
    **kwargs: other arguments of `expanded_conv`.

  Returns:
    float32 [b, h / stride, w / stride, num_outputs].
  """

  def expand(net, inner_size, **arguments):
    padding = {}
    if use_explicit_padding:
      net, padding = fixed_padding(net, kernel_size, rate), {'padding': 'VALID'}
    return slim.conv2d(
      net, inner_size, kernel_size, stride=stride, rate=rate, **padding, **arguments
    )

  return expanded_conv(
    input_tensor,
    num_outputs,
    stride=stride,
    depthwise_location=None,
    expansion_fn=expand,
    **kwargs,
  )
