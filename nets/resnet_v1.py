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
  inputs, depth, depth_bottleneck, stride, rate=1, outputs_collections=None, scope=None
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

  Returns:
    float32 [b, h / stride, w / stride, depth].
  """
  with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as sc:
    if depth == inputs.shape.as_list()[-1]:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
        inputs, depth, [1, 1], stride=stride, activation_fn=None, scope='shortcut'
      )
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], stride=1, scope='conv1')
    residual = resnet_utils.conv2d_same(
      residual, depth_bottleneck, 3, stride, rate=rate, scope='conv2'
    )
    residual = slim.conv2d(residual, depth, [1, 1], stride=1, activation_fn=None, scope='conv3')
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
  reuse=None,
  scope=None,
):
  """Builds a ResNet v1 from its blocks.

  Args:
    inputs: float32 [b, h, w, c].
    blocks: list of `resnet_utils.Block`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether batch normalization uses the batch's statistics.
    global_pool: whether the last feature map is averaged over its spatial axes.
    output_stride: ratio of image and feature map, reached by dilation; None for 32.
    include_root_block: whether the first convolution and pooling are built.
    spatial_squeeze: whether the logits lose their two spatial axes, which must be of size 1.
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
      slim.arg_scope([slim.batch_norm], is_training=is_training),
    ):
      net = resnet_utils.root_and_blocks(inputs, blocks, output_stride, include_root_block)
      end_points = slim.utils.convert_collection_to_dict(collection)
      net = resnet_utils.head(net, end_points, sc.name, num_classes, global_pool, spatial_squeeze)
  return net, end_points


def resnet_v1_block(scope, base_depth, num_units, stride):
  """Returns a block of `num_units` units with 4 * base_depth channels; the last has the stride."""
  return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride)


resnet_v1.default_image_size = 224

resnet_v1_50 = resnet_utils.of_depth(resnet_v1, resnet_v1_block, 50)
resnet_v1_101 = resnet_utils.of_depth(resnet_v1, resnet_v1_block, 101)
resnet_v1_152 = resnet_utils.of_depth(resnet_v1, resnet_v1_block, 152)
resnet_v1_200 = resnet_utils.of_depth(resnet_v1, resnet_v1_block, 200)
