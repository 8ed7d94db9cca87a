"""Whether a data set is the one that a checkpoint was trained for, and what follows from it."""

import itertools
import os

from datasets import labels
from slim_errors import UserError


def check(record, dataset, dataset_dir, fingerprint):
  """Raises UserError when the data set is not the one a checkpoint was trained for.

  Other images of the same classes are welcome in a folder of their own. In the very folder of the
  training they mean that it was converted anew, and may test on what was trained on.

  Args:
    record: the run's record, as `run_record.read` returns it.
    dataset: the slim.dataset.Dataset to evaluate on.
    dataset_dir: its folder.
    fingerprint: of that folder, by dataset_factory.
  """
  trained = record.get('class_names')
  if trained:
    labels_offset = record.get('labels_offset', 0)
    present = labels.class_names(dataset, labels_offset)
    for label, (old, new) in enumerate(itertools.zip_longest(trained, present), labels_offset):
      if old != new:
        raise UserError(
          f'The classes of {dataset_dir} are not those of the training: class {label} is '
          f'{_quoted(new)} in the data set and {_quoted(old)} in the checkpoint '
          f'({len(present)} and {len(trained)} classes); evaluate on the data of the training.'
        )
  old = record.get('data_fingerprint')
  if old and old != fingerprint and _same_folder(record.get('dataset_dir'), dataset_dir):
    raise UserError(
      f'{dataset_dir} has changed since the training (fingerprint {fingerprint} now, {old} then), '
      'so images may have moved between its splits: restore it, or put the new data in a folder of '
      'its own and name that with --dataset_dir.'
    )


def name(record, dataset_dir):
  """Returns the name that a run gave the data set of a folder, None for another folder."""
  is_same = _same_folder(record.get('dataset_dir'), dataset_dir)
  return record.get('dataset_name') if is_same else None


def is_trained_on(record, split, dataset_dir, fingerprint):
  """Whether a checkpoint has seen a split; one without a record has seen those named train.

  Args:
    record, dataset_dir, fingerprint: as those of `check`; the record may be empty.
    split: name of the split.
  """
  if split != record.get('flags', {}).get('dataset_split_name', 'train'):
    return False
  if not record:
    return True
  is_copy = fingerprint is not None and record.get('data_fingerprint') == fingerprint
  return is_copy or _same_folder(record.get('dataset_dir'), dataset_dir)


def _quoted(name):
  return 'missing' if name is None else repr(name)


def _same_folder(one, other):
  return bool(one) and os.path.realpath(one) == os.path.realpath(other)
