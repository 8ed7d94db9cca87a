"""The temperature of a checkpoint, in a small file beside it: what its logits are divided by."""

import slim_files
from image_classifier import checkpoints
from slim_compat import tf
from slim_files import Field

# What a file may say: far more than a fit gives.
FIELD = Field('number', 1e-3, 1e3, is_optional=True)
_FIELDS = {
  'temperature': FIELD,
  'checkpoint_sha256': Field('text'),
  'moving_averages': Field('true or false'),
}


def path(prefix):
  """Returns where the temperature of a checkpoint lies."""
  return f'{prefix}.temperature.json'


def write(prefix, temperature, moving_averages, **about):
  """Writes a temperature beside the checkpoint that it was fitted for.

  Args:
    prefix: of the checkpoint.
    temperature: what to divide its logits by.
    moving_averages: whether it was fitted for the moving averages of the weights.
    **about: what else is to be known of it.
  """
  facts = {
    'temperature': temperature,
    'checkpoint_sha256': checkpoints.sha256(prefix),
    'moving_averages': moving_averages,
    **about,
  }
  slim_files.write_json(path(prefix), facts)


def read(prefix, moving_averages):
  """Returns the temperature of a checkpoint, None when there is none for these weights of it.

  Args:
    prefix: of the checkpoint.
    moving_averages: whether the moving averages of its weights are used.

  Raises:
    UserError: for a file that is damaged.
  """
  fix = 'fit it again with eval_image_classifier.py --fit_temperature, or remove the file'
  facts = slim_files.read_object(path(prefix), _FIELDS, fix)
  if facts is None:
    return None
  if facts.get('checkpoint_sha256') != checkpoints.sha256(prefix):
    tf.logging.warning('%s is of another checkpoint, so it is not used: %s.', path(prefix), fix)
    return None
  if facts.get('moving_averages') != moving_averages:
    tf.logging.warning(
      '%s is for other weights (moving averages or not), so it is not used: %s.', path(prefix), fix
    )
    return None
  return facts.get('temperature')
