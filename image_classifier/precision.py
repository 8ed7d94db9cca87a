"""The precision a network computes in: float32, or bfloat16 where the processor multiplies it fast.

bfloat16 is float32 with 8 bits of precision in place of 24: a multiplication costs half or less.
TensorFlow's graph optimizer casts the convolutions and what lies between them. Variables, losses
and stored batch-norm statistics stay float32, and with `float32_ops` the logits do.
"""

from slim_errors import UserError, unknown

PRECISIONS = ('auto', 'float32', 'bfloat16')
_FAST_BFLOAT16 = {'amx_bf16', 'avx512_bf16'}
_CPU_INFO = '/proc/cpuinfo'
# Share of depthwise ones among a net's convolutions up to which auto computes it in bfloat16. The
# features of mobilenet_v2, a third of whose are, were 9 % off then, those of inception_v3 1 %.
_MOST_DEPTHWISE = 0.1
_CONTRACTIONS = ('Conv2D', 'Conv3D', 'DepthwiseConv2dNative', 'MatMul')


def resolve(name):
  """Returns the precision to compute in: 'float32', 'bfloat16', or 'float16' on a GPU.

  Args:
    name: one of PRECISIONS; auto takes float16 where TensorFlow sees a GPU, bfloat16 on a processor
      with AMX or AVX512-BF16, and float32 everywhere else and in any doubt.

  Raises:
    UserError: for another name, and for bfloat16 where TensorFlow cannot do it.
  """
  if name not in PRECISIONS:
    raise unknown('precision', name, PRECISIONS)
  if name == 'float32':
    return name
  from slim_compat import has_onednn, tf  # late: flags are declared without TensorFlow

  is_fast = bool(_FAST_BFLOAT16 & _cpu_flags())
  if name == 'auto':
    if tf.config.list_physical_devices('GPU'):
      return 'float16'
    return 'bfloat16' if is_fast and has_onednn() else 'float32'
  if not has_onednn():
    raise UserError(
      '--precision=bfloat16 needs oneDNN, which this TensorFlow lacks or TF_ENABLE_ONEDNN_OPTS=0 '
      'turns off: give --precision=float32.'
    )
  if not is_fast:
    tf.logging.warning(
      'This processor has neither AMX nor AVX512-BF16: --precision=bfloat16 may be slower than '
      'float32.'
    )
  return name


def of_net(name, op_types):
  """Returns what `resolve` does, and float32 for auto where bfloat16 does a net no good.

  Of a depthwise convolution every output is the sum of nine products or so, which bfloat16 rounds
  as much as others the sum of thousands, and oneDNN does not compute it faster.

  Args:
    name: one of PRECISIONS.
    op_types: list of the types of all operations of the net, such as 'Conv2D'.
  """
  precision = resolve(name)
  num_depthwise = op_types.count('DepthwiseConv2dNative')
  is_sensitive = num_depthwise > _MOST_DEPTHWISE * sum(map(op_types.count, _CONTRACTIONS))
  return 'float32' if name == 'auto' and precision == 'bfloat16' and is_sensitive else precision


def configure(config, precision):
  """Makes a session compute in a precision.

  Args:
    config: the tf.ConfigProto of the session, which is changed.
    precision: what `resolve` returned.
  """
  rewrites = config.graph_options.rewrite_options
  if precision == 'bfloat16':
    rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
  elif precision == 'float16':
    rewrites.auto_mixed_precision = rewrites.ON


def describe(precision):
  """Returns the line that tells a user the precision, which `resolve` returned."""
  if precision == 'float32':
    return 'Computing in float32.'
  return (
    f'Computing in {precision}, with weights and outputs in float32 '
    '(--precision=float32: all of it, slower).'
  )


def float32_ops(logits):
  """Returns the operations to run along with some logits, so that these are not rounded.

  An operation that is asked for by name stays as it is: the convolution or matrix product that
  makes the logits then reads float32 and writes float32.

  Args:
    logits: list of tensors, outputs of layers of a network.

  Returns:
    A list of tf.Operation, for each of the logits the nearest convolutions or products above it. In
    the fetches of a session they cost nothing: their results are not copied.
  """
  found, seen, waiting = [], set(), [tensor.op for tensor in logits]
  while waiting:
    op = waiting.pop()
    if op in seen:
      continue
    seen.add(op)
    if op.type in _CONTRACTIONS:
      found.append(op)
    else:
      waiting += [source.op for source in op.inputs]
  return found


def _cpu_flags():
  """Returns the set of this processor's features by Linux' names; empty where it cannot be told."""
  try:
    with open(_CPU_INFO, encoding='utf-8', errors='replace') as lines:
      line = next((line for line in lines if line.startswith('flags')), '')
  except OSError:
    return set()
  return set(line.partition(':')[2].split())
