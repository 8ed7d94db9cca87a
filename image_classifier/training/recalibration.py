"""Batch-norm statistics worked out again for the checkpoints of a run that is training."""

import contextlib
import errno
import math
import os
import shutil

from image_classifier import checkpoints, run_record, saving
from image_classifier.training import batch_norm_statistics, train_net
from slim_compat import tf

# Where the last checkpoint of a run without evaluations gets its statistics.
FOLDER = 'recalibrated'
# Means over a thousand images are as good as over all: Wu and Johnson, Rethinking "Batch" in
# BatchNorm, section 3, https://arxiv.org/abs/2105.07576
_NUM_IMAGES = 1024


class Recalibration:
  """Makes copies of a run's checkpoints whose batch-norm statistics are worked out again."""

  def __init__(self, options, dataset):
    """Takes what says how the run trains.

    Args:
      options: options.TrainingOptions, with the precision that the run computes in.
      dataset: slim.dataset.Dataset of the split to train on.
    """
    self._options, self._dataset = options, dataset

  @contextlib.contextmanager
  def copied(self, prefix):
    """Yields the prefix of such a copy, of the same name, which is there while the context lasts.

    Args:
      prefix: of a checkpoint in the train_dir, which stays as it is.
    """
    # What a kill leaves there is deleted with the next start or checkpoint.
    staging = os.path.join(self._options.train_dir, saving.STAGING_FOLDER)
    folder = os.path.join(staging, FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    try:
      yield _write(prefix, self._statistics(prefix), folder)
    finally:
      shutil.rmtree(staging, ignore_errors=True)

  def keep(self, prefix):
    """Makes such a copy the only checkpoint of its own folder; returns the line to print."""
    train_dir = self._options.train_dir
    folder = os.path.join(train_dir, FOLDER)
    saving.recover_only(folder)
    name = os.path.basename(prefix)
    if [os.path.basename(kept) for kept in checkpoints.listed(folder)] != [name]:
      with self.copied(prefix) as copy:
        with open(os.path.join(train_dir, run_record.FILE_NAME), 'rb') as file:
          record = file.read()
        saving.keep_only(copy, folder, {run_record.FILE_NAME: record})
    return f'Batch norm is worked out again in {os.path.join(folder, name)}.'

  def _statistics(self, prefix):
    options = self._options
    num_images = min(_NUM_IMAGES, self._dataset.num_samples)
    return batch_norm_statistics.estimate(
      prefix,
      self._dataset,
      options,
      num_batches=math.ceil(num_images / options.batch_size),
      keeps_statistics=train_net.keeps_statistics(options),
    )


def _write(prefix, statistics, folder):
  """Writes the copy; a full disk is an OSError, as everywhere in a run."""
  try:
    return batch_norm_statistics.write(prefix, statistics, folder)
  except tf.errors.ResourceExhaustedError as error:
    if not saving.is_disk_full(error):
      raise
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder) from None
