"""Checkpoints of small nets with random weights, and what these answer, without any other code."""

import pathlib

import numpy as np
import pytest

import slim_files
from image_classifier import command
from nets import nets_factory
from slim_compat import has_onednn, tf

SHADOW = '/ExponentialMovingAverage'
needs_onednn = pytest.mark.skipif(
  not has_onednn(), reason='this TensorFlow computes no bfloat16: it has no oneDNN'
)


def run(module, *arguments):
  """Runs a command in this process and returns its exit code."""
  argv = [module.__name__, *map(str, arguments)]
  takes_files = module.__name__ in ('classify_image', 'scripts.compare_models')
  return command.run(module.__doc__, module.FLAGS, module.main, argv, takes_files)


def random_values(variable, rng):
  """Random values with which no layer dies out or explodes."""
  shape = variable.shape.as_list()
  if 'variance' in variable.op.name or 'gamma' in variable.op.name:
    return rng.uniform(0.5, 1.5, shape)
  if len(shape) < 2:
    return rng.normal(0, 0.1, shape)
  return rng.normal(0, np.sqrt(2 / (np.prod(shape) / shape[-1])), shape)


def _build(model_name, num_classes, size, channels):
  network_fn = nets_factory.get_network_fn(model_name, num_classes)
  size = size or network_fn.default_image_size
  images = tf.placeholder(tf.float32, [None, size, size, channels])
  return images, network_fn(images)[0]


def write_checkpoint(
  folder,
  model_name='cifarnet',
  num_classes=3,
  *,
  size=None,
  channels=3,
  step=7,
  averages=False,
  seed=0,
):
  """Writes model.ckpt-STEP of a net and returns its prefix.

  Args:
    averages: also write other values as the moving averages of all variables.
    seed: of the random weights.
  """
  rng = np.random.default_rng(seed)
  with tf.Graph().as_default(), tf.Session() as session:
    _build(model_name, num_classes, size, channels)
    variables = tf.global_variables()
    if averages:
      variables += [tf.Variable(tf.zeros(v.shape), name=v.op.name + SHADOW) for v in variables]
    values = [random_values(variable, rng) for variable in variables]
    variables.append(tf.train.get_or_create_global_step())
    initializers = [variable.initializer for variable in variables]
    fed = [initializer.inputs[1] for initializer in initializers]
    session.run(initializers, dict(zip(fed, [*values, step], strict=True)))
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    saver = tf.train.Saver(save_relative_paths=True)
    return saver.save(session, f'{folder}/model.ckpt', step, write_meta_graph=False)


def logits_of(prefix, images, model_name='cifarnet', num_classes=3, *, size=None, averages=False):
  """Returns the logits of preprocessed images, float32 [n, classes], by the checkpoint alone."""
  with tf.Graph().as_default(), tf.Session() as session:
    fed, logits = _build(model_name, num_classes, size, images.shape[-1])
    suffix = SHADOW if averages else ''
    tf.train.Saver({v.op.name + suffix: v for v in tf.global_variables()}).restore(session, prefix)
    return session.run(logits, {fed: images})


def write_run(folder, model_name='cifarnet', class_names=('a', 'b', 'c'), **others):
  """Writes a run.json of a training run."""
  record = {
    'model_name': model_name,
    'num_classes': len(class_names),
    'class_names': list(class_names),
    'labels_offset': 0,
    'image_size': 32,
    'preprocessing_name': model_name,
    'use_grayscale': False,
    'moving_average_decay': None,
    'data_fingerprint': 'f' * 64,
    **others,
  }
  slim_files.write_json(f'{folder}/run.json', record)


def scalars(folder):
  """{tag: [(step, value)]} of the event files in a folder."""
  found = {}
  for path in sorted(folder.glob('events.out.tfevents.*')):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found.setdefault(value.tag, []).append((event.step, value.simple_value))
  return found
