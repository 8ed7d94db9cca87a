"""This project's way: its own commands and public functions, timed from outside."""

import dataclasses
import time
from unittest import mock

from benchmarks import clock
from benchmarks.material import run_command

_STEP = r'global step (\d+): '
_STEPS_A_LINE = 20  # for steps of milliseconds, which a line would slow down
_BATCH = r'Evaluation \[(\d+)/\d+\]'


def training_flags(material, model_name, image_size, finetune, train_dir, **others):
  """Returns the arguments of train_image_classifier.py."""
  values = {
    'dataset_dir': material.records,
    'train_dir': train_dir,
    'model_name': model_name,
    'train_image_size': image_size,
    'checkpoint_path': material.checkpoints[model_name],
    'finetune': finetune,
    'batch_size': material.batch_size,
    'save_summaries_secs': 0,
    'save_interval_secs': 0,
    'log_every_n_steps': 1,
    **others,
  }
  return [f'--{name}={value}' for name, value in values.items()]


def training(material, finetune='all'):
  """Trains without a cache until enough was measured; returns images a second."""
  import train_image_classifier

  train_dir = f'{material.folder}/train'
  size = material.image_size
  words = training_flags(
    material, material.model_name, size, finetune, train_dir, cache_features='off'
  )
  with clock.LineTimes(_STEP, material.seconds) as lines:
    run_command(train_image_classifier, *words)
  return {'images_per_second': lines.rate() * material.batch_size}


def cached_training(material, finetune):
  """Trains from a cache that is filled before; an image of the first epoch pays for both.

  Returns:
    dict: images a second of the `first_epoch` and of the `later_epochs`.
  """
  import train_image_classifier
  from image_classifier import progress

  train_dir = f'{material.folder}/cached'
  words = training_flags(
    dataclasses.replace(material, records=material.few_records),
    material.model_name,
    material.image_size,
    finetune,
    train_dir,
    cache_features='on',
    cache_dir=f'{train_dir}-features',
    log_every_n_steps=_STEPS_A_LINE if finetune == 'head' else 1,
  )
  filled = []  # (seconds on the performance counter, images since the last)
  with (
    mock.patch.object(
      progress.FillProgress,
      'add',
      lambda self, count: filled.append((time.perf_counter(), count)),
    ),
    clock.LineTimes(_STEP, material.seconds / 4) as lines,
  ):
    run_command(train_image_classifier, *words)
  seconds_to_fill = (filled[-1][0] - filled[0][0]) / sum(count for _, count in filled[1:])
  rate = lines.rate() * material.batch_size
  return {'first_epoch': 1 / (seconds_to_fill + 1 / rate), 'later_epochs': rate}


def evaluation(material):
  """Evaluates four batches; returns images a second after the second.

  The first returns its images too: what TensorFlow prepares for a run, it prepares twice.
  """
  import eval_image_classifier

  with clock.LineTimes(_BATCH) as lines:
    run_command(
      eval_image_classifier,
      f'--dataset_dir={material.records}',
      '--dataset_split_name=validation',
      f'--checkpoint_path={material.trained}',
      f'--model_name={material.model_name}',
      f'--eval_image_size={material.image_size}',
      f'--eval_dir={material.folder}/eval',
      f'--batch_size={material.eval_batch_size}',
      '--max_num_batches=4',
    )
  return {'images_per_second': lines.rate(warm_up=2) * material.eval_batch_size}


def classification(material):
  """Classifies files of a folder with one Classifier, after as many for warming up."""
  from image_classifier.inference import Classifier, image_list

  paths = image_list.expand([f'{material.images}/validation'])
  paths = paths[:: len(paths) // material.num_classified][: material.num_classified]
  with Classifier(material.graph) as classifier:
    for _ in classifier.predict_each(paths[: len(paths) // 4]):
      pass
    start = time.perf_counter()
    for _ in classifier.predict_each(paths):
      pass
    seconds = time.perf_counter() - start
  return {'images_per_second': len(paths) / seconds}


def conversion(material):
  """Converts all images; the time that Python and its imports take to start does not count."""
  import data_convert
  from datasets import manifest

  output = f'{material.folder}/converted'
  start = time.perf_counter()
  run_command(data_convert, '-t', material.images, f'--output_dir={output}')
  seconds = time.perf_counter() - start
  splits = manifest.read_manifest(output)['splits'].values()
  return {'images_per_second': sum(split['num_images'] for split in splits) / seconds}


def batches(material, image_size):
  """Makes training batches and throws them away; returns images a second."""
  from datasets import dataset_factory
  from image_classifier import inputs
  from preprocessing import preprocessing_factory
  from slim_compat import tf

  dataset = dataset_factory.get_dataset(None, 'train', material.records)
  fn = preprocessing_factory.get_preprocessing('inception_v3', is_training=True)
  with tf.Graph().as_default(), tf.Session() as session:
    images, *_, initializer = inputs.training_batches(dataset, fn, material.batch_size, image_size)
    session.run(initializer)
    rate = clock.rate(lambda: session.run(images.op), material.seconds)
  return {'images_per_second': rate * material.batch_size}
