"""Building blocks of the MobileNets from v2 on: the inverted bottleneck and its helpers.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, MobileNetV2: Inverted Residuals and Linear
Bottlenecks, https://arxiv.org/abs/1801.04381
"""

from slim_compat import slim, tf


def fixed_padding(inputs, kernel_size, rate=1):
  """Pads the two spatial axes so that 'VALID' gives the size of 'SAME', alike on both sides.

  Args:
    inputs: tensor [b, h, w, c].
    kernel_size: [height, width] of the kernel.
    rate: dilation of the convolution that follows.

  Returns:
    A tensor [b, h + rate * (height - 1), w + rate * (width - 1), c].
  """
  paddings = [[0, 0]]
  for size in kernel_size:
    total = rate * (size - 1)
    paddings.append([total // 2, total - total // 2])
  return tf.pad(inputs, [*paddings, [0, 0]])


def make_divisible(value, divisor, min_value=None):
  """Rounds to a multiple of `divisor` that is at least `min_value` and 90 % of `value`."""
  rounded = max(min_value or divisor, int(value + divisor / 2) // divisor * divisor)
  return rounded + divisor if rounded < 0.9 * value else rounded


def expand_input_by_factor(factor, divisible_by=8):
  """Returns an `expansion_size`: the input's channels times `factor`, rounded to a multiple."""
  return lambda num_inputs, **_: make_divisible(num_inputs * factor, divisible_by)


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
  padding='SAME',
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
    residual: whether the input is added where its shape allows it.
    normalizer_fn: what follows every convolution.
    padding: 'SAME' or 'VALID', or 'EXPLICIT' for padding alike on both sides.
    scope: variable scope.

  Returns:
    float32 [b, h / stride, w / stride, num_outputs].
  """
  with tf.variable_scope(scope, 'expanded_conv') as sc, tf.name_scope(sc.original_name_scope):
    channels = input_tensor.shape.as_list()[3]
    inner_size = expansion_size
    if callable(expansion_size):
      inner_size = expansion_size(num_inputs=channels)
    net = tf.identity(input_tensor, name='input')
    if inner_size > channels:
      net = slim.conv2d(net, inner_size, [1, 1], normalizer_fn=normalizer_fn, scope='expand')
      net = tf.identity(net, name='expansion_output')
    if padding == 'EXPLICIT':
      net = fixed_padding(net, kernel_size, rate)
    net = slim.separable_conv2d(
      net,
      None,  # no pointwise part
      kernel_size,
      depth_multiplier=1,
      stride=stride,
      rate=rate,
      normalizer_fn=normalizer_fn,
      padding='VALID' if padding == 'EXPLICIT' else padding,
      scope='depthwise',
    )
    net = tf.identity(net, name='depthwise_output')
    net = slim.conv2d(
      net,
      num_outputs,
      [1, 1],
      normalizer_fn=normalizer_fn,
      activation_fn=tf.identity,
      scope='project',
    )
    if residual and stride == 1 and channels == num_outputs:
      net += input_tensor
    return tf.identity(net, name='output')
