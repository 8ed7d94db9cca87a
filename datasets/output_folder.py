"""Writing a data set into a folder: beside what is there, and in its place once it is complete."""

import collections
import contextlib
import csv
import fcntl
import io
import os
import shutil

import slim_files
import slim_text
from datasets import manifest, shard_names
from slim_errors import UserError, not_writable

SKIPPED_FILE = 'skipped.csv'

PARTIAL_FOLDER = '.data_convert-partial'


def refuse_existing(folder, dataset_name):
  """Raises UserError when a folder, which may not exist, holds a data set already."""
  if not os.path.isdir(folder):
    return
  manifest.finish_swap(folder)
  is_listed = os.path.exists(os.path.join(folder, manifest.MANIFEST_FILE))
  there = [manifest.MANIFEST_FILE] if is_listed else []
  for names in shard_names.families(folder).get(dataset_name, {}).values():
    there += names
  if there:
    raise UserError(
      'Dataset files already exist. Exiting without re-creating them. '
      f'{folder} holds {there[0]}: --overwrite replaces the data set.'
    )


@contextlib.contextmanager
def partial_folder(output_dir):
  """Yields an empty folder in the output folder, and removes it when the conversion fails.

  Leftovers of a conversion that was killed are removed; a running one is told apart by its lock.
  """
  partial = os.path.join(output_dir, PARTIAL_FOLDER)
  with _locked(output_dir):
    try:
      try:
        manifest.finish_swap(output_dir)  # of a conversion that was killed in the middle of it
        shutil.rmtree(partial, ignore_errors=True)
        os.mkdir(partial)
      except OSError as error:
        raise not_writable(output_dir, error) from None
      yield partial
    finally:
      shutil.rmtree(partial, ignore_errors=True)


def describe(
  dataset_name, class_names, written, skipped, *, ignored=None, seed=None, validation_fraction=None
):
  """Returns the content of dataset.json. It holds no time, so that the same input repeats it.

  Args:
    dataset_name: its name.
    class_names: list in the order of the labels.
    written: {split: shard_writer.Written}.
    skipped: {name of a picture: reason why it was left out}; what follows a colon is about one.
    ignored: {reason: number of files that are no pictures}.
    seed: of the order of the pictures, None where they are in their publisher's.
    validation_fraction: share that was split off, None where the splits were there.
  """
  reasons = collections.Counter(reason.partition(':')[0] for reason in skipped.values())
  notes = sum((split.notes for split in written.values()), collections.Counter())
  return {
    'format_version': manifest.FORMAT_VERSION,
    'name': dataset_name,
    'classes': list(class_names),
    'splits': {name: split.listing(class_names) for name, split in written.items()},
    'repaired': dict(sorted(notes.items())),
    'skipped': dict(sorted(reasons.items())),
    'ignored': {reason: count for reason, count in sorted((ignored or {}).items()) if count > 0},
    'seed': seed,
    'validation_fraction': validation_fraction,
  }


def write_skipped(folder, skipped):
  """Writes skipped.csv.

  Args:
    folder: where to write.
    skipped: {name of a picture: reason why it was left out}.
  """
  text = io.StringIO()
  rows = csv.writer(text)
  rows.writerow(['file', 'reason'])
  for name, reason in sorted(skipped.items()):
    rows.writerow([slim_text.csv_cell(name), slim_text.csv_cell(reason)])
  slim_files.write_atomically(os.path.join(folder, SKIPPED_FILE), text.getvalue())


def publish(output_dir, partial):
  """Puts the finished files in place. From the first rename on, the new data set is what counts."""
  slim_files.sync(partial)
  os.rename(partial, os.path.join(output_dir, manifest.READY_FOLDER))
  slim_files.sync(output_dir)
  manifest.finish_swap(output_dir)


@contextlib.contextmanager
def _locked(folder):
  """Makes a folder and keeps other conversions out of it; a killed process loses its lock.

  A folder that was not there before does not stay when it is empty.
  """
  is_new = not os.path.exists(folder)
  try:
    os.makedirs(folder, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
  except OSError as error:
    raise not_writable(folder, error) from None
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    os.close(handle)
    raise UserError(f'Another conversion is writing to {folder}: wait for it to end.') from None
  try:
    yield
  finally:
    os.close(handle)
    if is_new:
      with contextlib.suppress(OSError):
        os.rmdir(folder)
