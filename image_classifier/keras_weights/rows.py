"""The rows of the tables that say which slim variable is which weight of a Keras layer.

A row is one Keras layer with the slim variables that hold its weights, in the order in which Keras
lists them. The same row serves both directions.
"""

import typing

import numpy as np

# Keras's ResNets add 1.001e-5 to the variance, slim's 1e-5: what slim's variance must have more.
_EPSILON_DIFFERENCE = 1.001e-5 - 1e-5


class Change(typing.NamedTuple):
  """How a weight differs between the two: functions of a float32 array, inverse to each other."""

  to_slim: typing.Callable
  to_keras: typing.Callable


def _flip_input_channels(kernel):
  return kernel[:, :, ::-1]


def _raised(by):
  """Returns the function that adds `by` in float64, so that adding and taking away is exact."""
  return lambda variance: (variance.astype(np.float64) + by).astype(np.float32)


# Keras feeds VGG pictures in the order blue, green, red; slim in red, green, blue.
BGR_TO_RGB = Change(_flip_input_channels, _flip_input_channels)
EPSILON = Change(_raised(_EPSILON_DIFFERENCE), _raised(-_EPSILON_DIFFERENCE))


class Weight(typing.NamedTuple):
  """A slim variable, and how its values differ from Keras's; None when only the shape may."""

  variable: str
  change: Change | None = None


class Row(typing.NamedTuple):
  """A Keras layer that has weights."""

  kind: str  # as weight_files.Layer has it
  name: str | None  # in a fresh keras.applications model, None where Keras only numbers
  weights: tuple  # of Weight


def conv(name, scope, bias=False, change=None):
  """A convolution; `change` is that of its kernel."""
  weights = (Weight(f'{scope}/weights', change),)
  return Row('conv', name, weights + (Weight(f'{scope}/biases'),) * bias)


def depthwise(name, scope):
  """A depthwise convolution without a bias."""
  return Row('depthwise', name, (Weight(f'{scope}/depthwise_weights'),))


def separable(name, scope):
  """A depthwise convolution and a pointwise one in one layer."""
  parts = ('depthwise_weights', 'pointwise_weights')
  return Row('separable', name, tuple(Weight(f'{scope}/{part}') for part in parts))


def norm(name, scope, scale=True, change=None):
  """A batch normalization, without gamma unless `scale`; `change` is that of its variance."""
  names = ['gamma'] * scale + ['beta', 'moving_mean']
  weights = tuple(Weight(f'{scope}/{part}') for part in names)
  return Row('norm', name, (*weights, Weight(f'{scope}/moving_variance', change)))


def dense(name, scope):
  """A dense layer, which slim may hold as a convolution over the whole feature map."""
  return Row('dense', name, (Weight(f'{scope}/weights'), Weight(f'{scope}/biases')))
