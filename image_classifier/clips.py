"""Pictures for the nets that read clips: a picture is a clip in which nothing moves.

That is how I3D got its first weights from ImageNet: Carreira, Zisserman, Quo Vadis, Action
Recognition?, https://arxiv.org/abs/1705.07750
"""

import numpy as np

from nets import net_info
from slim_compat import tf

# The nets halve the time three times, and their head pools over two frames of what is left.
NUM_FRAMES = 16


def as_input(images, model_name):
  """Returns what a net reads of a batch of pictures.

  Args:
    images: float32 tensor [b, h, w, c].
    model_name: key of networks_map.

  Returns:
    The images, or float32 [b, NUM_FRAMES, h, w, c] for a net that reads clips.
  """
  if not net_info.net_info(model_name).is_video:
    return images
  return tf.repeat(images[:, tf.newaxis], NUM_FRAMES, axis=1)


def repeated(images, num_frames):
  """Returns an array of pictures [b, h, w, c] as one of clips [b, num_frames, h, w, c]."""
  return np.repeat(images[:, np.newaxis], num_frames, axis=1)
