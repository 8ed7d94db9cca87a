"""Which variables of a checkpoint a network for inference takes, compared before any session."""

from datasets import labels
from image_classifier import checkpoints, recognition
from nets import net_info
from slim_compat import tf
from slim_errors import UserError


def variables_to_restore(checkpoint, model_name, use_moving_averages=None):
  """Returns {name in the checkpoint: variable} for all variables of the default graph.

  The global step counts for nothing here, and may be missing there. An auxiliary head that the
  checkpoint lacks is left out: it answers nothing.

  Args:
    checkpoint: its prefix, or the checkpoints.Checkpoint that was loaded.
    model_name: the net in the graph.
    use_moving_averages: take the moving averages of the variables, True or False; None takes those
      that the checkpoint holds.

  Raises:
    UserError: the checkpoint is of another net, another number of classes or another image size,
      or lacks the moving averages that were asked for.
  """
  saved, checkpoint = _saved(checkpoint)
  step = tf.train.get_global_step()
  variables = [v for v in tf.global_variables() if v is not step]
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
  auxiliary = net_info.net_info(model_name).auxiliary_prefixes
  restored = {n: v for n, v in restored.items() if n in saved or not n.startswith(auxiliary)}
  _check_names(checkpoint, saved, restored, model_name)
  _check_shapes(checkpoint, saved, restored, model_name)
  return restored


def labels_offset(checkpoint, model_name, dataset, given=None):
  """Returns what to subtract from the labels, so that they are the classes of a checkpoint.

  The published checkpoints of VGG and ResNet v1 lack ImageNet's background class, the others have
  it.

  Args:
    checkpoint: its prefix, or the checkpoints.Checkpoint that was loaded.
    model_name: the net it is of.
    dataset: slim.dataset.Dataset.
    given: the user's or the training's; None: 1 where the checkpoint knows all classes but the
      background, else 0.

  Raises:
    UserError: the given one does not fit, and another one would.
  """
  saved, checkpoint = _saved(checkpoint)
  known = recognition.num_classes(saved, net_info.net_info(model_name))
  fits = int(known == dataset.num_classes - 1 and labels.base_of(dataset) == 1)
  if given is None:
    if fits:
      tf.logging.info(
        '--labels_offset=1: the checkpoint knows %d classes, the data set these and the background',
        known,
      )
    return fits
  if given != fits and known == dataset.num_classes - fits:
    raise UserError(
      f'--labels_offset={given} leaves {dataset.num_classes - given} of the {dataset.num_classes} '
      f'classes of the data set, and {checkpoint} knows {known} classes: give '
      f'--labels_offset={fits}, or leave it out.'
    )
  return given


def _saved(checkpoint):
  """Returns {variable: shape} and the prefix, of a prefix or a Checkpoint."""
  if isinstance(checkpoint, checkpoints.Checkpoint):
    return checkpoint.shapes(), checkpoint.prefix
  return checkpoints.variables(checkpoint), checkpoint


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
  hint = recognition.hint(saved, net_info.net_info(model_name))
  raise UserError(
    f'{checkpoint} is not of {model_name}: it holds no {shown} ({len(missing)} of {len(wanted)} '
    f'variables missing); {hint or "pass the --model_name it was trained with"}.'
  )


def _check_shapes(checkpoint, saved, wanted, model_name):
  info = net_info.net_info(model_name)
  heads, hint = info.head_prefixes, recognition.hint(saved, info)
  for name, variable in wanted.items():
    there, here = list(saved[name]), variable.shape.as_list()
    if there == here:
      continue
    if name.startswith(heads) and there[:-1] == here[:-1] and not hint:
      off_by_one = abs(there[-1] - here[-1]) == 1
      raise UserError(
        f'{checkpoint} knows {there[-1]} classes and the data set has {here[-1]}: evaluate it on '
        f'the data set it was trained for{", or check --labels_offset" if off_by_one else ""}.'
      )
    raise UserError(
      f'{checkpoint} does not fit {model_name}: {name} has shape {there} there and {here} in the '
      f'net; {hint or "pass the --model_name and --eval_image_size it was trained with"}.'
    )
