"""What the blocks of the MobileNets are made of: channel counts, padding, activations, groups.

Paper: Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244
"""

from slim_compat import slim, tf


def fixed_padding(inputs, kernel_size, rate=1):
  """Pads the two spatial axes so that 'VALID' gives the size of 'SAME', alike on both sides.

  Args:
    inputs: tensor [b, h, w, c].
    kernel_size: [height, width] of the kernel, or one integer for both.
    rate: dilation of the convolution that follows.

  Returns:
    A tensor [b, h + rate * (height - 1), w + rate * (width - 1), c].
  """
  paddings = [[0, 0]]
  for size in (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size:
    total = rate * (size - 1)
    paddings.append([total // 2, total - total // 2])
  return tf.pad(inputs, [*paddings, [0, 0]])


def make_divisible(value, divisor, min_value=None):
  """Rounds to a multiple of `divisor` that is at least `min_value` and 90 % of `value`."""
  rounded = max(min_value or divisor, int(value + divisor / 2) // divisor * divisor)
  return rounded + divisor if rounded < 0.9 * value else rounded


def split_divisible(total, num_ways, divisible_by=8):
  """Splits `total` into `num_ways` nearly equal multiples of `divisible_by`.

  Raises:
    ValueError: when `total` is no such multiple, or too small for that many parts.
  """
  units, remainder = divmod(total, divisible_by)
  if remainder or units < num_ways:
    raise ValueError(f'{total} cannot be split into {num_ways} multiples of {divisible_by}.')
  # Rounded up, so that earlier parts are the larger ones.
  ends = [-(-units * i // num_ways) for i in range(num_ways + 1)]
  return [divisible_by * (end - start) for start, end in zip(ends, ends[1:], strict=False)]


def expand_input_by_factor(factor, divisible_by=8):
  """Returns an `expansion_size`: the input's channels times `factor`, rounded to a multiple."""
  return lambda num_inputs, **_: make_divisible(num_inputs * factor, divisible_by)


def hard_sigmoid(inputs):
  """Returns a sigmoid of three straight lines, between 0 and 1, of a float tensor."""
  # The published weights were trained with a sixth of five digits.
  return tf.nn.relu6(inputs + 3.0) * 0.16667


def hard_swish(inputs):
  """Returns a float tensor times its hard sigmoid."""
  with tf.name_scope('hard_swish'):
    return inputs * tf.nn.relu6(inputs + 3.0) * (1 / 6)


def split_conv(input_tensor, num_outputs, num_ways, scope, divisible_by=8, **kwargs):
  """Builds a 1 x 1 convolution in groups, each of which sees its share of the channels only.

  Args:
    input_tensor: float tensor [b, h, w, c].
    num_outputs: channels of the output.
    num_ways: number of groups; where these would have fewer than `divisible_by` channels in or
      out, one convolution is built instead.
    scope: name of the convolution; groups are called 'SCOPE_part_0' and so on.
    divisible_by: what the channels of every group are a multiple of.
    **kwargs: other arguments of `slim.conv2d`.

  Returns:
    A tensor [b, h, w, num_outputs].
  """
  channels = input_tensor.shape.as_list()[3]
  if num_ways == 1 or min(channels, num_outputs) // num_ways < divisible_by:
    return slim.conv2d(input_tensor, num_outputs, [1, 1], scope=scope, **kwargs)
  parts = tf.split(
    input_tensor, split_divisible(channels, num_ways, divisible_by), axis=3, name=f'split_{scope}'
  )
  sizes = split_divisible(num_outputs, num_ways, divisible_by)
  outputs = []
  for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
    name = f'{scope}_part_{i}'
    output = slim.conv2d(part, size, [1, 1], scope=name, **kwargs)
    outputs.append(tf.identity(output, name=f'{name}_output'))
  return tf.concat(outputs, axis=3, name=f'{scope}_concat')
