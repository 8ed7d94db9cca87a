"""Evaluating the checkpoints of a run that trains from cached features, from features as well."""

import numpy as np

from image_classifier import (
  checkpoints,
  clips,
  evaluation,
  feature_cache,
  feature_store,
  folding,
  frozen_part,
  inputs,
  precision,
  trained_net,
)
from image_classifier.cached_split import CachedSplit
from nets import nets_factory
from slim_compat import tf

# Images that the rest of the net answers for at a time.
_BATCH_SIZE = 256


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
    self._num_classes = dataset.num_classes - options.labels_offset
    self._channels = 1 if options.use_grayscale else 3
    self._records = feature_cache.read_records(dataset, options.labels_offset)
    self._split = self._places = None

  def predict(self, prefix):
    """Returns what evaluation.predict does, up to rounding, None where features have no room.

    Args:
      prefix: of a checkpoint of the run.

    Raises:
      RunError: the features cannot be computed or written.
    """
    checkpoint = checkpoints.load(prefix)
    if self._split is None:
      settings = inputs.preprocessing_settings(self._options)
      views = feature_cache.Views(settings, self._image_size)
      frozen = self._frozen(checkpoint)
      self._split = CachedSplit(self._options, self._dataset, self._records, frozen, views)
    if self._places is None:
      reason = self._split.lacking_room()
      if reason:
        tf.logging.warning('%s Evaluating from images.', reason)
        return None
      self._split.fill(f'Evaluating from cached features of the split {self._options.eval_split}')
      self._places = self._split.store.places(self._split.keys())
    net = trained_net.load(checkpoint, *self._net_arguments())
    logits = self._logits(net)
    evaluation.check_finite(logits, prefix)
    facts = {'moving_averages': net.moving_averages, 'precision': self._computes_in}
    files = [name.decode('utf-8', 'replace') for name in self._records.filenames]
    return evaluation.Predictions(files, self._records.labels, logits, facts)

  def _net_arguments(self):
    return self._options.model_name, self._num_classes, self._image_size, self._channels

  def _frozen(self, checkpoint):
    """Returns the feature_cache.Frozen of the net in its inference form."""
    model_name, num_classes, size, channels = self._net_arguments()
    with tf.Graph().as_default():
      images = tf.placeholder(tf.float32, [None, size, size, channels], 'images')
      network_fn = nets_factory.get_network_fn(model_name, num_classes)
      logits, _ = network_fn(clips.as_input(images, model_name))
      part = frozen_part.find(images, [logits], self._variables)
      graph_def = frozen_part.graph_def(part)
    values = {name: checkpoint.values[name] for name in part.variables}
    graph_def = folding.folded(folding.with_constants(graph_def, values))
    return feature_cache.of_part(part, graph_def, self._computes_in)

  def _logits(self, net):
    """Returns the logits of all images, float32 [n, classes]."""
    frozen, store = self._split.frozen, self._split.store
    with tf.Graph().as_default(), tf.Session(config=frozen.session_config) as session:
      fed = [tf.placeholder(tf.float32, [None, *shape]) for shape in frozen.features]
      (logits,) = tf.import_graph_def(
        net.graph_def, dict(zip(frozen.output_names, fed, strict=True)), [net.logits], name='net'
      )
      fetches, found = [logits, precision.float32_ops([logits])], []
      for places in np.array_split(self._places, -(-len(self._places) // _BATCH_SIZE)):
        features = map(feature_store.as_float32, store.gather(places))
        found.append(session.run(fetches, dict(zip(fed, features, strict=True)))[0])
    return np.concatenate(found)
