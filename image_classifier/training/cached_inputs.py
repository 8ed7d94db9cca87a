"""Whether a run trains from cached features in place of images, and from which."""

import numpy as np

from image_classifier import inputs, run_length
from image_classifier.features import cache, row_batches
from image_classifier.features.cached_evaluation import CachedEvaluation
from image_classifier.features.cached_split import CachedSplit
from image_classifier.optimization import class_weights, mixing
from preprocessing import augmentation
from slim_errors import UserError, unknown

MODES = ('auto', 'on', 'off')
# Share of --max_minutes that filling may take when nothing else says that it pays.
_MOST_OF_THE_TIME = 0.5


class NotCached(Exception):
  """Why --cache_features=auto trains from images after all, in a sentence."""


def check(options):
  """Raises UserError for settings that cannot work."""
  if options.cache_features not in MODES:
    raise unknown('cache_features', options.cache_features, MODES)
  if options.cached_views is not None and options.cached_views < 1:
    raise UserError(f'--cached_views={options.cached_views} must be at least 1.')


def num_views(options, dataset, patterns, has_checkpoint, recorded=None):
  """Decides, by what is known without the net, whether a run trains from cached features.

  Args:
    options: options.TrainingOptions.
    dataset: slim.dataset.Dataset of the split to train on.
    patterns: scopes that are trained, None for all.
    has_checkpoint: whether the run starts from a checkpoint.
    recorded: what this function returned when the run began, None at its beginning.

  Returns:
    views per image, 0 to train from images.

  Raises:
    UserError: --cache_features=on, which is impossible.
  """
  views = options.cached_views or recorded or 1
  if options.cache_features == 'off' or (options.cache_features == 'auto' and recorded == 0):
    return 0
  reason = _reason_against(options, dataset, patterns, has_checkpoint, views)
  if reason and options.cache_features == 'on':
    raise UserError(f'--cache_features=on is impossible: {reason}.')
  if reason:
    if patterns is not None and has_checkpoint:  # a user may count on milliseconds a step
      print(f'Training from images, without cached features: {reason}.')
    return 0
  if options.cache_features == 'auto' and recorded is None:
    seen, computed = _images_seen(options, dataset), dataset.num_samples * views
    if seen is not None and seen <= computed:
      print(
        f'Training from images: the run sees {seen:,}, and cached features of {computed:,} would '
        'have to be computed; --cache_features=on does that.'
      )
      return 0
  return views


def _reason_against(options, dataset, patterns, has_checkpoint, views):
  """Returns why features cannot be cached, '' when they can as far as is known."""
  if patterns is None:
    return 'no scope is frozen; name what is trained with --finetune or --trainable_scopes'
  if options.batch_norm == 'update':
    return '--batch_norm=update changes the statistics of the frozen scopes'
  if not has_checkpoint:
    return 'the frozen scopes have no weights; name some with --checkpoint_path'
  random_ones = augmentation.named(augmentation.of(options))
  if views == 1 and random_ones:
    return f'random views need several --cached_views, for {", ".join(random_ones)}'
  if mixing.is_on(options):
    return '--mixup_alpha, --cutmix_alpha and --random_erasing change the images of every step'
  if 'encoded' not in dataset.decoder.list_items():
    return "the data set's decoder has no item 'encoded'"
  return ''


def _images_seen(options, dataset):
  """Returns how many images the whole run trains on, None when no number of steps ends it."""
  steps = run_length.last_step(options, dataset.num_samples)
  return steps and steps * options.batch_size * options.accumulate_steps


class CachedInputs:
  """The features of a split that a run trains on; they are computed by `fill`."""

  def __init__(self, options, dataset, image_size, views, is_resumed):
    """Reads which images there are.

    Args:
      options, dataset: as those of `num_views`.
      image_size: height and width of the net's input, pixels.
      views: per image, at least 1.
      is_resumed: whether the run has trained on these features before.
    """
    self._options, self._dataset = options, dataset
    self._must = is_resumed or options.cache_features == 'on'
    settings = inputs.preprocessing_settings(options)
    self._views = cache.Views(settings, image_size, views, options.seed)
    self._records = cache.read_records(dataset, options.labels_offset)
    self._split = self._part = None

  def rows(self, first_batch):
    """Returns row_batches.Rows from the batch of this number on, in the default graph."""
    return row_batches.training_rows(
      self._records,
      self._views.count,
      self._options.batch_size,
      seed=self._options.seed,
      start_step=first_batch,
      class_counts=class_weights.counts_to_balance(self._options, self._dataset),
    )

  def features(self, part, graph_def, computes_in, rows):
    """Returns the features of batches in place of the boundary of a net's frozen part.

    Args:
      part: frozen_part.FrozenPart of a net on images [None, size, size, channels].
      graph_def: of it, with weights as constants.
      computes_in: precision of it, of precision.of_net.
      rows: what `rows` returned.

    Returns:
      list of float32 tensors [b, ...] in the order of the boundary, and the operation to run before
      the first batch, after `fill`.

    Raises:
      NotCached, UserError: it cannot be done, or is not worth it.
    """
    if not part.variables:
      raise self._refusal(
        'Nothing below what is trained is frozen, so there are no features to cache.'
      )
    shapes = [tensor.shape.as_list() for tensor in part.boundary]
    if any(shape[0] is not None or None in shape[1:] for shape in shapes):
      raise self._refusal(
        f'The features of {part.boundary[0].op.name} differ in shape, so none are cached.'
      )
    frozen = cache.of_part(part, graph_def, computes_in)
    self._part = part
    self._split = CachedSplit(self._options, self._dataset, self._records, frozen, self._views)
    self._check_size(part.images.shape.as_list()[1:])
    return row_batches.features(rows, self._split.store, self._split.keys())

  def fill(self):
    """Computes the features that are missing, and says so before; returns the seconds it took.

    Raises:
      RunError: the disk is full or cannot be written to, or a record cannot be used.
    """
    count = self._views.count
    views = 'the evaluation view of' if count == 1 else f'{count} random views of'
    return self._split.fill(
      f'Training from cached features of {views} every image, without new augmentation each epoch '
      '(--cache_features=off trains from images)'
    )

  def evaluation(self, dataset):
    """Returns the cached_evaluation.CachedEvaluation of a split, for checkpoints of the run."""
    return CachedEvaluation(
      *(self._options, dataset, self._views.image_size),
      *(self._part.variables, self._split.frozen.precision),
    )

  def _refusal(self, sentence):
    """Returns what to raise: a run that must have the cache ends here."""
    return UserError(sentence) if self._must else NotCached(sentence)

  def _check_size(self, image_shape):
    """Raises an error for features that the disk has no room for, or that are not worth it."""
    frozen = self._split.frozen
    reason = self._split.lacking_room()
    if reason:
      raise self._refusal(reason)
    values = sum(np.prod(shape) for shape in frozen.features)
    if not self._must and values > np.prod(image_shape):
      raise NotCached(
        f'The features of an image are {values:,} numbers, more than the image itself: '
        '--cache_features=on would cache them.'
      )
    minutes = self._options.max_minutes
    if not self._must and minutes:
      missing = self._split.num_missing()
      seconds = missing and missing * cache.seconds_per_image(frozen, image_shape)
      if seconds > _MOST_OF_THE_TIME * 60 * minutes:
        raise NotCached(
          f'Caching features would take about {seconds / 60:.1f} of the {minutes:g} minutes: '
          '--cache_features=on does it.'
        )
