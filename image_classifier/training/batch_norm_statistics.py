"""Batch-norm statistics of a finished checkpoint, worked out again from training images.

The moving averages of training lag behind the weights and lean to the last batches. With frozen
weights, plain means over many batches have neither fault: Wu and Johnson, Rethinking "Batch" in
BatchNorm, section 3, https://arxiv.org/abs/2105.07576
"""

import glob
import math
import os
import typing

import numpy as np
import tqdm
from google.protobuf import text_format

import slim_files
from image_classifier import checkpoints, clips, inputs, precision, run_record
from image_classifier.evaluation import restoring
from image_classifier.training import train_net
from nets import net_info, nets_factory
from slim_compat import tf
from slim_errors import UserError

_MAX_BATCHES = 100


class Statistics(typing.NamedTuple):
  """New values of a checkpoint's variables."""

  values: dict  # name in the checkpoint -> float32 [channels]
  num_layers: int
  num_images: int
  moving_averages: bool  # whether they belong to the moving averages of the weights


def estimate(
  checkpoint,
  dataset,
  options,
  *,
  num_batches=None,
  use_moving_averages=None,
  keeps_statistics=None,
):
  """Works out the batch-norm statistics that belong to the weights of a checkpoint.

  Every layer gets the mean, over all batches, of the means and of the variances of its inputs,
  while all layers normalize with their own batch as in training.

  Args:
    checkpoint: its prefix.
    dataset: slim.dataset.Dataset of the split it was trained on.
    options: options.TrainingOptions that say which net it is of, in which precision (as resolved)
      to compute it, and what batches are, best as in the training.
    num_batches: how many of them; None is one pass, at most 100.
    use_moving_averages: statistics for the moving averages of the weights, True or False; None when
      the checkpoint holds them, as evaluation does.
    keeps_statistics: function of a layer's scope that is true for a layer whose statistics stay
      as they are and are used; None: all are worked out.

  Returns:
    Statistics.

  Raises:
    UserError: for a checkpoint that does not fit, or without batch norms to work out.
    RunError: for a damaged record.
  """
  num_batches = num_batches or min(
    _MAX_BATCHES, math.ceil(dataset.num_samples / options.batch_size)
  )
  with tf.Graph().as_default(), tf.Session(config=_session_config(options.precision)) as session:
    tf.set_random_seed(options.seed)
    decay = tf.placeholder(tf.float32, [])
    start_images = _build(options, dataset, decay, keeps_statistics)
    updates = _updates(checkpoint, options.model_name)
    restored = restoring.variables_to_restore(checkpoint, options.model_name, use_moving_averages)
    session.run([tf.global_variables_initializer(), start_images])
    tf.train.Saver(restored).restore(session, checkpoint)
    try:
      values = _plain_means(session, _updated(restored, updates), updates, decay, num_batches)
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
      raise inputs.damaged_record(dataset, options.labels_offset) or error from None
  _check_finite(values, checkpoint)
  num_images, has_averages = num_batches * options.batch_size, restoring.has_averages(restored)
  return Statistics(values, len(values) // 2, num_images, has_averages)


def _build(options, dataset, decay, keeps_statistics):
  """Builds the net in its training form on batches; returns the operation that starts these."""
  network_fn = nets_factory.get_network_fn(
    options.model_name,
    dataset.num_classes - options.labels_offset,
    is_training=True,
    batch_norm_decay=decay,
    is_frozen=keeps_statistics,
  )
  image_size = options.train_image_size or network_fn.default_image_size
  net_info.check_image_size(options.model_name, image_size)
  images, _, _, start = train_net.batches(options, dataset, image_size)
  network_fn(clips.as_input(images, options.model_name))
  return start


def _session_config(computes_in):
  config = tf.ConfigProto()
  precision.configure(config, computes_in)
  return config


def _updates(checkpoint, model_name):
  """Returns the operations of the net in the default graph that update moving averages."""
  updates = [getattr(u, 'op', u) for u in tf.get_collection(tf.GraphKeys.UPDATE_OPS)]
  if not updates:
    raise UserError(f'{checkpoint}: no batch norm of {model_name} is to get new statistics.')
  return updates


def _updated(restored, updates):
  """Returns those of {name in the checkpoint: variable} that some operations update."""
  updated = {update.inputs[0].op.name for update in updates}
  return {name: variable for name, variable in restored.items() if variable.op.name in updated}


def _check_finite(values, checkpoint):
  if not all(np.isfinite(value).all() for value in values.values()):
    raise UserError(f'The training of {checkpoint} has diverged: take an earlier checkpoint.')


def _plain_means(session, means, updates, decay, num_batches):
  """Returns the means of what batch norms see, by their own moving averages.

  One that starts at 0 and gives batch n the weight 1 / n is the plain mean of all batches.

  Args:
    means: {name: moving mean or variance}.
    updates: the operations that update them with a batch.
    decay: placeholder of their decay.
    num_batches: how many batches to run.
  """
  for variable in means.values():
    variable.load(np.zeros(variable.shape), session)
  for n in tqdm.trange(num_batches, unit='batch', disable=None):
    session.run(updates, {decay: n / (n + 1)})
  return session.run(means)


def check_output(checkpoint, output_dir):
  """Raises UserError when a new checkpoint cannot go to `output_dir`, where another one lies."""
  if glob.glob(f'{glob.escape(output_dir)}/*.index') or os.path.isfile(output_dir):
    raise UserError(
      f'--output_dir={output_dir} holds a checkpoint or is none: name a new folder, in which the '
      f'changed copy of {checkpoint} goes.'
    )


def write(checkpoint, statistics, output_dir):
  """Writes a copy of a checkpoint with new statistics into a folder that has no checkpoint yet.

  Everything else in it stays as it is, bit by bit, so that training can go on from it; run.json
  and the .meta file go along.

  Args:
    checkpoint: prefix of the old one.
    statistics: Statistics.
    output_dir: the folder, made when missing.

  Returns:
    The prefix of the new one.

  Raises:
    UserError: when the folder holds a checkpoint.
  """
  check_output(checkpoint, output_dir)
  reader = tf.train.load_checkpoint(checkpoint)
  arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
  name = os.path.basename(checkpoint)
  prefix = os.path.join(output_dir, name)
  with checkpoints.written(prefix, arrays | statistics.values):
    for old, new in (
      (os.path.join(os.path.dirname(checkpoint), run_record.FILE_NAME), run_record.FILE_NAME),
      (f'{checkpoint}.meta', f'{name}.meta'),
    ):
      if os.path.exists(old):
        with open(old, 'rb') as file:
          slim_files.write_atomically(os.path.join(output_dir, new), file.read())
  state = tf.train.generate_checkpoint_state_proto('', name, [name])
  pointer = text_format.MessageToString(state)
  slim_files.write_atomically(os.path.join(output_dir, 'checkpoint'), pointer)
  return prefix
