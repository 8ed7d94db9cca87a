"""The cells of the NASNets and PNASNets, and the layers they are made of.

Papers: Zoph, Vasudevan, Shlens, Le, Learning Transferable Architectures for Scalable Image
Recognition, https://arxiv.org/abs/1707.07012; drop path: Larsson, Maire, Shakhnarovich, FractalNet:
Ultra-Deep Neural Networks without Residuals, https://arxiv.org/abs/1605.07648
"""

from nets.batch_norm import batch_norm
from nets.dropout import seed_of_step
from slim_compat import slim, tf

# With bounded activations nothing leaves [-6, 6], which suits quantization.
_BOUND = 6.0


def activation(use_bounded_activation):
  """Returns ReLU6 or ReLU."""
  return tf.nn.relu6 if use_bounded_activation else tf.nn.relu


def calc_reduction_layers(num_cells, num_reduction_layers):
  """Returns the numbers of the cells before (NASNet) or at (PNASNet) which the map is halved."""
  return [
    int(pool / (num_reduction_layers + 1) * num_cells)
    for pool in range(1, num_reduction_layers + 1)
  ]


@slim.add_arg_scope
def get_channel_index(data_format='NHWC'):
  """Returns the axis of the channels, for the data format 'NHWC' or 'NCHW'."""
  return data_format.index('C')


@slim.add_arg_scope
def get_channel_dim(shape, data_format='NHWC'):
  """Returns how many channels a shape of rank 4 has."""
  return int(shape[data_format.index('C')])


def _spatial_axes(data_format):
  return [data_format.index('H'), data_format.index('W')]


@slim.add_arg_scope
def global_avg_pool(x, data_format='NHWC'):
  """Averages a tensor of rank 4 over its spatial axes, to [b, c]."""
  return tf.reduce_mean(x, _spatial_axes(data_format))


@slim.add_arg_scope
def factorized_reduction(net, output_filters, stride, data_format='NHWC'):
  """Changes the number of channels, and halves a map without losing every other pixel.

  Args:
    net: float32 of rank 4.
    output_filters: channels of the output.
    stride: 1, or 2 to concatenate the even pixels with the odd ones.
    data_format: 'NHWC' or 'NCHW'.

  Returns:
    float32 of rank 4 with the two spatial axes divided by the stride, rounded up.
  """
  if stride == 1:
    net = slim.conv2d(net, output_filters, 1, scope='path_conv')
    return batch_norm(net, scope='path_bn')
  spatial_axes = _spatial_axes(data_format)
  strides = [stride if axis in spatial_axes else 1 for axis in range(4)]
  # The second path is moved one pixel down and right, over zeros.
  paddings = [[0, int(axis in spatial_axes)] for axis in range(4)]
  begin = [low_high[1] for low_high in paddings]
  moved = tf.strided_slice(tf.pad(net, paddings), begin, [0] * 4, end_mask=0b1111)
  paths = []
  half = output_filters // 2
  for i, (path, filters) in enumerate([(net, half), (moved, output_filters - half)], 1):
    path = tf.nn.avg_pool2d(path, 1, strides, 'VALID', data_format=data_format)
    paths.append(slim.conv2d(path, filters, 1, scope=f'path{i}_conv'))
  net = tf.concat(paths, data_format.index('C'))
  return batch_norm(net, scope='final_path_bn')


def _noise(net):
  """Returns random numbers [b, 1, 1, 1] in [0, 1), one an example, the same in a resumed run."""
  shape = tf.stack([tf.shape(net)[0], 1, 1, 1])
  seed = seed_of_step(net.op.name)
  return tf.random.uniform(shape) if seed is None else tf.random.stateless_uniform(shape, seed)


@slim.add_arg_scope
def drop_path(net, keep_prob, is_training=True):
  """Sets whole examples to zero at random, and scales the others so that the mean stays.

  Args:
    net: float tensor of rank 4.
    keep_prob: share of the examples that are kept, a number or a scalar tensor.
    is_training: whether anything is dropped at all.

  Returns:
    A tensor like `net`.
  """
  if not is_training:
    return net
  kept = tf.cast(tf.floor(keep_prob + _noise(net)), net.dtype)
  return net * tf.cast(1.0 / keep_prob, net.dtype) * kept


class NasNetABaseCell:
  """A cell: five times two earlier states are each put through an operation and added up.

  Args:
    num_conv_filters: channels of a state before scaling.
    operations: ten names of operations: left and right of every sum. 'separable_5x5_2' is two
      separable convolutions of 5 x 5 pixels, 'avg_pool_3x3' and 'max_pool_3x3' are poolings, 'none'
      changes nothing but what has to change for the sum.
    used_hiddenstates: for each of the two inputs and five sums, whether another operation reads
      it; the others make up the output.
    hiddenstate_indices: ten indices of the states the operations read: 0 the cell's input, 1 the
      input of the cell before, 2 to 6 the sums.
    drop_path_keep_prob: share of the paths that drop path keeps in the last cell at the end of the
      training, 1 for all.
    total_num_cells: number of cells of the network, those of the stem and the reductions included.
    total_training_steps: steps over which paths are dropped more and more often.
    use_bounded_activation: whether all values are held in [-6, 6].
  """

  def __init__(
    self,
    num_conv_filters,
    operations,
    used_hiddenstates,
    hiddenstate_indices,
    drop_path_keep_prob,
    total_num_cells,
    total_training_steps,
    use_bounded_activation=False,
  ):
    self._num_conv_filters = num_conv_filters
    self._sides = list(zip(operations, hiddenstate_indices, strict=True))
    self._used_hiddenstates = used_hiddenstates
    self._drop_path_keep_prob = drop_path_keep_prob
    self._total_num_cells = total_num_cells
    self._total_training_steps = total_training_steps
    self._use_bounded_activation = use_bounded_activation
    self._activation = activation(use_bounded_activation)

  def __call__(
    self,
    net,
    scope=None,
    filter_scaling=1,
    stride=1,
    prev_layer=None,
    cell_num=-1,
    current_step=None,
  ):
    """Builds the cell.

    Args:
      net: float32 of rank 4, the output of the cell before.
      scope: variable scope.
      filter_scaling: factor on the channels.
      stride: 2 for a cell that halves the map.
      prev_layer: the output of the cell before that, None where there is none.
      cell_num: number of the cell in the network, from 0; paths are dropped the more often the
        later the cell.
      current_step: scalar, the step of the training; None for the graph's global step.

    Returns:
      float32 of rank 4.
    """
    filters = int(self._num_conv_filters * filter_scaling)
    with tf.variable_scope(scope):
      prev_layer = self._match(prev_layer, net, filters)
      net = slim.conv2d(self._activation(net), filters, 1, scope='1x1')
      states = [batch_norm(net, scope='beginning_bn'), prev_layer]
      for i in range(0, len(self._sides), 2):
        with tf.variable_scope(f'comb_iter_{i // 2}'):
          terms = []
          for side, (operation, index) in zip(
            ('left', 'right'), self._sides[i : i + 2], strict=True
          ):
            with tf.variable_scope(side):
              # The sums have been halved already.
              side_stride = stride if index < 2 else 1
              term = self._operate(states[index], operation, side_stride, filters)
              if operation != 'none':
                term = self._drop_path(term, cell_num, current_step)
              terms.append(term)
          with tf.variable_scope('combine'):
            total = terms[0] + terms[1]
            states.append(tf.nn.relu6(total) if self._use_bounded_activation else total)
      with tf.variable_scope('cell_output'):
        return self._combine_unused(states)

  def _match(self, prev_layer, net, filters):
    """Gives the output of the cell before the last the shape that the cell's states have."""
    if prev_layer is None:
      return net
    if prev_layer.shape[2] != net.shape[2]:
      return factorized_reduction(self._activation(prev_layer), filters, stride=2)
    if get_channel_dim(prev_layer.shape) != filters:
      prev_layer = slim.conv2d(self._activation(prev_layer), filters, 1, scope='prev_1x1')
      prev_layer = batch_norm(prev_layer, scope='prev_bn')
    return prev_layer

  def _operate(self, net, operation, stride, filters):
    """Applies an operation by its name; the result has `filters` channels."""
    if operation.startswith('separable'):
      return self._bounded(self._separable(net, operation, stride, filters))
    has_filters = get_channel_dim(net.shape) == filters
    if operation == 'none':
      if self._use_bounded_activation:
        net = tf.nn.relu6(net)
      if stride == 1 and has_filters:
        return net
      if not self._use_bounded_activation:
        net = tf.nn.relu(net)
      return self._bounded(self._project(net, filters, stride))
    if self._use_bounded_activation:
      net = tf.nn.relu6(net)
    pool = {'avg_pool_3x3': slim.avg_pool2d, 'max_pool_3x3': slim.max_pool2d}[operation]
    net = pool(net, 3, stride, padding='SAME')
    return self._bounded(net if has_filters else self._project(net, filters, 1))

  def _separable(self, net, operation, stride, filters):
    """Applies 'separable_KxK_N': N separable convolutions, each after its activation."""
    kernel, layers = operation.split('_')[1:]
    for layer in range(1, int(layers) + 1):
      net = slim.separable_conv2d(
        self._activation(net),
        filters,
        int(kernel.split('x')[0]),
        depth_multiplier=1,
        stride=stride if layer == 1 else 1,
        scope=f'separable_{kernel}_{layer}',
      )
      net = batch_norm(net, scope=f'bn_sep_{kernel}_{layer}')
    return net

  def _project(self, net, filters, stride):
    return batch_norm(slim.conv2d(net, filters, 1, stride=stride, scope='1x1'), scope='bn_1')

  def _bounded(self, net):
    return tf.clip_by_value(net, -_BOUND, _BOUND) if self._use_bounded_activation else net

  def _drop_path(self, net, cell_num, current_step):
    """Drops paths, more often the later the cell and the further the training has come."""
    if self._drop_path_keep_prob >= 1:
      return net
    if current_step is None:
      current_step = tf.train.get_or_create_global_step()
    drop_prob = (1 - self._drop_path_keep_prob) * (cell_num + 1) / self._total_num_cells
    progress = tf.cast(current_step, tf.float32) / self._total_training_steps
    return drop_path(net, 1 - tf.minimum(progress, 1.0) * drop_prob)

  def _combine_unused(self, states):
    """Concatenates the states that nothing has read, all with the shape of the last."""
    size, filters = states[-1].shape[2], get_channel_dim(states[-1].shape)
    combined = []
    for i, (state, is_used) in enumerate(zip(states, self._used_hiddenstates, strict=True)):
      if is_used:
        continue
      has_size = state.shape[2] == size
      if not has_size or get_channel_dim(state.shape) != filters:
        with tf.variable_scope(f'reduction_{i}'):
          state = factorized_reduction(state, filters, 1 if has_size else 2)
      combined.append(state)
    return tf.concat(combined, get_channel_index())


class NasNetANormalCell(NasNetABaseCell):
  """The cell of NASNet-A that keeps the size of the map.

  Its arguments are those of `NasNetABaseCell` without operations and states.
  """

  def __init__(self, num_conv_filters, *arguments, **named_arguments):
    super().__init__(
      num_conv_filters,
      [
        'separable_5x5_2',
        'separable_3x3_2',
        'separable_5x5_2',
        'separable_3x3_2',
        'avg_pool_3x3',
        'none',
        'avg_pool_3x3',
        'avg_pool_3x3',
        'separable_3x3_2',
        'none',
      ],
      [1, 0, 0, 0, 0, 0, 0],
      [0, 1, 1, 1, 0, 1, 1, 1, 0, 0],
      *arguments,
      **named_arguments,
    )


class NasNetAReductionCell(NasNetABaseCell):
  """The cell of NASNet-A that halves the map; arguments as `NasNetANormalCell`."""

  def __init__(self, num_conv_filters, *arguments, **named_arguments):
    super().__init__(
      num_conv_filters,
      [
        'separable_5x5_2',
        'separable_7x7_2',
        'max_pool_3x3',
        'separable_7x7_2',
        'avg_pool_3x3',
        'separable_5x5_2',
        'none',
        'avg_pool_3x3',
        'separable_3x3_2',
        'max_pool_3x3',
      ],
      [1, 1, 1, 0, 0, 0, 0],
      [0, 1, 0, 1, 0, 1, 3, 2, 2, 0],
      *arguments,
      **named_arguments,
    )
