"""How many arithmetic operations an image costs, counted from the shapes of the net's graph."""

import functools
import math

from image_classifier import scopes
from nets import net_info, nets_factory
from slim_compat import tf

_CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')


@functools.cache
def of_an_image(model_name, image_size, num_classes, finetune='all'):
  """Counts the multiplications and additions of convolutions and matrix products.

  Auxiliary heads are left out: they are computed in training only, and hardly count.

  Args:
    model_name: a name of nets_factory.
    image_size: pixels a side.
    num_classes: of the head.
    finetune: which part is trained, as --finetune says it.

  Returns:
    dict: 'forward', once through the whole net; 'trained', once through the trained part.
  """
  info = net_info.net_info(model_name)
  patterns = scopes.finetune_scopes(finetune, info)
  with tf.Graph().as_default() as graph:
    network_fn = nets_factory.get_network_fn(model_name, num_classes)
    network_fn(tf.zeros([1, image_size, image_size, 3]))
    # By the names of the weights: those of operations may repeat a scope.
    counts = [(op.inputs[1].op.name, _count(op)) for op in graph.get_operations() if _count(op)]
  counts = [(name, n) for name, n in counts if not name.startswith(info.auxiliary_prefixes)]
  trained = [n for name, n in counts if patterns is None or scopes.matches_any(name, patterns)]
  return {'forward': sum(n for _, n in counts), 'trained': sum(trained)}


def _count(op):
  """Returns the operations of one node: two for every product that is added up."""
  if op.type in _CONVOLUTIONS:
    height, width, channels = op.inputs[1].shape.as_list()[:3]
    addends = height * width * (channels if op.type == 'Conv2D' else 1)
  elif op.type == 'MatMul':
    addends = op.inputs[0].shape.as_list()[0 if op.get_attr('transpose_a') else 1]
  else:
    return 0
  return 2 * addends * math.prod(op.outputs[0].shape.as_list())
