"""What a run that goes on keeps of the flags it began with; imports no TensorFlow."""

import dataclasses
import functools
import math
import os
import typing

import slim_files
from image_classifier import run_record
from image_classifier.options import TrainingOptions
from image_classifier.training import recipes
from slim_files import Field

# Options that say what a run is, with their names in run.json.
_IDENTITY = {
  'dataset_dir': 'dataset_dir',
  'dataset_name': 'dataset_name',
  'labels_offset': 'labels_offset',
  'model_name': 'model_name',
  'preprocessing_name': 'preprocessing_name',
  'train_image_size': 'image_size',
  'use_grayscale': 'use_grayscale',
  'recipe': 'recipe',
}
# Where a run is and what it started from, which is behind a run that goes on.
_PLACES = {'train_dir', 'checkpoint_path', 'checkpoint_exclude_scopes', 'ignore_missing_vars'}
# Options that say the same thing: with one of them given, the run's others are not kept.
_ALTERNATIVES = (
  {'max_number_of_steps', 'max_epochs', 'max_minutes'},
  {'eval_every_steps', 'eval_every_epochs'},
  {'finetune', 'trainable_scopes'},
  {'warmup_steps', 'warmup_epochs'},
  {'momentum', 'rmsprop_momentum'},
)
_KINDS = {str: 'text', int: 'whole number', float: 'number', bool: 'true or false'}


def identity(train_dir):
  """Returns {option: value} of what a run in a train_dir is, {} without one."""
  record = run_record.read(train_dir) or {}
  return {name: record[key] for name, key in _IDENTITY.items() if key in record}


def kept_settings(train_dir, given):
  """Returns {option: value} of the settings that a run keeps, {} where none has begun.

  Args:
    train_dir: folder of the run.
    given: names of the options that flags give.

  Raises:
    UserError: run.json is damaged.
  """
  record = run_record.read(train_dir)
  if not record or not recipes.has_begun(train_dir):
    return {}
  gone = _PLACES | _IDENTITY.keys() | set(given)
  gone = gone.union(*(names for names in _ALTERNATIVES if names & set(given)))
  return recorded(train_dir, record, _fields().keys() - gone)


def recorded(train_dir, record, names):
  """Returns {option: value} of some settings of a run, as far as its record has them.

  Args:
    train_dir: folder of the run.
    record: of the run, from there.
    names: of the options.

  Raises:
    UserError: a value is of no use.
  """
  flags = record.get('flags', {})
  fields = {name: field for name, field in _fields().items() if name in names}
  path = os.path.join(train_dir, run_record.FILE_NAME)
  slim_files.check_fields(flags, fields, f'flags in {path}', run_record.FIX)
  return {name: flags[name] for name in fields if name in flags}


@functools.cache
def _fields():
  """Returns {option: slim_files.Field}."""
  fields = {}
  for option in dataclasses.fields(TrainingOptions):
    kind, *others = typing.get_args(option.type) or (option.type,)
    fields[option.name] = Field(_KINDS[kind], low=-math.inf, is_optional=bool(others))
  return fields


def described(options, given):
  """Returns in a line which settings a run keeps that are not those of its recipe, '' for none.

  Args:
    options: options.TrainingOptions of the run.
    given: names of the options that flags give.
  """
  usual = dataclasses.asdict(TrainingOptions()) | recipes.usual(options)
  kept = kept_settings(options.train_dir, given)
  others = {name: value for name, value in kept.items() if value != usual[name]}
  return f'Kept of the run in {options.train_dir}: {recipes.shown(others)}' if others else ''


def changes(old, new):
  """Returns in a line which settings of a run are others from here on, '' for none.

  Args:
    old, new: its record before and now.
  """
  # That a data set is elsewhere changes nothing, and whether features are cached is said there.
  silent = _PLACES | {'dataset_dir', 'dataset_name', 'cache_features'}
  before, now = _settings(old), _settings(new)
  changed = [
    f'--{name}={now[name]} ({before[name]} so far)'
    for name in now.keys() & before.keys() - silent
    if now[name] != before[name]
  ]
  return f'The run goes on with {", ".join(sorted(changed))}.' if changed else ''


def _settings(record):
  """Returns {option: value} of a record, as resolved."""
  resolved = {name: record[key] for name, key in _IDENTITY.items() if key in record}
  return {**record.get('flags', {}), **resolved}
