"""Classifying pictures with a frozen graph: one graph, one session, any number of pictures."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import threading

import numpy as np

import slim_files
from datasets import image_files, labels, records
from image_classifier import clips
from image_classifier import precision as precisions
from image_classifier.evaluation import metrics, test_time_views
from image_classifier.graphs import folding, graph_defs, safety, sidecar
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError, reason_of

UNKNOWN = 'unknown'  # the answer that says that there is none
_MAX_PICTURE_BYTES = 512 * 1024**2  # no format of photographs fills more with the pixels allowed
# Pictures read at the same time; the larger ones, which become 12 bytes a pixel, one by one.
_NUM_THREADS = len(os.sched_getaffinity(0))
_LARGE_PICTURE_PIXELS = 4_000_000


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What a net says of one picture, best class first.

  Attributes:
    class_names: list of str, all classes.
    class_ids: int64 array, the net's number of each class.
    probabilities: float32 array in [0, 1] that sums to 1: the softmax of the logits, divided by the
      temperature that the sidecar may have.
    logits: float32 array.
    answer: the best class, or 'unknown' when it is less probable than the classifier's
      min_confidence.
  """

  class_names: list
  class_ids: np.ndarray
  probabilities: np.ndarray
  logits: np.ndarray
  answer: str


class Classifier:
  """A frozen graph that is ready to classify.

  The sidecar beside the graph says how pictures are prepared. Without one, the net is recognised by
  the names of its nodes and prepared for in its usual way.
  """

  def __init__(
    self,
    path,
    label_path=None,
    preprocessing_name=None,
    image_size=None,
    batch_size=32,
    trust_graph=False,
    precision='auto',
    test_time_augmentation='none',
    min_confidence=None,
  ):
    """Loads a graph.

    Args:
      path: the frozen graph, binary or text.
      label_path: file of the class names, one a line, or `id:name`; None: those of the sidecar.
      preprocessing_name: how to prepare pictures, for a graph without a sidecar.
      image_size: side of the input in pixels, for a graph without sidecar and fixed size.
      batch_size: pictures a run; the graph's own when that is fixed. Changes no result.
      trust_graph: whether the graph may hold any operation, even one that reads or writes files.
      precision: one of precision.PRECISIONS.
      test_time_augmentation: key of test_time_views.VIEWS: which views of a picture are averaged.
      min_confidence: probability of the best class below which the answer is 'unknown', in [0, 1];
        None for no bound.

    Raises:
      UserError: when the graph is no frozen inference graph of a known net, could do more than
        compute and is not trusted, or the class names do not fit it.
    """
    graph_def, _ = graph_defs.read_graph(path)
    shape = _checked_input_shape(graph_def, path, trust_graph)
    facts = _facts(graph_def, path, shape, preprocessing_name, image_size)
    graph_defs.check_node(graph_def, facts['logits_node'], path)
    self._fixed_batch = shape[0]
    self._num_frames = (shape[1] or clips.NUM_FRAMES) if len(shape) == 5 else None
    self._batch_size = shape[0] or batch_size
    self._min_confidence = min_confidence or 0.0
    self.temperature = facts.get('temperature') or 1.0
    if self.temperature != 1:
      tf.logging.info(
        'Probabilities are of the logits divided by the temperature %.4f.', self.temperature
      )
    self._one_large_picture = threading.Lock()
    graph_def = _folded(graph_def, facts['logits_node'])
    self.precision = precisions.of_net(precision, [node.op for node in graph_def.node])
    config = tf.ConfigProto()
    precisions.configure(config, self.precision)
    with tf.Graph().as_default() as graph:
      graph_defs.import_graph(graph_def, path)
      self._images = graph.get_tensor_by_name(f'{graph_defs.INPUT_NODE}:0')
      self._logits = _logits_of(graph, facts['logits_node'], path)
      self._kept_float32 = precisions.float32_ops([self._logits])
      self._views = test_time_views.Views(test_time_augmentation)
      self._build_preprocessing(facts)
      self._session = tf.Session(graph=graph, config=config)
      graph.finalize()
    num_classes = self._logits.shape.as_list()[-1]
    self.class_names = _class_names(label_path, facts, num_classes, path)

  def _build_preprocessing(self, facts):
    """Adds what turns one encoded picture, or the pixels of one, into the net's input."""
    fn = preprocessing_factory.get_preprocessing(
      facts['preprocessing_name'], is_training=False, use_grayscale=facts['use_grayscale']
    )
    size = facts['image_size']
    self._encoded = tf.placeholder(tf.string, [])
    decoded = records.decode_image(self._encoded)
    self._pixels = tf.placeholder_with_default(decoded, [None, None, 3])
    self._prepared = fn(self._pixels, size, size)

  def predict(self, images):
    """Classifies pictures.

    Args:
      images: list of paths, bytes of image files, or uint8 arrays [height, width, 3] in RGB (or
        [height, width]).

    Returns:
      A list with one Prediction an image.

    Raises:
      UserError: for the first image that cannot be read.
    """
    images = list(images)
    predictions = list(self.predict_each(images))
    for image, result in zip(images, predictions, strict=True):
      if isinstance(result, image_files.UnreadableImage):
        name = image if isinstance(image, (str, os.PathLike)) else 'An image'
        raise UserError(f'{name} cannot be read: {result}.')
    return predictions

  def predict_each(self, images):
    """Classifies pictures one batch after the other, whatever some of them hold.

    Args:
      images: iterable, as for `predict`.

    Yields:
      A Prediction for each image, or the image_files.UnreadableImage that says why there is none.
    """
    waiting, inputs = [], []
    for prepared in self._prepare_each(images):
      if isinstance(prepared, image_files.UnreadableImage):
        waiting.append(prepared)
      else:
        waiting.append(None)
        inputs.append(prepared)
      if len(inputs) == self._batch_size:
        yield from self._answers(waiting, inputs)
        waiting, inputs = [], []
    yield from self._answers(waiting, inputs)

  def _prepare_each(self, images):
    """Yields the net's input for each image in order, or its UnreadableImage.

    Threads read and prepare the images of the next batch while the net works on one.
    """
    threads = concurrent.futures.ThreadPoolExecutor(_NUM_THREADS)
    try:
      waiting = collections.deque()
      for image in images:
        waiting.append(threads.submit(self._prepare, image))
        if len(waiting) > self._batch_size:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      threads.shutdown(cancel_futures=True)

  def _prepare(self, image):
    """Returns the net's input for one image, float32 [size, size, channels], or UnreadableImage."""
    try:
      if isinstance(image, np.ndarray):
        return self._session.run(self._prepared, {self._pixels: _rgb(image)})
      encoded, _, width, height, _ = image_files.readable_bytes(_bytes(image))
      is_large = width * height > _LARGE_PICTURE_PIXELS
      with self._one_large_picture if is_large else contextlib.nullcontext():
        return self._session.run(self._prepared, {self._encoded: encoded})
    except image_files.UnreadableImage as error:
      return error
    except tf.errors.InvalidArgumentError as error:
      return image_files.UnreadableImage(reason_of(error))

  def _answers(self, waiting, inputs):
    """Yields the errors among `waiting`, and predictions of `inputs` where it holds None."""
    predictions = iter(self._run(inputs) if inputs else ())
    for error in waiting:
      yield next(predictions) if error is None else error

  def _run(self, inputs):
    """Returns the predictions of one batch."""
    logits = self._views.mean_logits(self._session, np.stack(inputs), self._ask)
    probabilities = metrics.probabilities(logits / self.temperature).astype(np.float32)
    return [self._prediction(*pair) for pair in zip(logits, probabilities, strict=True)]

  def _ask(self, images):
    """Returns the net's logits of prepared images, one row an image."""
    batch = images
    if self._fixed_batch:  # and fewer pictures than it takes: black ones fill it up
      missing = self._fixed_batch - len(batch)
      batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
    if self._num_frames:
      batch = clips.repeated(batch, self._num_frames)
    fetches = (self._logits, self._kept_float32)
    try:
      logits, _ = self._session.run(fetches, {self._images: batch})
    except tf.errors.InvalidArgumentError as error:  # a graph whose parts do not fit together
      raise UserError(f'The graph cannot be run: {reason_of(error)}.') from None
    if len(logits) != len(batch):  # a net that flattens makes several pictures of a larger one
      raise UserError(f'The net does not take pictures of {batch.shape[-3:-1]}: give --image_size.')
    return logits[: len(images)]

  def _prediction(self, logits, probabilities):
    order = np.argsort(-logits, kind='stable')
    names = [self.class_names[i] for i in order]
    is_sure = probabilities[order[0]] >= self._min_confidence
    answer = names[0] if is_sure else UNKNOWN
    return Prediction(names, order, probabilities[order], logits[order], answer)

  def close(self):
    """Frees the session; the classifier cannot predict any more."""
    self._session.close()

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()


def _folded(graph_def, logits_node):
  """Returns what a graph needs from pictures to logits, batch norms folded where that can be."""
  needed = [graph_defs.INPUT_NODE, logits_node]
  try:
    return folding.folded(tf.graph_util.extract_sub_graph(graph_def, needed))
  except (AssertionError, IndexError, KeyError, TypeError, ValueError):
    return graph_def  # its nodes do not fit together: import says which


def _checked_input_shape(graph_def, path, trust_graph):
  """Returns the shape of `input`; raises UserError for a graph that cannot classify pictures."""
  graph_defs.refuse_training_graph(graph_def, path)
  if graph_defs.INPUT_NODE not in graph_defs.placeholders(graph_def):
    raise UserError(
      f'{path} has no placeholder {graph_defs.INPUT_NODE!r} to feed pictures to; '
      f'{graph_defs.inputs_and_outputs(graph_def)}.'
    )
  if graph_defs.variable_nodes(graph_def):
    raise UserError(
      f'{path} holds no weights: put those of a checkpoint into it with freeze_graph.py first.'
    )
  if not trust_graph:
    safety.check(graph_def, path)
  shape = graph_defs.input_shape(graph_def)
  if shape is None or len(shape) not in (4, 5):
    raise UserError(
      f'The input of {path} is {shape}: [batch, height, width, channels] is needed, '
      'or [batch, frames, height, width, channels].'
    )
  if shape[-3] != shape[-2]:
    raise UserError(
      f'{path} takes pictures of {shape[-3]} x {shape[-2]} pixels, and only square ones are made.'
    )
  return shape


def _logits_of(graph, node, path):
  """Returns the tensor of a graph's logits, [batch, classes]; UserError when it is none."""
  try:
    tensor = graph.get_tensor_by_name(f'{node}:0')
  except (KeyError, ValueError):  # an operation without results
    tensor = None
  if tensor is None or not tensor.dtype.is_floating or tensor.shape.rank != 2:
    raise UserError(f'{path}: {node} is no list of scores, one a class, for each picture.')
  return tensor


def _facts(graph_def, path, shape, preprocessing_name, image_size):
  """Returns the sidecar, or the same facts of the recognised net with what the user gave."""
  facts = sidecar.read(path)
  if facts and facts.get('logits_node'):
    if preprocessing_name or image_size:
      raise UserError(
        f'{sidecar.path(path)} says how pictures are prepared: '
        'leave out --preprocessing_name and --image_size.'
      )
    known = facts['image_size'], facts['image_size'], 1 if facts['use_grayscale'] else 3
    if any(size not in (None, wanted) for size, wanted in zip(shape[-3:], known, strict=True)):
      raise UserError(
        f'{sidecar.path(path)} speaks of pictures of {list(known)}, and {path} takes {shape[-3:]}: '
        'make the graph again.'
      )
    return facts
  facts = sidecar.recognized(graph_def, path)
  if not facts:
    raise UserError(
      f'{path} is none of the known nets, and no sidecar {sidecar.path(path)} names its logits; '
      f'{graph_defs.inputs_and_outputs(graph_def)}.'
    )
  if image_size and shape[-2] not in (None, image_size):
    raise UserError(f'--image_size={image_size}: {path} takes pictures of {shape[-2]} pixels only.')
  return {
    **facts,
    'preprocessing_name': preprocessing_name or facts['preprocessing_name'],
    'image_size': shape[-2] or image_size or facts['image_size'],
  }


def _class_names(label_path, facts, num_classes, path):
  """Returns the names of the net's classes, by the net's own numbers.

  A label file may also name the classes below labels_offset, which the net does not tell apart,
  or leave out the background class of the data set.
  """
  if not label_path:
    names = facts.get('class_names')
    if not names:
      raise UserError(f'The class names of {path} are not known: give a --label_path.')
    label_path = sidecar.path(path)
  else:
    by_label = labels.read_labels(label_path)
    names = [by_label[label] for label in sorted(by_label)]
    if len(names) == num_classes + facts['labels_offset']:
      names = names[facts['labels_offset'] :]
    trained_for = dict(enumerate(facts.get('class_names') or ()))
    if len(names) + 1 == num_classes and trained_for and labels.has_background(trained_for):
      names = [*labels.behind_background(names).values()]
  if len(names) != num_classes:
    fix = 'give the label file of its data set'
    if len(names) + 1 == num_classes:
      fix += f', or write {labels.BACKGROUND} as its first line if class 0 is the background'
    raise UserError(
      f'{label_path} names {len(names)} classes, and {path} tells {num_classes} apart: {fix}.'
    )
  _compare_names(names, facts.get('class_names') or [], label_path, path)
  return names


def _compare_names(names, trained_for, label_path, path):
  """Refuses the sidecar's class names in another order, and warns of some that are others."""
  differing = [pair for pair in zip(names, trained_for, strict=False) if pair[0] != pair[1]]
  if not differing or not set(names) & set(trained_for):  # all of them may be translated
    return
  said = (
    f'{label_path} says {differing[0][0]!r} where {sidecar.path(path)} says {differing[0][1]!r}'
  )
  if sorted(names) == sorted(trained_for):
    raise UserError(f'{said}: the same classes in another order; leave out --label_path.')
  tf.logging.warning('%s: some names are the same, so the file may be of other data.', said)


def _bytes(image):
  """Returns the bytes of an image file, given them or its path."""
  if isinstance(image, (bytes, bytearray)):
    return bytes(image)
  try:
    return slim_files.read_bytes(image, _MAX_PICTURE_BYTES)
  except OSError as error:
    raise image_files.UnreadableImage(error.strerror) from None
  except ValueError as error:
    raise image_files.UnreadableImage(error) from None


def _rgb(array):
  """Returns a picture as uint8 [height, width, 3]."""
  if array.ndim == 2:
    array = np.stack([array] * 3, axis=2)
  if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
    raise image_files.UnreadableImage(
      f'it is {array.dtype} {list(array.shape)}, and uint8 [height, width, 3] is needed'
    )
  return array
