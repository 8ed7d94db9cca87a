"""Prints the nets there are: input size, preprocessing, parameters, scopes and nodes.

  python scripts/list_models.py
  python scripts/list_models.py mobilenet
  python scripts/list_models.py 'resnet_v?_50' --verbose

A pattern is part of a name, or a whole name with * and ?. One net alone, or --verbose, is printed
with everything that is known of it.
"""

import fnmatch
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from nets.net_info import NET_INFO
from slim_errors import UserError, unknown

FLAGS = command.new_flags()

_output = command.FlagGroup(FLAGS, 'Output')
_output.boolean('verbose', False, 'Print everything that is known of each net.')

_HEADER = (
  'net',
  'size',
  'least',
  'preprocessing',
  'M param.',
  'offset',
  'checkpoint',
  'aux',
  'head',
)
_TO_THE_RIGHT = {1, 2, 4, 5}  # columns of numbers


def main(flags, patterns):
  if len(patterns) > 1:
    raise UserError(f'Give one pattern, not {len(patterns)}: {" ".join(patterns)}.')
  names = matching(patterns[0] if patterns else '')
  if flags.verbose or len(names) == 1:
    print('\n\n'.join(record(name) for name in names))
  else:
    print(table(names))


def matching(pattern):
  """Returns the names of nets that a pattern matches; raises UserError when there are none."""
  has_wildcards = any(character in pattern for character in '*?[')
  names = [
    name
    for name in NET_INFO
    if (fnmatch.fnmatchcase(name, pattern) if has_wildcards else pattern in name)
  ]
  if pattern in NET_INFO:
    return [pattern]
  if not names:
    raise unknown('net', pattern, NET_INFO)
  return names


def table(names):
  """Returns a line for each net, below a line of titles."""
  rows = [_HEADER, *(_row(name) for name in names)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return '\n'.join(
    '  '.join(
      cell.rjust(width) if number in _TO_THE_RIGHT else cell.ljust(width)
      for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in rows
  )


def _row(name):
  info = NET_INFO[name]
  return (
    name,
    str(info.default_image_size),
    str(info.min_image_size),
    info.preprocessing,
    f'{info.num_parameters:.2f}',
    str(info.labels_offset),
    'yes' if info.checkpoint_url else 'no',
    'yes' if info.aux_end_point else 'no',
    ','.join(info.head_scopes),
  )


def record(name):
  """Returns everything that is known of a net, a fact a line."""
  info = NET_INFO[name]
  lines = [name]
  for field, value in info._asdict().items():
    lines.append(f'  {field:<20} {_in_words(value)}')
  return '\n'.join(lines)


def _in_words(value):
  if isinstance(value, tuple):
    return ', '.join(value)
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  return 'none' if value is None else value


def cli():
  return command.run(__doc__, FLAGS, main, takes_files=True)


if __name__ == '__main__':
  sys.exit(cli())
