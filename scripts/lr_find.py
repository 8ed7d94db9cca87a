"""Looks for a learning rate: trains some steps at a growing rate, and shows how the loss goes.

  python scripts/lr_find.py --dataset_dir=pic --model_name=inception_v3 \\
    --checkpoint_path=inception_v3.ckpt --finetune=head

Takes the flags of train_image_classifier.py and trains as it would, from its start, but leaves no
trace: --train_dir is not looked at; features that the training would cache are kept for it.
The rate grows from --min_rate to --max_rate, or until the loss explodes. Prints a suggestion and
writes the curve as OUTPUT.csv and OUTPUT.png.
"""

import copy
import io
import math
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import train_image_classifier
from image_classifier import command
from slim_errors import UserError

FLAGS = copy.deepcopy(train_image_classifier.FLAGS)

_test = command.FlagGroup(FLAGS, 'Range test')
_test.integer('num_steps', 200, 'Steps at most.')
_test.float('min_rate', 1e-6, 'Learning rate of the first step.')
_test.float('max_rate', 10.0, 'Learning rate of the last step.')
_test.string('output', 'lr_find', 'Where the curve goes, without .csv and .png.')

_LEAST_STEPS = 10


def main(flags):
  _check(flags)
  command.warn_without_effect(flags, ['learning_rate'], 'the test tries rates of its own')
  flags['learning_rate'].parse(str(flags.min_rate))  # recipes ask for one with some optimizers
  with tempfile.TemporaryDirectory() as empty:
    flags.train_dir = empty  # a run in the other one has no say
    options = train_image_classifier.checked_options(flags)
  import slim_files
  from image_classifier.evaluation import reports
  from image_classifier.training import rate_chart, rate_test, stages

  if options.recipe == 'fine_tune' and not stages.has_head(options):
    print(
      'All layers are tested below a new head; fine_tune trains them below a trained one: with '
      'that of a run, --checkpoint_path=run/head, the test is of its second stage.'
    )
  curve = rate_test.run(
    options, num_steps=flags.num_steps, min_rate=flags.min_rate, max_rate=flags.max_rate
  )
  if curve.signal is not None:
    return train_image_classifier.EXIT_CODES[curve.signal]
  if len(curve.losses) < _LEAST_STEPS:
    raise UserError(
      f'The loss exploded after {len(curve.losses)} steps, too few for a curve: lower '
      f'--min_rate={flags.min_rate:g}.'
    )
  suggested = rate_test.suggestion(curve, flags.num_steps)
  columns = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
  rows = [(step, *map('{:.9g}'.format, row)) for step, row in enumerate(columns, 1)]
  header = ('step', 'learning_rate', 'loss', 'smoothed_loss')
  reports.write_csv(f'{flags.output}.csv', [header, *rows])
  picture = io.BytesIO()
  rate_chart.draw(curve, suggested).save(picture, 'PNG')
  slim_files.write_atomically(f'{flags.output}.png', picture.getvalue())
  print(_said(curve, suggested))
  print(f'The curve is in {flags.output}.csv and {flags.output}.png.')


def _check(flags):
  if flags.num_steps < _LEAST_STEPS:
    raise UserError(f'--num_steps={flags.num_steps} must be at least {_LEAST_STEPS}.')
  if not 0 < flags.min_rate < flags.max_rate < math.inf:
    raise UserError(
      f'--min_rate={flags.min_rate:g} must be above 0 and below --max_rate={flags.max_rate:g}.'
    )
  folder = pathlib.Path(flags.output).absolute().parent
  if not folder.is_dir():
    raise UserError(f'--output={flags.output} lies in no folder that there is: make it first.')


def _said(curve, suggested):
  """Returns what the curve says, in a sentence or two."""
  lowest = f'it was lowest at {curve.rates[curve.lowest]:.2g}'
  end = f'exploded at {curve.rates[-1]:.2g}' if curve.exploded else 'did not explode'
  if suggested is None:
    return (
      f'No suggestion: the loss never fell clearly ({lowest} and {end}). Give it more --num_steps, '
      'or other rates.'
    )
  return f'--learning_rate={suggested:.2g}: around it the loss falls most; {lowest} and {end}.'


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
