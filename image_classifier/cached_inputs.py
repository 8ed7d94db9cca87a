"""Whether a run trains from cached features in place of images, and from which."""

import os
import shutil
import time

import numpy as np

from image_classifier import (
  class_weights,
  feature_batches,
  feature_cache,
  inputs,
  mixing,
  precision,
  run_length,
)
from image_classifier.feature_store import FOLDER_NAME
from slim_compat import tf
from slim_errors import RunError, UserError, unknown

MODES = ('auto', 'on', 'off')
# Bytes of the disk that a cache leaves free.
_ROOM = 1 << 30
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
  if views == 1 and (options.vertical_flip or options.rotation != 'none'):
    return '--vertical_flip and --rotation need several --cached_views'
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
    self._views = feature_cache.Views(settings, image_size, views, options.seed)
    self._records = feature_cache.read_records(dataset, options.labels_offset)
    self._store = self._frozen = None

  def rows(self, first_batch):
    """Returns feature_batches.Rows from the batch of this number on, in the default graph."""
    return feature_batches.training_rows(
      self._records,
      self._views.count,
      self._options.batch_size,
      seed=self._options.seed,
      start_step=first_batch,
      class_counts=class_weights.class_counts(self._options, self._dataset)
      if self._options.balanced_sampling
      else None,
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
    boundary = part.boundary
    if not part.variables:
      raise self._refusal(
        'Nothing below what is trained is frozen, so there are no features to cache.'
      )
    shapes = [tensor.shape.as_list() for tensor in boundary]
    if any(shape[0] is not None or None in shape[1:] for shape in shapes):
      raise self._refusal(
        f'The features of {boundary[0].op.name} differ in shape, so none are cached.'
      )
    config = tf.ConfigProto()
    precision.configure(config, computes_in)
    self._frozen = feature_cache.Frozen(
      graph_def,
      part.images.name,
      tuple(tensor.name for tensor in boundary),
      tuple(tuple(shape[1:]) for shape in shapes),
      computes_in,
      config,
    )
    self._store = feature_cache.open_store(
      _root(self._options), self._dataset, self._frozen, self._views
    )
    self._check_size(part.images.shape.as_list()[1:])
    keys = [(image, v) for image in self._records.images for v in range(self._views.count)]
    return feature_batches.features(rows, self._store, keys)

  def fill(self):
    """Computes the features that are missing, and says so before; returns the seconds it took.

    Raises:
      RunError: the disk is full or cannot be written to, or a record cannot be used.
    """
    print(self._description(), flush=True)
    start = time.monotonic()
    try:
      feature_cache.fill(
        self._store,
        self._dataset,
        self._frozen,
        self._views,
        self._records.images,
        self._options.labels_offset,
      )
    except OSError as error:
      raise RunError(
        f'The feature cache {self._store.folder} cannot be written to ({error.strerror}): name '
        'another folder with --cache_dir, or give --cache_features=off.'
      ) from None
    return time.monotonic() - start

  def _refusal(self, sentence):
    """Returns what to raise: a run that must have the cache ends here."""
    return UserError(sentence) if self._must else NotCached(sentence)

  def _num_missing(self):
    missing = feature_cache.missing_rows(self._store, self._records.images, self._views.count)
    return int(missing.sum())

  def _check_size(self, image_shape):
    """Raises an error for features that the disk has no room for, or that are not worth it."""
    missing = self._num_missing()
    needed, free = missing * self._store.row_type.itemsize, _free_bytes(self._store.folder)
    if needed and needed + _ROOM > free:
      raise self._refusal(
        f'Features of {needed / 1e9:.1f} GB do not fit into {self._store.folder}, where '
        f'{free / 1e9:.1f} GB are free: name another disk with --cache_dir.'
      )
    values = sum(np.prod(shape) for shape in self._frozen.features)
    if not self._must and values > np.prod(image_shape):
      raise NotCached(
        f'The features of an image are {values:,} numbers, more than the image itself: '
        '--cache_features=on would cache them.'
      )
    minutes = self._options.max_minutes
    if not self._must and minutes and _images_seen(self._options, self._dataset) is None:
      seconds = missing and missing * feature_cache.seconds_per_image(self._frozen, image_shape)
      if seconds > _MOST_OF_THE_TIME * 60 * minutes:
        raise NotCached(
          f'Caching features would take about {seconds / 60:.1f} of the {minutes:g} minutes: '
          '--cache_features=on does it.'
        )

  def _description(self):
    count, size = self._views.count, self._store.row_type.itemsize
    total, missing = len(self._records.images) * count, self._num_missing()
    views = 'the evaluation view of' if count == 1 else f'{count} random views of'
    return (
      f'Training from cached features of {views} every image, without new augmentation each epoch '
      f'(--cache_features=off trains from images): {total:,} of {size:,} bytes, '
      f'{total * size / 1e6:,.1f} MB in {self._store.folder}, {missing:,} to be computed.'
    )


def _root(options):
  """Returns the folder of the stores; raises UserError when that of --cache_dir is no good."""
  if options.cache_dir:
    try:
      os.makedirs(options.cache_dir, exist_ok=True)
    except OSError as error:
      raise UserError(
        f'--cache_dir={options.cache_dir} cannot be made: {error.strerror}.'
      ) from None
    if not os.access(options.cache_dir, os.W_OK):
      raise UserError(f'--cache_dir={options.cache_dir} cannot be written to.')
    return options.cache_dir
  root = os.path.join(options.dataset_dir, FOLDER_NAME)
  if os.access(root if os.path.exists(root) else options.dataset_dir, os.W_OK):
    return root
  return os.path.join(options.train_dir, FOLDER_NAME)


def _free_bytes(folder):
  """Returns how many bytes are free on the disk of a folder that may not exist yet."""
  while not os.path.exists(folder):
    folder = os.path.dirname(os.path.abspath(folder))
  return shutil.disk_usage(folder).free
