"""Published checkpoints: fetched from their addresses, extracted and found. No TensorFlow here."""

import os
import posixpath
import urllib.parse

from image_classifier.downloads import archives, fetching
from nets.net_info import NET_INFO, net_info
from slim_errors import RunError, UserError

_INDEX, _FIRST_DATA, _SINGLE_FILE = '.index', '.data-00000-of-', '.ckpt'


def published():
  """Returns {net: address of its published checkpoint}; the other nets have none."""
  return {name: info.checkpoint_url for name, info in NET_INFO.items() if info.checkpoint_url}


def fetch_checkpoint(model_name, output_dir):
  """Makes sure that a net's published checkpoint lies in `output_dir/<net>`.

  Args:
    model_name: name of the net.
    output_dir: folder for the archive and, in a folder of the net's name, what it holds.

  Returns:
    list of the checkpoints' prefixes, as --checkpoint_path takes them; the first is the one to
    take. What is there already is neither fetched nor extracted again.

  Raises:
    UserError: for an unknown net, one without a published checkpoint, or a folder in the way.
    RunError: when it cannot be fetched, or holds no checkpoint.
  """
  url = net_info(model_name).checkpoint_url
  if url is None:
    raise UserError(
      f'{model_name} has no published checkpoint: train it from new weights, or take one of '
      f'{", ".join(published())}.'
    )
  folder = os.path.join(output_dir, model_name)
  found = find_checkpoints(folder)
  if found:
    return found
  archives.check_free(folder)
  archive = os.path.join(output_dir, posixpath.basename(urllib.parse.urlsplit(url).path))
  archives.extract(fetching.fetch(url, archive), folder)
  found = find_checkpoints(folder)
  if not found:
    raise RunError(f'{archive} holds no checkpoint: see what it left in {folder}.')
  return found


def find_checkpoints(folder):
  """Returns the prefixes of the complete checkpoints in a folder and below, in sorted order.

  A checkpoint is `<prefix>.index` with its data, or one file `<name>.ckpt` of TensorFlow before
  1.0, as most of the published ones are.
  """
  paths = sorted(
    os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names
  )
  prefixes = []
  for path in paths:
    prefix = path.removesuffix(_INDEX)
    has_data = any(other.startswith(prefix + _FIRST_DATA) for other in paths)
    if path.endswith(_SINGLE_FILE) or (prefix != path and has_data):
      prefixes.append(prefix)
  return prefixes
