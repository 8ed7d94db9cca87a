"""Preprocessing of the CIFAR nets: the picture at its own size, standardised on its own.

A picture is never resized: training cuts a random window out of it, padded by 4 pixels, evaluation
the central one; what is too small is padded with black.
"""

from preprocessing import families, rand_augment
from preprocessing.draws import Draws, stateless_image
from preprocessing.grayscale import to_grayscale
from preprocessing.pictures import as_picture
from slim_compat import tf

PADDING = 4
OWN = families.OWN['cifarnet']


def describe(use_grayscale=False):
  """Returns what evaluation does to a picture, in the fields of a sidecar."""
  del use_grayscale  # each picture's own mean, whatever its channels
  return {
    'mean': None,
    'scale': None,
    'value_range': None,
    'standardization': 'per image: minus its mean, over max(deviation, 1/sqrt(number of values))',
    'crop': 'central window of the input size, black where the picture is smaller',
    'resize': 'none',
  }


def preprocess_for_train(
  image,
  output_height,
  output_width,
  padding=PADDING,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Makes one random training view of a picture; see `preprocess_image`."""
  draws = Draws(seed)
  image = tf.cast(as_picture(image).pixels(), tf.float32)
  if use_grayscale:
    image = to_grayscale(image)
  size = tf.shape(image)[:2] + 2 * padding
  size = tf.maximum(size, [output_height, output_width])
  channels = image.shape[-1]
  image = tf.image.resize_image_with_crop_or_pad(image, size[0], size[1])
  image = stateless_image.stateless_random_crop(
    image, [output_height, output_width, channels], draws.seed()
  )
  image = draws.mirrored(image, augmentation.horizontal_flip)
  image = rand_augment.applied(image, *augmentation.of_rand_augment, draws)
  shift, contrast = 255 * augmentation.brightness, augmentation.contrast
  image += draws.uniform([], -shift, shift)
  image = tf.image.adjust_contrast(image, draws.uniform([], 1 - contrast, 1 + contrast))
  return tf.image.per_image_standardization(image)


def preprocess_for_eval(image, output_height, output_width, use_grayscale=False):
  """Makes the one evaluation view of a picture; see `preprocess_image`."""
  image = tf.cast(as_picture(image).pixels(), tf.float32)
  if use_grayscale:
    image = to_grayscale(image)
  image = tf.image.resize_image_with_crop_or_pad(image, output_height, output_width)
  return tf.image.per_image_standardization(image)


def preprocess_image(
  image,
  output_height,
  output_width,
  is_training=False,
  padding=PADDING,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Turns a picture into a network's input.

  Args:
    image: uint8 or float32 tensor [h, w, 3 or 1] in [0, 255]; or a picture that is not yet decoded,
      with the methods of pictures.DecodedPicture.
    output_height: height of the result.
    output_width: width of the result.
    is_training: a random view rather than the evaluation view.
    padding: training only: black pixels added on each side before the random window.
    use_grayscale: whether to return one channel.
    seed: training only: int tensor [2] that decides the view; None draws one.
    augmentation: training only: augmentation.Augmentation without None but for what is not here.

  Returns:
    A float32 tensor [output_height, output_width, channels] of mean 0 and deviation 1 (all 0 when
    the picture is of one colour).
  """
  if is_training:
    return preprocess_for_train(
      image, output_height, output_width, padding, use_grayscale, seed, augmentation
    )
  return preprocess_for_eval(image, output_height, output_width, use_grayscale)
