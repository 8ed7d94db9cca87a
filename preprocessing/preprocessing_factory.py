"""From the name of a net, or of a family, to its preprocessing."""

from preprocessing import (
  cifarnet_preprocessing,
  families,
  inception_preprocessing,
  inception_whole_preprocessing,
  lenet_preprocessing,
  orientation,
  vgg_preprocessing,
)
from preprocessing.augmentation import Augmentation

_MODULES = {
  'cifarnet': cifarnet_preprocessing,
  'inception': inception_preprocessing,
  'inception_whole': inception_whole_preprocessing,
  'lenet': lenet_preprocessing,
  'vgg': vgg_preprocessing,
}
preprocessing_fn_map = {name: _MODULES[family] for name, family in families.FAMILIES.items()}


def get_preprocessing(name, is_training=False, use_grayscale=False, **asked):
  """Returns the function that turns a picture into a network's input.

  Args:
    name: name of a net or of a family: a key of `preprocessing_fn_map`.
    is_training: random views rather than the evaluation view.
    use_grayscale: whether the network reads one channel.
    **asked: fields of augmentation.Augmentation, for random views.

  Returns:
    fn(image, output_height, output_width, **kwargs): image is a uint8 tensor [h, w, channels] in
    [0, 255], or a picture that is not yet decoded, with the methods of pictures.DecodedPicture; the
    result is a float32 tensor [output_height, output_width, channels]; the keyword arguments are
    those of the family's preprocess_image. Works inside tf.data's map.

  Raises:
    UserError: for an unknown name, or an augmentation that the family cannot do.
  """
  asked = families.completed(name, Augmentation(**asked))
  family = preprocessing_fn_map[name]

  def preprocessing_fn(image, output_height, output_width, **kwargs):
    if is_training:
      kwargs = {'augmentation': asked, **kwargs}
    view = family.preprocess_image(
      image,
      output_height,
      output_width,
      is_training=is_training,
      use_grayscale=use_grayscale,
      **kwargs,
    )
    if is_training and (asked.vertical_flip or asked.rotation != 'none'):
      view = orientation.turned(view, kwargs.get('seed'), asked.vertical_flip, asked.rotation)
    return view

  return preprocessing_fn


def describe(name, use_grayscale=False):
  """Returns the evaluation preprocessing in words and numbers, for programs without TensorFlow.

  Args:
    name: name of a net or of a family: a key of `preprocessing_fn_map`.
    use_grayscale: whether the network reads one channel.

  Returns:
    A dict: 'name' of the family; 'colour_order', 'RGB' or 'GRAY'; 'mean', one number a channel, and
    'scale', so that input = (pixel - mean) * scale with pixels in [0, 255], or both None and
    'standardization' says what is done instead; 'value_range' [low, high] or None; 'crop' and
    'resize' in words.

  Raises:
    UserError: for an unknown name.
  """
  family = families.family_of(name)
  return {
    'name': family,
    'colour_order': 'GRAY' if use_grayscale else 'RGB',
    **_MODULES[family].describe(use_grayscale),
  }
