"""NASNet-A, in three sizes.

Paper: Zoph, Vasudevan, Shlens, Le, Learning Transferable Architectures for Scalable Image
Recognition, https://arxiv.org/abs/1707.07012
"""

import copy

from nets import nasnet_utils
from nets.batch_norm import batch_norm
from nets.hparams import HParams
from slim_compat import slim, tf

_NUM_STEM_CELLS = 2  # of the nets for ImageNet


def cifar_config():
  """Returns the HParams of NASNet-A for CIFAR."""
  return HParams(
    stem_multiplier=3.0,
    drop_path_keep_prob=0.6,
    num_cells=18,
    use_aux_head=1,
    num_conv_filters=32,
    dense_dropout_keep_prob=1.0,
    filter_scaling_rate=2.0,
    num_reduction_layers=2,
    data_format='NHWC',
    skip_reduction_layer_input=0,
    total_training_steps=937500,  # 600 epochs in batches of 32
    use_bounded_activation=False,
  )


def mobile_imagenet_config():
  """Returns the HParams of NASNet-A (4 @ 1056)."""
  return HParams(
    stem_multiplier=1.0,
    drop_path_keep_prob=1.0,
    num_cells=12,
    use_aux_head=1,
    num_conv_filters=44,
    dense_dropout_keep_prob=0.5,
    filter_scaling_rate=2.0,
    num_reduction_layers=2,
    data_format='NHWC',
    skip_reduction_layer_input=0,
    total_training_steps=250000,
    use_bounded_activation=False,
  )


def large_imagenet_config():
  """Returns the HParams of NASNet-A (6 @ 4032)."""
  return HParams(
    stem_multiplier=3.0,
    drop_path_keep_prob=0.7,
    num_cells=18,
    use_aux_head=1,
    num_conv_filters=168,
    dense_dropout_keep_prob=0.5,
    filter_scaling_rate=2.0,
    num_reduction_layers=2,
    data_format='NHWC',
    skip_reduction_layer_input=1,
    total_training_steps=250000,
    use_bounded_activation=False,
  )


def nasnet_cifar_arg_scope(weight_decay=5e-4, batch_norm_decay=0.9, batch_norm_epsilon=1e-5):
  """Returns the arg scope of NASNet-A for CIFAR.

  Args:
    weight_decay: strength of the L2 regularization of all weights.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
  """
  with (
    slim.arg_scope(
      [slim.fully_connected, slim.conv2d, slim.separable_conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT'),
      activation_fn=None,
    ),
    slim.arg_scope([slim.conv2d, slim.separable_conv2d], biases_initializer=None),
    slim.arg_scope(
      [slim.batch_norm], decay=batch_norm_decay, epsilon=batch_norm_epsilon, scale=True, fused=True
    ) as arg_scope,
  ):
    return arg_scope


def nasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
  """Returns the arg scope of the mobile NASNet-A; arguments as `nasnet_cifar_arg_scope`."""
  return nasnet_cifar_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_large_arg_scope(weight_decay=5e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
  """Returns the arg scope of the large NASNet-A; arguments as `nasnet_cifar_arg_scope`."""
  return nasnet_cifar_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def build_nasnet_cifar(images, num_classes, is_training=True, config=None, current_step=None):
  """Builds NASNet-A for CIFAR.

  Args:
    images: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether there are an auxiliary head, drop path and dropout, and batch
      normalization uses the batch's statistics.
    config: HParams, None for `cifar_config()`.
    current_step: scalar, the step of the training, by which paths are dropped more and more
      often; None for the graph's global step.

  Returns:
    Logits [b, num_classes] (or features [b, 768]), and a dict of end points.
  """
  config = config or cifar_config()
  return _build(images, num_classes, is_training, None, config, current_step, _cifar_stem)


build_nasnet_cifar.default_image_size = 32


def build_nasnet_mobile(
  images, num_classes, is_training=True, final_endpoint=None, config=None, current_step=None
):
  """Builds the mobile NASNet-A for ImageNet.

  Args:
    images: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether there are an auxiliary head, drop path and dropout, and batch
      normalization uses the batch's statistics.
    final_endpoint: name of the last end point to build: 'Stem', 'Cell_0' and so on,
      'Reduction_Cell_0' and so on, 'global_pool' or 'Logits'; None for all.
    config: HParams, None for `mobile_imagenet_config()`.
    current_step: scalar, the step of the training, by which paths are dropped more and more
      often; None for the graph's global step.

  Returns:
    Logits [b, num_classes] (or features [b, 1056], or the final end point), and a dict of end
    points.

  Raises:
    ValueError: when there is no such final end point.
  """
  config = config or mobile_imagenet_config()
  return _build(
    images, num_classes, is_training, final_endpoint, config, current_step, imagenet_stem
  )


build_nasnet_mobile.default_image_size = 224


def build_nasnet_large(
  images, num_classes, is_training=True, final_endpoint=None, config=None, current_step=None
):
  """Builds the large NASNet-A for ImageNet, with features [b, 4032]; see `build_nasnet_mobile`.

  Its `config` is `large_imagenet_config()` by default.
  """
  config = config or large_imagenet_config()
  return _build(
    images, num_classes, is_training, final_endpoint, config, current_step, imagenet_stem
  )


build_nasnet_large.default_image_size = 331


def _build(images, num_classes, is_training, final_endpoint, config, current_step, stem):
  """Builds a NASNet from its configuration and `stem`, one of the two functions of that name."""
  num_stem_cells = _NUM_STEM_CELLS if stem is imagenet_stem else 0

  def layers(images, config):
    # research/slim counts the two reductions also where a configuration has more or fewer.
    arguments = cell_arguments(config, config.num_cells + 2 + num_stem_cells)
    normal_cell = nasnet_utils.NasNetANormalCell(*arguments)
    reduction_cell = nasnet_utils.NasNetAReductionCell(*arguments)
    reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
    outputs = stem(images, config, reduction_cell, current_step)
    yield 'Stem', outputs[-1]
    filter_scaling, true_cell_num = 1.0, num_stem_cells
    for i in range(config.num_cells):
      prev_layer = outputs[-2]
      if i in reductions:
        number = reductions.index(i)
        filter_scaling *= config.filter_scaling_rate
        net = reduction_cell(
          outputs[-1],
          f'reduction_cell_{number}',
          filter_scaling,
          2,
          outputs[-2],
          true_cell_num,
          current_step,
        )
        yield f'Reduction_Cell_{number}', net
        true_cell_num += 1
        outputs.append(net)
      if not config.skip_reduction_layer_input:
        prev_layer = outputs[-2]
      net = normal_cell(
        outputs[-1], f'cell_{i}', filter_scaling, 1, prev_layer, true_cell_num, current_step
      )
      yield f'Cell_{i}', net
      true_cell_num += 1
      outputs.append(net)
      if has_aux_head(i, reductions, config, num_classes, is_training):
        yield 'AuxLogits', aux_head(net, num_classes, config, f'aux_{i}')
    yield from final_layer(outputs[-1], num_classes, config)

  return build_layers(layers, images, is_training, final_endpoint, config)


def cell_arguments(config, total_num_cells):
  """Returns the arguments of a cell's constructor, by a network's configuration."""
  return (
    config.num_conv_filters,
    config.drop_path_keep_prob,
    total_num_cells,
    config.total_training_steps,
    config.use_bounded_activation,
  )


def build_layers(layers, images, is_training, final_endpoint, config):
  """Builds the layers of a network one by one, to the last or to the one that is wanted.

  Args:
    layers: generator function of (images, config) that yields a name and a tensor for each end
      point as soon as it is built.
    images: float32 [b, h, w, c].
    is_training: whether drop path and dropout are active and batch normalization uses the batch's
      statistics.
    final_endpoint: name of the last end point, None for all.
    config: HParams, which stay as they are.

  Returns:
    The last end point beside 'AuxLogits' and 'Predictions', and a dict of all.

  Raises:
    ValueError: when there is no such final end point.
  """
  if not is_training:
    config = copy.copy(config)
    config.set_hparam('drop_path_keep_prob', 1.0)
  if config.data_format == 'NCHW':
    images = tf.transpose(images, [0, 3, 1, 2])
  end_points = {}
  with (
    slim.arg_scope(
      [slim.dropout, nasnet_utils.drop_path, slim.batch_norm], is_training=is_training
    ),
    slim.arg_scope(
      [
        slim.avg_pool2d,
        slim.max_pool2d,
        slim.conv2d,
        slim.batch_norm,
        slim.separable_conv2d,
        nasnet_utils.factorized_reduction,
        nasnet_utils.global_avg_pool,
        nasnet_utils.get_channel_index,
        nasnet_utils.get_channel_dim,
      ],
      data_format=config.data_format,
    ),
  ):
    for name, tensor in layers(images, config):
      end_points[name] = tensor
      if name not in ('AuxLogits', 'Predictions'):
        net = tensor
      if name == final_endpoint:
        return net, end_points
  if final_endpoint is not None:
    raise ValueError(f'No end point {final_endpoint!r}; there are {", ".join(end_points)}.')
  return net, end_points


def _cifar_stem(images, config, *_):
  """Builds a convolution; returns the outputs of the last two layers, of which one is None."""
  filters = int(config.num_conv_filters * config.stem_multiplier)
  net = slim.conv2d(images, filters, 3, scope='l1_stem_3x3')
  return [None, batch_norm(net, scope='l1_stem_bn')]


def imagenet_stem(images, config, stem_cell, current_step=None):
  """Builds a convolution and two cells that make an eighth of the image's height and width.

  Args:
    images: float32 of rank 4.
    config: HParams.
    stem_cell: nasnet_utils.NasNetABaseCell.
    current_step: scalar, the step of the training; None for the graph's global step.

  Returns:
    The outputs of all layers, the first of which is None.
  """
  filters = int(32 * config.stem_multiplier)
  net = slim.conv2d(images, filters, 3, stride=2, padding='VALID', scope='conv0')
  outputs = [None, batch_norm(net, scope='conv0_bn')]
  for i in range(_NUM_STEM_CELLS):
    filter_scaling = config.filter_scaling_rate ** (i - _NUM_STEM_CELLS)
    outputs.append(
      stem_cell(outputs[-1], f'cell_stem_{i}', filter_scaling, 2, outputs[-2], i, current_step)
    )
  return outputs


def has_aux_head(cell_num, reductions, config, num_classes, is_training):
  """Tells whether the auxiliary head reads this cell: the last one before the second reduction."""
  wanted = is_training and num_classes and config.use_aux_head
  return bool(wanted and len(reductions) > 1 and cell_num == reductions[1] - 1)


def aux_head(net, num_classes, config, scope):
  """Builds the auxiliary head on a cell's output of rank 4; returns logits [b, num_classes]."""
  activation = nasnet_utils.activation(config.use_bounded_activation)
  with tf.variable_scope(scope):
    net = activation(net)
    with tf.variable_scope('aux_logits'):
      net = slim.avg_pool2d(net, 5, stride=3, padding='VALID')
      net = slim.conv2d(net, 128, 1, scope='proj')
      net = activation(batch_norm(net, scope='aux_bn0'))
      height_width = net.shape[2:] if config.data_format == 'NCHW' else net.shape[1:3]
      net = slim.conv2d(net, 768, height_width.as_list(), padding='VALID')
      net = activation(batch_norm(net, scope='aux_bn1'))
      return slim.fully_connected(slim.flatten(net), num_classes, scope='FC')


def final_layer(net, num_classes, config):
  """Builds pooling, dropout, logits and predictions; yields a name and a tensor for each."""
  with tf.variable_scope('final_layer'):
    net = nasnet_utils.activation(config.use_bounded_activation)(net)
    net = nasnet_utils.global_avg_pool(net)
    yield 'global_pool', net
    if not num_classes:
      return
    net = slim.dropout(net, config.dense_dropout_keep_prob, scope='dropout')
    logits = slim.fully_connected(net, num_classes, scope='FC')
    yield 'Logits', logits
    yield 'Predictions', tf.nn.softmax(logits, name='predictions')
