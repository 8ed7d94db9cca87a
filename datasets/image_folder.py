"""Finds the classes and images of a folder: DIR/<class>/*, or DIR/{train,validation}/<class>/*."""

import collections
import dataclasses
import os
import unicodedata

from datasets import labels
from slim_errors import UserError

SPLIT_NAMES = ('train', 'validation')

_SYSTEM_NAMES = ('thumbs.db', 'desktop.ini', 'icon\r', '__macosx', '@eadir')
# What conversion and training keep beside the classes, which is no surprise to anyone.
_OWN_FOLDERS = ('.data_convert-', '.feature_cache')


@dataclasses.dataclass(frozen=True, order=True)
class ImageFile:
  """An image to convert. `name` is its path relative to the image folder, with '/'."""

  name: str
  class_name: str
  path: str = dataclasses.field(compare=False)


@dataclasses.dataclass
class ImageFolder:
  """What an image folder holds.

  `splits` maps 'train' and 'validation', or None when the folder has no splits yet, to sorted
  ImageFiles; `class_names` is sorted by code point; `ignored` counts what is no image, by reason;
  `folders_beside` are the sorted names of those beside train/ and validation/.
  """

  splits: dict
  class_names: list
  ignored: collections.Counter
  class_folders: list
  folders_beside: list


def read_image_folder(folder, recursive=False):
  """Lists an image folder; links are followed, hidden and system files left out and counted.

  Args:
    folder: path of the image folder.
    recursive: whether images in folders inside a class folder belong to the class.

  Returns:
    ImageFolder.

  Raises:
    UserError: there are not two classes, or two class names cannot be told apart; the message
      shows the tree that was seen.
  """
  if not os.path.isdir(folder):
    raise UserError(f'{folder} is not a folder: give the folder of your pictures with -t.')
  found = list_folder(folder, recursive)
  check_class_names(found.class_folders)
  check_two_classes(folder, found.class_names)
  return found


def list_folder(folder, recursive=False):
  """Lists an image folder as `read_image_folder` does, without a check of its classes.

  Raises:
    UserError: there is validation/ without train/, or a folder that cannot be read.
  """
  ignored = collections.Counter()
  roots = _split_folders(folder)
  beside = []
  if roots.get(None) != folder:
    beside = sorted(set(_visible_folders(folder)) - set(SPLIT_NAMES))
    ignored['folder beside train/ and validation/'] += len(beside)
  splits, class_folders = {}, []
  for split_name, root in roots.items():
    splits[split_name] = []
    for class_folder in list_class_folders(root, ignored, count_files=root != folder):
      class_folders.append(os.path.join(root, class_folder))
      splits[split_name] += list_class_images(folder, root, class_folder, recursive, ignored)
    splits[split_name].sort()
  class_names = sorted({image.class_name for images in splits.values() for image in images})
  return ImageFolder(splits, class_names, ignored, class_folders, beside)


def check_two_classes(folder, class_names):
  """Raises UserError, with the tree that was seen, when there are not two classes."""
  if len(class_names) < 2:
    raise UserError(
      f'{folder} holds {"one class" if class_names else "no classes"} with pictures, two are '
      'needed: '
      f'put each class into a folder of its own, such as {folder}/cat/1.jpg. What is there:\n'
      f'{_tree(folder)}'
    )


def empty_classes(image_folder):
  """Returns the sorted names of class folders without any image."""
  names = {labels.normalized(os.path.basename(path)) for path in image_folder.class_folders}
  return sorted(names - set(image_folder.class_names))


def _split_folders(folder):
  """Returns {split: folder}, or {None: folder} when there are no train/ and validation/."""
  found = {name: os.path.join(folder, name) for name in SPLIT_NAMES}
  # A class may be called 'train' too: it holds pictures, a split holds folders.
  found = {name: path for name, path in found.items() if _visible_folders(path)}
  if 'train' not in found:
    if 'validation' in found:
      raise UserError(
        f'{folder} has validation/ but no train/: add it, or give {folder}/validation.'
      )
    return {None: folder}
  return found if 'validation' in found else {None: found['train']}


def _visible_folders(path):
  if not os.path.isdir(path):
    return []
  return [
    name for name in _names(path) if not is_hidden(name) and os.path.isdir(os.path.join(path, name))
  ]


def _names(folder):
  """Returns the sorted names in a folder; raises UserError when it cannot be read."""
  try:
    return sorted(os.listdir(folder))
  except OSError as error:
    _refuse(error)


def _refuse(error):
  raise UserError(
    f'{error.filename} cannot be read ({error.strerror}): make it readable, or move it away.'
  ) from None


def list_class_folders(root, ignored, count_files=True):
  """Returns the sorted names of the class folders in `root`; counts in `ignored` what is none."""
  names = []
  for name in _names(root):
    if os.path.isdir(os.path.join(root, name)):
      if is_hidden(name):
        ignored['hidden or system folder'] += not name.startswith(_OWN_FOLDERS)
      else:
        names.append(name)
    elif count_files:
      ignored['file outside the class folders'] += 1
  return names


def list_class_images(folder, root, class_folder, recursive, ignored):
  """Returns the ImageFiles of a class, counting in `ignored` what is left out.

  Raises:
    UserError: for a folder that cannot be read.
  """
  class_name = labels.normalized(class_folder)
  images, seen = [], set()
  walk = os.walk(os.path.join(root, class_folder), onerror=_refuse, followlinks=True)
  for where, folders, files in walk:
    real = os.path.realpath(where)
    if real in seen:  # by a link, which may lead in a circle
      ignored['link to a folder of the class'] += 1
      folders.clear()
      continue
    seen.add(real)
    inside = os.path.relpath(where, folder).replace(os.sep, '/')
    for name in files:
      path = os.path.join(where, name)
      reason = _reason_to_ignore(name, path)
      if reason:
        ignored[reason] += 1
      else:
        images.append(ImageFile(labels.normalized(f'{inside}/{name}'), class_name, path))
    hidden = [name for name in folders if is_hidden(name)]
    ignored['hidden or system folder'] += len(hidden)
    if not recursive:
      ignored['folder inside a class folder'] += len(folders) - len(hidden)
      break
    folders[:] = sorted(set(folders) - set(hidden))
  return images


def is_hidden(name):
  """Whether a file or folder of this name is hidden, or an operating system's own."""
  return name.startswith('.') or name.lower() in _SYSTEM_NAMES


def _reason_to_ignore(name, path):
  if is_hidden(name):
    return 'hidden or system file'
  if os.path.isfile(path):
    return None
  return 'not a regular file' if os.path.exists(path) else 'broken link'


def check_class_names(class_folders):
  """Raises UserError for names that label.txt cannot hold or people cannot tell apart."""
  for problem in class_name_problems(class_folders):
    raise UserError(problem)


def class_name_problems(class_folders):
  """Yields a sentence on every name that label.txt cannot hold or people cannot tell apart."""
  seen = {}
  for path in class_folders:
    name = os.path.basename(path)
    if any(unicodedata.category(character) in ('Cc', 'Cs') for character in name):
      yield (
        f'The class folder {name!r} has a line end, a control character or bytes that are not '
        'UTF-8 in its name: rename it.'
      )
    if not name.strip():
      yield f'The class folder {name!r} in {os.path.dirname(path)} has a blank name.'
    other = seen.setdefault(labels.normalized(name).casefold(), name)
    if other != name:
      same = labels.normalized(other) == labels.normalized(name)
      yield (
        f'The class folders {other!r} ({ascii(other)}) and {name!r} ({ascii(name)}) differ only '
        f'in {"Unicode form" if same else "upper and lower case"}: rename or merge them.'
      )


def _tree(folder, most=20):
  """Returns up to `most` lines of what lies in a folder, two levels deep."""
  lines = []
  for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    if not os.path.isdir(path):
      lines.append(f'  {name}')
      continue
    inside = sorted(os.listdir(path))
    folders = [entry for entry in inside if os.path.isdir(os.path.join(path, entry))]
    lines.append(f'  {name}/ ({len(inside) - len(folders)} files, {len(folders)} folders)')
    lines += [f'    {entry}/' for entry in folders]
  shown = lines[:most] + ([f'  ... {len(lines) - most} more'] if len(lines) > most else [])
  return '\n'.join(shown) or '  nothing'
