"""Looks for what is wrong with pictures, records or checkpoints, and says how to mend it.

  python scripts/doctor.py pic
  python scripts/doctor.py pic --html=report.html
  python scripts/doctor.py train_dir --json

Takes a folder of pictures, a data set that was converted, or a train_dir, and only reads. The exit
code is 0 when nothing was found, 1 when something was, 2 for wrong usage. docs/doctor.md lists the
checks and the fields of the JSON.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command
from slim_errors import UserError

FLAGS = command.new_flags()

_output = command.FlagGroup(FLAGS, 'Output')
_output.boolean('all', False, 'List all findings and classes, not only examples.')
_output.boolean('json', False, 'Print JSON, which always lists everything.')
_output.string(
  'html', '', 'File for a page with thumbnails of what was found; not below the folder.'
)

_pictures = command.FlagGroup(FLAGS, 'Pictures')
_pictures.boolean('recursive', False, 'Folders inside a class folder belong to the class.')
_pictures.integer('min_side', 32, 'Pixels of the shorter side below which a picture is tiny.')
_pictures.integer(
  'max_pixels', 89_478_485, 'Limit of width times height, as data_convert.py has it.'
)
_pictures.integer('num_workers', None, 'Processes that decode; default: one a core.')


def main(flags, paths):
  if len(paths) != 1:
    raise UserError(f'Name one folder to look at, not {len(paths)}; see --help.')
  _check(flags, paths[0])
  # Small products, which threads of their own slow down.
  os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
  import slim_files
  from image_classifier.doctor import examination, html_output, machine, output

  settings = examination.Settings(
    flags.recursive, flags.min_side, flags.max_pixels, flags.num_workers
  )
  report = examination.examine(paths[0], settings)
  described = machine.describe(paths[0])
  print(
    output.json_report(report, described)
    if flags.json
    else output.text(report, described, flags.all)
  )
  if flags.html:
    slim_files.write_atomically(flags.html, html_output.page(report, settings.previews))
  return command.EXIT_LEFT_OUT if report.findings else command.EXIT_DONE


def _check(flags, path):
  """Raises UserError for flags that cannot work, before anything is read."""
  for name in ('min_side', 'max_pixels', 'num_workers'):
    if flags[name].value is not None and flags[name].value < 1:
      raise UserError(f'--{name}={flags[name].value} must be 1 or more.')
  if flags.html:
    _check_page(flags.html, path)


def _check_page(page, path):
  import slim_files
  from image_classifier.doctor import html_output

  folder = os.path.realpath(path)
  if os.path.commonpath([folder, os.path.realpath(page)]) == folder:
    raise UserError(f'--html={page} lies in {path}, which is only read: name a file elsewhere.')
  if not os.path.isdir(os.path.dirname(page) or '.'):
    raise UserError(f'--html={page} lies in no folder that there is: make it first.')
  slim_files.check_can_write(page, 'html')
  try:
    with open(page, encoding='utf-8', errors='replace') as file:
      is_own = file.readline().rstrip('\n') == html_output.FIRST_LINE
  except FileNotFoundError:
    return
  except OSError as error:
    raise UserError(f'--html={page} cannot be written ({error.strerror}): name a file.') from None
  if not is_own:
    raise UserError(f'--html={page} is there and no page of this command: name another file.')


def cli():
  return command.run(__doc__, FLAGS, main, takes_files=True)


if __name__ == '__main__':
  sys.exit(cli())
