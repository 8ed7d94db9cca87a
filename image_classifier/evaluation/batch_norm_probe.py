"""Whether the batch-norm statistics of a checkpoint are stale, tried on a batch.

That is the usual reason for a model that is good in training and near chance in evaluation:
https://github.com/tensorflow/models/issues/391
"""

import numpy as np

from image_classifier import clips
from image_classifier.evaluation import restoring
from nets import nets_factory
from slim_compat import tf

# Speaks up when this much more of a batch is right with its own statistics.
_MARGIN = 0.25
_SMALLEST_BATCH = 16


def warning(checkpoint, model_name, num_classes, images, rows, use_moving_averages=None):
  """Compares the answers for a batch with those that its own statistics would give.

  Args:
    checkpoint: a checkpoints.Checkpoint.
    model_name: the net it is of.
    num_classes: classes that the net tells apart.
    images: of the batch, float32 [b, size, size, channels].
    rows: dict of the `labels` [n] and `logits` [n, classes] of a pass that began with the batch.
    use_moving_averages: as `restoring.variables_to_restore` takes it.

  Returns:
    A warning, None when the stored statistics are no worse by far.
  """
  labels = rows['labels'][: len(images)]
  stored = np.mean(rows['logits'][: len(images)].argmax(axis=1) == labels)
  has_statistics = any(name.endswith('/moving_mean') for name in checkpoint.values)
  if not has_statistics or len(labels) < _SMALLEST_BATCH or stored > 1 - _MARGIN:
    return None
  answers = _with_own_statistics(checkpoint, model_name, num_classes, images, use_moving_averages)
  own = np.mean(answers.argmax(axis=1) == labels)
  if own < stored + _MARGIN:
    return None
  return (
    f'Batch-norm statistics look stale: {own:.0%} of the first {len(labels)} images are right with '
    f'the statistics of their own batch, {stored:.0%} with the stored ones; work them out again '
    'with scripts/recalibrate_batch_norm.py, or train longer or with a smaller --batch_norm_decay.'
  )


def _with_own_statistics(checkpoint, model_name, num_classes, images, use_moving_averages):
  """Returns the logits of a batch by the training form of the net, float32 [b, classes]."""
  with tf.Graph().as_default(), tf.Session() as session:
    inputs_of_net = clips.as_input(tf.constant(images), model_name)
    nets_factory.get_network_fn(model_name, num_classes)(inputs_of_net)
    restored = restoring.variables_to_restore(checkpoint, model_name, use_moving_averages)
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
      network_fn = nets_factory.get_network_fn(model_name, num_classes, is_training=True)
      logits, _ = network_fn(inputs_of_net)
    # Some nets have an auxiliary head in the training form only.
    session.run(tf.global_variables_initializer())
    fed = {v.initializer.inputs[1]: checkpoint.values[name] for name, v in restored.items()}
    session.run([variable.initializer for variable in restored.values()], fed)
    return session.run(logits)
