"""The part of a net that a run does not change: found, taken out as a graph, and replaced.

part = frozen_part.find(images, [logits], fixed)
graph_def = frozen_part.with_weights(part, checkpoint)
frozen_part.replace(part, frozen_part.imported(part, graph_def))
"""

import typing

import numpy as np

from image_classifier.graphs import folding
from slim_compat import tf

# Scope of what `imported` adds to a graph.
_SCOPE = 'frozen'
_VARIABLES = ('Variable', 'VariableV2', 'VarHandleOp')
# Stateful by its declaration, and as steady as its variable.
_READS = 'ReadVariableOp'
_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
# What dropout does to all activations alike: in evaluation, or before it draws.
_OF_DROPOUT = ('Identity', 'Mul', 'Shape')
_REDUCTIONS = ('Mean', 'Sum', 'Max', 'Min', 'Prod')


class FrozenPart(typing.NamedTuple):
  """Operations whose results depend on nothing but the image, and where the others read them."""

  images: typing.Any  # tensor, what the net reads
  boundary: list  # tensors of the part that operations outside read, and outputs of the net in it
  operations: frozenset  # the tf.Operations of the part
  variables: list  # names of the variables that the boundary is computed from


def ancestors(tensors, stop=()):
  """Returns the set of tf.Operations that some tensors are computed from, up to those of `stop`."""
  found, waiting = set(), [tensor.op for tensor in tensors]
  while waiting:
    operation = waiting.pop()
    if operation not in found:
      found.add(operation)
      if operation not in stop:
        waiting += [tensor.op for tensor in operation.inputs]
        waiting += operation.control_inputs
  return found


def find(images, outputs, fixed):
  """Finds what of a net in the training form computes the same from an image all the run long.

  That excludes what variables outside `fixed`, random numbers and the rest of the batch have a part
  in. What the boundary gives again without any weights, as a pool does, is not in the part: there
  is less to keep then.

  Args:
    images: tensor, the first output of its operation; what comes before is left aside.
    outputs: list of the tensors for which the net is run, such as its logits.
    fixed: names of the variables that do not change.

  Returns:
    FrozenPart; without variables when there is nothing to gain.
  """
  needed = ancestors(outputs, stop=[images.op])
  steady, of_images, of_variables = {images.op}, {images.op}, set()
  ordered = [op for op in images.graph.get_operations() if op in needed and op is not images.op]
  for op in ordered:  # in the order in which they were made, inputs first
    sources = {tensor.op for tensor in op.inputs}
    if steady.issuperset(sources.union(op.control_inputs)) and _is_steady(op, fixed, of_images):
      steady.add(op)
      if sources & of_images:
        of_images.add(op)
      elif op.type in _VARIABLES or sources & of_variables:
        of_variables.add(op)
  for op in reversed(ordered):
    if _is_of_dropout(op, of_images) and steady.isdisjoint(_readers(op)):
      steady.discard(op)
  read = [tensor for op in ordered if op not in steady for tensor in op.inputs]
  boundary = {tensor.name: tensor for tensor in (*read, *outputs) if tensor.op in of_images}
  order = {op: i for i, op in enumerate([images.op, *ordered])}
  for tensor in sorted(boundary.values(), key=lambda t: order[t.op], reverse=True):
    made_by = _weightless(tensor, boundary, images, of_images, of_variables)
    if made_by and not any(tensor is output for output in outputs):
      del boundary[tensor.name]
      steady -= made_by
  above = ancestors(boundary.values(), stop=[images.op])
  variables = sorted(op.name for op in above if op.type in _VARIABLES)
  return FrozenPart(images, list(boundary.values()), frozenset(steady), variables)


def _is_steady(op, fixed, of_images):
  """Whether an operation with steady inputs makes the same of an image in every batch."""
  if op.type in _VARIABLES:
    return op.name in fixed
  if op.type in _NORMS:
    return not op.get_attr('is_training')
  if op.type in _REDUCTIONS and op.inputs[0].op in of_images:
    return not _reduces_batch(op)
  is_fed = op.type.startswith('Placeholder')
  return op.type == _READS or not (is_fed or op.op_def.is_stateful)


def _is_of_dropout(op, of_images):
  """Whether an operation is one of _OF_DROPOUT on a single tensor that comes from an image."""
  return op.type in _OF_DROPOUT and sum(tensor.op in of_images for tensor in op.inputs) == 1


def _readers(op):
  return {reader for tensor in op.outputs for reader in tensor.consumers()}


def _reduces_batch(op):
  """Whether a reduction goes over the first dimension, as the moments of batch norm do."""
  axes, rank = tf.get_static_value(op.inputs[1]), op.inputs[0].shape.rank
  return axes is None or not rank or any(axis % rank == 0 for axis in np.ravel(axes))


def _weightless(tensor, boundary, images, of_images, of_variables):
  """Returns the operations that make a tensor from others of the boundary; None with weights."""
  made_by, waiting = set(), [tensor.op]
  while waiting:
    op = waiting.pop()
    if op is images.op or any(source.op in of_variables for source in op.inputs):
      return None
    made_by.add(op)
    rest = [source.op for source in op.inputs if source.name not in boundary]
    waiting += [source for source in rest if source in of_images and source not in made_by]
  return made_by


def graph_def(part):
  """Returns the part as a tf.GraphDef, its images a placeholder of the images' name."""
  images = part.images
  whole = images.graph.as_graph_def()
  whole.ClearField('library')  # of the inputs
  whole.versions.ClearField('min_consumer')  # which comes with it
  for node in whole.node:
    node.attr.pop('_class', None)
    if node.name == images.op.name:
      attributes = {
        'dtype': tf.AttrValue(type=images.dtype.as_datatype_enum),
        'shape': tf.AttrValue(shape=images.shape.as_proto()),
      }
      node.CopyFrom(tf.NodeDef(name=node.name, op='Placeholder', attr=attributes))
  return tf.graph_util.extract_sub_graph(whole, [tensor.op.name for tensor in part.boundary])


def with_weights(part, checkpoint):
  """Returns the part with the weights of a checkpoint as constants, its batch norms folded.

  Args:
    part: FrozenPart.
    checkpoint: prefix of one that holds all variables of the part by their names.

  Returns:
    A tf.GraphDef like that of `graph_def`.
  """
  reader = tf.train.load_checkpoint(checkpoint)
  values = {name: reader.get_tensor(name) for name in part.variables}
  return folding.folded(folding.with_constants(graph_def(part), values))


def imported(part, graph_def):
  """Adds the part in another form to the graph of its images; returns its boundary there."""
  return tf.import_graph_def(
    graph_def,
    input_map={part.images.name: part.images},
    return_elements=[tensor.name for tensor in part.boundary],
    name=_SCOPE,
  )


def replace(part, features):
  """Makes the operations outside the part read other tensors than its boundary.

  Args:
    part: FrozenPart.
    features: list of tensors of the types and shapes of the boundary.
  """
  for old, new in zip(part.boundary, features, strict=True):
    for reader in old.consumers():
      for i, tensor in enumerate(reader.inputs):
        if reader not in part.operations and tensor.name == old.name:
          # The one way to change a graph that there is; tf.while_loop itself is built on it.
          reader._update_input(i, new)


def described(graph_def, part, features):
  """Returns a GraphDef of a graph as it was before `imported` and `replace`, with what came after.

  It describes the net as it would be trained otherwise, without the weights of the part.
  """
  before = {
    new.name.removesuffix(':0'): old.name.removesuffix(':0')
    for old, new in zip(part.boundary, features, strict=True)
  }
  result = tf.GraphDef(versions=graph_def.versions, library=graph_def.library)
  for node in graph_def.node:
    if not node.name.startswith(f'{_SCOPE}/'):
      copy = result.node.add()
      copy.CopyFrom(node)
      copy.input[:] = [before.get(name, name) for name in node.input]
  return result
