"""ResNet v1: bottleneck units with batch normalization after every convolution.

Papers: He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition,
https://arxiv.org/abs/1512.03385; the 200-layer network: Identity Mappings in Deep Residual
Networks, https://arxiv.org/abs/1603.05027
"""

from nets import resnet_utils
from slim_compat import slim, tf

resnet_arg_scope = resnet_utils.resnet_arg_scope


@slim.add_arg_scope
def bottleneck(
  inputs,
  depth,
  depth_bottleneck,
  stride,
  rate=1,
  outputs_collections=None,
  scope=None,
  use_bounded_activations=False,
):
  """Builds a bottleneck unit (1 x 1, 3 x 3, 1 x 1) with its shortcut.

  Args:
    inputs: float32 [b, h, w, c].
    depth: channels of the output.
    depth_bottleneck: channels of the two inner convolutions.
    stride: stride of the 3 x 3 convolution and of the shortcut.
    rate: dilation of the 3 x 3 convolution.
    outputs_collections: collection that receives the output.
    scope: variable scope.
    use_bounded_activations: whether shortcut, residual and sum are bounded by 6, for networks
      that are to be quantized.

  Returns:
    float32 [b, h / stride, w / stride, depth].
  """
  with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as sc:
    if depth == inputs.shape.as_list()[-1]:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
        inputs,
        depth,
        [1, 1],
        stride=stride,
        activation_fn=tf.nn.relu6 if use_bounded_activations else None,
        scope='shortcut',
      )
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], stride=1, scope='conv1')
    residual = resnet_utils.conv2d_same(
      residual, depth_bottleneck, 3, stride, rate=rate, scope='conv2'
    )
    residual = slim.conv2d(residual, depth, [1, 1], stride=1, activation_fn=None, scope='conv3')
    if use_bounded_activations:
      residual = tf.clip_by_value(residual, -6.0, 6.0)  # ReLU6 bounds one side only
      output = tf.nn.relu6(shortcut + residual)
    else:
      output = tf.nn.relu(shortcut + residual)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v1(
  inputs,
  blocks,
  num_classes=None,
  is_training=True,
  global_pool=True,
  output_stride=None,
  include_root_block=True,
  spatial_squeeze=True,
  store_non_strided_activations=False,
  reuse=None,
  scope=None,
):
  """Builds a ResNet v1 from its blocks.

  Args:
    inputs: float32 [b, h, w, c].
    blocks: list of `resnet_utils.Block`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether batch normalization uses the batch's statistics; None leaves that as an
      outer arg scope sets it.
    global_pool: whether the last feature map is averaged over its spatial axes.
    output_stride: ratio of image and feature map, reached by dilation; None for 32.
    include_root_block: whether the first convolution and pooling are built.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
    store_non_strided_activations: whether the end points of blocks are those before the stride
      of the block's last unit.
    reuse: whether the variables exist already.
    scope: variable scope.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 2048]), and a dict of end points.

  Raises:
    ValueError: when the output stride cannot be reached.
  """
  with tf.variable_scope(scope, 'resnet_v1', [inputs], reuse=reuse) as sc:
    collection = sc.original_name_scope + '_end_points'
    with (
      slim.arg_scope(
        [slim.conv2d, bottleneck, resnet_utils.stack_blocks_dense], outputs_collections=collection
      ),
      resnet_utils.training_scope(is_training),
    ):
      net = resnet_utils.root_and_blocks(
        inputs, blocks, output_stride, include_root_block, store_non_strided_activations
      )
      end_points = slim.utils.convert_collection_to_dict(collection)
      net = resnet_utils.head(net, end_points, sc.name, num_classes, global_pool, spatial_squeeze)
  return net, end_points


def resnet_v1_block(scope, base_depth, num_units, stride):
  """Returns a block of `num_units` units with 4 * base_depth channels; the last has the stride."""
  return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride)


resnet_v1.default_image_size = 224


def _of_depth(num_layers):
  """Returns the function that builds a ResNet v1 of so many layers."""

  def network(
    inputs,
    num_classes=None,
    is_training=True,
    global_pool=True,
    output_stride=None,
    spatial_squeeze=True,
    store_non_strided_activations=False,
    min_base_depth=8,
    depth_multiplier=1,
    reuse=None,
    scope=f'resnet_v1_{num_layers}',
  ):
    def depth(channels):
      return max(int(channels * depth_multiplier), min_base_depth)

    return resnet_v1(
      inputs,
      resnet_utils.blocks_of_depth(resnet_v1_block, num_layers, depth),
      num_classes,
      is_training,
      global_pool,
      output_stride,
      spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations,
      reuse=reuse,
      scope=scope,
    )

  resnet_utils.name_network(network, resnet_v1, num_layers)
  network.__doc__ += """

  `depth_multiplier` scales the channels of the blocks, whose bottlenecks have at least
  `min_base_depth`."""
  return network


resnet_v1_50 = _of_depth(50)
resnet_v1_101 = _of_depth(101)
resnet_v1_152 = _of_depth(152)
resnet_v1_200 = _of_depth(200)
