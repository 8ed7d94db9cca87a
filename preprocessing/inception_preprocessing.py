"""Preprocessing of the Inception, MobileNet and NASNet families: values in [-1, 1].

Training crops a random part of the picture (10 % to 100 % of its area), mirrors it and changes its
colours; evaluation takes the central 87.5 % of each side. Both resize without keeping the aspect
ratio. "Going deeper with convolutions", https://arxiv.org/abs/1409.4842, section 6.
"""

import dataclasses

from preprocessing import colours, families, rand_augment
from preprocessing.draws import Draws, stateless_image
from preprocessing.grayscale import to_grayscale
from preprocessing.pictures import as_picture
from slim_compat import tf

CENTRAL_FRACTION = 0.875
OWN = families.OWN['inception']
# research/slim draws crops from this share of the picture on, and keeps those that show a tenth.
_LEAST_DRAWN_AREA = 0.05
_SLOW_CONTRAST, _SLOW_HUE = 0.5, 0.2

_RESIZE_METHODS = (
  tf.image.ResizeMethod.BILINEAR,
  tf.image.ResizeMethod.NEAREST_NEIGHBOR,
  tf.image.ResizeMethod.BICUBIC,
  tf.image.ResizeMethod.AREA,
)

_SLOW_ORDERS = (
  ('brightness', 'saturation', 'hue', 'contrast'),
  ('saturation', 'brightness', 'contrast', 'hue'),
  ('contrast', 'hue', 'brightness', 'saturation'),
  ('hue', 'saturation', 'contrast', 'brightness'),
)


def describe(use_grayscale=False):
  """Returns what evaluation does to a picture, in the fields of a sidecar."""
  return {
    'mean': [127.5] if use_grayscale else [127.5] * 3,
    'scale': 1 / 127.5,
    'value_range': [-1.0, 1.0],
    'standardization': None,
    'crop': f'central {CENTRAL_FRACTION} of each side, before the resize',
    'resize': 'bilinear to the input size, aspect ratio not kept, align_corners=False',
  }


def training_crop(image, height, width, bbox=None, draws=None, min_area=OWN.min_crop_area):
  """Cuts out a random part that covers a tenth of one of the boxes or more, or `min_area`.

  A picture that allows no such part (one pixel wide, say) is kept whole.

  Args:
    image: pixels or a picture, as for `preprocess_image`.
    height: height that the part will be resized to.
    width: width that it will be resized to.
    bbox: float32 tensor [1, boxes, 4] of (ymin, xmin, ymax, xmax) in [0, 1]; None: the whole.
    draws: where the random choices come from; None draws from the graph's random numbers.
    min_area: least share of the picture, above 0 up to 1.

  Returns:
    A tensor [h, w, channels] of the picture's dtype, reduced while it is still no smaller than
    [height, width] where the picture can do that.
  """
  picture, draws = as_picture(image), draws or Draws()
  least_drawn = _LEAST_DRAWN_AREA if min_area == OWN.min_crop_area else min_area
  begin, size, _ = stateless_image.stateless_sample_distorted_bounding_box(
    tf.concat([picture.size, [picture.channels]], 0),
    [[[0.0, 0.0, 1.0, 1.0]]] if bbox is None else bbox,
    draws.seed(),
    min_object_covered=min(min_area, OWN.min_crop_area),
    aspect_ratio_range=(0.75, 1.33),
    area_range=(least_drawn, 1.0),
    max_attempts=100,
    use_image_if_no_bounding_boxes=True,
  )
  return picture.crop(begin[:2], size[:2], at_least=(height, width))


def _one_of(builders, draws):
  """Returns what one of the functions makes, drawn for every picture."""
  if len(builders) == 1:
    return builders[0]()
  choice = draws.uniform([], maxval=len(builders), dtype=tf.int32)
  return tf.switch_case(choice, builders)


def _random_resize(image, height, width, methods, draws):
  """Resizes to float32 [height, width, channels] by one of the methods."""
  resized = _one_of(
    [
      lambda method=method: tf.image.resize_images(image, [height, width], method)
      for method in methods
    ],
    draws,
  )
  return tf.ensure_shape(resized, [height, width, image.shape[-1]])


def distort_color(image, fast_mode=True, draws=None, augmentation=OWN):
  """Changes brightness and saturation, and with fast_mode=False hue and contrast, at random.

  Args:
    image: float32 tensor [height, width, 3] in [0, 1].
    fast_mode: whether to leave out hue and contrast, unless they are asked for, and the drawing of
      an order.
    draws: where the random choices come from; None draws from the graph's random numbers.
    augmentation: augmentation.Augmentation with the strengths.

  Returns:
    A float32 tensor [height, width, 3] in [0, 1].
  """
  draws = draws or Draws()
  if not fast_mode:
    augmentation = dataclasses.replace(
      augmentation,
      contrast=augmentation.contrast or _SLOW_CONTRAST,
      hue=augmentation.hue or _SLOW_HUE,
    )
  orders = (colours.ORDER,) if fast_mode else _SLOW_ORDERS
  return _one_of(
    [lambda order=order: colours.changed(image, augmentation, draws, order) for order in orders],
    draws,
  )


def preprocess_for_train(
  image,
  height,
  width,
  bbox=None,
  fast_mode=True,
  random_crop=True,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Makes one random training view of a picture.

  Args:
    image: as for `preprocess_image`.
    height: height of the result.
    width: width of the result.
    bbox: float32 tensor [1, boxes, 4] of (ymin, xmin, ymax, xmax) in [0, 1]; None: the whole.
    fast_mode: bilinear resize, brightness and saturation only; False: one of four resize methods,
      hue and contrast as well, in one of four orders.
    random_crop: whether to cut out a random part.
    use_grayscale: whether to return one channel.
    seed: int tensor [2] that decides the view; None draws one.
    augmentation: augmentation.Augmentation without None.

  Returns:
    A float32 tensor [height, width, 3 or 1] in [-1, 1].
  """
  draws = Draws(seed)
  if random_crop:
    image = training_crop(image, height, width, bbox, draws, augmentation.min_crop_area)
  else:
    image = as_picture(image).pixels()
  image = tf.image.convert_image_dtype(image, tf.float32)
  methods = _RESIZE_METHODS[:1] if fast_mode else _RESIZE_METHODS
  image = _random_resize(image, height, width, methods, draws)
  image = draws.mirrored(image, augmentation.horizontal_flip)
  if augmentation.rand_augment:
    image = rand_augment.applied(255 * image, *augmentation.of_rand_augment, draws) / 255
  image = distort_color(image, fast_mode, draws, augmentation)
  if use_grayscale:
    image = to_grayscale(image)
  return (image - 0.5) * 2.0


def preprocess_for_eval(
  image, height, width, central_fraction=CENTRAL_FRACTION, central_crop=True, use_grayscale=False
):
  """Makes the one evaluation view of a picture.

  Args:
    image: as for `preprocess_image`.
    height: height of the result; None, with `width`, keeps the size.
    width: width of the result.
    central_fraction: share of each side that is kept.
    central_crop: whether to crop at all.
    use_grayscale: whether to return one channel.

  Returns:
    A float32 tensor [height, width, 3 or 1] in [-1, 1].
  """
  image = tf.image.convert_image_dtype(as_picture(image).pixels(), tf.float32)
  if use_grayscale:
    image = to_grayscale(image)
  if central_crop and central_fraction:
    image = tf.image.central_crop(image, central_fraction)
  if height and width:
    image = tf.squeeze(tf.image.resize_bilinear([image], [height, width]), [0])
  return (image - 0.5) * 2.0


def preprocess_image(
  image,
  output_height,
  output_width,
  is_training=False,
  bbox=None,
  fast_mode=True,
  crop_image=True,
  use_grayscale=False,
  seed=None,
  augmentation=OWN,
):
  """Turns a picture into a network's input; see the two functions above.

  Args:
    image: uint8 tensor [h, w, 3] in [0, 255], or float32 in [0, 1]; or a picture that is not yet
      decoded, with the methods of pictures.DecodedPicture.
    output_height: height of the result.
    output_width: width of the result.
    is_training: a random view rather than the evaluation view.
    bbox: training only: float32 [1, boxes, 4], what a random crop should show some of.
    fast_mode: training only: leave out hue, contrast and the other resize methods.
    crop_image: whether either view is cropped.
    use_grayscale: whether to return one channel.
    seed: training only: int tensor [2] that decides the view; None draws one.
    augmentation: training only: augmentation.Augmentation without None.

  Returns:
    A float32 tensor [output_height, output_width, 3 or 1] in [-1, 1].
  """
  if is_training:
    return preprocess_for_train(
      image,
      output_height,
      output_width,
      bbox,
      fast_mode,
      crop_image,
      use_grayscale,
      seed,
      augmentation,
    )
  return preprocess_for_eval(
    image, output_height, output_width, central_crop=crop_image, use_grayscale=use_grayscale
  )
