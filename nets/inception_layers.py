"""The notation in which the Inception networks are written: layers, branches and their order.

A layer is named as its variables are, and most names end with the kernel: 'Conv2d_0b_1x7'.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

from slim_compat import slim, tf


class Layer(NamedTuple):
  """A part of a network: its scope, and the function of a tensor that builds it there."""

  name: str
  build: Callable


def _kernel(name):
  return [int(size) for size in name.rsplit('_', 1)[1].split('x')]


def conv(name, depth, kernel=None, **kwargs):
  """Returns a convolution with `depth` channels; its name ends with the kernel unless given."""
  return Layer(
    name,
    functools.partial(
      slim.conv2d, num_outputs=depth, kernel_size=kernel or _kernel(name), scope=name, **kwargs
    ),
  )


def max_pool(name, **kwargs):
  """Returns a max pooling, whose name ends with its kernel."""
  return Layer(
    name, functools.partial(slim.max_pool2d, kernel_size=_kernel(name), scope=name, **kwargs)
  )


def avg_pool(name, **kwargs):
  """Returns an average pooling, whose name ends with its kernel."""
  return Layer(
    name, functools.partial(slim.avg_pool2d, kernel_size=_kernel(name), scope=name, **kwargs)
  )


def chain(net, layers):
  """Builds layers one after another on `net` and returns the output of the last."""
  for layer in layers:
    net = layer.build(net)
  return net


def fork(*layers):
  """Returns a layer that gives its input to several layers and joins what they put out."""
  return Layer('concat', lambda net: tf.concat([layer.build(net) for layer in layers], 3))


def branches(net, *branches, axis=3):
  """Builds lists of layers side by side, in the scopes 'Branch_0', 'Branch_1' and so on.

  Args:
    net: float32 [b, h, w, c], the input of every branch.
    *branches: lists of Layer; the outputs must be of the same size.
    axis: axis of the channels, along which the outputs are joined.

  Returns:
    float32 [b, h', w', sum of the branches' channels].
  """
  outputs = []
  for i, layers in enumerate(branches):
    with tf.variable_scope(f'Branch_{i}'):
      outputs.append(chain(net, layers))
  return tf.concat(outputs, axis)


def mixed(name, *lists, axis=3):
  """Returns an Inception module: `branches` in a scope of its own."""

  def build(net):
    with tf.variable_scope(name):
      return branches(net, *lists, axis=axis)

  return Layer(name, build)


def build_up_to(final_endpoint, net, layers):
  """Builds layers one after another, each of them an end point.

  Args:
    final_endpoint: name of the last layer to build.
    net: input of the first layer.
    layers: list of Layer.

  Returns:
    The final end point's tensor, and a dict of the end points up to it.

  Raises:
    ValueError: when no layer has that name.
  """
  end_points = {}
  for layer in layers:
    net = end_points[layer.name] = layer.build(net)
    if layer.name == final_endpoint:
      return net, end_points
  raise ValueError(f'Unknown final_endpoint {final_endpoint!r}: choices are {list(end_points)}.')
