"""research/slim's way in plain TensorFlow: what every figure of this project is compared with.

float32 throughout; every batch normalization in training mode with its update operations, whatever
is trained; all weights in the regularization; no folding, no cache; pictures decoded whole, turned
into floats, cropped, resized and distorted; one session.run a step; TensorFlow's default session.
Its queues are replaced by tf.data with as many threads, which is faster than they were.
"""

import sys

from benchmarks import clock
from image_classifier import scopes
from nets import net_info, nets_factory
from slim_compat import slim, tf

FEATURES = {
  'image/encoded': tf.FixedLenFeature([], tf.string),
  'image/class/label': tf.FixedLenFeature([], tf.int64),
}
CROP = {
  'min_object_covered': 0.1,
  'aspect_ratio_range': (0.75, 1.33),
  'area_range': (0.05, 1.0),
  'max_attempts': 100,
  'use_image_if_no_bounding_boxes': True,
  'seed': 0,
}
_THREADS = 4  # research/slim's --num_readers and --num_preprocessing_threads
_EVAL_READERS = 1
_WEIGHT_DECAY = 0.00004
_AUXILIARY_WEIGHT = 0.4


def records(material, split, readers=_THREADS):
  """Returns the records of a split as a tf.data.Dataset of strings."""
  files = sorted(tf.gfile.Glob(f'{material.records}/*_{split}_*.tfrecord'))
  return tf.data.TFRecordDataset(files, num_parallel_reads=readers)


def _parsed(record):
  fields = tf.parse_single_example(record, FEATURES)
  image = tf.image.decode_jpeg(fields['image/encoded'], channels=3)
  return tf.image.convert_image_dtype(image, tf.float32), fields['image/class/label']


def _training_view(image, size):
  """Inception's training view in its fast mode, as research/slim makes it."""
  begin, shape, _ = tf.image.sample_distorted_bounding_box(
    tf.shape(image), [[[0.0, 0.0, 1.0, 1.0]]], **CROP
  )
  image = tf.image.resize_images(tf.slice(image, begin, shape), [size, size])
  image = tf.image.random_flip_left_right(tf.reshape(image, [size, size, 3]))
  image = tf.image.random_brightness(image, max_delta=32.0 / 255.0)
  image = tf.image.random_saturation(image, lower=0.5, upper=1.5)
  return (tf.clip_by_value(image, 0.0, 1.0) - 0.5) * 2.0


def _evaluation_view(image, size):
  image = tf.image.central_crop(image, central_fraction=0.875)
  image = tf.image.resize_bilinear([image], [size, size])
  return (image[0] - 0.5) * 2.0


def _training_batch(material, size):
  def prepare(record):
    image, label = _parsed(record)
    return _training_view(image, size), label

  batch_size = material.batch_size
  prepared = records(material, 'train').repeat().shuffle(20 * batch_size, seed=0)
  prepared = prepared.map(prepare, num_parallel_calls=_THREADS)
  batches = prepared.batch(batch_size, drop_remainder=True).prefetch(2)
  return tf.data.make_one_shot_iterator(batches).get_next()


def _training_step(material, model_name, image_size, finetune):
  """Builds the inputs, the net, its losses and the optimizer; returns the tensor to run."""
  step = tf.train.get_or_create_global_step()
  images, labels = _training_batch(material, image_size)
  network_fn = nets_factory.get_network_fn(
    model_name, material.num_classes, weight_decay=_WEIGHT_DECAY, is_training=True
  )
  logits, end_points = network_fn(images)
  one_hot = slim.one_hot_encoding(labels, material.num_classes)
  if 'AuxLogits' in end_points:
    tf.losses.softmax_cross_entropy(one_hot, end_points['AuxLogits'], weights=_AUXILIARY_WEIGHT)
  tf.losses.softmax_cross_entropy(one_hot, logits)
  loss = tf.losses.get_total_loss()
  rate = tf.train.exponential_decay(0.01, step, 240, 0.94, staircase=True)
  optimizer = tf.train.RMSPropOptimizer(rate, decay=0.9, momentum=0.9, epsilon=1.0)
  patterns = scopes.finetune_scopes(finetune, net_info.net_info(model_name))
  trained = [
    variable
    for variable in tf.trainable_variables()
    if patterns is None or scopes.matches_any(variable.op.name, patterns)
  ]
  updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  updates.append(optimizer.minimize(loss, step, var_list=trained))
  with tf.control_dependencies(updates):
    return tf.identity(loss)


def _restore(session, prefix):
  """Restores what a checkpoint holds in the graph's shapes: all but the head."""
  shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
  fitting = [
    variable
    for variable in slim.get_model_variables()
    if shapes.get(variable.op.name) == variable.shape.as_list()
  ]
  session.run(tf.global_variables_initializer())
  tf.train.Saver(fitting).restore(session, prefix)


def training(material, finetune='all'):
  """Trains from the start's weights; returns images a second in the steady state."""
  with tf.Graph().as_default(), tf.Session() as session:
    train = _training_step(material, material.model_name, material.image_size, finetune)
    _restore(session, material.checkpoints[material.model_name])
    rate = clock.rate(lambda: session.run(train), material.seconds)
  return {'images_per_second': rate * material.batch_size}


def evaluation(material):
  """Evaluates with research/slim's streaming metrics; returns images a second."""

  def prepare(record):
    image, label = _parsed(record)
    return _evaluation_view(image, material.image_size), label

  with tf.Graph().as_default(), tf.Session() as session:
    examples = records(material, 'validation', _EVAL_READERS).repeat()
    examples = examples.map(prepare, num_parallel_calls=_THREADS)
    batches = examples.batch(material.eval_batch_size).prefetch(2)
    images, labels = tf.data.make_one_shot_iterator(batches).get_next()
    logits, _ = nets_factory.get_network_fn(material.model_name, material.num_classes)(images)
    _, accuracy = tf.metrics.accuracy(labels, tf.argmax(logits, 1))
    _, recall = tf.metrics.recall_at_k(labels, logits, 5)
    session.run(tf.local_variables_initializer())
    tf.train.Saver(slim.get_model_variables()).restore(session, material.trained)
    rate = clock.rate(lambda: session.run([accuracy, recall]), material.seconds)
  return {'images_per_second': rate * material.eval_batch_size}


def first_step(material, model_name):
  """Runs one step of full training and says so on standard error; see `ours.start`."""
  size = net_info.net_info(model_name).default_image_size
  with tf.Graph().as_default(), tf.Session() as session:
    train = _training_step(material, model_name, size, 'all')
    _restore(session, material.checkpoints[model_name])
    print(f'global step 1: loss = {session.run(train):.4f}', file=sys.stderr, flush=True)
