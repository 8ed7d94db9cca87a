"""Recipes: what --recipe chooses for the training flags that are left out.

Imports no TensorFlow, so that a wrong combination answers at once.
"""

import dataclasses
import glob
import os

from image_classifier.options import TrainingOptions
from preprocessing import families
from slim_errors import UserError, unknown

_DEFAULTS = dataclasses.asdict(TrainingOptions())
# What the last layer learns on what a pretrained net makes of the images.
_HEAD = {
  'finetune': 'head',
  'optimizer': 'adamw',
  'learning_rate': 0.03,
  'learning_rate_decay_type': 'cosine',
  'opt_epsilon': 1e-8,
  'weight_decay': 0.0,
  'decoupled_weight_decay': 0.01,
  'label_smoothing': 0.0,
  'max_epochs': 40.0,
  'eval_every_epochs': 5.0,
}
# name -> {option: value}.
RECIPES = {
  'head': _HEAD,
  # The second stage; the first is HEAD_STAGE.
  'fine_tune': {
    'optimizer': 'adamw',
    'learning_rate': 0.0005,
    'learning_rate_decay_type': 'cosine',
    'warmup_epochs': 0.3,
    'layer_decay': 0.9,
    'opt_epsilon': 1e-8,
    'weight_decay': 0.0,
    'decoupled_weight_decay': 0.01,
    'batch_norm_decay': 0.95,
    'clip_gradient_norm': 1.0,
    'label_smoothing': 0.1,
    # Crops of half to all of a picture show it about as large as evaluation does: Touvron et al.,
    # Fixing the train-test resolution discrepancy, https://arxiv.org/abs/1906.06423
    'min_crop_area': 0.5,
    'max_epochs': 10.0,
    'eval_every_epochs': 1.0,
  },
  'scratch': {
    'optimizer': 'adamw',
    'learning_rate': 0.01,
    'learning_rate_decay_type': 'one_cycle',
    'opt_epsilon': 1e-8,
    'weight_decay': 0.0,
    'decoupled_weight_decay': 0.05,
    'batch_norm_decay': 0.95,
    'clip_gradient_norm': 1.0,
    'label_smoothing': 0.1,
    'max_epochs': 60.0,
    'eval_every_epochs': 5.0,
  },
  # research/slim's defaults, which are the flags' own: told, not chosen.
  'legacy': {
    name: _DEFAULTS[name]
    for name in (
      'optimizer',
      'learning_rate',
      'learning_rate_decay_type',
      'learning_rate_decay_factor',
      'weight_decay',
      'batch_size',
    )
  },
}
# At the high rate the weights of a head grow so large that small changes below it upset the net.
HEAD_STAGE = _HEAD | {'learning_rate': 0.001, 'max_epochs': 20.0}

# A choice of a recipe falls away with a flag that says the same thing, or that it belongs to.
_REPLACED_BY = {
  'finetune': ('trainable_scopes',),
  'max_epochs': ('max_number_of_steps', 'max_minutes'),
  'eval_every_epochs': ('eval_every_steps',),
  'warmup_epochs': ('warmup_steps',),
  'opt_epsilon': ('optimizer',),
  'decoupled_weight_decay': ('optimizer',),
}
# research/slim's epsilon of 1 makes steps of Adam, at a recipe's rates, next to nothing.
_SHARED_BY_OPTIMIZERS = {'opt_epsilon': ('adam', 'adamw')}
# More time is of no use where steps take a millisecond: there minutes are a bound only.
_CAPPED_BY_MINUTES = ('head',)


def choices(recipe, given):
  """Returns {option: value} of what a recipe chooses beside the flags that were given.

  Args:
    recipe: key of RECIPES.
    given: {option: value} of those flags.

  Raises:
    UserError: there is no such recipe, or its learning rate is for another optimizer.
  """
  if recipe not in RECIPES:
    raise unknown('recipe', recipe, RECIPES)
  table = RECIPES[recipe]
  is_other = given.get('optimizer', table['optimizer']) != table['optimizer']
  if is_other and recipe != 'legacy' and 'learning_rate' not in given:
    raise UserError(
      f'The learning rate of --recipe={recipe} is for {table["optimizer"]}: give --learning_rate '
      f'along with --optimizer={given["optimizer"]}.'
    )
  return {name: value for name, value in table.items() if not _is_replaced(name, recipe, given)}


def _is_replaced(name, recipe, given):
  """Whether a choice of a recipe gives way to one of the flags that were given."""
  if name == 'warmup_epochs' and given.get('learning_rate_decay_type') == 'one_cycle':
    return True  # which warms up by itself
  if name == 'min_crop_area' and not _crops(given):
    return True
  if given.get('optimizer') in _SHARED_BY_OPTIMIZERS.get(name, ()):
    return name in given
  others = set(_REPLACED_BY.get(name, ())) & given.keys()
  if recipe in _CAPPED_BY_MINUTES:
    others -= {'max_minutes'}
  return name in given or any(given[n] != RECIPES[recipe].get(n) for n in others)


def _crops(given):
  """Whether the training views that flags ask for are crops."""
  net = given.get('model_name', TrainingOptions.model_name)
  family = families.FAMILIES.get(given.get('preprocessing_name') or net)
  return family is None or families.OWN[family].min_crop_area is not None


def usual(options):
  """Returns {option: value} of what the recipe of options.TrainingOptions says for their net."""
  table = RECIPES[options.recipe]
  crops = _crops(vars(options))
  return {name: value for name, value in table.items() if name != 'min_crop_area' or crops}


def described(options):
  """Returns in a line what options.TrainingOptions follow of their recipe, and what not."""
  table = usual(options)
  followed = {name: value for name, value in table.items() if getattr(options, name) == value}
  overridden = ', '.join(name for name in table if name not in followed)
  return f'Recipe {options.recipe}: {shown(followed)}' + (
    f' (overridden: {overridden})' if overridden else ''
  )


def shown(values):
  """Returns {option: value} as text."""
  texts = {n: f'{value:g}' if isinstance(value, float) else value for n, value in values.items()}
  return ' '.join(f'{name}={text}' for name, text in texts.items())


def check(options):
  """Raises UserError for options that make no sense with their recipe."""
  recipe = options.recipe
  is_warm = options.checkpoint_path or has_begun(options.train_dir)
  if recipe in ('head', 'fine_tune') and not is_warm:
    raise UserError(
      f'--recipe={recipe} starts from a pretrained net: name its checkpoint with '
      '--checkpoint_path, or take --recipe=scratch.'
    )
  if recipe == 'scratch' and options.checkpoint_path:
    raise UserError(
      '--recipe=scratch starts from new weights: leave out --checkpoint_path, or take '
      '--recipe=fine_tune.'
    )
  if recipe == 'scratch' and (options.trainable_scopes or options.finetune not in (None, 'all')):
    raise UserError(
      '--recipe=scratch trains all layers: leave out --finetune and --trainable_scopes.'
    )
  if recipe == 'fine_tune' and options.finetune == 'head':
    raise UserError('--recipe=fine_tune trains more than the head: take --recipe=head.')


def head_dir(train_dir):
  """Returns the folder of the first stage of fine_tune."""
  return os.path.join(train_dir, 'head')


def has_begun(train_dir):
  """Whether a run has a checkpoint, be it of its first stage."""
  return has_checkpoint(train_dir) or has_checkpoint(head_dir(train_dir))


def has_checkpoint(train_dir):
  """Whether a folder holds a run's checkpoint, by the names of its files."""
  return bool(glob.glob(os.path.join(glob.escape(train_dir), 'model.ckpt-*.index')))
