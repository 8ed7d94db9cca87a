"""Preprocessing of the VGG, ResNet, AlexNet and OverFeat families: RGB minus its mean, not scaled.

The aspect ratio is kept: the short side is resized, then a window of the input size is cut out;
at random in training, in the middle in evaluation.
"Very Deep Convolutional Networks", https://arxiv.org/abs/1409.1556, section 3.
"""

from preprocessing.draws import Draws
from preprocessing.grayscale import to_grayscale
from slim_compat import tf

MEANS = (123.68, 116.78, 103.94)  # of ImageNet's red, green and blue
GRAY_MEAN = 117.38  # luma (0.2989, 0.587, 0.114) of the three
RESIZE_SIDE_MIN = 256
RESIZE_SIDE_MAX = 512
# A 1 x 10000 picture resized to a short side of 512 would take 30 GB; past this ratio the long
# side is cut before the resize. The window is much smaller, so evaluation looks at the same place.
_MAX_ASPECT_RATIO = 16
_USUAL_SIZE = 224


def describe(use_grayscale=False):
  """Returns what evaluation does to a picture, in the fields of a sidecar."""
  return {
    'mean': [GRAY_MEAN] if use_grayscale else list(MEANS),
    'scale': 1.0,
    'value_range': None,
    'standardization': None,
    'crop': 'central window of the input size, after the resize',
    'resize': f'bilinear to a short side of {RESIZE_SIDE_MIN} (input size * 8/7 when that is '
    'too small), aspect ratio kept, align_corners=False',
  }


def _side_for(side, output_height, output_width):
  """Returns the short side to resize to: `side`, grown with an input size that would not fit."""
  largest = max(output_height, output_width)
  return side if largest <= side else round(largest * side / _USUAL_SIZE)


def _window(image, height, width, draws):
  """Cuts [height, width] (ints or scalar tensors) out of the picture, centrally without `draws`."""
  room = tf.shape(image)[:2] - [height, width]
  share = draws.uniform([2]) if draws else 0.5
  # The smaller of the two whole numbers around the middle; every random place is equally likely.
  last = tf.cast(room + 1 if draws else room, tf.float32)
  begin = tf.minimum(tf.cast(tf.floor(last * share), tf.int32), room)
  return tf.slice(image, tf.concat([begin, [0]], 0), tf.stack([height, width, tf.shape(image)[2]]))


def _limit_aspect_ratio(image, draws):
  """Cuts the long side of a picture of extreme shape; any other picture is untouched."""
  height, width = tf.shape(image)[0], tf.shape(image)[1]
  longest = _MAX_ASPECT_RATIO * tf.minimum(height, width)
  return _window(image, tf.minimum(height, longest), tf.minimum(width, longest), draws)


def _resize_short_side(image, side):
  """Resizes to a short side of `side` (scalar int tensor), keeping the aspect ratio."""
  size = tf.cast(tf.shape(image)[:2], tf.float32)
  scale = tf.cast(side, tf.float32) / tf.reduce_min(size)
  new_size = tf.cast(tf.rint(size * scale), tf.int32)
  return tf.squeeze(tf.image.resize_bilinear([image], new_size), [0])


def _view(image, output_height, output_width, side, draws, use_grayscale):
  channels = image.shape[-1]
  image = _limit_aspect_ratio(tf.cast(image, tf.float32), draws)
  image = _window(_resize_short_side(image, side), output_height, output_width, draws)
  image.set_shape([output_height, output_width, channels])
  if draws:
    image = draws.mirrored(image)
  return to_grayscale(image) - GRAY_MEAN if use_grayscale else image - tf.constant(MEANS)


def preprocess_for_train(
  image,
  output_height,
  output_width,
  resize_side_min=RESIZE_SIDE_MIN,
  resize_side_max=RESIZE_SIDE_MAX,
  use_grayscale=False,
  seed=None,
):
  """Makes one random training view of a picture; see `preprocess_image`."""
  smallest = _side_for(resize_side_min, output_height, output_width)
  largest = max(smallest, _side_for(resize_side_max, output_height, output_width))
  draws = Draws(seed)
  side = draws.uniform([], smallest, largest + 1, tf.int32)
  return _view(image, output_height, output_width, side, draws, use_grayscale)


def preprocess_for_eval(
  image, output_height, output_width, resize_side=RESIZE_SIDE_MIN, use_grayscale=False
):
  """Makes the one evaluation view of a picture; see `preprocess_image`."""
  side = _side_for(resize_side, output_height, output_width)
  return _view(image, output_height, output_width, side, None, use_grayscale)


def preprocess_image(
  image,
  output_height,
  output_width,
  is_training=False,
  resize_side_min=RESIZE_SIDE_MIN,
  resize_side_max=RESIZE_SIDE_MAX,
  use_grayscale=False,
  seed=None,
):
  """Turns a picture into a network's input.

  Args:
    image: uint8 or float32 tensor [h, w, 3] in [0, 255].
    output_height: height of the result.
    output_width: width of the result.
    is_training: a random view rather than the evaluation view.
    resize_side_min: least short side in training, and the short side in evaluation, in pixels.
    resize_side_max: greatest short side in training, in pixels.
    use_grayscale: whether to return one channel.
    seed: training only: int tensor [2] that decides the view; None draws one.

  Returns:
    A float32 tensor [output_height, output_width, 3 or 1]: values in [0, 255] minus the mean.
  """
  if is_training:
    return preprocess_for_train(
      image, output_height, output_width, resize_side_min, resize_side_max, use_grayscale, seed
    )
  return preprocess_for_eval(image, output_height, output_width, resize_side_min, use_grayscale)
