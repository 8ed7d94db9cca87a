"""How large a graph file may be, found out before it is parsed: a small file can fill a memory.

Weights are plain bytes of constants (`tensor_content`) and stay as large as they are. All else
grows when it is parsed, an empty node of two bytes to more than a hundred; it is small in a graph
of any net, and limited here.
"""

from slim_compat import tf
from slim_errors import UserError

# The largest net, vgg_19, has 0.6 GB; no protocol buffer can have more than 2.
MAX_BYTES = 2 * 1024**3 - 1
MAX_TEXT_BYTES = 128 * 1024**2
# The largest graph without its weights, s3dg's, has 10 MB; the longest, nasnet_large's, has 10,368
# nodes of about 25 fields.
MAX_STRUCTURE_BYTES = 32 * 1024**2
MAX_NODES = 250_000
MAX_TEXT_FIELDS = 1_000_000

# Field numbers, from a file's message to its graphs, and from a graph to the bytes of a constant:
# node, attr, value, tensor, tensor_content.
_TO_GRAPH = {tf.GraphDef: (), tf.MetaGraphDef: (2,)}
_TO_SAVED_GRAPH = (2, 2)
_TO_CONTENT = (1, 5, 2, 8, 4)
_SMALL = 4096  # bytes up to which a message counts as a whole
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_binary(data, kind, path):
  """Raises UserError when a binary file is none that a graph can need.

  Args:
    data: its bytes.
    kind: message class of the file.
    path: the file, for the message.
  """
  to_graph = _TO_GRAPH.get(kind, _TO_SAVED_GRAPH)
  content, nodes = _measured(data, to_graph + _TO_CONTENT, len(to_graph))
  if nodes > MAX_NODES:
    raise UserError(f'{path} has more than {MAX_NODES} nodes, and no net has: it is not read.')
  structure = len(data) - content
  if structure > MAX_STRUCTURE_BYTES:
    raise UserError(
      f'{path} has {structure >> 20} MB beside its weights, and no graph of a net has more than '
      f'{MAX_STRUCTURE_BYTES >> 20}: it is not read.'
    )


def _measured(data, field_numbers, node_depth):
  """Returns how many bytes of constants are in a message, and how many nodes; looks at no more.

  What is no such message is not followed, so that all of it counts as structure.
  """
  content = nodes = 0
  waiting = [(0, len(data), 0)]
  while waiting:
    at, end, depth = waiting.pop()
    last = depth + 1 == len(field_numbers)
    while at < end:
      key, at = _varint(data, at, end)
      wire, length = key & 7, 0
      if wire == _VARINT:
        _, at = _varint(data, at, end)
      elif wire == _BYTES:
        length, at = _varint(data, at, end)
      elif wire in (_FIXED64, _FIXED32):
        at += 8 if wire == _FIXED64 else 4
      else:
        return content, nodes
      nodes += depth == node_depth  # and its few other parts
      if nodes > MAX_NODES:
        return content, nodes
      if wire == _BYTES and key >> 3 == field_numbers[depth] and at + length <= end:
        if last:
          content += length
        elif length > _SMALL:
          waiting.append((at, at + length, depth + 1))
      at += length
  return content, nodes


def _varint(data, at, end):
  """Returns a number of seven bits a byte, lowest first, and where it ends."""
  value = shift = 0
  while at < end and shift < 64:
    byte = data[at]
    at += 1
    value |= (byte & 127) << shift
    if byte < 128:
      return value, at
    shift += 7
  return 0, end


def check_text(data, kind, path):
  """Raises UserError when a text file would take too long to read; as `check_binary`."""
  del kind
  if len(data) > MAX_TEXT_BYTES:
    raise UserError(
      f'{path} has {len(data) >> 20} MB of text, and {MAX_TEXT_BYTES >> 20} are the limit: save '
      'the graph in binary form.'
    )
  if sum(map(data.count, (b':', b'{', b'<', b','))) > MAX_TEXT_FIELDS:
    raise UserError(
      f'{path} has more than {MAX_TEXT_FIELDS} fields of text: save the graph in binary form.'
    )
