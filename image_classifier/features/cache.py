"""Fills a feature store: every image of a split through the frozen part of a net, once per view."""

import contextlib
import hashlib
import pathlib
import time
import typing

import numpy as np

import preprocessing
from datasets import encoded_picture, records
from image_classifier import inputs, precision
from image_classifier.features.storage import FeatureStore
from image_classifier.progress import FillProgress
from preprocessing import preprocessing_factory
from slim_compat import tf

# Rows wait so long, or until they are so many bytes, for the block they are written in: what a kill
# may lose.
_BLOCK_SECONDS = 15
_BLOCK_BYTES = 32 << 20
_BATCH_SIZE = 32
# Encoded images are small, and may be large ones by mistake.
_RECORDS_AT_ONCE = 32
# Raised when what is computed changes in a way that nothing else of the identity shows.
_FORMAT = 1


class Frozen(typing.NamedTuple):
  """The frozen part of a net: images to features, in batches of any size."""

  graph_def: typing.Any  # tf.GraphDef with the weights as constants
  input_name: str  # placeholder of the images, float32 [b, size, size, channels]
  output_names: tuple  # tensors of the features
  features: tuple  # of each of them, its shape without the batch
  precision: str  # what the session computes in, of precision.resolve
  session_config: typing.Any  # tf.ConfigProto that makes it do so


def of_part(part, graph_def, computes_in):
  """Returns the Frozen of a part of a net.

  Args:
    part: frozen_part.FrozenPart of a net on images [None, size, size, channels].
    graph_def: of it, with weights as constants.
    computes_in: precision of it, of precision.of_net.
  """
  config = tf.ConfigProto()
  precision.configure(config, computes_in)
  return Frozen(
    graph_def,
    part.images.name,
    tuple(tensor.name for tensor in part.boundary),
    tuple(tuple(tensor.shape.as_list()[1:]) for tensor in part.boundary),
    computes_in,
    config,
  )


class Views(typing.NamedTuple):
  """The pictures that are made of an image: its evaluation view, or several training views."""

  preprocessing: dict  # arguments of preprocessing_factory.get_preprocessing
  image_size: int  # height and width in pixels
  count: int = 1  # 1: the evaluation view; more: so many random training views
  seed: int = 0  # of the training views


class Records(typing.NamedTuple):
  """What is known of a split's records without decoding their images, in the order of the shards.

  Attributes:
    images: list of n SHA-256 of the encoded images, 32 bytes each.
    labels: int64 [n], labels_offset taken off.
    filenames: array [n] of bytes.
  """

  images: list
  labels: np.ndarray
  filenames: np.ndarray


def open_store(root, dataset, frozen, views):
  """Returns the storage.FeatureStore of what decides a feature; makes no file.

  Args:
    root: folder of the stores of all identities.
    dataset: slim.dataset.Dataset; which images it has does not matter.
    frozen: Frozen.
    views: Views.
  """
  digest = hashlib.sha256(frozen.graph_def.SerializeToString(deterministic=True)).hexdigest()
  identity = {
    'format': _FORMAT,
    'graph': digest,
    'input': frozen.input_name,
    'outputs': list(frozen.output_names),
    'precision': frozen.precision,
    'preprocessing': _settings(views),
    'image_size': views.image_size,
    'channels': getattr(dataset, 'channels', 3),
    'views': f'training, seed {views.seed}' if views.count > 1 else 'evaluation',
    'picture_code': _digest_of_code(),
    'tensorflow': tf.__version__,
  }
  store = FeatureStore(root, identity, [_stored(shape, frozen) for shape in frozen.features])
  store.refresh()
  return store


def _settings(views):
  """Returns the arguments of get_preprocessing, without such as make no difference."""
  if views.count > 1:
    return {**views.preprocessing, 'is_training': True}
  return {key: views.preprocessing.get(key) for key in ('name', 'use_grayscale')}


def _stored(shape, frozen):
  """Returns (shape, dtype) of features on the disk: maps of bfloat16 keep their 16 bits."""
  is_vector = np.prod(shape) == max(shape, default=1)
  return tuple(shape), '<f4' if is_vector or frozen.precision != 'bfloat16' else '<u2'


def _digest_of_code():
  """Returns the SHA-256 of the code that turns an encoded image into a network's input."""
  folder = pathlib.Path(preprocessing.__file__).parent
  digest = hashlib.sha256()
  for path in [*sorted(folder.glob('*.py')), encoded_picture.__file__, records.__file__]:
    digest.update(pathlib.Path(path).read_bytes())
  return digest.hexdigest()


def read_records(dataset, labels_offset=0):
  """Reads all records of a split once; decodes no image.

  Args:
    dataset: slim.dataset.Dataset whose decoder knows the items `encoded`, `label` and `filename`.
    labels_offset: subtracted from every label.

  Returns:
    Records.

  Raises:
    RunError: a record is damaged, or has a label outside the classes.
  """
  images, labels, filenames = [], [], []
  items = ['encoded', 'label', 'filename']
  with tf.Graph().as_default(), tf.Session() as session:
    split = tf.data.TFRecordDataset(inputs.shards(dataset))
    split = split.map(lambda record: dataset.decoder.decode(record, items))
    batch = inputs.one_pass(split.batch(_RECORDS_AT_ONCE).prefetch(1))
    with _damage_named(dataset, labels_offset):
      for encoded, label, filename in _all(session, batch):
        images += [hashlib.sha256(image).digest() for image in encoded]
        labels.append(label)
        filenames.append(filename)
  labels = np.concatenate(labels).astype(np.int64) - labels_offset
  if labels.min() < 0 or labels.max() >= dataset.num_classes - labels_offset:
    raise inputs.damaged_record(dataset, labels_offset)
  return Records(images, labels, np.concatenate(filenames))


def missing_rows(store, images, num_views):
  """Returns which rows have to be computed.

  Args:
    store: a FeatureStore.
    images: n times the SHA-256 of an image, of `Records`; one may come several times.
    num_views: views of each image.

  Returns:
    bool array [n, num_views]; of equal images only the first is true.
  """
  missing = np.zeros([len(images), num_views], bool)
  first = {image: i for i, image in reversed(list(enumerate(images)))}
  for image, i in first.items():
    missing[i] = [not store.has(image, view) for view in range(num_views)]
  return missing


def fill(store, dataset, frozen, views, images, labels_offset=0):
  """Computes the rows that a store lacks of a split; a stopped call goes on where it stopped.

  Args:
    store, dataset, frozen, views: as those of `open_store`.
    images: of the split's `Records`.
    labels_offset: subtracted from every label.

  Returns:
    int, the number of rows that were computed.

  Raises:
    RunError: the disk is full, or a record cannot be used; the rows so far stay.
    OSError: the folder of the store cannot be written to.
  """
  if not missing_rows(store, images, views.count).any():
    return 0
  with store.filling():
    missing = missing_rows(store, images, views.count)
    todo = int(missing.sum())
    progress = FillProgress(missing.size - todo, missing.size)
    with contextlib.closing(progress), _damage_named(dataset, labels_offset):
      for rows in _blocks(_computed(store, dataset, frozen, views, missing), progress):
        store.add(rows)
  return todo


def seconds_per_image(frozen, image_shape):
  """Measures how long the frozen part takes for an image; computes a batch of nothing twice."""
  images = np.zeros([_BATCH_SIZE, *image_shape], np.float32)
  with tf.Graph().as_default(), tf.Session(config=frozen.session_config) as session:
    features = tf.graph_util.import_graph_def(
      frozen.graph_def, return_elements=list(frozen.output_names)
    )
    fed = session.graph.get_tensor_by_name(f'import/{frozen.input_name}')
    for _ in range(2):
      start = time.monotonic()
      session.run(features, {fed: images})
  return (time.monotonic() - start) / _BATCH_SIZE


def _computed(store, dataset, frozen, views, missing):
  """Yields the missing rows, batch by batch, as arrays [b] of the store's type."""
  with tf.Graph().as_default(), tf.Session(config=frozen.session_config) as session:
    batch = _pictures(dataset, views, missing)
    images = batch.pop('picture')
    features = tf.graph_util.import_graph_def(
      frozen.graph_def, {frozen.input_name: images}, list(frozen.output_names)
    )
    features = [
      tf.bitcast(tf.cast(tensor, tf.bfloat16), tf.uint16) if dtype.base == np.uint16 else tensor
      for tensor, dtype in zip(features, store.feature_types, strict=True)
    ]
    for values, *arrays in _all(session, [batch, *features]):
      rows = np.empty(len(values['view']), store.row_type)
      digests = b''.join(hashlib.sha256(image).digest() for image in values['encoded'])
      rows['image'] = np.frombuffer(digests, np.uint8).reshape(-1, 32)
      rows['view'] = values['view']
      for i, array in enumerate(arrays):
        rows[f'features{i}'] = array
      yield rows


def _pictures(dataset, views, missing):
  """Returns tensors of one pass over the missing views: `encoded`, `view` and `picture`."""
  is_training = views.count > 1
  preprocessing_fn = preprocessing_factory.get_preprocessing(**_settings(views))
  view_of = inputs.view_function(dataset, preprocessing_fn, views.image_size)
  wanted = tf.constant(missing)

  def views_of(number, record):
    numbers = tf.data.Dataset.from_tensor_slices(tf.reshape(tf.where(wanted[number]), [-1]))
    return numbers.map(inputs.as_it_is(lambda view: (view, record)))

  def prepare(view, record):
    (encoded,) = dataset.decoder.decode(record, ['encoded'])
    settings = {'seed': _seed_of_view(views.seed, encoded, view)} if is_training else {}
    return {'encoded': encoded, 'view': view, 'picture': view_of(record, **settings)['images']}

  split = tf.data.TFRecordDataset(inputs.shards(dataset)).enumerate()
  split = split.filter(inputs.as_it_is(lambda number, record: tf.reduce_any(wanted[number])))
  split = split.flat_map(inputs.as_it_is(views_of))
  split = split.map(inputs.as_it_is(prepare), inputs.default_threads())
  return inputs.one_pass(split.batch(_BATCH_SIZE).prefetch(1))


def _seed_of_view(seed, encoded, view):
  """Returns the seed of a training view, int64 [2], from the image's content."""
  content = tf.strings.to_hash_bucket_fast(encoded, tf.int64.max)
  return tf.random.experimental.stateless_fold_in(tf.stack([seed, content]), view)


def _blocks(batches, progress):
  """Yields arrays of rows large enough, or waiting long enough, for a block."""
  waiting, num_bytes, start = [], 0, time.monotonic()
  for rows in batches:
    progress.add(len(rows))
    waiting.append(rows)
    num_bytes += rows.nbytes
    if num_bytes >= _BLOCK_BYTES or time.monotonic() - start >= _BLOCK_SECONDS:
      yield np.concatenate(waiting)
      waiting, num_bytes, start = [], 0, time.monotonic()
  if waiting:
    yield np.concatenate(waiting)


def _all(session, tensors):
  """Yields the values of tensors until the input ends."""
  while True:
    try:
      yield session.run(tensors)
    except tf.errors.OutOfRangeError:
      return


@contextlib.contextmanager
def _damage_named(dataset, labels_offset):
  """Says which record it was that a split could not be read at."""
  try:
    yield
  except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
    raise inputs.damaged_record(dataset, labels_offset) or error from None
