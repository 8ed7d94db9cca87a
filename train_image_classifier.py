r"""Trains an image classifier, or fine-tunes one from a checkpoint.

  python train_image_classifier.py --train_dir=runs/1 --dataset_dir=pic \
    --model_name=inception_v3 --checkpoint_path=inception_v3.ckpt --recipe=fine_tune

The same command goes on where a stopped run left off. Ctrl-C finishes the step, saves and exits.
"""

import dataclasses
import signal
import sys

from image_classifier import command
from image_classifier.options import TrainingOptions
from image_classifier.training import idle_flags, recipes, resuming
from image_classifier.training.flags import FLAGS
from nets import net_info
from preprocessing import augmentation, families

_DEFAULTS = TrainingOptions()
_ONE_DEVICE = (
  'master',
  'task',
  'num_clones',
  'worker_replicas',
  'num_ps_tasks',
  'sync_replicas',
  'replicas_to_aggregate',
)
# Flags that show research/slim's default and, left out, fit the other flags.
_FITTED = {
  'dataset_name',
  'num_epochs_per_decay',
  'end_learning_rate',
  'opt_epsilon',
  'num_preprocessing_threads',
}
EXIT_CODES = {
  None: command.EXIT_DONE,
  signal.SIGINT: command.EXIT_INTERRUPTED,
  signal.SIGTERM: command.EXIT_TERMINATED,
}


def main(flags):
  options, given = checked_options(flags), _given(flags)
  for sentence in idle_flags.sentences(options, given):
    print(sentence, file=sys.stderr)
  if options.recipe != _DEFAULTS.recipe or command.is_given(flags, 'recipe'):
    print(recipes.described(options), flush=True)
  if line := resuming.described(options, given):
    print(line, flush=True)

  from image_classifier.training import stages  # imports TensorFlow

  result = stages.train(options, given)
  had_no_step_left = result.loss is None and result.signal is None
  if had_no_step_left and result.is_stopped_early:
    print(
      f'{options.train_dir} has ended early at step {result.step}: raise '
      f'--early_stopping_patience={options.early_stopping_patience} to train on.'
    )
  elif had_no_step_left:
    print(
      f'{options.train_dir} has reached step {result.step} already: '
      'raise --max_number_of_steps, --max_epochs or --max_minutes to train on.'
    )
  return EXIT_CODES[result.signal]


def checked_options(flags):
  """Returns the TrainingOptions of the flags; raises UserError for a flag that nothing does."""
  command.refuse_changed(flags, _ONE_DEVICE, 'training runs on one device of one machine')
  command.refuse_changed(flags, ['quantize_delay'], 'there is no quantization-aware training')
  options = resolved_options(flags)
  command.check_dataset_dir(options.dataset_dir)
  net_info.check_image_size(options.model_name, options.train_image_size)
  families.completed(options.preprocessing_name or options.model_name, augmentation.of(options))
  recipes.check(options)
  return options


def resolved_options(flags):
  """Returns the TrainingOptions of the flags; a run in --train_dir says what was left out.

  Where that says nothing, the recipe does.
  """
  values = {field.name: flags[field.name].value for field in dataclasses.fields(TrainingOptions)}
  given = _given(flags)
  left_out = values.keys() - given
  for name in left_out & _FITTED:
    values[name] = getattr(_DEFAULTS, name)
  if 'rmsprop_momentum' in left_out:
    values['rmsprop_momentum'] = flags.momentum
  values |= resuming.identity(flags.train_dir) | given
  kept = resuming.kept_settings(flags.train_dir, given)
  return TrainingOptions(**(values | kept | recipes.choices(values['recipe'], kept | given)))


def _given(flags):
  """Returns {option: value} of the flags that were given."""
  names = [field.name for field in dataclasses.fields(TrainingOptions)]
  return {name: flags[name].value for name in names if command.is_given(flags, name)}


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
