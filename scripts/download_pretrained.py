"""Fetches the published checkpoint of a net and says what to pass as --checkpoint_path.

  python scripts/download_pretrained.py inception_v3
  python scripts/download_pretrained.py mobilenet_v2 --output_dir=checkpoints
  python scripts/download_pretrained.py --list

The archive is fetched once, announced with address and size; a stopped download goes on where it
was. Its SHA-256 is written down beside it at the first use, and compared from then on. Standard
output is the checkpoint's path alone.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import slim_text
from image_classifier import command
from image_classifier.downloads import pretrained
from slim_errors import UserError

FLAGS = command.new_flags()

_output = command.FlagGroup(FLAGS, 'Output')
_output.string(
  'output_dir', 'checkpoints', 'Folder for the archive, and for a folder of the name of the net.'
)
_output.boolean('list', False, 'Print which nets have a published checkpoint, and where.')


def main(flags, names):
  if flags.list:
    for name, url in pretrained.published().items():
      print(f'{name:<32} {url}')
    return
  if len(names) != 1:
    raise UserError('Name one net, such as inception_v3; --list prints those there are.')
  first, *others = pretrained.fetch_checkpoint(names[0], flags.output_dir)
  if others:
    print(slim_text.shown(f'The archive also holds {", ".join(others)}.'), file=sys.stderr)
  print(slim_text.shown(first))


def cli():
  return command.run(__doc__, FLAGS, main, takes_files=True)


if __name__ == '__main__':
  sys.exit(cli())
