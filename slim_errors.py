"""What a user did wrong, said in one sentence. Imports nothing heavy."""

import difflib


class UserError(ValueError):
  """A wrong flag, file or value: the message names it and the fix; commands print it and exit 2."""


def unknown(kind, name, choices):
  """Returns the UserError for a name that is none of `choices`, with the nearest and all of them.

  Args:
    kind: what the name should be, in the words of the flag ('model_name', 'optimizer').
    name: what the user gave.
    choices: iterable of the names there are.
  """
  choices = sorted(choices)
  nearest = difflib.get_close_matches(str(name), choices, n=1)
  hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
  return UserError(f'Unknown {kind} {name!r}: {hint}choices are {", ".join(choices)}.')


def not_writable(path, error):
  """Returns the UserError for a folder, or a file in one, that cannot be written to."""
  return UserError(f'{path} cannot be written to ({error.strerror}): choose another folder.')


def reason_of(error):
  """Returns the line of a tf.errors.OpError that says what was wrong, not where in the graph."""
  lines = [line.strip() for line in error.message.splitlines() if line.strip()]
  where = ('Graph execution error:', 'Detected at node', 'Node:', 'File ')
  return next((line for line in lines if not line.startswith(where)), ''.join(lines[:1]))


class RunError(RuntimeError):
  """A run that cannot go on through no mistake in its flags; commands print it and exit 3."""
