"""What all commands share: flags in named groups, one-sentence errors and exit codes.

Imports no TensorFlow, so that --help and a wrong flag answer at once. Exit codes: 0 done, 1 done
with something left out, 2 wrong usage or input, 3 a fault while running, 130 and 143 stopped by a
signal.
"""

import contextlib
import copy
import io
import logging
import os
import sys
import textwrap
import traceback

from absl import flags as absl_flags

import slim_text
from slim_errors import RunError, UserError, unknown

EXIT_DONE, EXIT_LEFT_OUT, EXIT_USAGE, EXIT_FAULT = 0, 1, 2, 3
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143

_TRUE_OR_FALSE = ('true', 'false', 't', 'f', '1', '0', 'yes', 'no')


class FlagGroup:
  """A titled group of flags: `Group(FLAGS, 'Data set').string(name, default, help)` and so on."""

  def __init__(self, flag_values, title):
    self._where = {'flag_values': flag_values, 'module_name': title}

  def string(self, name, default, help_text, **kwargs):
    absl_flags.DEFINE_string(name, default, help_text, **self._where, **kwargs)

  def integer(self, name, default, help_text, **kwargs):
    absl_flags.DEFINE_integer(name, default, help_text, **self._where, **kwargs)

  def float(self, name, default, help_text, **kwargs):
    absl_flags.DEFINE_float(name, default, help_text, **self._where, **kwargs)

  def boolean(self, name, default, help_text, **kwargs):
    absl_flags.DEFINE_boolean(name, default, help_text, **self._where, **kwargs)

  def enum(self, name, default, choices, help_text, **kwargs):
    absl_flags.DEFINE_enum(name, default, choices, help_text, **self._where, **kwargs)

  def list(self, name, default, help_text, **kwargs):
    absl_flags.DEFINE_list(name, default, help_text, **self._where, **kwargs)


def new_flags():
  """Returns an empty set of flags that already has the logging flags every slim command takes."""
  flag_values = absl_flags.FlagValues()
  group = FlagGroup(flag_values, 'Messages')
  group.boolean('help', False, 'Print this help.', short_name='h')
  group.boolean('helpfull', False, 'The same as --help.')
  group.boolean('debug', False, 'Show the Python traceback of an error.')
  group.boolean('logtostderr', True, 'Messages go to standard error, with or without this flag.')
  group.boolean('alsologtostderr', True, 'The same as --logtostderr.')
  group.integer('v', 0, 'Verbosity: -1 warnings only, 0 information, 1 debugging.')
  return flag_values


def run(doc, flag_values, main, argv=None, takes_files=False):
  """Parses the flags, runs `main(flags)` and returns the process's exit code.

  Args:
    doc: the command's docstring, shown above the flags by --help.
    flag_values: the command's flags, made by `new_flags`; left as they are.
    main: function of the parsed flags; returns None or an exit code, raises UserError.
    argv: list of arguments with the command's name first, None for the process's own.
    takes_files: whether arguments that belong to no flag are files, given as `main(flags, files)`.
  """
  flags = copy.deepcopy(flag_values)
  argv = list(sys.argv if argv is None else argv)
  debug = '--debug' in argv
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors='backslashreplace')  # for what the terminal's encoding lacks
  try:
    files = parse(flags, argv)
    if files and not takes_files:
      raise UserError(f'Unexpected argument {files[0]!r}: every value follows a flag; see --help.')
    if flags.help or flags.helpfull:
      print(help_text(doc, flags), flush=True)
      return EXIT_DONE
    logger = logging.getLogger('tensorflow')
    logger.setLevel(_LEVELS[max(-1, min(1, flags.v))])
    logger.addFilter(_harmless)
    return (main(flags, files) if takes_files else main(flags)) or EXIT_DONE
  except UserError as error:
    return _report(error, EXIT_USAGE, debug)
  except KeyboardInterrupt:
    print('Interrupted.', file=sys.stderr)
    return EXIT_INTERRUPTED
  except RunError as error:
    return _report(error, EXIT_FAULT, debug)
  except BrokenPipeError:  # the reader, such as head, has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_DONE
  except Exception as error:  # whatever else happens is a fault while running
    return _report(error, EXIT_FAULT, debug)


def _harmless(record):
  """Makes a message, and the texts it is given, harmless on a terminal; a filter of logging."""
  record.msg = slim_text.shown_lines(str(record.msg))
  if isinstance(record.args, tuple):
    record.args = tuple(
      slim_text.shown(value) if isinstance(value, (str, Exception)) else value
      for value in record.args
    )
  return True


_LEVELS = {-1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG}


@contextlib.contextmanager
def python_messages(verbosity, stream, style=logging.BASIC_FORMAT):
  """Sends the messages of Python's logging to a stream, by default as `INFO:root:...`.

  Args:
    verbosity: of the flag -v.
    stream: file to write to.
    style: format of a message, in logging's way.
  """
  root = logging.getLogger()
  handler = logging.StreamHandler(stream)
  handler.setFormatter(logging.Formatter(style))
  level = root.level
  root.addHandler(handler)
  root.addFilter(_harmless)  # not the handler's: tqdm puts its own in its place
  root.setLevel(logging.WARNING if verbosity < 0 else logging.INFO)
  try:
    yield
  finally:
    root.removeFilter(_harmless)
    root.removeHandler(handler)
    root.setLevel(level)


def exit_code_for_skipped(share, most, folder):
  """Returns the exit code of a conversion that left out this share of the files, and says why."""
  if share <= most:
    return EXIT_DONE
  print(
    f'error: {share:.1%} of the files could not be read, more than --max_skipped_fraction='
    f'{most}: see {folder}/skipped.csv.',
    file=sys.stderr,
  )
  return EXIT_LEFT_OUT


def _report(error, code, debug):
  if debug:
    traceback.print_exception(error)
  message = str(error)
  if code == EXIT_FAULT and not isinstance(error, RunError):
    first_line = (message.strip().splitlines() or [''])[0]
    message = f'{type(error).__name__}: {first_line} (--debug shows where it happened)'
  print(f'error: {slim_text.shown_lines(message)}', file=sys.stderr)
  return code


def parse(flags, argv):
  """Parses `argv` into `flags` and returns the arguments that belong to no flag.

  Raises:
    UserError: for what is not a flag or not a value of it.
  """
  try:
    return flags(_normalized(argv, flags))[1:]
  except absl_flags.UnrecognizedFlagError as error:
    raise unknown('flag', error.flagname, set(flags) - {'help', 'helpfull'}) from None
  except absl_flags.Error as error:
    raise UserError(f'{error}.') from None


def _normalized(argv, flags):
  """Spells `--a-b` as `--a_b`, and `--switch true` (argparse's way) as `--switch=true`."""
  spelled = argv[:1]
  for argument in argv[1:]:
    previous = spelled[-1].lstrip('-')
    if (
      argument.lower() in _TRUE_OR_FALSE
      and spelled[-1].startswith('-')
      and previous in flags
      and flags[previous].boolean
    ):
      spelled[-1] += f'={argument}'
      continue
    if argument.startswith('--'):
      name, equals, value = argument.partition('=')
      argument = '--' + name[2:].replace('-', '_') + equals + value
    spelled.append(argument)
  return spelled


def help_text(doc, flags):
  """Returns the help page: the docstring, then each group's flags with default and meaning."""
  lines = [doc.strip()]
  for title, group in flags.flags_by_module_dict().items():
    lines += ['', f'{title}:']
    for flag in group:
      short = f'-{flag.short_name}, ' if flag.short_name else ''
      default = '' if flag.default is None else f'={flag.default_as_str.strip(chr(39))}'
      lines.append(f'  {short}--{flag.name}{default}')
      lines += textwrap.wrap(flag.help, 90, initial_indent=' ' * 6, subsequent_indent=' ' * 6)
  return '\n'.join(lines)


def is_given(flags, name):
  """Whether the user gave the flag, rather than leaving it at its default."""
  return flags[name].present > 0


def require(flags, name, message):
  """Raises UserError(message) when the flag is None or empty."""
  if not flags[name].value:
    raise UserError(message)


def check_dataset_dir(path):
  """Raises UserError when there is no --dataset_dir, or it is no folder of this machine."""
  if not path:
    raise UserError('You must supply the dataset directory with --dataset_dir.')
  if not os.path.isdir(path):
    raise UserError(
      f'--dataset_dir={path} is not a folder of this machine: give the one that data_convert.py '
      'wrote to.'
    )


def refuse_changed(flags, names, reason):
  """Raises UserError for the first of the flags whose value differs from its default."""
  for name in names:
    flag = flags[name]
    if flag.value != flag.default:
      raise UserError(
        f'--{name}={flag.value} is not supported: {reason}; leave it at {flag.default!r}.'
      )


def warn_without_effect(flags, names, reason):
  """Says once, for each of the flags that the user gave, that it no longer changes anything."""
  for name in names:
    if is_given(flags, name):
      print(f'--{name} has no effect any more: {reason}.', file=sys.stderr)
