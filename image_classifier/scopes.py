"""Scopes: which variables of a net are restored, which are trained."""

import difflib
import re

from slim_errors import UserError, unknown


def split_list(text):
  """Returns the scopes of a comma-separated flag as a tuple; none for None or ''."""
  return tuple(scope.strip() for scope in (text or '').split(',') if scope.strip())


def matches_any(name, patterns):
  """Whether a variable's name matches one of the scopes, as tf.get_collection's scope does."""
  return any(re.match(pattern, name) for pattern in patterns)


def finetune_scopes(spec, net_info):
  """Works out the scopes to train from `--finetune`.

  Args:
    spec: 'head', 'all' or 'from:SCOPE', where SCOPE is a block of the net, such as 'Mixed_7a'.
    net_info: the net's nets.net_info.NetInfo.

  Returns:
    tuple of scopes to train, or None for all of them.
  """
  if spec == 'all':
    return None
  if spec == 'head':
    return net_info.head_prefixes
  kind, _, name = spec.partition(':')
  if kind != 'from' or not name:
    raise UserError(f'--finetune={spec} is not one of head, from:SCOPE and all.')
  blocks = net_info.blocks
  short_names = [block.rsplit('/', 1)[-1] for block in blocks]
  if name in blocks:
    start = blocks.index(name)
  elif name in short_names:
    start = short_names.index(name)
  else:
    raise unknown('scope in --finetune=from:', name, short_names)
  return tuple(block + '/' for block in blocks[start:]) + net_info.head_prefixes


def check_trainable_scopes(patterns, trainable_names):
  """Raises UserError for a scope that no trainable variable matches, naming the nearest scopes."""
  for pattern in patterns:
    try:
      matched = any(re.match(pattern, name) for name in trainable_names)
    except re.error as error:
      raise UserError(f'--trainable_scopes: {pattern!r} is not a valid scope: {error}.') from None
    if not matched:
      raise UserError(
        f'--trainable_scopes: no trainable variable starts with {pattern!r}; '
        f'near it are {", ".join(nearest_scopes(pattern, trainable_names))}.'
      )


def nearest_scopes(scope, names, count=5):
  """Returns up to `count` scopes of the variable names that are nearest to `scope`."""
  scopes = {name.rsplit('/', depth)[0] for name in names for depth in (1, 2, 3) if '/' in name}
  return difflib.get_close_matches(scope, sorted(scopes), n=count, cutoff=0.0)
