"""Several batches a step: their figures and gradients are summed, and the weights updated once.

The sums are in no checkpoint: a run saves between two steps, and what is left of a step goes with
the process.
"""

import typing

from nets.dropout import BATCH_NUMBER
from slim_compat import tf


class Step(typing.NamedTuple):
  """What becomes of the batches of a step."""

  add: typing.Any  # operation: adds a batch; to be run for each of them
  figures: list  # float32 scalars, the means over the batches once the last is added
  gradients: list  # [(gradient, variable)], likewise
  sums: list  # variables, which start at 0


def number_batches(global_step, num_batches):
  """Gives every batch a number of its own, by which dropout and mixing draw; call it before these.

  Args:
    global_step: int64 scalar variable, the number of the step.
    num_batches: batches a step.

  Returns:
    int64 scalar variable: how many batches of the step have been added.
  """
  in_step = _local_variable('batch_in_step', [], tf.int64)
  tf.add_to_collection(BATCH_NUMBER, global_step * num_batches + in_step)
  return in_step


def step_of(num_batches, in_step, figures, gradients, updates):
  """Sums up the batches of a step.

  Args:
    num_batches: batches a step.
    in_step: variable of `number_batches`.
    figures: list of float32 scalar tensors of one batch.
    gradients: [(gradient, variable)] of one batch; None where a variable has none.
    updates: operations that each batch comes with.

  Returns:
    Step.
  """
  values = [*figures, *(gradient for gradient, _ in gradients if gradient is not None)]
  sums = [_local_variable(f'sum_over_batches_{i}', v.shape, v.dtype) for i, v in enumerate(values)]
  added = [tf.assign_add(total, value).op for total, value in zip(sums, values, strict=True)]
  with tf.control_dependencies(added):
    add = tf.group(tf.assign_add(in_step, 1).op, *updates)
  with tf.control_dependencies([add]):
    means = [total.read_value() / num_batches for total in sums]
  of_variables = iter(means[len(figures) :])
  averaged = [(None if g is None else next(of_variables), v) for g, v in gradients]
  return Step(add, means[: len(figures)], averaged, [*sums, in_step])


def reset(step):
  """Returns the operation that makes the sums of a Step 0 again."""
  return tf.group([tf.assign(total, tf.zeros_like(total)).op for total in step.sums])


def _local_variable(name, shape, dtype):
  return tf.get_variable(
    name,
    shape,
    dtype,
    initializer=tf.zeros_initializer(),
    trainable=False,
    collections=[tf.GraphKeys.LOCAL_VARIABLES],
  )
