"""What both versions of ResNet share: blocks, the root, the head and the arg scope."""

import contextlib

from nets import slim_bodies
from nets.batch_norm import batch_norm
from slim_compat import slim, tf

Block = slim_bodies.resnet_utils.Block
conv2d_same = slim_bodies.resnet_utils.conv2d_same
subsample = slim_bodies.resnet_utils.subsample


@slim.add_arg_scope
def stack_blocks_dense(
  net, blocks, output_stride=None, store_non_strided_activations=False, outputs_collections=None
):
  """Builds blocks one after another, with dilation once the output stride is reached.

  Args:
    net: float32 [b, h, w, c].
    blocks: list of Block.
    output_stride: ratio of `net` and the result: a product of the first few strides of the
      units; None for the product of all.
    store_non_strided_activations: whether a block is collected before its last unit's stride,
      which then subsamples the block's output; the result is the same.
    outputs_collections: collection that receives the output of every block.

  Returns:
    float32 [b, h / stride, w / stride, c'].

  Raises:
    ValueError: when the output stride cannot be reached.
  """
  stride, rate = 1, 1  # reached so far; what dilation stands for beyond it

  def step(unit_stride):
    """Returns the stride and the rate of the next unit, and goes past it."""
    nonlocal stride, rate
    if stride == output_stride:
      dense = (1, rate)
      rate *= unit_stride
      return dense
    stride *= unit_stride
    if output_stride is not None and stride > output_stride:
      raise ValueError(f'The target output_stride {output_stride} cannot be reached.')
    return unit_stride, 1

  for block in blocks:
    with tf.variable_scope(block.scope, 'block', [net]) as sc:
      last_stride = 1
      for i, unit in enumerate(block.args, 1):
        unit_stride = unit.get('stride', 1)
        if store_non_strided_activations and i == len(block.args):
          last_stride, unit_stride = unit_stride, 1
        with tf.variable_scope(f'unit_{i}', values=[net]):
          unit_stride, unit_rate = step(unit_stride)
          net = block.unit_fn(net, rate=unit_rate, **{**unit, 'stride': unit_stride})
      net = slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
      net = subsample(net, step(last_stride)[0])
  if output_stride is not None and stride != output_stride:
    raise ValueError(f'The target output_stride {output_stride} cannot be reached.')
  return net


def training_scope(is_training):
  """Returns the arg scope that tells batch normalization, None for leaving it as it is set."""
  if is_training is None:
    return contextlib.nullcontext()
  return slim.arg_scope([slim.batch_norm], is_training=is_training)


def bottleneck_block(unit_fn, scope, base_depth, num_units, stride):
  """Returns a Block of `num_units` bottleneck units, the last of which has the stride.

  Args:
    unit_fn: function that builds a unit.
    scope: variable scope of the block.
    base_depth: channels of the bottleneck; the units put out four times as many.
    num_units: number of units.
    stride: stride of the last unit; the others have 1.
  """
  strides = [1] * (num_units - 1) + [stride]
  units = [
    {'depth': base_depth * 4, 'depth_bottleneck': base_depth, 'stride': unit_stride}
    for unit_stride in strides
  ]
  return Block(scope, unit_fn, units)


def root_and_blocks(
  inputs,
  blocks,
  output_stride,
  include_root_block,
  store_non_strided_activations=False,
  **conv1_arguments,
):
  """Builds the 7 x 7 convolution and the pooling of the root, then the blocks.

  Args:
    inputs: float32 [b, h, w, c].
    blocks: list of Block.
    output_stride: ratio of image and feature map, None for the blocks' own (32 with a root).
    include_root_block: whether the root is built; without it the blocks read `inputs`.
    store_non_strided_activations: as for `stack_blocks_dense`.
    **conv1_arguments: arg scope of the root's convolution.

  Returns:
    The feature map, float32 [b, h / stride, w / stride, c].

  Raises:
    ValueError: when the output stride cannot be reached.
  """
  net = inputs
  if include_root_block:
    if output_stride is not None:
      if output_stride % 4:
        raise ValueError(f'output_stride {output_stride} is not a multiple of 4.')
      output_stride //= 4  # the root's own stride
    with slim.arg_scope([slim.conv2d], **conv1_arguments):
      net = conv2d_same(net, 64, 7, stride=2, scope='conv1')
    net = slim.max_pool2d(net, [3, 3], stride=2, scope='pool1')
  return stack_blocks_dense(net, blocks, output_stride, store_non_strided_activations)


def head(net, end_points, scope, num_classes, global_pool, spatial_squeeze):
  """Adds pooling, logits and predictions to a feature map and to the end points.

  Args:
    net: float32 [b, h, w, c], the last feature map.
    end_points: dict of the end points so far; receives the new ones.
    scope: name of the network's variable scope.
    num_classes: number of classes; 0 or None stops after the pooling.
    global_pool: whether the feature map is averaged over its spatial axes.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.

  Returns:
    Logits [b, num_classes] ([b, h, w, num_classes] unsqueezed), or features [b, h, w, c].
  """
  if global_pool:
    net = tf.reduce_mean(net, [1, 2], name='pool5', keepdims=True)
    end_points['global_pool'] = net
  if not num_classes:
    return net
  net = slim.conv2d(
    net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='logits'
  )
  end_points[f'{scope}/logits'] = net
  if spatial_squeeze:
    net = tf.squeeze(net, [1, 2], name='SpatialSqueeze')
    end_points[f'{scope}/spatial_squeeze'] = net
  end_points['predictions'] = slim.softmax(net, scope='predictions')
  return net


# Units of the four blocks, by the number of layers.
_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


def blocks_of_depth(block, num_layers, depth=lambda channels: channels):
  """Returns the four blocks of a ResNet.

  Args:
    block: `resnet_v1_block` or `resnet_v2_block`.
    num_layers: 50, 101, 152 or 200.
    depth: function that scales a number of channels.
  """
  facts = zip((64, 128, 256, 512), _UNITS[num_layers], (2, 2, 2, 1), strict=True)
  return [
    block(f'block{i}', depth(base_depth), num_units, stride)
    for i, (base_depth, num_units, stride) in enumerate(facts, 1)
  ]


def name_network(network, resnet, num_layers):
  """Names the function of a ResNet of so many layers after the ResNet and returns it."""
  network.__name__ = network.__qualname__ = f'{resnet.__name__}_{num_layers}'
  network.__doc__ = f'Builds ResNet-{num_layers}; arguments and results as `{resnet.__name__}`.'
  network.default_image_size = resnet.default_image_size
  return network


def resnet_arg_scope(
  weight_decay=0.0001,
  batch_norm_decay=0.997,
  batch_norm_epsilon=1e-5,
  batch_norm_scale=True,
  activation_fn=tf.nn.relu,
  use_batch_norm=True,
  batch_norm_updates_collections=tf.GraphKeys.UPDATE_OPS,
):
  """Returns the arg scope of both versions of ResNet.

  Args:
    weight_decay: strength of the L2 regularization of all weights.
    batch_norm_decay: decay of the moving averages of batch normalization.
    batch_norm_epsilon: added to the variance before the division.
    batch_norm_scale: whether batch normalization has a trained scale (gamma).
    activation_fn: activation of the convolutions.
    use_batch_norm: whether convolutions are followed by batch normalization.
    batch_norm_updates_collections: collection of the update ops, None to update in place.
  """
  batch_norm_params = {
    'decay': batch_norm_decay,
    'epsilon': batch_norm_epsilon,
    'scale': batch_norm_scale,
    'updates_collections': batch_norm_updates_collections,
  }
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(),
      activation_fn=activation_fn,
      normalizer_fn=batch_norm if use_batch_norm else None,
    ),
    slim.arg_scope([slim.batch_norm], **batch_norm_params),
    # 'SAME' keeps features aligned with pixels for dense prediction; the paper's code had 'VALID'.
    slim.arg_scope([slim.max_pool2d], padding='SAME') as arg_scope,
  ):
    return arg_scope
