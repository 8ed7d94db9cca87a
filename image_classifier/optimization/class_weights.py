"""How much the images of each class count in the loss."""

import math
import os

from datasets import labels, manifest
from slim_errors import UserError, unknown


def check(options):
  """Raises UserError for weights that cannot be, or that are there twice."""
  parse(options.class_weights)
  if options.class_weights == 'auto' and options.balanced_sampling:
    raise UserError(
      '--class_weights=auto makes all classes count alike, and so does --balanced_sampling: give '
      'one of them.'
    )


def parse(text):
  """Returns {class name: weight} of `--class_weights=name:weight,...`, {} for none and auto.

  Raises:
    UserError: it is neither of these.
  """
  if text in ('none', 'auto'):
    return {}
  weights = {}
  for item in text.split(','):
    name, _, number = item.strip().rpartition(':')
    try:
      weights[name] = float(number)
    except ValueError:
      weights[name] = math.nan
    if not name or not 0 <= weights[name] < math.inf:
      raise UserError(
        f'--class_weights: {item!r} is no class with a weight of 0 or more: give none, auto or '
        'name:weight,... with the names of label.txt.'
      )
  return weights


def of_classes(options, dataset):
  """Returns the weights of all classes in the order of their numbers, or None when all count alike.

  Args:
    options: options.TrainingOptions.
    dataset: slim.dataset.Dataset of the split to train on.

  Raises:
    UserError: a class is unknown, or `auto` cannot know how many images the classes have.
  """
  if options.class_weights == 'none':
    return None
  names = labels.class_names(dataset, options.labels_offset)
  if options.class_weights == 'auto':
    return _balancing(class_counts(options, dataset))
  given = {labels.normalized(n): w for n, w in parse(options.class_weights).items()}
  for name in given:
    if name not in names:
      raise unknown('class in --class_weights', name, names)
  weights = [given.get(name, 1.0) for name in names]
  if not any(weights):
    raise UserError('--class_weights: every class has the weight 0, so there is nothing to learn.')
  return weights


def _balancing(counts):
  """Weights by which all classes count alike, while the mean over the images is 1."""
  present = sum(count > 0 for count in counts)
  return [sum(counts) / (present * count) if count else 1.0 for count in counts]


def class_counts(options, dataset):
  """Returns how many images of every class the split has, in the order of their numbers.

  Raises:
    UserError: nothing says so.
  """
  found = manifest.read_manifest(options.dataset_dir)
  if found is None:
    path = os.path.join(options.dataset_dir, manifest.MANIFEST_FILE)
    raise UserError(
      f'--class_weights=auto and --balanced_sampling take the images of every class from {path}, '
      'which does not exist: convert the data set with data_convert.py.'
    )
  counts = found['splits'][options.dataset_split_name]['images_per_class']
  names = labels.class_names(dataset, options.labels_offset)
  return [counts.get(name, 0) for name in names]


def counts_to_balance(options, dataset):
  """Returns what `class_counts` does for --balanced_sampling, None without it."""
  return class_counts(options, dataset) if options.balanced_sampling else None


def table(options, dataset):
  """Returns in one line which class counts how much; for weights other than none."""
  names = labels.class_names(dataset, options.labels_offset)
  weights = of_classes(options, dataset)
  pairs = (f'{name} {weight:.3g}' for name, weight in zip(names, weights, strict=True))
  return f'Weights of the classes: {", ".join(pairs)}'
