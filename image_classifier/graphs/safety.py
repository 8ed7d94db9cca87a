"""Graphs that came from elsewhere: only what a net computes may run, and nothing that does more.

A graph is a program: some of TensorFlow's operations read and write any file, or call Python. What
is not on the lists below is refused before TensorFlow sees the graph.
"""

import re

from slim_compat import tf
from slim_errors import UserError


def _names(text):
  return frozenset(text.split())


# What the exported graphs of all nets of nets_factory consist of.
NETS = _names("""
  AddV2 Assign AvgPool AvgPool3D BiasAdd ConcatV2 Const Conv2D Conv3D DepthwiseConv2dNative Fill
  FusedBatchNormV3 Identity LRN MatMul MaxPool MaxPool3D Mean Mul Pad Placeholder RandomUniform Relu
  Relu6 Reshape Rsqrt Shape Sigmoid Softmax Squeeze StridedSlice Sub TruncatedNormal VariableV2
""")
# What preparing pictures for a net adds. Assert can do no more than stop.
PREPROCESSING = _names("""
  All Assert Cast EnsureShape ExpandDims Floor FloorDiv GatherV2 Greater GreaterEqual Less Maximum
  Min Minimum Neg Pack Prod Range RealDiv ResizeBilinear Rint Slice Sqrt Square Transpose Unpack
""")
# What published graphs of TensorFlow 0.x and 1.x add: Inception of 2015 (Concat, DecodeJpeg,
# CheckNumerics, its batch norm), retrain's (PlaceholderWithDefault), and those of research/slim.
OLD_GRAPHS = _names("""
  Add BatchNormWithGlobalNormalization CheckNumerics Concat DecodeJpeg FusedBatchNorm
  FusedBatchNormV2 PlaceholderWithDefault
""")
# What weights that are still variables add, with how they begin.
VARIABLES = _names("""
  AssignVariableOp IsVariableInitialized NoOp RandomStandardNormal ReadVariableOp VarHandleOp
  VarIsInitializedOp Variable
""")
# What tf.train.Saver adds to a graph, sharded or not, today and in 2016: operations on files, with
# the inputs that name these, and what a file name is made by.
_ON_FILES = {
  'MergeV2Checkpoints': (0, 1),
  'RestoreSlice': (0,),
  'RestoreV2': (0,),
  'SaveSlices': (0,),
  'SaveV2': (0,),
}
_WRITERS = frozenset(['MergeV2Checkpoints', 'SaveSlices', 'SaveV2'])
_OF_FILE_NAMES = frozenset(['Select', 'ShardedFilename', 'StaticRegexFullMatch', 'StringJoin'])
SAVER = _OF_FILE_NAMES | set(_ON_FILES)
# A file name passes through these too; it is fed, or by default one of the constants of a Saver.
_PASSES_FILE_NAMES = _OF_FILE_NAMES | {'Identity', 'Pack', 'PlaceholderWithDefault'}
_FILE_NAME = re.compile(rb'model|\.part|_temp(_[0-9a-f]{32})?/part')

_TO_COMPUTE = NETS | PREPROCESSING | OLD_GRAPHS | VARIABLES
_DECLARES_SIZE = ('Placeholder', 'PlaceholderWithDefault', 'VarHandleOp', 'Variable', 'VariableV2')
# Of all constants, variables and inputs together. The largest net has 0.6 GB of weights, a training
# graph three times as much.
MAX_DECLARED_BYTES = 4 * 1024**3
_TRUST = 'if you know who made it, and trust them, add --trust_graph'


def check(graph_def, path, has_saver=False):
  """Refuses a graph that can do more than compute, before it is imported.

  Args:
    graph_def: a tf.GraphDef.
    path: its file, for the messages.
    has_saver: whether a tf.train.Saver may be in it, as in graphs that are not frozen yet.

  Raises:
    UserError: for the first node whose operation is on none of the lists, calls a function, or
      works on a file that is not given to it; and for a graph that declares too much memory.
  """
  allowed = _TO_COMPUTE | SAVER if has_saver else _TO_COMPUTE
  _check_nodes(graph_def.node, path, allowed)
  for function in graph_def.library.function:
    name = function.signature.name
    if name in allowed:
      raise UserError(f'{path} gives the operation {name} another meaning by a function: {_TRUST}.')
    _check_nodes(function.node_def, path, _TO_COMPUTE, f' of its function {name!r}')
  _check_declared_bytes(graph_def, path)
  if has_saver:
    _check_file_names(graph_def, path)


def _check_nodes(nodes, path, allowed, where=''):
  for node in nodes:
    if node.op not in allowed:
      raise UserError(
        f'{path} can do more than classify: its node {node.name!r}{where} has the operation '
        f'{node.op}, which no net needs; {_TRUST}.'
      )
    for name, value in node.attr.items():
      kind = value.WhichOneof('value')
      if kind in ('func', 'placeholder') or (kind == 'list' and value.list.func):
        raise UserError(
          f'{path} can do more than classify: its node {node.name!r}{where} calls a function by '
          f'its attribute {name!r}; {_TRUST}.'
        )


def _check_declared_bytes(graph_def, path):
  """Raises UserError when constants, variables and inputs claim more memory than a net can need."""
  total = 0
  for node in graph_def.node:
    if node.op == 'Const':
      tensor = node.attr['value'].tensor
      total += _declared_bytes(tensor.dtype, tensor.tensor_shape)
    elif node.op in _DECLARES_SIZE:
      total += _declared_bytes(node.attr['dtype'].type, node.attr['shape'].shape)
    if total > MAX_DECLARED_BYTES:
      raise UserError(
        f'{path} claims more than {MAX_DECLARED_BYTES >> 30} GB of memory, at its node '
        f'{node.name!r}: {_TRUST}.'
      )


def _declared_bytes(dtype, shape):
  try:
    size = tf.as_dtype(dtype).size or 1
  except TypeError:  # an element type of its own: import says so
    return 0
  for dim in shape.dim:
    size *= max(1, dim.size)  # -1 is any
    if size > MAX_DECLARED_BYTES:
      break
  return size


def _check_file_names(graph_def, path):
  """Raises UserError for an operation on a file that no Saver would name."""
  nodes = {node.name: node for node in graph_def.node}
  for node in graph_def.node:
    numbers = _ON_FILES.get(node.op, ())
    names = _data_inputs(node)
    waiting, seen = [names[number] for number in numbers if number < len(names)], set()
    while waiting:
      source = nodes.get(waiting.pop())
      if source is None or source.name in seen or source.op == 'Placeholder':
        continue  # import says what is missing
      seen.add(source.name)
      if source.op in _PASSES_FILE_NAMES:
        waiting += _data_inputs(source)
      elif source.op != 'Const' or not _is_of_saver(source.attr['value'].tensor):
        raise UserError(
          f'{path} can do more than classify: its node {node.name!r} ({node.op}) takes a file name '
          f'from {source.name!r}, which no Saver made; {_TRUST}.'
        )


def _data_inputs(node):
  """Returns the names of the nodes whose results a node takes."""
  return [name.partition(':')[0] for name in node.input if not name.startswith('^')]


def _is_of_saver(tensor):
  if tensor.dtype != tf.string.as_datatype_enum:
    return True
  return not tensor.tensor_content and all(map(_FILE_NAME.fullmatch, tensor.string_val))


def check_runs(graph_def, names, path):
  """Raises UserError when running some nodes would write a file.

  Args:
    graph_def: a tf.GraphDef that `check` has passed.
    names: what is to be run: names of operations or tensors.
    path: the graph's file, for the message.
  """
  nodes = {node.name: node for node in graph_def.node}
  waiting, seen = [name.partition(':')[0] for name in names], set()
  while waiting:
    node = nodes.get(waiting.pop())
    if node is None or node.name in seen:
      continue
    seen.add(node.name)
    if node.op in _WRITERS:
      raise UserError(
        f'{path} would write a file when its weights are read or its outputs computed, at its node '
        f'{node.name!r} ({node.op}); {_TRUST}.'
      )
    waiting += [name.lstrip('^').partition(':')[0] for name in node.input]
