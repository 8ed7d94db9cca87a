"""MobileNet v2, in three widths.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, MobileNetV2: Inverted Residuals and Linear
Bottlenecks, https://arxiv.org/abs/1801.04381
"""

from nets import conv_blocks as ops
from nets import mobilenet as lib
from slim_compat import slim, tf

op = lib.op
expand_input = ops.expand_input_by_factor
training_scope = lib.training_scope

V2_DEF = {
  'defaults': lib.table_defaults(tf.nn.relu6),
  'spec': [
    op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]),
    op(ops.expanded_conv, expansion_size=expand_input(1, divisible_by=1), num_outputs=16),
    op(ops.expanded_conv, stride=2, num_outputs=24),
    op(ops.expanded_conv, stride=1, num_outputs=24),
    op(ops.expanded_conv, stride=2, num_outputs=32),
    op(ops.expanded_conv, stride=1, num_outputs=32),
    op(ops.expanded_conv, stride=1, num_outputs=32),
    op(ops.expanded_conv, stride=2, num_outputs=64),
    op(ops.expanded_conv, stride=1, num_outputs=64),
    op(ops.expanded_conv, stride=1, num_outputs=64),
    op(ops.expanded_conv, stride=1, num_outputs=64),
    op(ops.expanded_conv, stride=1, num_outputs=96),
    op(ops.expanded_conv, stride=1, num_outputs=96),
    op(ops.expanded_conv, stride=1, num_outputs=96),
    op(ops.expanded_conv, stride=2, num_outputs=160),
    op(ops.expanded_conv, stride=1, num_outputs=160),
    op(ops.expanded_conv, stride=1, num_outputs=160),
    op(ops.expanded_conv, stride=1, num_outputs=320),
    op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=1280),
  ],
}
V2_DEF_GROUP_NORM = V2_DEF | {'defaults': lib.table_defaults(tf.nn.relu6, groups=8)}


@slim.add_arg_scope
def mobilenet(
  input_tensor,
  num_classes=1001,
  depth_multiplier=1.0,
  scope='MobilenetV2',
  conv_defs=None,
  finegrain_classification_mode=False,
  min_depth=None,
  divisible_by=None,
  activation_fn=None,
  **kwargs,
):
  """Builds MobileNet v2.

  Inference mode is created by default; `training_scope` and `is_training` make the training form.

  Args:
    input_tensor: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    scope: variable scope.
    conv_defs: dict of 'spec', 'defaults' and 'overrides', None for V2_DEF.
    finegrain_classification_mode: whether a multiplier below 1 spares the last convolution.
    min_depth: fewest channels of a convolution, None for 8.
    divisible_by: what channels are a multiple of, None for 8.
    activation_fn: activation of all layers but the projections of the blocks, None for the
      table's.
    **kwargs: arguments of `nets.mobilenet.mobilenet` and `mobilenet_base`: is_training, reuse,
      prediction_fn, base_only, final_endpoint, output_stride, use_explicit_padding,
      use_reduce_mean_for_pooling.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, 1280]), and a dict of end points.
  """
  conv_defs = conv_defs or V2_DEF
  if finegrain_classification_mode and depth_multiplier < 1:
    conv_defs = lib.unscaled_last(conv_defs)
  if activation_fn:
    overrides = conv_defs.get('overrides', {}) | {lib.LAYERS: {'activation_fn': activation_fn}}
    conv_defs = conv_defs | {'overrides': overrides}
  with lib.safe_arg_scope([lib.depth_multiplier], min_depth=min_depth, divisible_by=divisible_by):
    return lib.mobilenet(
      input_tensor,
      num_classes=num_classes,
      conv_defs=conv_defs,
      scope=scope,
      multiplier=depth_multiplier,
      **kwargs,
    )


mobilenet.default_image_size = 224


@slim.add_arg_scope
def mobilenet_base(input_tensor, depth_multiplier=1.0, **kwargs):
  """Builds the convolutions without pooling and logits; see `mobilenet`."""
  return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


@slim.add_arg_scope
def mobilenet_base_group_norm(input_tensor, depth_multiplier=1.0, groups=8, **kwargs):
  """Builds the convolutions as `mobilenet_base`, normalizing `groups` groups of their channels."""
  conv_defs = V2_DEF | {'defaults': lib.table_defaults(tf.nn.relu6, groups)}
  return mobilenet_base(input_tensor, depth_multiplier, conv_defs=conv_defs, **kwargs)


mobilenet_v2_140 = lib.variant(mobilenet, depth_multiplier=1.4)
mobilenet_v2_035 = lib.variant(mobilenet, depth_multiplier=0.35, finegrain_classification_mode=True)
