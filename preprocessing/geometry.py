"""Pictures turned, sheared and moved about their middle."""

from slim_compat import tf


def rotated(image, angle):
  """Turns a picture counterclockwise by an angle, a float32 scalar in radians; see `mapped`."""
  cos, sin = tf.cos(angle), tf.sin(angle)
  return mapped(image, [[cos, -sin], [sin, cos]])


def mapped(image, matrix, shift=(0.0, 0.0)):
  """Shows at every place what a picture has at another; beyond its edges it goes on mirrored.

  Args:
    image: float32 or uint8 tensor [h, w, c].
    matrix: float32 [2, 2], from a place (x, y) to the one that is shown there, in pixels to the
      right of the middle and below it.
    shift: float32 [2], added to that.

  Returns:
    A tensor like `image`; between pixels it is bilinear.
  """
  size = tf.shape(image)[:2]
  matrix = tf.convert_to_tensor(matrix)
  middle = tf.cast(size[::-1] - 1, tf.float32)[:, None] / 2  # x, y
  offset = middle - tf.matmul(matrix, middle) + tf.reshape(shift, [2, 1])
  transform = tf.concat([tf.reshape(tf.concat([matrix, offset], 1), [1, 6]), tf.zeros([1, 2])], 1)
  result = tf.raw_ops.ImageProjectiveTransformV3(
    images=image[None],
    transforms=transform,
    output_shape=size,
    fill_value=0.0,
    interpolation='BILINEAR',
    fill_mode='REFLECT',
  )
  return tf.ensure_shape(result[0], image.shape)
