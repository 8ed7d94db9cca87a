"""The pass of an evaluation over a split: batch by batch to its end, and how far it has come."""

import functools
import math
import sys
import time

import numpy as np
import tqdm

from image_classifier.evaluation import trained_net
from slim_compat import tf
from slim_errors import UserError


def run(session, net, batch, views, dataset, batch_size, max_num_batches):
  """Runs a net over a split.

  Args:
    session: of the default graph.
    net: trained_net.TrainedNet.
    batch: dict of the tensors of a batch, as `inputs.evaluation_batches`.
    views: test_time_views.Views.
    dataset, batch_size, max_num_batches: as `_read_all` takes them.

  Returns:
    images: those of the first batch, float32 [b, size, size, channels].
    rows: dict of arrays [n, ...], of all batches, without the images; the `logits` too.
    seconds: that the pass took, float.

  Raises:
    UserError: there is no record.
    tf.errors.DataLossError, tf.errors.InvalidArgumentError: a record is damaged, or its label is
      outside the classes.
  """
  logits, kept_float32 = trained_net.answers(net, batch['images'])
  tensors = {**batch, 'logits': logits}
  tf.logging.info('Starting evaluation at %s', now())
  start = time.monotonic()
  read = functools.partial(_run_batch, session, tensors, kept_float32, views)
  images, rows = _read_all(read, dataset, batch_size, max_num_batches)
  return images, rows, time.monotonic() - start


def now():
  """Returns the time as the old tool prints it."""
  return time.strftime('%Y-%m-%d-%H:%M:%S')


def _run_batch(session, batch, kept_float32, views):
  """Runs the network on the next batch: always the same fetches, for which the graph is prepared.

  Args:
    session: of the graph.
    batch: dict of tensors, with `images` and `logits`.
    kept_float32: operations to run along with the logits, of `trained_net.answers`.
    views: test_time_views.Views.

  Returns:
    dict of the batch's arrays.

  Raises:
    tf.errors.OutOfRangeError: when there is none any more.
  """
  if not views.are_several:
    return session.run([batch, kept_float32])[0]

  def ask(images):
    return session.run([batch['logits'], kept_float32], {batch['images']: images})[0]

  rows = session.run({name: batch[name] for name in batch if name != 'logits'})
  return {**rows, 'logits': views.mean_logits(session, rows['images'], ask)}


def _read_all(read, dataset, batch_size, max_num_batches):
  """Reads batches until there are no more, with a bar on a terminal and with lines elsewhere.

  Args:
    read: function that returns the next batch as a dict of arrays.
    dataset: slim.dataset.Dataset of the split.
    batch_size: images that count as a batch in the lines.
    max_num_batches: how many of them there will be at most; None is the whole split.

  Returns:
    images: those of the first batch, float32 [b, size, size, channels].
    rows: dict of arrays [n, ...], of all batches, without the images.

  Raises:
    UserError: there is no record.
  """
  num_batches = max_num_batches or math.ceil(dataset.num_samples / batch_size)
  on_terminal = sys.stderr.isatty()
  first, done, seen, told = None, [], 0, 0
  with tqdm.tqdm(
    total=min(dataset.num_samples, num_batches * batch_size),
    unit='img',
    leave=None,  # below another bar it goes
    disable=not on_terminal,
  ) as bar:
    while True:
      try:
        rows = read()
      except tf.errors.OutOfRangeError:
        break
      images = rows.pop('images')
      first = images if first is None else first
      done.append(rows)
      bar.update(len(rows['labels']))
      seen += len(rows['labels'])
      told = told if on_terminal else _tell(told, seen // batch_size, num_batches)
  if not done:
    raise UserError(f'There is no record in {dataset.data_sources}.')
  if not on_terminal:
    _tell(told, math.ceil(seen / batch_size), num_batches)
  return first, {name: np.concatenate([rows[name] for rows in done]) for name in done[0]}


def _tell(told, finished, num_batches):
  """Says which batches are finished, as the old tool: ten lines a pass, and one for the last."""
  for number in range(told + 1, finished + 1):
    if number % max(num_batches // 10, 1) == 0 or number == num_batches:
      tf.logging.info('Evaluation [%d/%d]', number, num_batches)
  return finished
