"""ResNet v2: bottleneck units with batch normalization and ReLU before every convolution.

Paper: He, Zhang, Ren, Sun, Identity Mappings in Deep Residual Networks,
https://arxiv.org/abs/1603.05027
"""

from nets import resnet_utils
from nets.batch_norm import batch_norm
from slim_compat import slim, tf

resnet_arg_scope = resnet_utils.resnet_arg_scope


@slim.add_arg_scope
def bottleneck(
  inputs, depth, depth_bottleneck, stride, rate=1, outputs_collections=None, scope=None
):
  """Builds a pre-activation bottleneck unit (1 x 1, 3 x 3, 1 x 1) with its shortcut.

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
  linear = {'normalizer_fn': None, 'activation_fn': None}
  with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as sc:
    preact = batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
    if depth == inputs.shape.as_list()[-1]:
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(preact, depth, [1, 1], stride=stride, scope='shortcut', **linear)
    residual = slim.conv2d(preact, depth_bottleneck, [1, 1], stride=1, scope='conv1')
    residual = resnet_utils.conv2d_same(
      residual, depth_bottleneck, 3, stride, rate=rate, scope='conv2'
    )
    residual = slim.conv2d(residual, depth, [1, 1], stride=1, scope='conv3', **linear)
    output = shortcut + residual
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v2(
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
  """Builds a ResNet v2 from its blocks.

  Args:
    inputs: float32 [b, h, w, c]; without a root block the output of a linear convolution.
    blocks: list of `resnet_utils.Block`.
    num_classes: number of classes; 0 or None returns the features instead of logits.
    is_training: whether batch normalization uses the batch's statistics; None leaves that as an
      outer arg scope sets it.
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
  with tf.variable_scope(scope, 'resnet_v2', [inputs], reuse=reuse) as sc:
    collection = sc.original_name_scope + '_end_points'
    with (
      slim.arg_scope(
        [slim.conv2d, bottleneck, resnet_utils.stack_blocks_dense], outputs_collections=collection
      ),
      resnet_utils.training_scope(is_training),
    ):
      # The first unit normalizes and activates what conv1 puts out.
      net = resnet_utils.root_and_blocks(
        inputs, blocks, output_stride, include_root_block, activation_fn=None, normalizer_fn=None
      )
      net = batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
      end_points = slim.utils.convert_collection_to_dict(collection)
      net = resnet_utils.head(net, end_points, sc.name, num_classes, global_pool, spatial_squeeze)
  return net, end_points


def resnet_v2_block(scope, base_depth, num_units, stride):
  """Returns a block of `num_units` units with 4 * base_depth channels; the last has the stride."""
  return resnet_utils.bottleneck_block(bottleneck, scope, base_depth, num_units, stride)


resnet_v2.default_image_size = 224


def _of_depth(num_layers):
  """Returns the function that builds a ResNet v2 of so many layers."""

  def network(
    inputs,
    num_classes=None,
    is_training=True,
    global_pool=True,
    output_stride=None,
    spatial_squeeze=True,
    reuse=None,
    scope=f'resnet_v2_{num_layers}',
  ):
    return resnet_v2(
      inputs,
      resnet_utils.blocks_of_depth(resnet_v2_block, num_layers),
      num_classes,
      is_training,
      global_pool,
      output_stride,
      spatial_squeeze=spatial_squeeze,
      reuse=reuse,
      scope=scope,
    )

  return resnet_utils.name_network(network, resnet_v2, num_layers)


resnet_v2_50 = _of_depth(50)
resnet_v2_101 = _of_depth(101)
resnet_v2_152 = _of_depth(152)
resnet_v2_200 = _of_depth(200)
