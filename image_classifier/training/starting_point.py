"""The checkpoint that a run goes on from or starts with, and what it restores of it."""

import glob

from image_classifier import checkpoints, run_length, scopes
from image_classifier.optimization import loss_scaling
from image_classifier.training import warm_start
from nets.net_info import net_info
from slim_compat import tf
from slim_errors import UserError


def checkpoint_to_resume(train_dir):
  """Returns the newest good checkpoint of a train_dir, None when it has none at all."""
  resumed = checkpoints.newest_intact(train_dir)
  if resumed is None and glob.glob(f'{glob.escape(train_dir)}/model.ckpt-*'):
    raise UserError(
      f'All checkpoints in {train_dir} are damaged: move them away to start anew, or choose '
      'another --train_dir.'
    )
  return resumed


def plan(options, net, resumed):
  """Returns the checkpoint to start from, or None, and {name in it: variable of the net}."""
  if resumed:
    if options.checkpoint_path:
      tf.logging.info(
        'Ignoring --checkpoint_path because a checkpoint already exists in %s', options.train_dir
      )
    return resumed, variables_to_resume(options.train_dir, resumed, net.variables)
  if not options.checkpoint_path:
    return None, {}
  prefix = checkpoints.resolve(options.checkpoint_path)
  found = warm_start.plan(
    prefix,
    net.variables,
    net_info(options.model_name),
    exclude_scopes=scopes.split_list(options.checkpoint_exclude_scopes),
    ignore_missing=options.ignore_missing_vars,
  )
  tf.logging.info('Fine-tuning from %s', prefix)
  for line in found.new_heads:
    tf.logging.info('%s', line)
  return prefix, found.restored


def variables_to_resume(train_dir, prefix, variables, has_all_of_net=False):
  """Returns some variables by name; raises UserError when the checkpoint lacks one.

  Args:
    train_dir: folder of the run, for the message.
    prefix: of its checkpoint.
    variables: list of them.
    has_all_of_net: whether those of the net are known to be there.
  """
  shapes = checkpoints.variables(prefix)
  variables = {v.op.name: v for v in variables}
  # What the run had no use for before: a bound in time, float16.
  for name in (*run_length.TIMES, *loss_scaling.VARIABLES):
    if name not in shapes:
      variables.pop(name, None)
  for name, variable in variables.items():
    shape = variable.shape.as_list()
    if has_all_of_net and name not in shapes:
      raise UserError(
        f'{prefix} has no {name}: a run goes on with the --optimizer, the trained scopes and the '
        '--moving_average_decay it began with; give these as they were, or choose another '
        f'--train_dir and start it with --checkpoint_path={train_dir}.'
      )
    if shapes.get(name) != shape:
      there = f'in shape {shapes[name]}' if name in shapes else 'not at all'
      raise UserError(
        f'{train_dir} holds another run: {prefix} has {name} {there}, this run needs it in shape '
        f'{shape}; choose another --train_dir, or move that one away.'
      )
  return variables
