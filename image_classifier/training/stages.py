"""Training by a recipe: in one stage, or first the head and then the rest."""

import dataclasses
import os

from datasets import dataset_factory, labels
from image_classifier import checkpoints, run_length, run_lock, run_record
from image_classifier.options import TrainingOptions
from image_classifier.training import recipes, runs, train_net, validation

# What the stage of the head has in common with the run: what it learns from, and how it runs.
_SHARED = (
  *('dataset_name', 'dataset_split_name', 'dataset_dir', 'labels_offset', 'model_name'),
  *('preprocessing_name', 'train_image_size', 'use_grayscale', 'checkpoint_path'),
  *('checkpoint_exclude_scopes', 'ignore_missing_vars', 'retry_on_nan', 'batch_size', 'seed'),
  *('num_readers', 'num_preprocessing_threads', 'clone_on_cpu', 'precision', 'cache_features'),
  *('cached_views', 'cache_dir', 'class_weights', 'balanced_sampling', 'log_every_n_steps'),
  *('save_summaries_secs', 'save_interval_secs', 'eval_split', 'best_metric'),
)
# Of --max_minutes, for the head where it learns from images, which would take them all.
_SHARE_FROM_IMAGES = 0.5


def train(options, given=()):
  """Trains as runs.train does, in the two stages of --recipe=fine_tune where that is given.

  Args:
    options: options.TrainingOptions.
    given: names of the options that flags give; others fit the data set.

  Returns:
    the loop.Result of the last stage that ran.

  Raises:
    UserError, RunError: as runs.train.
  """
  if options.eval_every_epochs and 'eval_every_epochs' not in given:
    options = without_missing_split(options)
  if options.recipe != 'fine_tune':
    return runs.train(options)
  return _train_in_two(options)


def _train_in_two(options):
  """Trains the head and then the rest, or what is left of that; returns the last one's Result."""
  if recipes.has_checkpoint(options.train_dir):
    print(f'Stage 2 of 2 goes on in {options.train_dir}.', flush=True)
    return _train_rest(options)
  runs.check(options)
  train_net.trainable_patterns(options)  # which would be wrong only after the first stage
  run_record.check_recipe(options.train_dir, options.recipe)
  start, spent = options.checkpoint_path, 0.0
  if has_head(options):
    print(f'Stage 1 of 2, the head, is left out: {start} has one of these classes.')
  else:
    result = _train_head(options)
    if result.signal is not None:
      return result
    head = recipes.head_dir(options.train_dir)
    start, spent = _best(head), _seconds(head)
  what = options.finetune or options.trainable_scopes or 'all layers'
  print(f'Stage 2 of 2: {what}, from {start}.', flush=True)
  second = dataclasses.replace(options, checkpoint_path=start, checkpoint_exclude_scopes=None)
  return _train_rest(second, spent)


def head_stage(options):
  """Returns the TrainingOptions of the first stage of a fine-tuning."""
  shared = {name: getattr(options, name) for name in _SHARED}
  return TrainingOptions(
    train_dir=recipes.head_dir(options.train_dir),
    recipe='head',
    max_minutes=options.max_minutes,
    **(shared | recipes.HEAD_STAGE | _evaluation(options)),
  )


def _train_rest(options, spent_seconds=0.0):
  """Runs the second stage, and says when it came to less than the first; returns its Result."""
  if options.cache_features == 'on' and train_net.trainable_patterns(options) is None:
    options = dataclasses.replace(options, cache_features='auto')  # it was for the head
  result = runs.train(options, spent_seconds=spent_seconds)
  head_dir = recipes.head_dir(options.train_dir)
  best = [
    validation.read_best(os.path.join(folder, validation.BEST_FOLDER))
    for folder in (head_dir, options.train_dir)
  ]
  if result.signal is None and all(best):
    head, rest = (figures[options.best_metric] for figures in best)
    if head < rest if options.best_metric == 'loss' else head > rest:
      print(
        f'The head alone was better: {options.best_metric} {head:.3f}, now {rest:.3f}. Train '
        f'longer, or take {head_dir}/{validation.BEST_FOLDER}.'
      )
  return result


def _evaluation(options):
  """Returns the period of evaluations of the first stage: none where the second has none."""
  is_on = options.eval_every_steps or options.eval_every_epochs
  return {} if is_on else {'eval_every_epochs': None}


def _train_head(options):
  """Runs the first stage, or the rest of it; returns its loop.Result."""
  stage = head_stage(options)
  choices = recipes.shown({name: getattr(stage, name) for name in recipes.HEAD_STAGE})
  print(f'Stage 1 of 2: the head, in {stage.train_dir}: {choices}', flush=True)
  runs.make_folder(options.train_dir)
  with run_lock.locked(options.train_dir):
    runs.record_flags(options)
    return runs.train(stage, share_from_images=_SHARE_FROM_IMAGES)


def without_missing_split(options):
  """Returns the options without the recipe's evaluations where there is nothing to evaluate on."""
  name, split, folder = options.dataset_name, options.eval_split, options.dataset_dir
  is_asked_for = split != TrainingOptions.eval_split
  is_there = split in dataset_factory.split_names(name, folder)
  if is_asked_for or (is_there and dataset_factory.get_dataset(name, split, folder).num_samples):
    return options
  print(f'{folder} has no images in a split {split!r}: training goes without evaluations.')
  return dataclasses.replace(options, eval_every_epochs=None)


def has_head(options):
  """Whether the checkpoint to start from is of a run that knows the very classes of the data."""
  if options.checkpoint_exclude_scopes or not options.checkpoint_path:
    return False
  prefix = checkpoints.resolve(options.checkpoint_path)
  record = run_record.read(os.path.dirname(prefix)) or {}
  dataset = dataset_factory.get_dataset(
    options.dataset_name, options.dataset_split_name, options.dataset_dir
  )
  names = labels.class_names(dataset, options.labels_offset)
  return (record.get('model_name'), record.get('class_names')) == (options.model_name, names)


def _best(train_dir):
  """Returns the folder of the best checkpoint of a run, of all of them where none is the best."""
  best = os.path.join(train_dir, validation.BEST_FOLDER)
  return best if checkpoints.listed(best) else train_dir


def _seconds(train_dir):
  """Returns how long a run took by its newest checkpoint, 0 where it was not bounded by time."""
  return run_length.seconds_of(checkpoints.resolve(train_dir))
