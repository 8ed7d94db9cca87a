"""Graph files: reading them, what they are, and what their inputs and outputs are called."""

import difflib

from google.protobuf import message, text_format

import slim_files
from image_classifier.graphs import limits
from nets import net_info
from slim_compat import tf
from slim_errors import UserError

INPUT_NODE = 'input'
_VARIABLE_OPS = ('Variable', 'VariableV2', 'VarHandleOp', 'AutoReloadVariable')
# What only a training graph holds: updates of weights, and data that feeds itself.
_TRAINING_OPS = ('Apply', 'ResourceApply', 'SparseApply', 'Iterator', 'OneShotIterator', 'Queue')
_NOT_OUTPUTS = ('Assign', 'Const', 'NoOp', 'Placeholder', 'SaveV2', 'Summary', *_VARIABLE_OPS)
_SHOWN_NAMES = 8
# Of the input: [batch, height, width, channels], and [batch, frames, height, width, channels].
_PICTURES_RANK, _CLIPS_RANK = 4, 5


def read_graph(path, kind=None):
  """Reads a graph file in binary or text form, whichever it is.

  Args:
    path: the file.
    kind: message class of the file, tf.GraphDef when None.

  Returns:
    The message, and whether the file was binary.

  Raises:
    UserError: when the file cannot be read, is empty, too large or no such message.
  """
  kind = kind or tf.GraphDef
  try:
    data = slim_files.read_bytes(path, limits.MAX_BYTES)
  except OSError as error:
    raise UserError(f'Graph {path} cannot be read: {error.strerror}.') from None
  except ValueError as error:
    raise UserError(f'Graph {path} cannot be read: {error}.') from None
  if not data:
    raise UserError(f'Graph {path} is empty (0 bytes): export or freeze it again.')
  for is_binary in _possible_forms(data):
    check = limits.check_binary if is_binary else limits.check_text
    check(data, kind, path)
    parsed = _parse(data, kind, is_binary)
    if parsed is not None:
      return parsed, is_binary
  raise UserError(
    f'{path} is no {kind.__name__}, neither binary nor text ({len(data)} bytes): '
    'a graph of export_inference_graph.py or freeze_graph.py is expected.'
  )


def _possible_forms(data):
  """Returns whether a file may be binary: True, False, or both."""
  if b'\0' in data:
    return (True,)
  # Binary without a zero is small: it has no weights.
  return (True, False) if len(data) <= limits.MAX_STRUCTURE_BYTES else (False,)


def _parse(data, kind, is_binary):
  """Returns the message in `data`, or None when it holds none."""
  parsed = kind()
  try:
    if is_binary:
      parsed.ParseFromString(data)
    else:
      text_format.Parse(data.decode('utf-8'), parsed)
  except (message.DecodeError, text_format.ParseError, UnicodeDecodeError):
    return None
  except RecursionError:  # nested more deeply than any graph
    return None
  if kind is tf.GraphDef:
    # Other messages can pass for a GraphDef byte by byte, but not with nodes of name and op.
    return parsed if parsed.node and all(n.name and n.op for n in parsed.node) else None
  return parsed if parsed.ByteSize() else None


def import_graph(graph_def, path):
  """Adds a graph to TensorFlow's default graph.

  Args:
    graph_def: a tf.GraphDef that `safety.check` has passed, or that is trusted.
    path: its file, for the message.

  Raises:
    UserError: when its nodes do not fit together.
  """
  try:
    tf.import_graph_def(graph_def, name='')
  except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    raise UserError(f'{path} is no graph that TensorFlow can use: {first_line}') from None


def variable_nodes(graph_def):
  """Returns the nodes that are variables."""
  return [node for node in graph_def.node if node.op in _VARIABLE_OPS]


def placeholders(graph_def):
  """Returns the names of the nodes that must be fed."""
  return [node.name for node in graph_def.node if node.op == 'Placeholder']


def outputs(graph_def):
  """Returns the names of the nodes whose results nothing else in the graph takes."""
  taken = {source.lstrip('^').partition(':')[0] for node in graph_def.node for source in node.input}
  return [
    node.name
    for node in graph_def.node
    if node.name not in taken
    and not node.op.startswith(_NOT_OUTPUTS)
    and not node.op.endswith('Summary')
  ]


def check_node(graph_def, name, path):
  """Raises UserError, with the nearest names and the graph's own, when there is no such node."""
  names = [node.name for node in graph_def.node]
  if name not in names:
    nearest = difflib.get_close_matches(name, names, n=5, cutoff=0)
    raise UserError(
      f'{path} has no node {name!r}; the nearest are {", ".join(nearest)}; '
      f'{inputs_and_outputs(graph_def)}.'
    )


def inputs_and_outputs(graph_def):
  """Returns what a graph is fed and what it answers, as part of a sentence."""
  return f'its inputs are {_some(placeholders(graph_def))}, its outputs {_some(outputs(graph_def))}'


def _some(names):
  shown = ', '.join(names[-_SHOWN_NAMES:]) or 'none'
  return f'{shown} and {len(names) - _SHOWN_NAMES} more' if len(names) > _SHOWN_NAMES else shown


def refuse_training_graph(graph_def, path):
  """Raises UserError for a graph that answers differently from batch to batch, or feeds itself."""
  advice = 'make an inference graph with export_inference_graph.py --train_dir=... and use that'
  has_input = INPUT_NODE in placeholders(graph_def)
  if not has_input and any(node.op.startswith(_TRAINING_OPS) for node in graph_def.node):
    raise UserError(
      f'{path} is a training graph: it feeds itself from a data set and has no placeholder '
      f'{INPUT_NODE!r}; {advice}.'
    )
  for node in graph_def.node:
    uses_batch = node.op.startswith('FusedBatchNorm') and node.attr['is_training'].b
    drops_out = node.op.startswith('RandomUniform') and 'dropout' in node.name.lower()
    if uses_batch or drops_out:
      reason = 'uses the statistics of the batch it is given' if uses_batch else 'is left to chance'
      raise UserError(f'{path} is in training form: {node.name} {reason}; {advice}.')


def input_shape(graph_def):
  """Returns the shape of the placeholder `input`: a list, with None for what may vary.

  Returns None when there is no such placeholder, or its rank is not known.
  """
  for node in graph_def.node:
    if node.name == INPUT_NODE and node.op == 'Placeholder':
      shape = tf.TensorShape(node.attr['shape'].shape)
      return None if shape.rank is None else shape.as_list()
  return None


def recognize_net(graph_def, likely=()):
  """Returns the name of the net a graph holds, by its logits node, or None.

  Nets that share their node names (the widths of a MobileNet, say) are told apart by what is
  likely, else by the shape of the input; the first of them stands for what is left.

  Args:
    graph_def: a tf.GraphDef.
    likely: nets that its weights may be of, where that is known.
  """
  shape = input_shape(graph_def)
  if shape is not None and len(shape) not in (_PICTURES_RANK, _CLIPS_RANK):
    return None
  nodes = {node.name for node in graph_def.node}
  candidates = [
    name
    for name, info in net_info.NET_INFO.items()
    if info.logits_node in nodes and (shape is None or info.is_video == (len(shape) == _CLIPS_RANK))
  ]
  size = shape and shape[-2]
  candidates = [name for name in candidates if name in likely] or candidates
  fitting = [name for name in candidates if net_info.NET_INFO[name].default_image_size == size]
  return next(iter(fitting or candidates), None)
