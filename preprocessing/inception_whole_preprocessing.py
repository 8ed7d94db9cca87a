"""As inception_preprocessing, but evaluation shows the whole picture rather than its middle.

For pictures whose border counts as much as their middle, such as tiles of a map or of a scan.
"""

from preprocessing import inception_preprocessing


def describe(use_grayscale=False):
  """Returns what evaluation does to a picture, in the fields of a sidecar."""
  return {**inception_preprocessing.describe(use_grayscale), 'crop': 'none'}


def preprocess_image(image, output_height, output_width, is_training=False, **kwargs):
  """Turns a picture into a network's input.

  Args:
    image: as for inception_preprocessing.preprocess_image.
    output_height: height of the result.
    output_width: width of the result.
    is_training: a random view, cropped as there, rather than the evaluation view.
    **kwargs: the same as there, but crop_image.

  Returns:
    A float32 tensor [output_height, output_width, 3 or 1] in [-1, 1].
  """
  return inception_preprocessing.preprocess_image(
    image, output_height, output_width, is_training, crop_image=is_training, **kwargs
  )
