"""The builder of the MobileNets from v2 on: networks given as a table of ops.

Paper: Sandler, Howard, Zhu, Zhmoginov, Chen, MobileNetV2: Inverted Residuals and Linear
Bottlenecks, https://arxiv.org/abs/1801.04381
"""

import contextlib
import functools
import inspect
from typing import Any, NamedTuple

from nets.batch_norm import batch_norm
from nets.conv_blocks import expanded_conv
from nets.conv_parts import fixed_padding, make_divisible
from nets.dropout import dropout
from slim_compat import slim, tf


@slim.add_arg_scope
def depth_multiplier(output_params, multiplier, divisible_by=8, min_depth=8, **_):
  """Scales 'num_outputs' in an op's parameters, to a multiple of `divisible_by`."""
  if 'num_outputs' in output_params:
    scaled = output_params['num_outputs'] * multiplier
    output_params['num_outputs'] = make_divisible(scaled, divisible_by, min_depth)


class Op(NamedTuple):
  """One line of a network's table: a function, its arguments, and what scales these."""

  op: Any
  params: dict
  multiplier_func: Any


def op(opfunc, multiplier_func=depth_multiplier, **params):
  """Returns one line of a network's table.

  Args:
    opfunc: function of (tensor, **params) that builds the layer. A stride that `output_stride`
      takes away turns into a dilation of the ops that have an argument `rate`, and explicit
      padding is left to those that have `use_explicit_padding`.
    multiplier_func: function of (params, multiplier) that scales the parameters in place.
    **params: the arguments of `opfunc`.
  """
  return Op(opfunc, params, multiplier_func)


@slim.add_arg_scope
def apply_activation(x, name=None, activation_fn=None):
  """Returns `activation_fn(x, name=name)`, or `x` without a function: an op for tables."""
  return activation_fn(x, name=name) if activation_fn else x


@contextlib.contextmanager
def _arg_scopes(defaults):
  """Enters the arg scopes of a dict {tuple of functions: dict of their arguments}, or its items."""
  with contextlib.ExitStack() as stack:
    for functions, arguments in dict(defaults).items():
      stack.enter_context(slim.arg_scope(list(functions), **arguments))
    yield


NoOpScope = contextlib.nullcontext


def safe_arg_scope(functions, **arguments):
  """Returns the arg scope of the arguments that are not None, a NoOpScope when none is left."""
  given = {name: value for name, value in arguments.items() if value is not None}
  return slim.arg_scope(list(functions), **given) if given else NoOpScope()


@contextlib.contextmanager
def _same_scope(scope, default_name):
  """Enters a variable scope, and again the name scope that it had at first."""
  with tf.variable_scope(scope, default_name) as sc, tf.name_scope(sc.original_name_scope):
    yield


@slim.add_arg_scope
def mobilenet_base(
  inputs,
  conv_defs,
  multiplier=1.0,
  final_endpoint=None,
  output_stride=None,
  use_explicit_padding=False,
  scope=None,
  is_training=False,
):
  """Builds the ops of a table.

  Args:
    inputs: float32 [b, h, w, c].
    conv_defs: dict with 'spec', a list of `op(...)`, and, both optional, the arg scopes
      'defaults' and 'overrides' {tuple of functions: dict of their arguments}; the latter win.
    multiplier: factor on the channels of all ops, above 0.
    final_endpoint: name of the last op to build ('layer_18'), None for all.
    output_stride: ratio of image and feature map (1 or even), reached by dilation; None for 32.
    use_explicit_padding: whether padding is the same on both sides, whatever the input's size.
    scope: variable scope.
    is_training: whether batch normalization uses the batch's statistics; None leaves it to the
      arg scope around.

  Returns:
    The last op's output, and a dict of end points: 'layer_1' and so on, and 'layer_2/output'
    for every tensor inside whose name ends with 'output'.

  Raises:
    ValueError: when the multiplier is not above 0 or the output stride is odd.
  """
  if multiplier <= 0:
    raise ValueError('multiplier is not greater than zero.')
  if output_stride is not None and output_stride != 1 and (output_stride < 1 or output_stride % 2):
    raise ValueError('Output stride must be None, 1 or a multiple of 2.')
  explicit = {'padding': 'VALID'} if use_explicit_padding else {}
  with (
    _same_scope(scope, 'Mobilenet'),
    safe_arg_scope([slim.batch_norm], is_training=is_training),
    _arg_scopes(conv_defs.get('defaults', {})),
    _arg_scopes(conv_defs.get('overrides', {})),
    slim.arg_scope([slim.conv2d, slim.separable_conv2d], **explicit),
  ):
    return _build_ops(
      inputs, conv_defs['spec'], multiplier, final_endpoint, output_stride, use_explicit_padding
    )


def _build_ops(inputs, spec, multiplier, final_endpoint, output_stride, use_explicit_padding):
  net, end_points, layer_of_scope = inputs, {}, {}
  current_stride, rate = 1, 1
  for i, line in enumerate(spec, 1):
    params = dict(line.params)
    line.multiplier_func(params, multiplier)
    takes = inspect.signature(line.op).parameters
    stride = params.get('stride', 1)
    if output_stride is not None and current_stride == output_stride:
      if stride != 1:
        params['stride'] = 1
      if 'rate' in takes and not _is_pointwise(params):
        params['rate'] = rate
      rate *= stride
    else:
      current_stride *= stride
    if use_explicit_padding:
      if 'use_explicit_padding' in takes:
        params['use_explicit_padding'] = True
      elif 'kernel_size' in params:
        net = fixed_padding(net, params['kernel_size'], params.get('rate', 1))
    end_point = f'layer_{i}'
    net = end_points[end_point] = line.op(net, **params)
    layer_of_scope[net.op.name.rpartition('/')[0]] = end_point
    if end_point == final_endpoint:
      break
  for operation in net.graph.get_operations():
    scope, _, name = operation.name.rpartition('/')
    if scope in layer_of_scope and name.endswith('output'):
      end_points[f'{layer_of_scope[scope]}/{name}'] = operation.outputs[0]
  return net, end_points


def _is_pointwise(params):
  """Whether an op has a 1 x 1 kernel, which has nothing to dilate or pad."""
  return params.get('kernel_size') in (1, [1, 1], (1, 1))


@slim.add_arg_scope
def mobilenet(
  inputs,
  num_classes=1001,
  prediction_fn=slim.softmax,
  reuse=None,
  scope='Mobilenet',
  base_only=False,
  use_reduce_mean_for_pooling=False,
  **mobilenet_args,
):
  """Builds a network: the ops of a table, pooling over the whole feature map, and the logits.

  Args:
    inputs: float32 [b, h, w, c].
    num_classes: number of classes; 0 or None returns the features instead of logits.
    prediction_fn: function of (logits, scope) that makes the predictions, None for none.
    reuse: whether the variables exist already.
    scope: variable scope.
    base_only: whether to stop before the pooling.
    use_reduce_mean_for_pooling: see `global_pool`.
    **mobilenet_args: arguments of `mobilenet_base`.

  Returns:
    Logits [b, num_classes] (or features [b, 1, 1, c]), and a dict of end points.

  Raises:
    ValueError: when `inputs` is not of rank 4.
  """
  if inputs.shape.ndims != 4:
    raise ValueError(f'Expected rank 4 input, was: {inputs.shape.ndims}')
  is_training = mobilenet_args.get('is_training', False)
  with tf.variable_scope(scope, 'Mobilenet', reuse=reuse) as scope:
    inputs = tf.identity(inputs, 'input')
    net, end_points = mobilenet_base(inputs, scope=scope, **mobilenet_args)
    if base_only:
      return net, end_points
    net = tf.identity(net, name='embedding')
    with tf.variable_scope('Logits'):
      net = end_points['global_pool'] = global_pool(net, use_reduce_mean_for_pooling)
      if not num_classes:
        return net, end_points
      with safe_arg_scope([slim.dropout], is_training=is_training):
        net = dropout(net, scope='Dropout')
      logits = slim.conv2d(
        net,
        num_classes,
        [1, 1],
        activation_fn=None,
        normalizer_fn=None,
        biases_initializer=tf.zeros_initializer(),
        scope='Conv2d_1c_1x1',
      )
      logits = tf.squeeze(logits, [1, 2])
      logits = end_points['Logits'] = tf.identity(logits, name='output')
    if prediction_fn:
      end_points['Predictions'] = prediction_fn(logits, 'Predictions')
  return logits, end_points


def global_pool(input_tensor, use_reduce_mean_for_pooling=False):
  """Averages [b, h, w, c] over its spatial axes, known or not, to [b, 1, 1, c].

  Args:
    input_tensor: float32 [b, h, w, c].
    use_reduce_mean_for_pooling: whether the op is a mean 'ReduceMean' and not a pooling
      'AvgPool2D', which some hardware runs better but needs known h and w.
  """
  height, width = input_tensor.shape.as_list()[1:3]
  if use_reduce_mean_for_pooling:
    return tf.reduce_mean(input_tensor, [1, 2], keepdims=True, name='ReduceMean')
  if height is None or width is None:
    return tf.reduce_mean(input_tensor, [1, 2], keepdims=True, name='AvgPool2D')
  return tf.nn.avg_pool2d(input_tensor, [height, width], 1, 'VALID', name='AvgPool2D')


LAYERS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)


def table_defaults(activation_fn, groups=None):
  """Returns the 'defaults' of a table.

  Args:
    activation_fn: activation of all layers but the projections of the blocks.
    groups: number of groups of channels to normalize instead of batches, None for batches.
  """
  normalizer_fn = slim.group_norm if groups else batch_norm
  # Our batch_norm obeys the arg scopes of slim's.
  normalizer = slim.group_norm if groups else slim.batch_norm
  return {
    (normalizer,): {'groups': groups} if groups else {'center': True, 'scale': True},
    (expanded_conv,): {'normalizer_fn': normalizer_fn, 'residual': True},
    LAYERS: {'normalizer_fn': normalizer_fn, 'activation_fn': activation_fn},
    (slim.conv2d, slim.separable_conv2d): {'padding': 'SAME'},
  }


def unscaled_last(conv_defs):
  """Returns a table whose last op keeps its channels whatever the depth multiplier."""
  *first, last = conv_defs['spec']
  last = last._replace(multiplier_func=lambda params, multiplier: None)
  return conv_defs | {'spec': [*first, last]}


def variant(network, **arguments):
  """Returns a network with other defaults of its keyword arguments, and its attributes."""
  return functools.wraps(network)(functools.partial(network, **arguments))


def training_scope(
  is_training=True, weight_decay=0.00004, stddev=0.09, dropout_keep_prob=0.8, bn_decay=0.997
):
  """Returns the arg scope of the MobileNets from v2 on.

  Args:
    is_training: default of batch normalization and dropout; None sets none.
    weight_decay: strength of the L2 regularization of all but the depthwise weights.
    stddev: standard deviation of the initial weights; negative for slim's own initializer.
    dropout_keep_prob: share of the activations that dropout keeps.
    bn_decay: decay of the moving averages of batch normalization, None for slim's own.
  """
  initializer = tf.truncated_normal_initializer(stddev=stddev)
  if stddev < 0:
    initializer = slim.initializers.xavier_initializer()
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected, slim.separable_conv2d],
      weights_initializer=initializer,
      normalizer_fn=batch_norm,
    ),
    slim.arg_scope([mobilenet_base, mobilenet], is_training=is_training),
    safe_arg_scope([slim.batch_norm], decay=bn_decay, is_training=is_training),
    safe_arg_scope([slim.dropout], is_training=is_training, keep_prob=dropout_keep_prob),
    slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)),
    slim.arg_scope([slim.separable_conv2d], weights_regularizer=None) as arg_scope,
  ):
    return arg_scope
