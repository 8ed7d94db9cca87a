"""Dropout whose masks are the same in a resumed run as they would have been without the stop.

In a graph with a seed (tf.set_random_seed) and a global step, a mask depends on these and on the
name of the layer, and on nothing that went before. Where a step has several batches, the number of
the batch, the first of the collection BATCH_NUMBER, takes the place of the step.

Paper: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, Dropout: A Simple Way to Prevent
Neural Networks from Overfitting, https://jmlr.org/papers/v15/srivastava14a.html
"""

import zlib

from slim_compat import slim, tf

# Name of a collection: int64 scalar tensor, the number of the batch since the start of the run.
BATCH_NUMBER = 'batch_number'


@slim.add_arg_scope
def dropout(inputs, keep_prob=None, is_training=None, scope=None, keep_prob_override=None):
  """Does what `slim.dropout` does, and obeys its arg scopes; only the masks are its own.

  Args:
    inputs: float tensor of any shape.
    keep_prob: share of the activations that is kept; None is that of the arg scope, or 0.5.
    is_training: whether anything is dropped; None is what the arg scope says, or True.
    scope: name of the layer inside the current variable scope, 'Dropout' when None.
    keep_prob_override: what is kept whatever the network says; None leaves that in force.

  Returns:
    A tensor like `inputs`.
  """
  if keep_prob_override is not None:
    keep_prob = keep_prob_override
  given = {'keep_prob': keep_prob, 'is_training': is_training}
  given = {name: value for name, value in given.items() if value is not None}
  of_scopes = slim.current_arg_scope().get(slim.arg_scope_func_key(slim.dropout), {})
  settings = {'keep_prob': 0.5, 'is_training': True, **of_scopes, **given}
  name = scope or 'Dropout'
  seed = seed_of_step(f'{tf.get_variable_scope().name}/{name}')
  if seed is None or not settings['is_training']:
    return slim.dropout(inputs, scope=scope, **given)
  return tf.compat.v2.nn.experimental.stateless_dropout(
    inputs, rate=1 - settings['keep_prob'], seed=seed, name=name
  )


def seed_of_step(name):
  """Returns what the random numbers of one layer in one step start from.

  Args:
    name: of the layer.

  Returns:
    int64 tensor [2], or None in a graph without a seed or a global step.
  """
  seed, step = tf.get_seed(None)[0], tf.train.get_global_step()
  step = next(iter(tf.get_collection(BATCH_NUMBER)), step)
  if seed is None or step is None:
    return None
  key = zlib.crc32(f'{seed}/{name}'.encode())
  return tf.stack([key, tf.cast(step, tf.int64)])
