"""The network bodies that tf_slim ships; the families here add heads, arg scopes and names.

tf_slim can be imported only after slim_compat has prepared TensorFlow, so this order matters.
"""

# isort: off
import slim_compat  # noqa: F401
from tf_slim.nets import inception_v3, resnet_utils
# isort: on

__all__ = ['inception_v3', 'resnet_utils']
