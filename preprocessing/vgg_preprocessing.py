"""Preprocessing of the VGG, ResNet, AlexNet and OverFeat families: RGB minus its mean, not scaled.

The aspect ratio is kept: the short side is resized, then a window of the input size is cut out;
at random in training, in the middle in evaluation.
"Very Deep Convolutional Networks", https://arxiv.org/abs/1409.1556, section 3.
"""

import math

from preprocessing import colours, families, rand_augment
from preprocessing.draws import Draws
from preprocessing.grayscale import to_grayscale
from preprocessing.pictures import DecodedPicture, as_picture
from slim_compat import tf

MEANS = (123.68, 116.78, 103.94)  # of ImageNet's red, green and blue
GRAY_MEAN = 117.38  # luma (0.2989, 0.587, 0.114) of the three
RESIZE_SIDE_MIN = 256
RESIZE_SIDE_MAX = 512
# A 1 x 10000 picture resized to a short side of 512 would take 30 GB; past this ratio the long
# side is cut before the resize. The window is much smaller, so evaluation looks at the same place.
_MAX_ASPECT_RATIO = 16
_USUAL_SIZE = 224
OWN = families.OWN['vgg']


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


def _window_begin(room, draws):
  """Returns where a window starts, int32 [2], that can move by `room`; central without `draws`."""
  share = draws.uniform([2]) if draws else 0.5
  # The smaller of the two whole numbers around the middle; every random place is equally likely.
  last = tf.cast(room + 1 if draws else room, tf.float32)
  return tf.minimum(tf.cast(tf.floor(last * share), tf.int32), room)


def _limited_part(size, draws):
  """Returns (begin, size) of a picture without what makes its shape extreme; usually all of it."""
  part = tf.minimum(size, _MAX_ASPECT_RATIO * tf.reduce_min(size))
  return _window_begin(size - part, draws), part


def _resized(size, side):
  """Returns the size, int32 [2], with a short side of `side`, and the pixels a resized one."""
  size = tf.cast(size, tf.float32)
  new_size = tf.rint(size * (tf.cast(side, tf.float32) / tf.reduce_min(size)))
  return tf.cast(new_size, tf.int32), size / new_size


def _resized_window(image, size, begin, output_size):
  """Resizes pixels to `size` and cuts out the window of `output_size` at `begin`."""
  image = tf.squeeze(tf.image.resize_bilinear([tf.cast(image, tf.float32)], size), [0])
  image = tf.slice(image, tf.concat([begin, [0]], 0), [*output_size, -1])
  return tf.ensure_shape(image, [*output_size, image.shape[-1]])


def _random_window(picture, output_size, side, draws):
  """Resizes to a short side of `side` and cuts out a window, decoding just what is in it.

  The pixels are those of the whole picture resized, shifted by half a resized pixel at most.
  """
  outer_begin, outer_size = _limited_part(picture.size, draws)
  new_size, step = _resized(outer_size, side)
  window_begin = _window_begin(new_size - output_size, draws)
  window_end = tf.cast(window_begin + output_size, tf.float32)
  begin = tf.cast(tf.cast(window_begin, tf.float32) * step, tf.int32)
  end = tf.minimum(tf.cast(tf.ceil(window_end * step), tf.int32) + 1, outer_size)
  # The window begins a little inside the resized part, as the part begins at a whole pixel.
  inside = window_begin - tf.cast(tf.rint(tf.cast(begin, tf.float32) / step), tf.int32)
  part_size = tf.cast(tf.rint(tf.cast(end - begin, tf.float32) / step), tf.int32)
  part_size = tf.maximum(part_size, inside + output_size)
  part = picture.crop(outer_begin + begin, end - begin, at_least=part_size)
  return _resized_window(part, part_size, inside, output_size)


def _central_window(picture, output_size, side):
  begin, size = _limited_part(picture.size, None)
  image = DecodedPicture(picture.pixels()).crop(begin, size)
  new_size, _ = _resized(size, side)
  begin = _window_begin(new_size - output_size, None)
  return _resized_window(image, new_size, begin, output_size)


def _centred(image, use_grayscale):
  return to_grayscale(image) - GRAY_MEAN if use_grayscale else image - tf.constant(MEANS)


def preprocess_for_train(
  image,
  output_height,
  output_width,
  resize_side_min=RESIZE_SIDE_MIN,
  resize_side_max=RESIZE_SIDE_MAX,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Makes one random training view of a picture; see `preprocess_image`."""
  smallest = _side_for(resize_side_min, output_height, output_width)
  largest = max(smallest, _side_for(resize_side_max, output_height, output_width))
  if augmentation.min_crop_area != OWN.min_crop_area:
    largest = round(max(output_height, output_width) / math.sqrt(augmentation.min_crop_area))
    smallest = min(smallest, largest)
  draws = Draws(seed)
  side = draws.uniform([], smallest, largest + 1, tf.int32)
  image = _random_window(as_picture(image), [output_height, output_width], side, draws)
  image = draws.mirrored(image, augmentation.horizontal_flip)
  image = rand_augment.applied(image, *augmentation.of_rand_augment, draws)
  image = colours.changed(image, augmentation, draws, white=255.0)
  return _centred(image, use_grayscale)


def preprocess_for_eval(
  image, output_height, output_width, resize_side=RESIZE_SIDE_MIN, use_grayscale=False
):
  """Makes the one evaluation view of a picture; see `preprocess_image`."""
  side = _side_for(resize_side, output_height, output_width)
  image = _central_window(as_picture(image), [output_height, output_width], side)
  return _centred(image, use_grayscale)


def preprocess_image(
  image,
  output_height,
  output_width,
  is_training=False,
  resize_side_min=RESIZE_SIDE_MIN,
  resize_side_max=RESIZE_SIDE_MAX,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Turns a picture into a network's input.

  Args:
    image: uint8 or float32 tensor [h, w, 3] in [0, 255]; or a picture that is not yet decoded, with
      the methods of pictures.DecodedPicture.
    output_height: height of the result.
    output_width: width of the result.
    is_training: a random view rather than the evaluation view.
    resize_side_min: least short side in training, and the short side in evaluation, in pixels.
    resize_side_max: greatest short side in training, in pixels.
    use_grayscale: whether to return one channel.
    seed: training only: int tensor [2] that decides the view; None draws one.
    augmentation: training only: augmentation.Augmentation without None; a `min_crop_area` of its
      own takes the place of resize_side_max.

  Returns:
    A float32 tensor [output_height, output_width, 3 or 1]: values in [0, 255] minus the mean.
  """
  if is_training:
    return preprocess_for_train(
      image,
      output_height,
      output_width,
      resize_side_min,
      resize_side_max,
      use_grayscale,
      seed,
      augmentation,
    )
  return preprocess_for_eval(image, output_height, output_width, resize_side_min, use_grayscale)
