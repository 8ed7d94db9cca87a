"""What training writes for TensorBoard, under the tags of research/slim.

The raw operations take a tag as it is; tf.summary would number it when an operation of the graph
has the same name.
"""

import contextlib
import itertools
import os
import socket
import time

from image_classifier import saving
from slim_compat import tf

_PICTURES = 3
# What TensorBoard expects in the first record of an event file.
_FILE_VERSION = 'brain.Event:2'


class EventFile:
  """Writes events for TensorBoard; where the disk is full they are left out, and the run goes on.

  tf.summary.FileWriter leaves half a record behind then, at which TensorBoard stops reading.
  """

  def __init__(self, folder, graph_def, first_step):
    """Starts a file: TensorBoard drops what earlier files of the folder say after `first_step`.

    Args:
      folder: made when missing.
      graph_def: tf.GraphDef to show; None: no graph.
      first_step: step of what comes.
    """
    os.makedirs(folder, exist_ok=True)
    self._folder = folder
    self._path = self._writer = None
    self._size = 0  # of the whole records in it
    if graph_def is not None:
      self._add(graph_def=graph_def.SerializeToString())
    self._add(session_log=tf.SessionLog(status=tf.SessionLog.START), step=first_step)

  def add_summary(self, summary, step):
    """Adds a tf.Summary, serialized or not."""
    if isinstance(summary, bytes):
      summary = tf.Summary.FromString(summary)
    self._add(summary=summary, step=step)

  def close(self):
    if self._writer:
      self._writer.close()

  def _add(self, **content):
    try:
      if self._writer is None:
        self._open()
      self._write(tf.Event(wall_time=time.time(), **content))
    except (OSError, tf.errors.OpError) as error:
      if not saving.is_disk_full(error):
        raise
      self._cut()
      message = 'The disk is full: summaries are left out until there is room.'
      tf.logging.log_first_n(tf.logging.WARN, message, 1)

  def _open(self):
    name = f'{self._folder}/events.out.tfevents.{int(time.time())}.{socket.gethostname()}'
    names = itertools.chain([name], (f'{name}.{i}' for i in itertools.count(1)))
    self._path = next(path for path in names if not os.path.exists(path))
    self._size = 0
    self._writer = tf.io.TFRecordWriter(self._path)
    self._write(tf.Event(wall_time=time.time(), file_version=_FILE_VERSION))

  def _write(self, event):
    self._writer.write(event.SerializeToString())
    self._writer.flush()
    self._size = os.path.getsize(self._path)

  def _cut(self):
    """Ends the file after its last whole record; the next event starts another."""
    with contextlib.suppress(tf.errors.OpError):
      self.close()
    self._writer = None
    if os.path.exists(self._path):
      os.truncate(self._path, self._size)


def scalars(learning_rate, losses):
  """Returns the serialized summary of the learning rate and the losses ({tag: scalar})."""
  values = {'learning_rate': learning_rate, **losses}
  for loss in tf.losses.get_losses():
    values[f'losses/{loss.op.name}'] = loss
  return tf.summary.merge([_scalar(tag, value) for tag, value in values.items()])


def details(images, end_points, variables):
  """Returns the serialized summary of pictures, activations and weights: costly to compute.

  Args:
    images: float32 [b, h, w, c], as the net gets them; None where it gets none.
    end_points: {name: tensor} of the net.
    variables: the net's variables, a histogram each.
  """
  merged = []
  if images is not None:
    merged.append(
      tf.raw_ops.ImageSummary(tag='final_distorted_image', tensor=images, max_images=_PICTURES)
    )
  for name, tensor in end_points.items():
    merged.append(_histogram(f'activations/{name}', tensor))
    merged.append(_scalar(f'sparsity/{name}', _zero_fraction(tensor)))
  merged += [_histogram(variable.op.name, variable) for variable in variables]
  return tf.summary.merge(merged)


def _zero_fraction(tensor):
  """As tf.nn.zero_fraction, which takes seven times as long to build, and counts beyond 2**31."""
  return tf.reduce_mean(tf.cast(tf.equal(tensor, 0), tf.float32))


def _scalar(tag, value):
  return tf.raw_ops.ScalarSummary(tags=tag, values=value)


def _histogram(tag, values):
  """Numbers only: a histogram of others is an error, and the loss says more about those."""
  values = tf.where(tf.is_finite(values), values, tf.zeros_like(values))
  return tf.raw_ops.HistogramSummary(tag=tag, values=values)
