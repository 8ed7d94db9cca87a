"""From the name of a net, or of a family, to its preprocessing."""

from preprocessing import (
  augmentation,
  cifarnet_preprocessing,
  inception_preprocessing,
  lenet_preprocessing,
  orientation,
  vgg_preprocessing,
)
from slim_errors import unknown

preprocessing_fn_map = {
  'cifarnet': cifarnet_preprocessing,
  'inception': inception_preprocessing,
  'lenet': lenet_preprocessing,
  'vgg': vgg_preprocessing,
  'alexnet_v2': vgg_preprocessing,
  'overfeat': vgg_preprocessing,
  'vgg_a': vgg_preprocessing,
  'vgg_16': vgg_preprocessing,
  'vgg_19': vgg_preprocessing,
  'resnet_v1_50': vgg_preprocessing,
  'resnet_v1_101': vgg_preprocessing,
  'resnet_v1_152': vgg_preprocessing,
  'resnet_v1_200': vgg_preprocessing,
  'resnet_v2_50': vgg_preprocessing,
  'resnet_v2_101': vgg_preprocessing,
  'resnet_v2_152': vgg_preprocessing,
  'resnet_v2_200': vgg_preprocessing,
  'inception_v1': inception_preprocessing,
  'inception_v2': inception_preprocessing,
  'inception_v3': inception_preprocessing,
  'inception_v4': inception_preprocessing,
  'inception_resnet_v2': inception_preprocessing,
  'i3d': inception_preprocessing,
  's3dg': inception_preprocessing,
  'mobilenet_v1': inception_preprocessing,
  'mobilenet_v1_075': inception_preprocessing,
  'mobilenet_v1_050': inception_preprocessing,
  'mobilenet_v1_025': inception_preprocessing,
  'mobilenet_v2': inception_preprocessing,
  'mobilenet_v2_140': inception_preprocessing,
  'mobilenet_v2_035': inception_preprocessing,
  'mobilenet_v3_small': inception_preprocessing,
  'mobilenet_v3_large': inception_preprocessing,
  'mobilenet_v3_small_minimalistic': inception_preprocessing,
  'mobilenet_v3_large_minimalistic': inception_preprocessing,
  'mobilenet_edgetpu': inception_preprocessing,
  'mobilenet_edgetpu_075': inception_preprocessing,
  'nasnet_cifar': cifarnet_preprocessing,
  'nasnet_mobile': inception_preprocessing,
  'nasnet_large': inception_preprocessing,
  'pnasnet_mobile': inception_preprocessing,
  'pnasnet_large': inception_preprocessing,
}


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
  family, asked = _family(name), augmentation.Augmentation(**asked)
  augmentation.check(asked, family.OWN, _short_name(family))
  asked = augmentation.completed(asked, family.OWN)

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
  family = _family(name)
  return {
    'name': _short_name(family),
    'colour_order': 'GRAY' if use_grayscale else 'RGB',
    **family.describe(use_grayscale),
  }


def _family(name):
  if name not in preprocessing_fn_map:
    raise unknown('preprocessing_name', name, preprocessing_fn_map)
  return preprocessing_fn_map[name]


def _short_name(family):
  return family.__name__.rpartition('.')[2].removesuffix('_preprocessing')
