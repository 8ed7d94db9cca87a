"""NASNet-A, in three sizes.

Paper: Zoph, Vasudevan, Shlens, Le, Learning Transferable Architectures for Scalable Image
Recognition, https://arxiv.org/abs/1707.07012
"""

from nets import nasnet_layers, nasnet_utils
from nets.batch_norm import batch_norm
from nets.hparams import HParams
from slim_compat import slim


def cifar_config():
  """Returns the HParams of NASNet-A for CIFAR."""
  return HParams(
    **nasnet_layers.COMMON_HPARAMS,
    stem_multiplier=3.0,
    num_conv_filters=32,
    num_cells=18,
    skip_reduction_layer_input=0,
    drop_path_keep_prob=0.6,
    dense_dropout_keep_prob=1.0,
    total_training_steps=937500,
  )


def mobile_imagenet_config():
  """Returns the HParams of NASNet-A (4 @ 1056)."""
  return HParams(
    **nasnet_layers.COMMON_HPARAMS,
    stem_multiplier=1.0,
    num_conv_filters=44,
    num_cells=12,
    skip_reduction_layer_input=0,
    drop_path_keep_prob=1.0,
    dense_dropout_keep_prob=0.5,
    total_training_steps=250000,
  )


def large_imagenet_config():
  """Returns the HParams of NASNet-A (6 @ 4032)."""
  return HParams(
    **nasnet_layers.COMMON_HPARAMS,
    stem_multiplier=3.0,
    num_conv_filters=168,
    num_cells=18,
    skip_reduction_layer_input=1,
    drop_path_keep_prob=0.7,
    dense_dropout_keep_prob=0.5,
    total_training_steps=250000,
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
    images,
    num_classes,
    is_training,
    final_endpoint,
    config,
    current_step,
    nasnet_layers.imagenet_stem,
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
    images,
    num_classes,
    is_training,
    final_endpoint,
    config,
    current_step,
    nasnet_layers.imagenet_stem,
  )


build_nasnet_large.default_image_size = 331


def _build(images, num_classes, is_training, final_endpoint, config, current_step, stem):
  """Builds a NASNet from its configuration and `stem`, one of the two functions of that name."""
  num_stem_cells = 0 if stem is _cifar_stem else nasnet_layers.NUM_STEM_CELLS
  total_num_cells = num_stem_cells + config.num_cells + config.num_reduction_layers

  def layers(images, config):
    arguments = nasnet_layers.cell_arguments(config, total_num_cells)
    normal_cell = nasnet_utils.NasNetANormalCell(*arguments)
    reduction_cell = nasnet_utils.NasNetAReductionCell(*arguments)
    reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
    outputs = stem(images, config, reduction_cell, current_step)

    def add(cell, *arguments):
      outputs.append(cell(outputs[-1], *arguments, len(outputs) - 2, current_step))

    yield 'Stem', outputs[-1]
    filter_scaling = 1.0
    for i in range(config.num_cells):
      prev_layer = outputs[-2]
      if i in reductions:
        number = reductions.index(i)
        filter_scaling *= config.filter_scaling_rate
        add(reduction_cell, f'reduction_cell_{number}', filter_scaling, 2, outputs[-2])
        yield f'Reduction_Cell_{number}', outputs[-1]
      if not config.skip_reduction_layer_input:
        prev_layer = outputs[-2]
      add(normal_cell, f'cell_{i}', filter_scaling, 1, prev_layer)
      yield f'Cell_{i}', outputs[-1]
      if nasnet_layers.has_aux_head(i, reductions, config, num_classes, is_training):
        yield 'AuxLogits', nasnet_layers.aux_head(outputs[-1], num_classes, config, f'aux_{i}')
    yield from nasnet_layers.final_layer(outputs[-1], num_classes, config)

  return nasnet_layers.build_layers(layers, images, is_training, final_endpoint, config)


def _cifar_stem(images, config, *_):
  """Builds a convolution; returns None and its output, as `nasnet_layers.imagenet_stem` does."""
  filters = int(config.num_conv_filters * config.stem_multiplier)
  net = slim.conv2d(images, filters, 3, scope='l1_stem_3x3')
  return [None, batch_norm(net, scope='l1_stem_bn')]
