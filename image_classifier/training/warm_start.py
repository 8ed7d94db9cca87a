"""Where the weights come from: which variables a checkpoint gives and which start new."""

import typing

from image_classifier import checkpoints, recognition, scopes
from slim_errors import UserError


class Plan(typing.NamedTuple):
  """What a warm start does: the variables to restore and, in words, why others start new."""

  restored: dict  # name in the checkpoint -> variable
  new_heads: list  # the line about heads of another size, if there are any


def plan(prefix, variables, net_info, *, exclude_scopes=(), ignore_missing=False):
  """Compares a checkpoint with a net's variables by name and shape, before any session.

  A variable of the head that the checkpoint lacks, or holds in another shape, starts new.

  Args:
    prefix: complete checkpoint.
    variables: list of the net's variables.
    net_info: the net's nets.net_info.NetInfo.
    exclude_scopes: tuple; variables whose names start with one of these are not restored.
    ignore_missing: whether others that the checkpoint lacks start new too.

  Returns:
    Plan.

  Raises:
    UserError: for a scope that excludes nothing, a missing variable, another shape, or a
      checkpoint that has nothing in common with the net.
  """
  names = [variable.op.name for variable in variables]
  _check_exclude_scopes(exclude_scopes, names)
  wanted = [v for v in variables if not v.op.name.startswith(exclude_scopes)]
  shapes = checkpoints.variables(prefix)
  hint = recognition.hint(shapes, net_info)
  if not any(v.op.name in shapes for v in wanted):
    raise UserError(
      f'Checkpoint {prefix} holds none of the {len(wanted)} variables to restore: '
      f'{hint or "it is of another net, with scopes " + ", ".join(_roots(shapes))}.'
    )
  restored, new = {}, []
  for variable in wanted:
    name, shape = variable.op.name, variable.shape.as_list()
    in_head = name.startswith(net_info.head_prefixes)
    if shapes.get(name) == shape:
      restored[name] = variable
    elif name in shapes and in_head:
      new.append(variable)
    elif name in shapes:
      raise UserError(
        f'Checkpoint {prefix} holds {name} in shape {shapes[name]}, the net needs {shape}: '
        f'{hint or "it is of another net"}, or name its scope in --checkpoint_exclude_scopes.'
      )
    elif not in_head and not ignore_missing:
      raise UserError(
        f'Checkpoint {prefix} lacks {name}: {hint and f"{hint}, or "}name its scope in '
        '--checkpoint_exclude_scopes, or give --ignore_missing_vars.'
      )
  return Plan(restored, _about_new_heads(new, shapes, net_info))


def _about_new_heads(new, shapes, net_info):
  """Returns the line about variables of the head that the checkpoint has in another shape."""
  if not new:
    return []
  layers = dict.fromkeys(variable.op.name.rpartition('/')[0] for variable in new)
  here = recognition.num_classes({v.op.name: v.shape.as_list() for v in new}, net_info)
  there = recognition.num_classes(shapes, net_info)
  reason = (
    f'the checkpoint knows {there} classes, this net {here}'
    if here and there
    else 'the checkpoint has them in another shape'
  )
  return [f'Starting new: {", ".join(layers)}; {reason}.']


def _check_exclude_scopes(exclude_scopes, names):
  for scope in exclude_scopes:
    if not any(name.startswith(scope) for name in names):
      near = ', '.join(scopes.nearest_scopes(scope, names))
      raise UserError(
        f'--checkpoint_exclude_scopes: no variable starts with {scope!r}; near it are {near}.'
      )


def _roots(names):
  roots = sorted({name.split('/')[0] for name in names})
  return roots[:5]
