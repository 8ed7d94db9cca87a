"""Images of a batch mixed with one another, their labels in the same shares, and erased in parts.

What is drawn depends on the graph's seed and the number of the batch alone, as dropout's masks do.
An image's partner is the next of the batch, which is as good as any: batches are shuffled.
"""

import math

from nets.dropout import seed_of_step
from slim_compat import tf
from slim_errors import UserError

# Share of the picture that is erased, and height to width of that: section 4 of the paper on random
# erasing, Zhong et al., https://arxiv.org/abs/1708.04896
_ERASED_AREA = 0.02, 0.4
_ERASED_ASPECT = 0.3, 1 / 0.3


def check(options):
  """Raises UserError for strengths that are none."""
  for name in ('mixup_alpha', 'cutmix_alpha'):
    if not 0 <= getattr(options, name) < math.inf:
      raise UserError(f'--{name}={getattr(options, name)} must be 0 (off) or more.')
  if not 0 <= options.random_erasing <= 1:
    raise UserError(f'--random_erasing={options.random_erasing} must be from 0 to 1.')
  if (options.mixup_alpha or options.cutmix_alpha) and options.batch_size < 2:
    raise UserError('--mixup_alpha and --cutmix_alpha need a --batch_size of 2 or more.')


def is_on(options):
  """Whether the images of a batch are changed together, after the preprocessing."""
  return bool(options.mixup_alpha or options.cutmix_alpha or options.random_erasing)


def mixed(options, images, labels):
  """Mixes and erases as the options say.

  Args:
    options: options.TrainingOptions.
    images: float32 [b, h, w, c], as the net gets them.
    labels: float32 [b, classes], one-hot.

  Returns:
    images and labels in the same shapes; the labels of an image add up to 1.
  """
  shape = images.shape.as_list()
  if options.mixup_alpha or options.cutmix_alpha:
    own = _own_share(options, shape)
    images = own * images + (1 - own) * tf.roll(images, -1, axis=0)
    own = tf.reduce_mean(own, axis=[1, 2])  # [b, 1]
    labels = own * labels + (1 - own) * tf.roll(labels, -1, axis=0)
  if options.random_erasing:
    images *= 1 - _erased(shape, options.random_erasing)
  return images, labels


def _own_share(options, shape):
  """Returns which share of each pixel is the image's own: float32 [b, h or 1, w or 1, 1]."""
  if not options.cutmix_alpha:
    return _mixup(shape, options.mixup_alpha)
  if not options.mixup_alpha:
    return _cutmix(shape, options.cutmix_alpha)
  # With both, every image takes one of them, as often the one as the other.
  is_mixup = _uniform('which', [shape[0], 1, 1, 1]) < 0.5
  mixup, cutmix = _mixup(shape, options.mixup_alpha), _cutmix(shape, options.cutmix_alpha)
  return tf.where_v2(is_mixup, mixup, cutmix)


def _mixup(shape, alpha):
  """Zhang et al., mixup: Beyond Empirical Risk Minimization, https://arxiv.org/abs/1710.09412"""
  return _beta('mixup', [shape[0], 1, 1, 1], alpha)


def _cutmix(shape, alpha):
  """Yun et al., CutMix, https://arxiv.org/abs/1905.04899: a box of the other image, cut off."""
  other = 1 - _beta('cutmix', [shape[0]], alpha)
  side = tf.sqrt(other)
  center = _uniform('box', [2, shape[0]])
  return 1 - _boxes(center - side / 2, center + side / 2, shape)


def _erased(shape, probability):
  """Returns 1 where an image is erased, else 0: float32 [b, h, w, 1]."""
  size = [shape[0]]
  area = _uniform('area', size, *_ERASED_AREA)
  low, high = map(math.log, _ERASED_ASPECT)
  aspect = tf.exp(_uniform('aspect', size, low, high))
  sides = tf.minimum(tf.stack([tf.sqrt(area * aspect), tf.sqrt(area / aspect)]), 1.0)
  begin = _uniform('place', [2, *size]) * (1 - sides)
  is_erased = _uniform('is erased', size) < probability
  return tf.cast(is_erased, tf.float32)[:, None, None, None] * _boxes(begin, begin + sides, shape)


def _boxes(begin, end, shape):
  """Returns 1 inside boxes, else 0: float32 [b, h, w, 1].

  Args:
    begin, end: float32 [2, b], the edges from top to bottom and from left to right, as shares of
      height and width; what lies outside the image does not count.
    shape: of the images.
  """
  inside = []
  for axis, pixels in enumerate(shape[1:3]):
    places = (tf.range(pixels, dtype=tf.float32) + 0.5) / pixels
    is_inside = tf.logical_and(places >= begin[axis][:, None], places < end[axis][:, None])
    inside.append(tf.cast(is_inside, tf.float32))
  rows, columns = inside  # [b, h], [b, w]
  return (rows[:, :, None] * columns[:, None, :])[..., None]


def _uniform(purpose, shape, low=0.0, high=1.0):
  return tf.random.stateless_uniform(shape, seed_of_step(f'mixing/{purpose}'), low, high)


def _beta(purpose, shape, alpha):
  """Returns numbers of the distribution Beta(alpha, alpha), made of two of Gamma(alpha)."""
  gammas = tf.random.stateless_gamma([2, *shape], seed_of_step(f'mixing/{purpose}'), alpha)
  return tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1])
