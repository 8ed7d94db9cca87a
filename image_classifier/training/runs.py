"""Training: what is trained on what, and where its weights come from."""

import contextlib
import dataclasses
import errno
import os
import tempfile
import time

from datasets import dataset_factory, labels
from image_classifier import (
  checkpoints,
  inputs,
  precision,
  run_length,
  run_lock,
  run_record,
  saving,
)
from image_classifier.optimization import optimizers, schedules
from image_classifier.training import (
  announcement,
  cached_inputs,
  recalibration,
  resuming,
  starting_point,
  train_graph,
  train_net,
  validation,
)
from image_classifier.training.loop import Loop, NotFinite
from nets.net_info import check_image_size, net_info
from slim_compat import tf
from slim_errors import RunError, UserError, unknown

# A train_dir without room for so many bytes is none to start in.
_ROOM = 1 << 20


def train(options, patience=60.0, loop=Loop, spent_seconds=0.0, share_from_images=1.0):
  """Trains as the options say and leaves checkpoints, summaries and run.json in the train_dir.

  The start: 1. resume the train_dir's newest checkpoint; 2. else start warm from
  --checkpoint_path; 3. else from new weights.

  Args:
    options: options.TrainingOptions.
    patience: seconds without the end of a step, or ten usual steps when those take longer, after
      which a line says what the run is doing.
    loop: what takes the steps, called and run as loop.Loop.
    spent_seconds: of --max_minutes that went by before a new run, for an earlier stage.
    share_from_images: of --max_minutes that are for a run without cached features.

  Returns:
    What the loop's run returns, a loop.Result.

  Raises:
    UserError: for settings, data or checkpoints that do not fit; nothing was trained then.
    RunError: when the loss or a weight is not a number any more, or a record cannot be used; the
      last checkpoint is good.
  """
  check(options)
  dataset, options = _data(options)
  make_folder(options.train_dir)
  try:
    with run_lock.locked(options.train_dir):
      saving.recover(options.train_dir)
      return _train_with_retries(options, dataset, spent_seconds, patience, loop, share_from_images)
  except OSError as error:
    if not saving.is_disk_full(error):
      raise
    raise RunError(f'{_no_room(options.train_dir)}.') from None


def record_flags(options):
  """Writes the run.json of a run whose first stage comes before it, so that its flags are kept.

  Raises:
    UserError: for data that do not fit, or a train_dir that holds another run.
  """
  dataset, options = _data(options)
  record, _ = _records(options, dataset)
  run_record.write(options.train_dir, record)


def _data(options):
  """Returns the slim.dataset.Dataset to train on, and the options as its images have them."""
  dataset = dataset_factory.get_dataset(
    options.dataset_name, options.dataset_split_name, options.dataset_dir
  )
  labels.check_offset(dataset, options.labels_offset)
  if dataset.num_classes - options.labels_offset < 2:
    raise UserError(
      f'{options.dataset_dir} has one class only, so there is nothing to tell apart: convert a '
      'folder with two or more.'
    )
  if getattr(dataset, 'channels', 3) == 1:  # which export is to learn from run.json
    options = dataclasses.replace(options, use_grayscale=True)
  return dataset, options


def _train_with_retries(options, dataset, spent_seconds, *arguments):
  """Trains; goes back to the last good checkpoint with a tenth of the rate as often as allowed."""
  retries = _retries_so_far(options)
  elapsed = _seconds_to_keep(options) or spent_seconds
  while True:
    start = time.monotonic()
    try:
      return _train(options, dataset, retries, spent_seconds, *arguments)
    except NotFinite as error:
      if retries >= options.retry_on_nan:
        raise
      retries += 1
      tf.logging.warning('%s', error)
      # The checkpoint knows nothing of the time that the steps after it have taken.
      elapsed += time.monotonic() - start
      spent_seconds = elapsed - _seconds_to_keep(options)
    except cached_inputs.NotCached as reason:
      print(f'{reason} Training from images.')
      options = dataclasses.replace(options, cache_features='off')


def _seconds_to_keep(options):
  """Returns how long a run took by its newest checkpoint, 0 without one.

  Looking for one reads it, so that it is 0, too, for runs that cannot go back or have no minutes.
  """
  if not (options.max_minutes and options.retry_on_nan):
    return 0.0
  newest = starting_point.checkpoint_to_resume(options.train_dir)
  return run_length.seconds_of(newest) if newest else 0.0


def _retries_so_far(options):
  """Returns how often an earlier process of the run has gone back; another rate starts anew."""
  record = run_record.read(options.train_dir) or {}
  is_same_rate = record.get('flags', {}).get('learning_rate') == options.learning_rate
  return record.get('nan_retries', 0) if is_same_rate else 0


def _train(options, dataset, retries, spent_seconds, patience, loop, share_from_images):
  """Trains in the locked train_dir; returns what the loop returns."""
  record, old_record = _records(options, dataset)
  record['nan_retries'] = retries
  last_step = run_length.last_step(options, dataset.num_samples)
  options = dataclasses.replace(options, max_number_of_steps=last_step)
  resumed = starting_point.checkpoint_to_resume(options.train_dir)
  first_step = checkpoints.saved_step(resumed) if resumed else 0
  evaluates = None
  if validation.is_on(options):
    evaluates = validation.Validation(options, dataset.num_samples, record, bool(resumed))
  if retries:
    options = schedules.slower(options, 10**retries)
    message = 'Retry %d after a loss that was not a number: --learning_rate=%g'
    tf.logging.warning(message, retries, options.learning_rate)

  recorded = (old_record or {}).get('cached_views', 0) if resumed else None
  cached = _cached_inputs(options, dataset, record, recorded)
  if options.max_minutes and not cached:
    options = dataclasses.replace(options, max_minutes=options.max_minutes * share_from_images)

  with tf.Graph().as_default():
    tf.set_random_seed(options.seed)
    net = train_net.build(options, dataset, record['image_size'], first_step, cached)
    options = dataclasses.replace(options, precision=_precision(options, resumed and old_record))
    record['precision'] = options.precision
    start, restored = starting_point.plan(options, net, resumed)
    graph = train_graph.build(options, dataset, net, start, restored, cached)
    if resumed:
      restored = starting_point.variables_to_resume(
        options.train_dir, resumed, tf.global_variables(), has_all_of_net=True
      )
    restore = start and tf.train.Saver(restored)
    saver = tf.train.Saver(max_to_keep=None)
    initializer = tf.global_variables_initializer()
    tf.get_default_graph().finalize()
    run_record.write(options.train_dir, record)
    announcement.announce(options, dataset, net, graph, restored)
    if resumed and old_record and (line := resuming.changes(old_record, record)):
      print(line, flush=True)
    seconds = spent_seconds + (cached.fill() if cached else 0.0)
    if cached and evaluates:
      evaluates.use_cache(cached)
    recalibrates = _recalibration(options, dataset, graph)
    if recalibrates and evaluates:
      evaluates.recalibrate(recalibrates)
    with tf.Session(config=_session_config(options)) as session:
      tf.logging.info('Starting Session.')
      session.run(initializer)
      if start:
        restore.restore(session, start)
      session.run(graph.initializer)
      if graph.times is not None:
        run_length.spend(graph.times, session, seconds, is_new=not resumed)
      with _faults_named(options, dataset, record['image_size']):
        run = loop(options, graph, session, saver, resumed, first_step, patience, evaluates)
        result = run.run()
  if recalibrates and not evaluates and result.signal is None:
    print(recalibrates.keep(checkpoints.listed(options.train_dir)[-1]))
  return result


@contextlib.contextmanager
def _faults_named(options, dataset, image_size):
  """Says in place of TensorFlow's errors which record is damaged, or what takes less memory."""
  try:
    yield
  except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
    raise inputs.damaged_record(dataset, options.labels_offset) or error from None
  except tf.errors.ResourceExhaustedError:
    raise RunError(
      f'A step does not fit into memory: halve --batch_size={options.batch_size}, or train on '
      f'smaller images than --train_image_size={image_size}.'
    ) from None


def _recalibration(options, dataset, graph):
  """Returns the recalibration.Recalibration of a run, None where there is nothing to work out."""
  if not options.recalibrate_batch_norm:
    return None
  if not graph.update_scopes:
    print('--recalibrate_batch_norm does nothing: the run keeps all statistics of batch norm.')
    return None
  return recalibration.Recalibration(options, dataset)


def _cached_inputs(options, dataset, record, recorded):
  """Returns the cached_inputs.CachedInputs of a run, None for images; notes in its record which.

  Args:
    recorded: views per image by the record of the run that goes on, None for a new one.
  """
  patterns = train_net.trainable_patterns(options)
  has_checkpoint = bool(options.checkpoint_path) or recorded is not None
  views = cached_inputs.num_views(options, dataset, patterns, has_checkpoint, recorded)
  record['cached_views'] = views
  if not views:
    return None
  return cached_inputs.CachedInputs(
    options, dataset, record['image_size'], views, is_resumed=bool(recorded)
  )


def check(options):
  """Raises UserError for settings that cannot work, before anything is read or built."""
  if not options.dataset_dir:
    raise UserError('You must supply the dataset directory with --dataset_dir.')
  check_image_size(options.model_name, options.train_image_size)
  if options.batch_norm not in train_net.BATCH_NORM_MODES:
    raise unknown('batch_norm', options.batch_norm, train_net.BATCH_NORM_MODES)
  if options.retry_on_nan < 0:
    raise UserError(f'--retry_on_nan={options.retry_on_nan} must be 0 or more.')
  for name in ('batch_size', 'num_readers', 'num_preprocessing_threads', 'log_every_n_steps'):
    if getattr(options, name) is not None and getattr(options, name) < 1:
      raise UserError(f'--{name}={getattr(options, name)} must be at least 1.')
  if options.labels_offset < 0:
    raise UserError(f'--labels_offset={options.labels_offset} must be 0 or more.')
  optimizers.check(options)
  validation.check(options)
  inputs.check(options)
  cached_inputs.check(options)


def make_folder(train_dir):
  """Makes the train_dir; raises UserError where files cannot be made or filled, nor found again."""
  checkpoints.check_path(train_dir)
  try:
    os.makedirs(train_dir, exist_ok=True)
    with tempfile.TemporaryFile(dir=train_dir) as file:
      file.write(bytes(_ROOM))
    lock = os.path.join(train_dir, run_lock.FILE_NAME)
    if os.path.exists(lock) and not os.access(lock, os.W_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), lock)
  except OSError as error:
    if saving.is_disk_full(error):
      raise UserError(f'{_no_room(train_dir)}.') from None
    raise UserError(f'--train_dir={train_dir} cannot be written to: {error.strerror}.') from None


def _no_room(train_dir):
  return f'There is no room left in --train_dir={train_dir}: free some and give the command again'


def _records(options, dataset):
  """Returns the record of a run, and that in its folder, None where there is none.

  Raises:
    UserError: the folder holds another run.
  """
  record, old_record = _describe(options, dataset), run_record.read(options.train_dir)
  if old_record is not None:
    run_record.check_same_run(options.train_dir, old_record, record)
  return record, old_record


def _describe(options, dataset):
  """Returns the record of the run: what it is, and every flag as resolved."""
  num_classes = dataset.num_classes - options.labels_offset
  return {
    'model_name': options.model_name,
    'num_classes': num_classes,
    'class_names': labels.class_names(dataset, options.labels_offset),
    'labels_offset': options.labels_offset,
    'image_size': options.train_image_size or net_info(options.model_name).default_image_size,
    'preprocessing_name': options.preprocessing_name or options.model_name,
    'use_grayscale': options.use_grayscale,
    'moving_average_decay': options.moving_average_decay,
    'recipe': options.recipe,
    'dataset_name': options.dataset_name,
    'dataset_dir': os.path.abspath(options.dataset_dir),
    'data_fingerprint': dataset_factory.fingerprint(options.dataset_dir),
    'flags': dataclasses.asdict(options),
  }


def _precision(options, old_record):
  """Returns the precision to compute the net of the graph in; says when it was another so far."""
  op_types = [op.type for op in tf.get_default_graph().get_operations()]
  name = precision.of_net(options.precision, op_types)
  if name == 'float16' and options.clone_on_cpu:
    name = 'float32'
  before = (old_record or {}).get('precision', 'float32')
  if old_record and before != name:
    tf.logging.info('The run computed in %s so far; from here on in %s.', before, name)
  return name


def _session_config(options):
  config = tf.ConfigProto(allow_soft_placement=True)
  if options.clone_on_cpu:
    config.device_count['GPU'] = 0
  # Both turn sums of several gradients into such that start with whichever is there first, which
  # made every sixth step of inception_v3 end in other bits.
  rewrites = config.graph_options.rewrite_options
  rewrites.arithmetic_optimization = rewrites.OFF
  rewrites.memory_optimization = rewrites.NO_MEM_OPT
  precision.configure(config, options.precision)
  return config
