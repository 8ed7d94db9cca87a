"""Test-time augmentation: several views of each picture, and the mean of what a net says of them.

The mean is that of the logits, which gives the classes the same order and, by the softmax, the same
probabilities as the mean of the log-probabilities.
"""

import numpy as np

from slim_compat import tf

_CROPPED_SIDE = 0.875  # of the picture's side; as much as evaluation's central crop leaves
# Corners of the crops, y and x of the upper left one.
_CORNERS = tuple((y, x) for y in (0, 1 - _CROPPED_SIDE) for x in (0, 1 - _CROPPED_SIDE))


def _mirrored(views):
  return [*views, *(tf.image.flip_left_right(view) for view in views)]


def _crops(images):
  """Returns the four corner crops, at the size of the images."""
  number, size = tf.shape(images)[0], tf.shape(images)[1:3]
  boxes = [(y, x, y + _CROPPED_SIDE, x + _CROPPED_SIDE) for y, x in _CORNERS]
  return [
    tf.image.crop_and_resize(images, tf.tile([box], [number, 1]), tf.range(number), size)
    for box in boxes
  ]


# name -> function(images: float32 [b, size, size, channels]) -> list of such tensors.
VIEWS = {
  'none': lambda images: [images],
  'flip': lambda images: _mirrored([images]),
  'rotations': lambda images: _mirrored([images, *(tf.image.rot90(images, k) for k in (1, 2, 3))]),
  'crops': lambda images: _mirrored([images, *_crops(images)]),
}


class Views:
  """Views of prepared pictures, made in the session that has the net."""

  def __init__(self, name):
    """Adds what makes the views to the default graph.

    Args:
      name: key of VIEWS.
    """
    self._images = tf.placeholder(tf.float32, [None, None, None, None])
    self._views = VIEWS[name](self._images)

  @property
  def are_several(self):
    """Whether there is more to see than the pictures themselves."""
    return len(self._views) > 1

  def mean_logits(self, session, images, ask):
    """Returns the mean of the logits of all views, float32 [b, classes].

    Args:
      session: of the graph.
      images: float32 array [b, size, size, channels], as the net reads them.
      ask: function of such an array that returns the net's logits, float32 [b, classes].
    """
    if not self.are_several:
      return ask(images)
    logits = [ask(session.run(view, {self._images: images})) for view in self._views]
    return np.mean(logits, axis=0, dtype=np.float64).astype(np.float32)
