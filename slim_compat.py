"""The one place that knows TensorFlow's age: graph mode, and tf_slim on today's TensorFlow.

Exports `tf` (`tensorflow.compat.v1` in graph mode), `slim` (`tf_slim`) and `has_onednn`, whether
oneDNN computes for TensorFlow. Every other module takes them from here. Importing this module
imports TensorFlow (seconds), so commands import it late.
"""

import contextlib
import importlib
import logging
import os
import pkgutil
import sys
import tempfile
import warnings

# Users can still choose their own level; 3 leaves Python's messages and exceptions untouched.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# A level that a command has set before stays; TensorFlow's import would reset it.
_LOG_LEVEL = logging.getLogger('tensorflow').level or logging.INFO
# tf_slim's layers are the layers of Keras 2, which lives on in tf_keras.
os.environ['TF_USE_LEGACY_KERAS'] = '1'


@contextlib.contextmanager
def _native_stderr_held():
  """Holds back what native code writes to standard error, and shows it if the block raises.

  TensorFlow 2.21 prints start-up lines while it is imported, before its log level is in force.
  """
  sys.stderr.flush()
  kept = os.dup(2)
  with tempfile.TemporaryFile() as held:
    os.dup2(held.fileno(), 2)
    try:
      yield
    except BaseException:
      held.seek(0)
      os.write(kept, held.read())
      raise
    finally:
      os.dup2(kept, 2)
      os.close(kept)


def _alias_legacy_layers():
  """Makes tf_keras.legacy_tf_layers, which TensorFlow imports, of where tf_keras keeps it today."""
  name, target = 'tf_keras.legacy_tf_layers', 'tf_keras.src.legacy_tf_layers'
  package = sys.modules[name] = importlib.import_module(target)
  for module in pkgutil.iter_modules(package.__path__):
    sys.modules[f'{name}.{module.name}'] = importlib.import_module(f'{target}.{module.name}')


with _native_stderr_held():
  import tensorflow.compat.v1 as tf
  from tensorflow.python.framework import indexed_slices, ops, tensor
  from tensorflow.python.ops import cond, control_flow_case, control_flow_ops
  from tensorflow.python.util import _pywrap_util_port, deprecation

  # tf_slim 1.1.0 (2020) expects these names where TensorFlow had them then: tfexample_decoder
  # calls control_flow_ops.case and .cond, learning.clip_gradient_norms ops.IndexedSlices,
  # batch_norm of two-dimensional inputs ops.Tensor.
  control_flow_ops.case = control_flow_case.case
  control_flow_ops.cond = cond.cond
  ops.IndexedSlices = indexed_slices.IndexedSlices
  ops.Tensor = tensor.Tensor

  _alias_legacy_layers()
  import tf_slim as slim

# Graph mode is what this project is made of; being told so at every start helps nobody.
deprecation._PRINT_DEPRECATION_WARNINGS = False
warnings.filterwarnings('ignore', message=r'`(layer\.apply|tf\.layers\.\w+)` is deprecated')
# tf_slim says so of every net that is built without weight decay.
logging.getLogger('tensorflow').addFilter(
  lambda record: record.msg != 'Scale of 0 disables regularizer.'
)
tf.disable_v2_behavior()
tf.logging.set_verbosity(_LOG_LEVEL)

has_onednn = _pywrap_util_port.IsMklEnabled

__all__ = ['has_onednn', 'slim', 'tf']
