"""run.json: what a train_dir was trained with, so that later commands need not be told."""

import importlib.metadata
import os
import platform

import slim_files
from image_classifier.options import TrainingOptions
from slim_errors import UserError
from slim_files import Field

FILE_NAME = 'run.json'
FIX = 'restore it, or train into another folder'  # where a field is wrong
# What makes two runs the same run: a train_dir is resumed only when all of these agree.
IDENTITY = (
  'model_name',
  'num_classes',
  'class_names',
  'labels_offset',
  'image_size',
  'use_grayscale',
  'data_fingerprint',
  'recipe',
)

# What later commands take from a record; that a name is known is for those to say who look it up.
_FIELDS = {
  'model_name': Field('text'),
  'num_classes': Field('whole number', 1, 10**6),
  'class_names': Field('texts', 1, 10**6),
  'labels_offset': Field('whole number', 0, 10**6),
  'image_size': Field('whole number', 1, 10**5),
  'use_grayscale': Field('true or false'),
  'preprocessing_name': Field('text'),
  'cached_views': Field('whole number', 0, 10**6),
  'moving_average_decay': Field('number', 0, 1, is_optional=True),
  'data_fingerprint': Field('text', is_optional=True),
  'dataset_dir': Field('text', is_optional=True),
  'dataset_name': Field('text', is_optional=True),
  'recipe': Field('text'),
  'flags': Field('object'),
}


def read(train_dir):
  """Returns the record of a train_dir as a dict, None when there is none.

  Raises:
    UserError: when it is damaged, or a field of it is not what it should be.
  """
  path = os.path.join(train_dir, FILE_NAME)
  record = slim_files.read_object(path, _FIELDS, FIX)
  if record is None:
    return None
  names, num_classes = record.get('class_names'), record.get('num_classes')
  if names and num_classes not in (None, len(names)):
    raise UserError(f'{path}: num_classes is {num_classes}, of {len(names)} class_names; {FIX}.')
  return {'recipe': TrainingOptions.recipe, **record}  # before there were recipes: the default


def write(train_dir, record):
  """Writes the record, with the versions it was made by."""
  slim_files.write_json(os.path.join(train_dir, FILE_NAME), {**record, 'versions': _versions()})


def _versions():
  packages = ('tensorflow', 'tf_slim', 'numpy', 'pillow')
  return {'python': platform.python_version()} | {
    package: importlib.metadata.version(package) for package in packages
  }


def check_same_run(train_dir, old, new):
  """Raises UserError when `train_dir` holds another run, with the differences side by side."""
  differences = [
    f'{key}: {_shown(old[key], new[key])}'
    for key in IDENTITY
    if key in old and old[key] != new[key]
  ]
  if differences:
    raise UserError(
      f'{train_dir} holds another run ({"; ".join(differences)}): '
      'choose another --train_dir, or move that one away.'
    )


def check_recipe(train_dir, recipe):
  """Raises UserError when `train_dir` holds a run by another recipe."""
  record = read(train_dir)
  if record is not None:
    check_same_run(train_dir, record, {**record, 'recipe': recipe})


def _shown(old, new):
  """Both values in words; of two lists only the first difference."""
  if not isinstance(old, list) or not isinstance(new, list):
    return f'{old} there, {new} now'
  for i, (a, b) in enumerate(zip(old, new, strict=False)):
    if a != b:
      return f'number {i} is {a!r} there, {b!r} now'
  return f'{len(old)} there, {len(new)} now'
