"""PNASNet-5, in two sizes.

Paper: Liu, Zoph, Neumann, Shlens, Hua, Li, Fei-Fei, Yuille, Huang, Murphy, Progressive Neural
Architecture Search, https://arxiv.org/abs/1712.00559
"""

from nets import nasnet, nasnet_layers, nasnet_utils
from nets.hparams import HParams


def large_imagenet_config():
  """Returns the HParams of the large PNASNet-5."""
  return HParams(
    **nasnet_layers.COMMON_HPARAMS,
    stem_multiplier=3.0,
    num_conv_filters=216,
    num_cells=12,
    skip_reduction_layer_input=1,
    drop_path_keep_prob=0.6,
    dense_dropout_keep_prob=0.5,
    total_training_steps=250000,
  )


def mobile_imagenet_config():
  """Returns the HParams of the mobile PNASNet-5."""
  return HParams(
    **nasnet_layers.COMMON_HPARAMS,
    stem_multiplier=1.0,
    num_conv_filters=54,
    num_cells=9,
    skip_reduction_layer_input=1,
    drop_path_keep_prob=1.0,
    dense_dropout_keep_prob=0.5,
    total_training_steps=250000,
  )


def pnasnet_large_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
  """Returns the arg scope of the large PNASNet-5; arguments as `nasnet_cifar_arg_scope`."""
  return nasnet.nasnet_large_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def pnasnet_mobile_arg_scope(weight_decay=4e-5, batch_norm_decay=0.9997, batch_norm_epsilon=1e-3):
  """Returns the arg scope of the mobile PNASNet-5; arguments as `nasnet_cifar_arg_scope`."""
  return nasnet.nasnet_mobile_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


class PNasNetNormalCell(nasnet_utils.NasNetABaseCell):
  """The cell of PNASNet-5; arguments as `nasnet_utils.NasNetANormalCell`."""

  def __init__(self, num_conv_filters, *arguments, **named_arguments):
    super().__init__(
      num_conv_filters,
      [
        'separable_5x5_2',
        'max_pool_3x3',
        'separable_7x7_2',
        'max_pool_3x3',
        'separable_5x5_2',
        'separable_3x3_2',
        'separable_3x3_2',
        'max_pool_3x3',
        'separable_3x3_2',
        'none',
      ],
      [1, 1, 0, 0, 0, 0, 0],
      [1, 1, 0, 0, 0, 0, 4, 0, 1, 0],
      *arguments,
      **named_arguments,
    )


def build_pnasnet_large(images, num_classes, is_training=True, final_endpoint=None, config=None):
  """Builds the large PNASNet-5 for ImageNet.

  Args:
    images: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether there are an auxiliary head, drop path and dropout, and batch
      normalization uses the batch's statistics.
    final_endpoint: name of the last end point to build: 'Stem', 'Cell_0' and so on,
      'global_pool' or 'Logits'; None for all.
    config: HParams, None for `large_imagenet_config()`.

  Returns:
    Logits [b, num_classes] (or features [b, 4320], or the final end point), and a dict of end
    points.

  Raises:
    ValueError: when there is no such final end point.
  """
  return _build(images, num_classes, is_training, final_endpoint, config or large_imagenet_config())


build_pnasnet_large.default_image_size = 331


def build_pnasnet_mobile(images, num_classes, is_training=True, final_endpoint=None, config=None):
  """Builds the mobile PNASNet-5 for ImageNet, with features [b, 1080]; see `build_pnasnet_large`.

  Its `config` is `mobile_imagenet_config()` by default.
  """
  return _build(
    images, num_classes, is_training, final_endpoint, config or mobile_imagenet_config()
  )


build_pnasnet_mobile.default_image_size = 224


def _build(images, num_classes, is_training, final_endpoint, config):
  def layers(images, config):
    cell = PNasNetNormalCell(
      *nasnet_layers.cell_arguments(config, config.num_cells + nasnet_layers.NUM_STEM_CELLS)
    )
    reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
    outputs = nasnet_layers.imagenet_stem(images, config, cell)
    yield 'Stem', outputs[-1]
    filter_scaling = 1.0
    for i in range(config.num_cells):
      stride, prev_layer = 1, outputs[-2]
      if i in reductions:
        stride = 2
        filter_scaling *= config.filter_scaling_rate
        if not config.skip_reduction_layer_input:
          prev_layer = outputs[-3]
      net = cell(outputs[-1], f'cell_{i}', filter_scaling, stride, prev_layer, len(outputs) - 2)
      yield f'Cell_{i}', net
      outputs.append(net)
      if nasnet_layers.has_aux_head(i, reductions, config, num_classes, is_training):
        yield 'AuxLogits', nasnet_layers.aux_head(net, num_classes, config, f'aux_{i}')
    yield from nasnet_layers.final_layer(outputs[-1], num_classes, config)

  return nasnet_layers.build_layers(layers, images, is_training, final_endpoint, config)
