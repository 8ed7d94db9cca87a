"""From what a user names (files, folders, patterns) to a list of image files."""

import glob
import os

from datasets import image_folder
from slim_errors import UserError


def split(names):
  """Splits a comma list; a file whose name has commas stands for itself."""
  if os.path.exists(names):
    return [names]
  return [name.strip() for name in names.split(',') if name.strip()]


def expand(names):
  """Returns the files that are meant.

  Args:
    names: list of files, folders (all files in and below them, but hidden files and folders, and
      those of systems) and glob patterns.

  Returns:
    List of paths, in the order of `names` and sorted within each. A plain name is kept even when no
    such file exists.

  Raises:
    UserError: when nothing is named, or a folder or pattern yields no file.
  """
  if not names:
    raise UserError('No picture is named: give files or folders, or --image_file.')
  return [path for name in names for path in _files(name)]


def _files(name):
  if os.path.isdir(name):
    found = _files_below(name)
  elif os.path.exists(name) or not glob.has_magic(name):
    return [name]
  else:
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
  if not found:
    raise UserError(f'There is no file in or of the name {name}.')
  return found


def _files_below(folder):
  found = []
  for parent, folders, names in os.walk(folder):
    folders[:] = [name for name in folders if not image_folder.is_hidden(name)]
    found += [os.path.join(parent, name) for name in names if not image_folder.is_hidden(name)]
  return sorted(found)
