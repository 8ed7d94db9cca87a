"""Which variables of a checkpoint a network for inference takes, compared before any session."""

from image_classifier import checkpoints
from nets import net_info
from slim_compat import tf
from slim_errors import UserError


def variables_to_restore(checkpoint, model_name, use_moving_averages=None):
  """Returns {name in the checkpoint: variable} for all variables of the default graph.

  Args:
    checkpoint: its prefix.
    model_name: the net in the graph.
    use_moving_averages: take the moving averages of the variables, True or False; None takes those
      that the checkpoint holds.

  Raises:
    UserError: the checkpoint is of another net, another number of classes or another image size,
      or lacks the moving averages that were asked for.
  """
  saved = checkpoints.variables(checkpoint)
  variables = tf.global_variables()
  averaged = {v.op.name for v in variables if v.op.name + checkpoints.AVERAGE_SUFFIX in saved}
  if use_moving_averages and not averaged:
    raise UserError(
      f'{checkpoint} holds no moving averages: leave out --moving_average_decay and '
      '--use_moving_averages.'
    )
  if use_moving_averages is False:
    averaged = set()
  if averaged:
    tf.logging.info(
      'Using the moving averages of %d of %d variables (--use_moving_averages=false: the raw ones)',
      len(averaged),
      len(variables),
    )
  restored = {
    v.op.name + checkpoints.AVERAGE_SUFFIX * (v.op.name in averaged): v for v in variables
  }
  _check_names(checkpoint, saved, restored, model_name)
  _check_shapes(checkpoint, saved, restored, model_name)
  return restored


def has_averages(restored):
  """Whether what `variables_to_restore` returned takes moving averages."""
  return any(name.endswith(checkpoints.AVERAGE_SUFFIX) for name in restored)


def _check_names(checkpoint, saved, wanted, model_name):
  missing = [name for name in wanted if name not in saved]
  if not missing:
    return
  shown = ', '.join(missing[:3]) + (', ...' if len(missing) > 3 else '')
  heads = net_info.net_info(model_name).head_prefixes
  if all(name.startswith(heads) for name in missing):
    raise UserError(
      f'{checkpoint} holds {model_name} without its last layer ({shown}), so it knows no classes: '
      'fine-tune it with train_image_classifier.py first.'
    )
  likely = [
    name
    for name, info in net_info.NET_INFO.items()
    if name != model_name and _holds(saved, info.blocks)
  ]
  hint = f'it looks like {" or ".join(likely[:4])}: ' if likely else ''
  raise UserError(
    f'{checkpoint} is not of {model_name}: it holds no {shown} ({len(missing)} of {len(wanted)} '
    f'variables missing); {hint}pass the --model_name it was trained with.'
  )


def _holds(saved, blocks):
  """Whether every block of a net has a variable in the checkpoint."""
  return all(any(name.startswith(f'{block}/') for name in saved) for block in blocks)


def _check_shapes(checkpoint, saved, wanted, model_name):
  heads = net_info.net_info(model_name).head_prefixes
  for name, variable in wanted.items():
    there, here = list(saved[name]), variable.shape.as_list()
    if there == here:
      continue
    if name.startswith(heads) and there[:-1] == here[:-1]:
      off_by_one = abs(there[-1] - here[-1]) == 1
      raise UserError(
        f'{checkpoint} knows {there[-1]} classes and the data set has {here[-1]}: evaluate it on '
        f'the data set it was trained for{", or check --labels_offset" if off_by_one else ""}.'
      )
    raise UserError(
      f'{checkpoint} does not fit {model_name}: {name} has shape {there} there and {here} in the '
      'net; pass the --model_name and --eval_image_size it was trained with.'
    )
