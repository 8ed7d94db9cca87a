"""Preprocessing of LeNet: the central window of the picture at its own size, values in [-1, 1)."""

from preprocessing import families
from preprocessing.draws import Draws
from preprocessing.grayscale import to_grayscale
from preprocessing.pictures import as_picture
from slim_compat import tf

_MIDDLE = 128.0
OWN = families.OWN['lenet']


def describe(use_grayscale=False):
  """Returns what evaluation does to a picture, in the fields of a sidecar."""
  return {
    'mean': [_MIDDLE] if use_grayscale else [_MIDDLE] * 3,
    'scale': 1 / _MIDDLE,
    'value_range': [-1.0, 1.0],
    'standardization': None,
    'crop': 'central window of the input size, black where the picture is smaller',
    'resize': 'none',
  }


def preprocess_image(
  image,
  output_height,
  output_width,
  is_training=False,
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
    is_training: makes no difference unless the augmentation says so: digits are not mirrored.
    use_grayscale: whether to return one channel.
    seed: training only: int tensor [2] that decides the view; None draws one.
    augmentation: training only: augmentation.Augmentation, of which `horizontal_flip` counts.

  Returns:
    A float32 tensor [output_height, output_width, channels] in [-1, 1).
  """
  image = tf.cast(as_picture(image).pixels(), tf.float32)
  if use_grayscale:
    image = to_grayscale(image)
  image = tf.image.resize_image_with_crop_or_pad(image, output_height, output_width)
  if is_training and augmentation.horizontal_flip:
    image = Draws(seed).mirrored(image)
  return (image - _MIDDLE) / _MIDDLE
