"""What the NASNets and PNASNets share around their cells: stem, auxiliary head and final layer.

Papers: Zoph, Vasudevan, Shlens, Le, Learning Transferable Architectures for Scalable Image
Recognition, https://arxiv.org/abs/1707.07012; Liu et al., Progressive Neural Architecture Search,
https://arxiv.org/abs/1712.00559
"""

import contextlib
import copy

from nets import nasnet_utils
from nets.batch_norm import batch_norm
from nets.dropout import dropout
from slim_compat import slim, tf

NUM_STEM_CELLS = 2  # of the networks for ImageNet
COMMON_HPARAMS = {
  'filter_scaling_rate': 2.0,  # factor on the channels wherever the map is halved
  'num_reduction_layers': 2,
  'use_aux_head': 1,
  'use_bounded_activation': False,
  'data_format': 'NHWC',
}


def cell_arguments(config, total_num_cells):
  """Returns the arguments of a cell's constructor, by a network's configuration."""
  return (
    config.num_conv_filters,
    config.drop_path_keep_prob,
    total_num_cells,
    config.total_training_steps,
    config.use_bounded_activation,
  )


@slim.add_arg_scope
def build_layers(
  layers,
  images,
  is_training,
  final_endpoint,
  config,
  drop_path_keep_prob=None,
  drop_path_steps=None,
):
  """Builds the layers of a network one by one, to the last or to the one that is wanted.

  Args:
    layers: generator function of (images, config) that yields a name and a tensor for each end
      point as soon as it is built.
    images: float32 [b, h, w, c].
    is_training: whether drop path and dropout are active and batch normalization uses the batch's
      statistics.
    final_endpoint: name of the last end point, None for all.
    config: HParams, which stay as they are.
    drop_path_keep_prob: share of the paths kept in the last cell, None for that of `config`.
    drop_path_steps: steps over which it is reached, None for those of `config`.

  Returns:
    The last end point beside 'AuxLogits' and 'Predictions', and a dict of all.

  Raises:
    ValueError: when there is no such final end point.
  """
  config = copy.copy(config)
  if not is_training:
    drop_path_keep_prob = 1.0
  if drop_path_keep_prob is not None:
    config.set_hparam('drop_path_keep_prob', drop_path_keep_prob)
  if drop_path_steps is not None:
    config.set_hparam('total_training_steps', drop_path_steps)
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
    contextlib.closing(layers(images, config)) as built,
  ):
    for name, tensor in built:
      end_points[name] = tensor
      if name not in ('AuxLogits', 'Predictions'):
        net = tensor
      if name == final_endpoint:
        return net, end_points
  if final_endpoint is not None:
    raise ValueError(f'No end point {final_endpoint!r}; there are {", ".join(end_points)}.')
  return net, end_points


def imagenet_stem(images, config, stem_cell, current_step=None):
  """Builds a convolution and two cells that make an eighth of the image's height and width.

  Args:
    images: float32 of rank 4.
    config: HParams.
    stem_cell: nasnet_utils.NasNetABaseCell.
    current_step: scalar, the step of the training; None for the graph's global step.

  Returns:
    A list: None, and the outputs of the convolution and of the cells. To it the network appends
    those of its own cells, so that the number of the next cell is its length less two.
  """
  filters = int(32 * config.stem_multiplier)
  net = slim.conv2d(images, filters, 3, stride=2, padding='VALID', scope='conv0')
  outputs = [None, batch_norm(net, scope='conv0_bn')]
  for i in range(NUM_STEM_CELLS):
    filter_scaling = config.filter_scaling_rate ** (i - NUM_STEM_CELLS)
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
    net = dropout(net, config.dense_dropout_keep_prob, scope='dropout')
    logits = slim.fully_connected(net, num_classes, scope='FC')
    yield 'Logits', logits
    yield 'Predictions', tf.nn.softmax(logits, name='predictions')
