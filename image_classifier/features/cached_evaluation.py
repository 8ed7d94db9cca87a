"""Evaluating the checkpoints of a run that trains from cached features, from features as well."""

import typing

import numpy as np

from image_classifier import clips, inputs, precision
from image_classifier.evaluation import predicting, restoring
from image_classifier.features import cache, frozen_part, storage
from image_classifier.features.cached_split import CachedSplit
from nets import nets_factory
from slim_compat import tf

# Images that the rest of the net answers for at a time.
_BATCH_SIZE = 256


class _Rest(typing.NamedTuple):
  """The net above its boundary, in the inference form, in a session of its own."""

  session: typing.Any
  saver: typing.Any  # restores its variables, and no others
  features: list  # placeholders in the place of the boundary
  logits: typing.Any  # float32 [b, classes]
  moving_averages: bool  # whether the saver restores moving averages


class CachedEvaluation:
  """Predictions for one split by checkpoints that have the same weights below a boundary."""

  def __init__(self, options, dataset, image_size, variables, computes_in):
    """Reads which images there are.

    Args:
      options: options.TrainingOptions of the run.
      dataset: slim.dataset.Dataset of the split to evaluate on.
      image_size: height and width of the net's input, pixels.
      variables: names of those that have the same values in all checkpoints.
      computes_in: precision of the run.
    """
    self._options, self._dataset, self._image_size = options, dataset, image_size
    self._variables, self._computes_in = variables, computes_in
    self._records = cache.read_records(dataset, options.labels_offset)
    self._split = self._rest = self._places = None

  def predict(self, prefix):
    """Returns what predicting.predict does, up to rounding, None where features have no room.

    Args:
      prefix: of a checkpoint of the run.

    Raises:
      RunError: the features cannot be computed or written.
    """
    if self._split is None:
      self._split, self._rest = self._cut(prefix)
    if self._places is None:
      reason = self._split.lacking_room()
      if reason:
        tf.logging.warning('%s Evaluating from images.', reason)
        return None
      self._split.fill(f'Evaluating from cached features of the split {self._options.eval_split}')
      self._places = self._split.store.places(self._split.keys())
    self._rest.saver.restore(self._rest.session, prefix)
    logits = self._logits()
    predicting.check_finite(logits, prefix)
    facts = {'moving_averages': self._rest.moving_averages, 'precision': self._computes_in}
    files = [name.decode('utf-8', 'replace') for name in self._records.filenames]
    return predicting.Predictions(files, self._records.labels, logits, facts)

  def close(self):
    """Ends the session."""
    if self._rest is not None:
      self._rest.session.close()

  def _cut(self, prefix):
    """Builds the net in its inference form; returns the CachedSplit below the boundary and _Rest.

    Args:
      prefix: of any checkpoint of the run.
    """
    options, size = self._options, self._image_size
    with tf.Graph().as_default() as graph:
      channels = 1 if options.use_grayscale else 3
      images = tf.placeholder(tf.float32, [None, size, size, channels], 'images')
      num_classes = self._dataset.num_classes - options.labels_offset
      network_fn = nets_factory.get_network_fn(options.model_name, num_classes)
      logits, _ = network_fn(clips.as_input(images, options.model_name))
      restored = restoring.variables_to_restore(prefix, options.model_name)
      part = frozen_part.find(images, [logits], self._variables)
      graph_def = frozen_part.with_weights(part, prefix)
      frozen = cache.of_part(part, graph_def, self._computes_in)
      fed = [tf.placeholder(tf.float32, tensor.shape) for tensor in part.boundary]
      frozen_part.replace(part, fed)
      needed = {op.name for op in frozen_part.ancestors([logits])}
      saver = tf.train.Saver({name: v for name, v in restored.items() if v.op.name in needed})
    session = tf.Session(graph=graph, config=frozen.session_config)
    views = cache.Views(inputs.preprocessing_settings(options), size)
    split = CachedSplit(options, self._dataset, self._records, frozen, views)
    return split, _Rest(session, saver, fed, logits, restoring.has_averages(restored))

  def _logits(self):
    """Returns the logits of all images, float32 [n, classes]."""
    rest, found = self._rest, []
    fetches = [rest.logits, precision.float32_ops([rest.logits])]
    for places in np.array_split(self._places, -(-len(self._places) // _BATCH_SIZE)):
      features = map(storage.as_float32, self._split.store.gather(places))
      fed = dict(zip(rest.features, features, strict=True))
      found.append(rest.session.run(fetches, fed)[0])
    return np.concatenate(found)
