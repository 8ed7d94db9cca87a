"""MobileNet v3: large, small, both without what some hardware lacks, and EdgeTPU's relative.

Paper: Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam, Searching for
MobileNetV3, https://arxiv.org/abs/1905.02244
"""

import functools

from nets import conv_blocks as ops
from nets import mobilenet as lib
from slim_compat import slim, tf

op = lib.op
expand_input = ops.expand_input_by_factor
hard_swish = ops.hard_swish
training_scope = lib.training_scope

squeeze_excite = functools.partial(
  ops.squeeze_excite,
  squeeze_factor=4,
  inner_activation_fn=tf.nn.relu,
  gating_fn=ops.hard_sigmoid,
)


def _excited(expansion_tensor, input_tensor):
  del input_tensor
  return squeeze_excite(expansion_tensor)


def reduce_to_1x1(input_tensor, default_size=7, stride=1):
  """Averages over the whole map [b, h, w, c], or `default_size` squares where h or w is unknown."""
  size = input_tensor.shape.as_list()[1:3]
  if None in size:
    size = [default_size, default_size]
  return slim.avg_pool2d(input_tensor, size, stride=stride)


def mbv3_op(ef, n, k, s=1, act=tf.nn.relu, se=None, **kwargs):
  """Returns the line of a block.

  Args:
    ef: factor by which the block expands its input.
    n: channels of the output.
    k: height and width of the depthwise kernel.
    s: its stride.
    act: activation inside.
    se: the block's `expansion_transform`.
    **kwargs: other arguments of `expanded_conv`.
  """
  return op(
    ops.expanded_conv,
    expansion_size=expand_input(ef),
    kernel_size=(k, k),
    stride=s,
    num_outputs=n,
    inner_activation_fn=act,
    expansion_transform=se,
    **kwargs,
  )


def mbv3_fused(ef, n, k, s=1, **kwargs):
  """Returns the line of a block that expands with a k x k convolution; see `mbv3_op`."""
  return op(
    ops.fused_expanded_conv,
    expansion_size=expand_input(ef),
    kernel_size=(k, k),
    stride=s,
    num_outputs=n,
    inner_activation_fn=tf.nn.relu,
    **kwargs,
  )


mbv3_op_se = functools.partial(mbv3_op, se=_excited)


DEFAULTS = lib.table_defaults(tf.nn.relu)
DEFAULTS_GROUP_NORM = lib.table_defaults(tf.nn.relu, groups=8)


def _large(act, k, block):
  """Returns the lines of the large network.

  Args:
    act: activation of the first convolution and the deeper layers.
    k: size of the larger depthwise kernels.
    block: makes the lines of the blocks that may have squeeze-excite.
  """
  return [
    op(slim.conv2d, stride=2, num_outputs=16, kernel_size=(3, 3), activation_fn=act),
    mbv3_op(ef=1, n=16, k=3),
    mbv3_op(ef=4, n=24, k=3, s=2),
    mbv3_op(ef=3, n=24, k=3),
    block(ef=3, n=40, k=k, s=2),
    block(ef=3, n=40, k=k),
    block(ef=3, n=40, k=k),
    mbv3_op(ef=6, n=80, k=3, s=2, act=act),
    mbv3_op(ef=2.5, n=80, k=3, act=act),
    mbv3_op(ef=184 / 80, n=80, k=3, act=act),
    mbv3_op(ef=184 / 80, n=80, k=3, act=act),
    block(ef=6, n=112, k=3, act=act),
    block(ef=6, n=112, k=3, act=act),
    block(ef=6, n=160, k=k, s=2, act=act),
    block(ef=6, n=160, k=k, act=act),
    block(ef=6, n=160, k=k, act=act),
    *_last_lines(960, 1280, act),
  ]


def _small(act, k, block):
  """Returns the lines of the small network; see `_large`."""
  return [
    op(slim.conv2d, stride=2, num_outputs=16, kernel_size=(3, 3), activation_fn=act),
    block(ef=1, n=16, k=3, s=2),
    mbv3_op(ef=72 / 16, n=24, k=3, s=2),
    mbv3_op(ef=88 / 24, n=24, k=3),
    block(ef=4, n=40, k=k, s=2, act=act),
    block(ef=6, n=40, k=k, act=act),
    block(ef=6, n=40, k=k, act=act),
    block(ef=3, n=48, k=k, act=act),
    block(ef=3, n=48, k=k, act=act),
    block(ef=6, n=96, k=k, s=2, act=act),
    block(ef=6, n=96, k=k, act=act),
    block(ef=6, n=96, k=k, act=act),
    *_last_lines(576, 1024, act),
  ]


def _last_lines(n, features, act):
  """Returns the lines after the blocks: what would be a larger head is convolved once pooled."""
  return [
    op(slim.conv2d, stride=1, num_outputs=n, kernel_size=[1, 1], activation_fn=act),
    op(reduce_to_1x1, stride=1),
    op(
      slim.conv2d,
      stride=1,
      num_outputs=features,
      kernel_size=[1, 1],
      normalizer_fn=None,
      activation_fn=act,
    ),
  ]


V3_LARGE = {'defaults': DEFAULTS, 'spec': _large(hard_swish, 5, mbv3_op_se)}
V3_SMALL = {'defaults': DEFAULTS, 'spec': _small(hard_swish, 5, mbv3_op_se)}

# Without squeeze-excite, hard swish and 5 x 5 kernels, for hardware that is slow at these.
V3_LARGE_MINIMALISTIC = {'defaults': DEFAULTS, 'spec': _large(tf.nn.relu, 3, mbv3_op)}
V3_SMALL_MINIMALISTIC = {'defaults': DEFAULTS, 'spec': _small(tf.nn.relu, 3, mbv3_op)}

V3_EDGETPU = {
  'defaults': DEFAULTS,
  'spec': [
    op(slim.conv2d, stride=2, num_outputs=32, kernel_size=(3, 3)),
    mbv3_fused(ef=1, n=16, k=3),
    mbv3_fused(ef=8, n=32, k=3, s=2),
    *(mbv3_fused(ef=4, n=32, k=3) for _ in range(3)),
    mbv3_fused(ef=8, n=48, k=3, s=2),
    *(mbv3_fused(ef=4, n=48, k=3) for _ in range(3)),
    mbv3_op(ef=8, n=96, k=3, s=2),
    *(mbv3_op(ef=4, n=96, k=3) for _ in range(3)),
    mbv3_op(ef=8, n=96, k=3, residual=False),
    *(mbv3_op(ef=4, n=96, k=3) for _ in range(3)),
    mbv3_op(ef=8, n=160, k=5, s=2),
    *(mbv3_op(ef=4, n=160, k=5) for _ in range(3)),
    mbv3_op(ef=8, n=192, k=3),
    op(slim.conv2d, stride=1, num_outputs=1280, kernel_size=(1, 1)),
  ],
}


def _halved(conv_defs, first, last):
  """Returns a table with half the channels in its lines from `first` to `last`."""
  spec = list(conv_defs['spec'])
  for i in range(first, last + 1):
    half = round(spec[i].params['num_outputs'] / 2)
    spec[i] = spec[i]._replace(params=spec[i].params | {'num_outputs': half})
  return conv_defs | {'spec': spec}


# For object detection: half the channels from the last stride on, as in the paper's section 6.3.
V3_LARGE_DETECTION = _halved(V3_LARGE, 13, 16)
V3_SMALL_DETECTION = _halved(V3_SMALL, 9, 12)


@slim.add_arg_scope
def mobilenet(
  input_tensor,
  num_classes=1001,
  depth_multiplier=1.0,
  scope='MobilenetV3',
  conv_defs=None,
  finegrain_classification_mode=False,
  use_groupnorm=False,
  **kwargs,
):
  """Builds MobileNet v3.

  Inference mode is created by default; `training_scope` and `is_training` make the training form.

  Args:
    input_tensor: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    depth_multiplier: factor on the channels of all convolutions, above 0.
    scope: variable scope.
    conv_defs: dict of 'spec', 'defaults' and 'overrides', None for V3_LARGE.
    finegrain_classification_mode: whether the multiplier spares the last convolution.
    use_groupnorm: whether groups of channels are normalized instead of batches.
    **kwargs: arguments of `nets.mobilenet.mobilenet` and `mobilenet_base`: is_training, reuse,
      prediction_fn, base_only, final_endpoint, output_stride, use_explicit_padding,
      use_reduce_mean_for_pooling.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, channels]), and a dict of end points.
  """
  conv_defs = conv_defs or V3_LARGE
  if use_groupnorm:
    conv_defs = conv_defs | {'defaults': DEFAULTS_GROUP_NORM}
  if finegrain_classification_mode:
    conv_defs = lib.unscaled_last(conv_defs)
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
  """Builds the layers without the last pooling and logits; see `mobilenet`."""
  return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


large = lib.variant(mobilenet, conv_defs=V3_LARGE)
small = lib.variant(mobilenet, conv_defs=V3_SMALL)
large_minimalistic = lib.variant(mobilenet, conv_defs=V3_LARGE_MINIMALISTIC)
small_minimalistic = lib.variant(mobilenet, conv_defs=V3_SMALL_MINIMALISTIC)
edge_tpu = lib.variant(mobilenet, scope='MobilenetEdgeTPU', conv_defs=V3_EDGETPU)
edge_tpu_075 = lib.variant(edge_tpu, depth_multiplier=0.75, finegrain_classification_mode=True)
