"""Graphs whose weights are known: variables as constants, batch norms inside their convolutions.

  graph_def = folding.folded(folding.with_constants(graph.as_graph_def(), values))

A batch norm that normalizes with stored statistics is a factor and a term for each channel. Behind
a convolution the factor goes into the weights, and the term is a bias. TensorFlow's
optimize_for_inference does so too, with a Python loop over every single weight.
"""

import collections

import numpy as np

from slim_compat import tf

_VARIABLES = ('Variable', 'VariableV2', 'VarHandleOp')
_READS = 'ReadVariableOp'
# What writes to a variable, or asks whether something was written.
_ON_VARIABLES = (
  'Assign',
  'IsVariableInitialized',
  'VarIsInitialized',
  'Scatter',
  'ResourceScatter',
)
_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
_CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
_NORM_OUTPUTS = 6
_KNOWN = ('Const', 'Fill', 'Identity')
# What TensorFlow takes for attributes that a graph file leaves out.
_DEFAULT_EPSILON, _DEFAULT_FORMAT = 1e-4, b'NHWC'


def with_constants(graph_def, values):
  """Returns a copy of a graph in which variables are constants of the same names.

  What writes to these variables, and everything that needs it, is left out; names do not change.

  Args:
    graph_def: a tf.GraphDef, with reference or resource variables.
    values: dict from the name of a variable's node to its value, an array; other variables stay.

  Returns:
    A tf.GraphDef.
  """
  constants = {n.name for n in graph_def.node if n.op in _VARIABLES and n.name in values}
  dropped = _needing_writes(graph_def, constants)
  changed = {}
  for node in graph_def.node:
    if node.name in constants:
      dtype = tf.as_dtype(node.attr['dtype'].type).as_numpy_dtype
      changed[node.name] = [_constant(node.name, np.asarray(values[node.name], dtype))]
    elif node.op == _READS and _source(node.input[0]) in constants:
      changed[node.name] = [_node(node, 'Identity', node.input, T=node.attr['dtype'])]
  return _rewritten(graph_def, changed, dropped)


def folded(graph_def):
  """Returns a copy of a graph with every batch norm that can be folded in its convolution.

  Folded are FusedBatchNorm, V2 and V3 that do not train, with constant inputs, behind a Conv2D or
  DepthwiseConv2dNative with constant float32 weights, also with a BiasAdd between, where nobody
  else reads what lies between. The norm becomes a BiasAdd of its name; everything else stays.

  Args:
    graph_def: a tf.GraphDef.

  Returns:
    A tf.GraphDef. Products and sums are those of float64, rounded to float32 once.

  Raises:
    IndexError, KeyError, TypeError, ValueError: for a graph that TensorFlow cannot import either.
  """
  nodes = {node.name: node for node in graph_def.node}
  inputs = [source for node in graph_def.node for source in node.input]
  tensors, readers = set(inputs), collections.Counter(map(_source, inputs))
  changed, dropped, replaced = {}, set(), []
  for norm in graph_def.node:
    convolution, bias_add = _before(norm, nodes, readers, tensors) or (None, None)
    merged = convolution and _merged(norm, convolution, bias_add, nodes)
    if not merged:
      continue
    weights, bias = (_constant(f'{norm.name}/folded_{n}', value) for n, value in merged.items())
    replaced += [convolution.input[1], *norm.input[1:5]]
    if bias_add is not None:
      dropped.add(bias_add.name)
      replaced.append(bias_add.input[1])
    sources = [convolution.input[0], weights.name, *convolution.input[2:]]
    changed[convolution.name] = [weights, _node(convolution, convolution.op, sources)]
    sources = [convolution.name, bias.name, *norm.input[5:]]
    attributes = {'T': norm.attr['T'], 'data_format': tf.AttrValue(s=_format(norm))}
    changed[norm.name] = [bias, _node(norm, 'BiasAdd', sources, **attributes)]
  readers.subtract(map(_source, replaced))
  return _rewritten(graph_def, changed, dropped | _unread(map(_source, replaced), nodes, readers))


def _before(norm, nodes, readers, tensors):
  """Returns the convolution before a norm and the BiasAdd between or None; None for neither."""
  trains = 'is_training' not in norm.attr or norm.attr['is_training'].b
  if norm.op not in _NORMS or trains:
    return None
  if any(f'{norm.name}:{i}' in tensors for i in range(1, _NORM_OUTPUTS)):
    return None
  before = nodes.get(_source(norm.input[0]))
  between = [before]
  if before is not None and before.op == 'BiasAdd' and len(before.input) == 2:
    before = nodes.get(_source(before.input[0]))
    between.append(before)
  if before is None or before.op not in _CONVOLUTIONS:
    return None
  if any(readers[node.name] != 1 or _format(node) != _format(norm) for node in between):
    return None
  return before, between[0] if len(between) == 2 else None


def _merged(norm, convolution, bias_add, nodes):
  """Returns the weights and bias that do what convolution and norm do, a dict, or None."""
  weights = _value(convolution.input[1], nodes)
  parameters = [_value(source, nodes) for source in norm.input[1:5]]
  bias = np.zeros(1, np.float32) if bias_add is None else _value(bias_add.input[1], nodes)
  known = [weights, bias, *parameters]
  if any(array is None or array.dtype != np.float32 for array in known) or weights.ndim != 4:
    return None
  # Of a depthwise convolution, every input channel has its own outputs.
  channels = weights.shape[3:] if convolution.op == 'Conv2D' else weights.shape[2:]
  if any(array.shape != (np.prod(channels),) for array in parameters):
    return None
  if bias_add is not None and bias.shape != parameters[0].shape:
    return None
  gamma, beta, mean, variance = (array.astype(np.float64) for array in parameters)
  epsilon = norm.attr['epsilon'].f if 'epsilon' in norm.attr else _DEFAULT_EPSILON
  with np.errstate(all='ignore'):  # the weights of a diverged training stay what they are
    factor = gamma / np.sqrt(variance + epsilon)
    weights = (weights * factor.reshape(channels)).astype(np.float32)
    bias = (beta + (bias - mean) * factor).astype(np.float32)
  return {'weights': weights, 'bias': bias}


def _value(name, nodes):
  """Returns the array that an input is, None for one that is not known without running anything."""
  node = nodes[_source(name)]
  if node.op == 'Identity':  # what reads a variable
    node = nodes[_source(node.input[0])]
  if node.op == 'Const':
    return tf.make_ndarray(node.attr['value'].tensor)
  if node.op == 'Fill':  # the gamma of ones of a wide layer
    shape, value = (nodes[_source(source)] for source in node.input[:2])
    if shape.op == value.op == 'Const':
      shape, value = (tf.make_ndarray(part.attr['value'].tensor) for part in (shape, value))
      return np.broadcast_to(value, shape)
  return None


def _needing_writes(graph_def, constants):
  """Returns the names of the nodes that write to some variables, or need one that does."""
  needs = collections.defaultdict(list)
  for node in graph_def.node:
    for source in node.input:
      needs[_source(source)].append(node)
  found = set()
  waiting = [n for v in constants for n in needs[v] if n.op.startswith(_ON_VARIABLES)]
  while waiting:
    node = waiting.pop()
    if node.name not in found:
      found.add(node.name)
      waiting += needs[node.name]
  return found


def _unread(names, nodes, readers):
  """Returns those of some constants, and Identities of them, that have no reader left."""
  found, waiting = set(), list(names)
  while waiting:
    node = nodes[waiting.pop()]
    if node.op in _KNOWN and node.name not in found and not readers[node.name]:
      found.add(node.name)
      sources = [_source(source) for source in node.input]
      readers.subtract(sources)
      waiting += sources
  return found


def _rewritten(graph_def, changed, dropped):
  """Returns a copy with some nodes replaced by lists of nodes and some left out."""
  result = tf.GraphDef(versions=graph_def.versions, library=graph_def.library)
  for node in graph_def.node:
    if node.name not in dropped:
      result.node.extend(changed.get(node.name, [node]))
  gone = {b'loc:@' + name.encode() for name in dropped}
  for node in result.node if gone else ():
    if '_class' in node.attr and gone & set(node.attr['_class'].list.s):
      del node.attr['_class']
  return result


def _constant(name, value):
  tensor = tf.make_tensor_proto(value, shape=value.shape)
  attributes = {'dtype': tf.AttrValue(type=tensor.dtype), 'value': tf.AttrValue(tensor=tensor)}
  return tf.NodeDef(name=name, op='Const', attr=attributes)


def _node(like, op, inputs, **attributes):
  """Returns a node of the name and device of another; without attributes it takes all of its."""
  return tf.NodeDef(
    name=like.name, op=op, device=like.device, input=inputs, attr=attributes or like.attr
  )


def _format(node):
  return node.attr['data_format'].s if 'data_format' in node.attr else _DEFAULT_FORMAT


def _source(name):
  """Returns the name of the node that an input comes from."""
  return name.lstrip('^').partition(':')[0]
