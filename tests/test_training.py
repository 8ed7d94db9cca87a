"""Training through the command: what starts, what is trained, what is written, how it stops."""

import dataclasses
import itertools
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import REPO, TINY_CLASSES

import train_image_classifier
from datasets import dataset_factory, records
from image_classifier import checkpoints, command, saving
from image_classifier.options import TrainingOptions
from image_classifier.training import loop, runs, train_graph, train_net
from preprocessing import pictures, preprocessing_factory
from slim_compat import tf

_LENET_HEAD = 'LeNet/fc4'


def _train(train_dir, dataset_dir, *arguments, model='lenet', steps=2):
  argv = ['train', f'--train_dir={train_dir}', f'--dataset_dir={dataset_dir}', '--batch_size=5']
  argv += [f'--model_name={model}', f'--max_number_of_steps={steps}', *arguments]
  return command.run('', train_image_classifier.FLAGS, train_image_classifier.main, argv)


def _build(options, dataset, image_size):
  net = train_net.build(options, dataset, image_size)
  return train_graph.build(options, dataset, net)


def _values(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _tags(folder):
  """{tag: number of values} of the event files in a folder."""
  tags = {}
  for path in folder.glob('events.out.tfevents.*'):
    for event in tf.train.summary_iterator(str(path)):
      for value in event.summary.value:
        tags[value.tag] = tags.get(value.tag, 0) + 1
  return tags


@pytest.fixture(scope='module')
def lenet_run(tiny_dataset, tmp_path_factory):
  """A train_dir of lenet after 4 steps, with moving averages."""
  folder = tmp_path_factory.mktemp('lenet')
  assert _train(folder, tiny_dataset, '--moving_average_decay=0.5', steps=4) == 0
  return folder


def test_every_flag_of_the_spec_is_there_with_its_default():
  flags = train_image_classifier.FLAGS
  expected = {
    'master': '', 'train_dir': '/tmp/tfmodel/', 'warmup_epochs': 0.0, 'num_clones': 1,
    'clone_on_cpu': False, 'worker_replicas': 1, 'num_ps_tasks': 0, 'num_readers': 4,
    'num_preprocessing_threads': 4, 'log_every_n_steps': 10, 'save_summaries_secs': 600,
    'save_interval_secs': 600, 'task': 0, 'weight_decay': 0.00004, 'optimizer': 'rmsprop',
    'adadelta_rho': 0.95, 'adagrad_initial_accumulator_value': 0.1, 'adam_beta1': 0.9,
    'adam_beta2': 0.999, 'opt_epsilon': 1.0, 'ftrl_learning_rate_power': -0.5,
    'ftrl_initial_accumulator_value': 0.1, 'ftrl_l1': 0.0, 'ftrl_l2': 0.0, 'momentum': 0.9,
    'rmsprop_momentum': 0.9, 'rmsprop_decay': 0.9, 'quantize_delay': -1,
    'learning_rate_decay_type': 'exponential', 'learning_rate': 0.01,
    'end_learning_rate': 0.0001, 'label_smoothing': 0.0, 'learning_rate_decay_factor': 0.94,
    'num_epochs_per_decay': 2.0, 'sync_replicas': False, 'replicas_to_aggregate': 1,
    'moving_average_decay': None, 'dataset_name': 'imagenet', 'dataset_split_name': 'train',
    'dataset_dir': None, 'labels_offset': 0, 'model_name': 'inception_v3',
    'preprocessing_name': None, 'batch_size': 32, 'train_image_size': None,
    'max_number_of_steps': None, 'use_grayscale': False, 'checkpoint_path': None,
    'checkpoint_exclude_scopes': None, 'trainable_scopes': None, 'ignore_missing_vars': False,
  }  # fmt: skip
  assert {name: flags[name].default for name in expected} == expected


def test_files_of_a_run(lenet_run):
  names = {path.name for path in lenet_run.iterdir()}
  for step in (0, 4):
    for ending in ('index', 'meta', 'data-00000-of-00001'):
      assert f'model.ckpt-{step}.{ending}' in names
  assert {'checkpoint', 'graph.pbtxt', 'run.json'} <= names
  assert 'model_checkpoint_path: "model.ckpt-4"' in (lenet_run / 'checkpoint').read_text()


def test_run_json_says_what_was_trained(lenet_run, tiny_dataset):
  record = json.loads((lenet_run / 'run.json').read_text(encoding='utf-8'))
  expected = {
    'model_name': 'lenet',
    'num_classes': 3,
    'class_names': sorted(TINY_CLASSES),
    'labels_offset': 0,
    'image_size': 28,
    'preprocessing_name': 'lenet',
    'use_grayscale': False,
    'moving_average_decay': 0.5,
    'dataset_dir': str(tiny_dataset),
  }
  assert {key: record[key] for key in expected} == expected
  assert record['flags']['optimizer'] == 'rmsprop'
  assert record['versions']['tensorflow'] == tf.__version__


def test_moving_averages_are_kept(lenet_run):
  values = _values(lenet_run / 'model.ckpt-4')
  name = f'{_LENET_HEAD}/weights'
  assert values[f'{name}/ExponentialMovingAverage'].shape == values[name].shape
  assert not np.array_equal(values[f'{name}/ExponentialMovingAverage'], values[name])


def test_the_old_lines(tiny_dataset, tmp_path):
  arguments = ['--max_number_of_steps=4', '--log_every_n_steps=2', '--save_summaries_secs=1']
  done = subprocess.run(
    [
      *[sys.executable, REPO / 'train_image_classifier.py', f'--train_dir={tmp_path}/a'],
      *[f'--dataset_dir={tiny_dataset}', '--model_name=lenet', '--batch_size=4', *arguments],
    ],
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  for line in (
    'INFO:tensorflow:Starting Session.',
    f'INFO:tensorflow:Saving checkpoint to path {tmp_path}/a/model.ckpt',
    'INFO:tensorflow:Starting Queues.',
    'INFO:tensorflow:Stopping Training.',
    'INFO:tensorflow:Finished training! Saving model to disk.',
  ):
    assert line in done.stderr.splitlines()
  assert any(
    line.startswith('INFO:tensorflow:global step 4: loss = ') and line.endswith(' sec/step)')
    for line in done.stderr.splitlines()
  )
  assert 'Traceback' not in done.stderr and 'WARNING' not in done.stderr
  assert '30 images of 3 classes' in done.stdout


def test_a_terminal_shows_a_bar_instead_of_lines(
  tiny_dataset, tmp_path, monkeypatch, capsys, caplog
):
  monkeypatch.setattr('sys.stderr.isatty', lambda: True)
  assert _train(tmp_path, tiny_dataset, '--log_every_n_steps=2', steps=4) == 0
  bar = capsys.readouterr().err.replace('\r', '\n')
  assert '| 4/4 [' in bar and 'step/s' in bar and ' images/s' in bar and 'loss ' in bar
  assert not any(line.startswith('global step ') for line in caplog.messages)


def _options(dataset_dir, train_dir, **settings):
  settings = {'model_name': 'lenet', 'batch_size': 5, 'max_number_of_steps': 2, **settings}
  return TrainingOptions(train_dir=str(train_dir), dataset_dir=str(dataset_dir), **settings)


def test_training_learns(tiny_dataset, tmp_path):
  adam = {'optimizer': 'adam', 'opt_epsilon': 1e-8, 'learning_rate': 0.002}
  options = _options(tiny_dataset, tmp_path, batch_size=10, max_number_of_steps=120, **adam)
  result = runs.train(options)
  assert result.step == 120
  assert result.loss < 0.5  # ln 3 = 1.1 is chance


def test_tags_for_tensorboard(tiny_dataset, tmp_path, monkeypatch):
  monkeypatch.setattr('image_classifier.training.loop._DETAIL_SUMMARIES_SECS', 1e-9)
  runs.train(_options(tiny_dataset, tmp_path, save_summaries_secs=1e-9))
  tags = _tags(tmp_path)
  for tag in (
    'learning_rate',
    'total_loss',
    'Losses/clone_loss',
    'Losses/regularization_loss',
    'losses/softmax_cross_entropy_loss/value',
    'activations/Logits',
    'sparsity/Logits',
    f'{_LENET_HEAD}/weights',
    'global_step/sec',
    'final_distorted_image/image/0',
  ):
    assert tags.get(tag) == 2, (tag, sorted(tags))


@pytest.mark.parametrize(('seconds', 'scalars'), [(600, 2), (0, None)])
def test_a_short_run_has_its_first_and_last_scalars(seconds, scalars, tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, max_number_of_steps=5, save_summaries_secs=seconds)
  runs.train(options)
  assert _tags(tmp_path).get('total_loss') == scalars
  graph = (tmp_path / 'graph.pbtxt').read_text(encoding='utf-8')
  assert ('"HistogramSummary"' in graph) == bool(seconds)  # which take long to build


def test_the_auxiliary_loss_counts(tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, model_name='inception_v3', train_image_size=107)
  with tf.Graph().as_default():
    dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
    _build(options, dataset, 107)
    names = {loss.op.name for loss in tf.losses.get_losses()}
  assert names == {'aux_loss/value', 'softmax_cross_entropy_loss/value'}


@pytest.fixture(scope='module')
def inception(tiny_dataset, tmp_path_factory):
  """Settings and net of inception_v3, built once: a train_net.Net and its options."""
  options = _options(tiny_dataset, tmp_path_factory.mktemp('v3'), model_name='inception_v3')
  with tf.Graph().as_default():
    dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
    yield options, train_net.build(options, dataset, 107)


@pytest.mark.parametrize(
  ('how', 'is_trained', 'counts'),
  [
    ({}, True, True),
    ({'finetune': 'head'}, False, False),
    ({'finetune': 'from:Mixed_7a'}, False, False),
    ({'finetune': 'from:Mixed_6e'}, True, True),
    ({'trainable_scopes': 'InceptionV3/Logits'}, False, False),
    ({'trainable_scopes': 'InceptionV3/Logits,InceptionV3/AuxLogits'}, True, True),
    ({'trainable_scopes': 'InceptionV3/Mixed_6e'}, False, True),
  ],
)
def test_the_auxiliary_head_counts_when_it_teaches_or_is_named(how, is_trained, counts, inception):
  options, net = inception
  with net.images.graph.as_default():
    options = dataclasses.replace(options, **how)
    trained, left_out = train_graph._what_is_trained(options, net)
    statistics = train_graph._statistics(options, left_out)
  names = {v.op.name for v in trained}
  assert names
  assert any(name.startswith('InceptionV3/AuxLogits/') for name in names) == is_trained
  assert left_out == (() if counts else ('InceptionV3/AuxLogits',))
  assert counts == any(update.name.startswith('InceptionV3/AuxLogits') for update in statistics)


# Start.


def test_the_same_command_goes_on(lenet_run, tiny_dataset, tmp_path, caplog):
  folder = _copy(lenet_run, tmp_path)
  more = ['--moving_average_decay=0.5', f'--checkpoint_path={lenet_run}']
  assert _train(folder, tiny_dataset, *more, steps=6) == 0
  assert checkpoints.step_of(checkpoints.newest_intact(str(folder))) == 6
  assert _values(folder / 'model.ckpt-6')['global_step'] == 6
  ignored = f'Ignoring --checkpoint_path because a checkpoint already exists in {folder}'
  assert ignored in caplog.messages


def _copy(run, tmp_path):
  return shutil.copytree(run, tmp_path / 'copy')


def test_a_finished_run_says_so(lenet_run, tiny_dataset, tmp_path, capsys):
  folder = _copy(lenet_run, tmp_path)
  assert _train(folder, tiny_dataset, '--moving_average_decay=0.5', steps=4) == 0
  assert 'has reached step 4 already: raise --max_number_of_steps' in capsys.readouterr().out


def test_what_a_run_is_need_not_be_said_again(lenet_run, tmp_path, capsys):
  folder = _copy(lenet_run, tmp_path)
  argv = ['train', f'--train_dir={folder}', '--max_number_of_steps=5']
  assert command.run('', train_image_classifier.FLAGS, train_image_classifier.main, argv) == 0
  assert 'moving_average_decay=0.5' in capsys.readouterr().out
  name = f'{_LENET_HEAD}/weights/ExponentialMovingAverage'
  assert not np.array_equal(*(_values(folder / f'model.ckpt-{step}')[name] for step in (4, 5)))
  record = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
  given = {'train_dir': str(folder), 'max_number_of_steps': 5}
  resolved = {'train_image_size': 28, 'preprocessing_name': 'lenet'}
  assert record['flags'] == _flags(lenet_run) | given | resolved


def _flags(train_dir):
  return json.loads((train_dir / 'run.json').read_text(encoding='utf-8'))['flags']


def test_a_run_goes_on_with_its_settings_or_says_with_which(
  lenet_run, tiny_dataset, tmp_path, capsys
):
  folder = _copy(lenet_run, tmp_path)
  changed = ['--rotation=right_angles', '--label_smoothing=0.1', '--max_epochs=1']
  assert _train(folder, tiny_dataset, *changed, steps=5) == 0
  said = '--label_smoothing=0.1 (0.0 so far), --max_epochs=1.0 (None so far)'
  assert said in capsys.readouterr().out
  assert _train(folder, tiny_dataset, '--rotation=15', steps=6) == 0
  said = capsys.readouterr().out
  assert f'Kept of the run in {folder}: label_smoothing=0.1 moving_average_decay=0.5\n' in said
  assert 'The run goes on with --max_epochs=None (1.0 so far), --max_number_of_steps=6' in said
  assert '--rotation=15 (right_angles so far).' in said


def _with_flags(run, tmp_path, flags):
  folder = _copy(run, tmp_path)
  record = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
  record['flags'] = flags
  (folder / 'run.json').write_text(json.dumps(record), encoding='utf-8')
  return folder


def test_settings_of_an_older_or_newer_version(lenet_run, tmp_path):
  folder = _with_flags(lenet_run, tmp_path, {'batch_size': 7, 'later': 1, 'hue': None})
  found = _resolved(f'--train_dir={folder}', '--seed=3')
  assert (found.batch_size, found.rotation, found.seed) == (7, 'none', 3)
  (folder / 'run.json').unlink()
  assert _resolved(f'--train_dir={folder}').batch_size == 32


def test_settings_before_the_first_checkpoint_do_not_stay(lenet_run, tmp_path):
  folder = _with_flags(lenet_run, tmp_path, {'batch_size': 7})
  for path in folder.glob('*.index'):
    path.unlink()
  assert _resolved(f'--train_dir={folder}').batch_size == 32


@pytest.mark.parametrize(
  ('flags', 'given', 'kept'),
  [
    ({'max_epochs': 2.0, 'max_number_of_steps': 9}, '--max_minutes=3', (None, None)),
    ({'max_epochs': 2.0, 'max_number_of_steps': 9}, '--seed=1', (2.0, 9)),
    ({'max_epochs': 2.0, 'max_number_of_steps': 9}, '--max_epochs=4', (4.0, None)),
  ],
)
def test_a_length_takes_the_place_of_the_others(flags, given, kept, lenet_run, tmp_path):
  found = _resolved(f'--train_dir={_with_flags(lenet_run, tmp_path, flags)}', given)
  assert (found.max_epochs, found.max_number_of_steps) == kept


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    ({'batch_size': 'ten'}, "batch_size is 'ten', and should be a whole number"),
    ({'rotation': None}, 'rotation is None, and should be a text'),
    ([], 'flags is [], and should be a JSON object'),
  ],
)
def test_settings_of_a_damaged_record(flags, words, lenet_run, tiny_dataset, tmp_path, capsys):
  folder = _with_flags(lenet_run, tmp_path, flags)
  argv = ['train', f'--train_dir={folder}', f'--dataset_dir={tiny_dataset}']
  assert command.run('', train_image_classifier.FLAGS, train_image_classifier.main, argv) == 2
  message = capsys.readouterr().err
  assert words in message and f'{folder}/run.json' in message


def test_another_run_in_the_train_dir_is_refused(lenet_run, tiny_dataset, capsys):
  assert _train(lenet_run, tiny_dataset, model='cifarnet') == 2
  assert 'holds another run (model_name: lenet there, cifarnet now' in capsys.readouterr().err


def test_an_optimizer_that_the_run_began_without_is_refused(lenet_run, tiny_dataset, capsys):
  assert _train(lenet_run, tiny_dataset, '--optimizer=adam', steps=9) == 2
  message = capsys.readouterr().err
  assert (
    'goes on with the --optimizer, the trained scopes and the --moving_average_decay' in message
  )
  assert f'start it with --checkpoint_path={lenet_run}.' in message


def test_another_class_list_is_refused_with_the_first_difference(
  lenet_run, tiny_dataset, tmp_path, capsys
):
  folder = _copy(lenet_run, tmp_path)
  record = json.loads((folder / 'run.json').read_text(encoding='utf-8'))
  record['class_names'][1] = 'lake'
  (folder / 'run.json').write_text(json.dumps(record), encoding='utf-8')
  assert _train(folder, tiny_dataset, '--moving_average_decay=0.5') == 2
  assert "class_names: number 1 is 'lake' there, 'sea ice' now" in capsys.readouterr().err


def test_a_checkpoint_of_another_net_without_a_record_is_refused(
  lenet_run, tiny_dataset, tmp_path, capsys
):
  folder = _copy(lenet_run, tmp_path)
  (folder / 'run.json').unlink()
  assert _train(folder, tiny_dataset, model='cifarnet') == 2
  assert f'{folder} holds another run: ' in capsys.readouterr().err


def _changed(before, after):
  return {n for n in before if n in after and not np.array_equal(before[n], after[n])}


@pytest.fixture(scope='module')
def mobilenet_checkpoint(short_mobilenet, tiny_dataset, tmp_path_factory):
  """A checkpoint of mobilenet_v1_025 to start from."""
  folder = tmp_path_factory.mktemp('mobilenet')
  options = _options(tiny_dataset, folder, model_name='mobilenet_v1_025', train_image_size=32)
  runs.train(dataclasses.replace(options, max_number_of_steps=1))
  return folder / 'model.ckpt-1'


def _fine_tune(tiny_dataset, train_dir, checkpoint, *arguments, steps=2):
  start = ['--train_image_size=32', f'--checkpoint_path={checkpoint}']
  return _train(train_dir, tiny_dataset, *start, *arguments, model='mobilenet_v1_025', steps=steps)


@pytest.mark.parametrize('how', ['--trainable_scopes=MobilenetV1/Logits', '--finetune=head'])
def test_a_frozen_trunk_is_frozen_with_its_statistics(
  how, mobilenet_checkpoint, tiny_dataset, tmp_path
):
  exclude = '--checkpoint_exclude_scopes=MobilenetV1/Logits'
  assert _fine_tune(tiny_dataset, tmp_path, mobilenet_checkpoint, how, exclude) == 0
  start, end = _values(tmp_path / 'model.ckpt-0'), _values(tmp_path / 'model.ckpt-2')
  head = {name for name in start if name.startswith('MobilenetV1/Logits/')}
  body = {name for name in start if name.startswith('MobilenetV1/')} - head
  assert _changed(_values(mobilenet_checkpoint), start) & body == set()
  assert _changed(start, end) & body == set()
  assert head - _changed(start, end) == {name for name in head if name.endswith('RMSProp')} & set()


def test_a_frozen_trunk_costs_nothing_and_is_in_every_checkpoint(
  mobilenet_checkpoint, tiny_dataset, tmp_path, capsys
):
  settings = {'model_name': 'mobilenet_v1_025', 'train_image_size': 32, 'finetune': 'head'}
  settings |= {'moving_average_decay': 0.9, 'checkpoint_path': str(mobilenet_checkpoint)}
  for folder, steps in (('whole', 4), ('parts', 2), ('parts', 4)):
    options = _options(tiny_dataset, tmp_path / folder, **settings, max_number_of_steps=steps)
    runs.train(options)
  whole, parts = (_values(tmp_path / folder / 'model.ckpt-4') for folder in ('whole', 'parts'))
  assert whole.keys() == parts.keys() and _changed(whole, parts) == set()
  slots = {name.removesuffix('/RMSProp') for name in whole if name.endswith('/RMSProp')}
  assert {name.rsplit('/', 2)[0] for name in slots} == {'MobilenetV1/Logits'}
  for name in ('Conv2d_0/weights', 'Conv2d_0/BatchNorm/moving_mean'):
    average = whole[f'MobilenetV1/{name}/ExponentialMovingAverage']
    assert np.array_equal(average, whole[f'MobilenetV1/{name}'])
  # What is written describes the net; what is computed are constants.
  text = (tmp_path / 'whole' / 'graph.pbtxt').read_text(encoding='utf-8')
  assert 'Conv2d_0/Conv2D"' in text and '"frozen/' not in text
  with tf.Graph().as_default():
    tf.train.import_meta_graph(f'{tmp_path}/whole/model.ckpt-4.meta')


def test_the_loss_of_a_frozen_trunk_is_what_it_was(mobilenet_checkpoint, tiny_dataset, tmp_path):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  settings = {'finetune': 'head', 'weight_decay': 0.1, 'precision': 'float32'}
  options = _options(tiny_dataset, tmp_path, model_name='mobilenet_v1_025', **settings)
  losses = []
  for checkpoint in (None, str(mobilenet_checkpoint)):
    with tf.Graph().as_default(), tf.Session() as session:
      tf.set_random_seed(0)
      net = train_net.build(options, dataset, 32)
      given = {v.op.name: v for v in net.variables} if checkpoint else {}
      graph = train_graph.build(options, dataset, net, checkpoint, given)
      session.run(tf.global_variables_initializer())
      tf.train.Saver({v.op.name: v for v in net.variables}).restore(
        session, str(mobilenet_checkpoint)
      )
      session.run(graph.initializer)
      losses.append(session.run([graph.train_op, graph.gradient_norm]))
  np.testing.assert_allclose(*losses, rtol=1e-4)


def test_overlapping_scopes_train_a_variable_once(tiny_dataset, tmp_path):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  options = _options(
    tiny_dataset, tmp_path, trainable_scopes='LeNet/fc4,LeNet/fc4/weights,LeNet/fc'
  )
  with tf.Graph().as_default() as graph:
    _build(options, dataset, 28)
    updates = [op for op in graph.get_operations() if op.type == 'ApplyRMSProp']
  assert len(updates) == 4  # weights and biases of fc3 and fc4


def test_batch_norm_update_is_the_old_way(mobilenet_checkpoint, tiny_dataset, tmp_path):
  how = ['--finetune=head', '--batch_norm=update']
  assert _fine_tune(tiny_dataset, tmp_path, mobilenet_checkpoint, *how) == 0
  changed = _changed(_values(tmp_path / 'model.ckpt-0'), _values(tmp_path / 'model.ckpt-2'))
  assert 'MobilenetV1/Conv2d_0/BatchNorm/moving_mean' in changed
  assert 'MobilenetV1/Conv2d_0/weights' not in changed


def test_batch_norm_frozen_keeps_all_statistics(mobilenet_checkpoint, tiny_dataset, tmp_path):
  how = ['--finetune=all', '--batch_norm=frozen']
  assert _fine_tune(tiny_dataset, tmp_path, mobilenet_checkpoint, *how) == 0
  changed = _changed(_values(tmp_path / 'model.ckpt-0'), _values(tmp_path / 'model.ckpt-2'))
  assert not any('moving_' in name for name in changed)
  assert 'MobilenetV1/Conv2d_0/weights' in changed


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({'max_number_of_steps': 40}, 0.9),
    ({'max_number_of_steps': 200}, 0.95),
    ({'max_number_of_steps': 100_000}, 0.997),
    ({}, 0.997),
    ({'max_minutes': 5.0}, 0.98),
    ({'max_minutes': 5.0, 'max_number_of_steps': 100_000}, 0.98),
    ({'max_minutes': 5.0, 'max_number_of_steps': 200}, 0.95),
    ({'max_number_of_steps': 200, 'batch_norm_decay': 0.5}, 0.5),
    ({'max_number_of_steps': 200, 'batch_norm': 'update'}, None),
    ({'batch_norm': 'update', 'batch_norm_decay': 0.8}, 0.8),
  ],
)
def test_batch_norm_decay_fits_the_run(settings, expected):
  decay = train_net.batch_norm_decay(TrainingOptions(**settings))
  assert decay == pytest.approx(expected) if expected else decay is None


@pytest.mark.parametrize(('how', 'warned'), [('update', True), ('auto', False)])
def test_statistics_that_cannot_settle_are_warned_of(
  how, warned, mobilenet_checkpoint, tiny_dataset, tmp_path, caplog
):
  arguments = [f'--batch_norm={how}', '--save_interval_secs=0']
  assert _fine_tune(tiny_dataset, tmp_path, mobilenet_checkpoint, *arguments, steps=22) == 0
  assert any('of the statistics it started with' in line for line in caplog.messages) is warned


@pytest.mark.parametrize(('what', 'warned'), [('head', True), ('all', False)])
def test_new_weights_that_stay_are_warned_of(tiny_dataset, tmp_path, what, warned, caplog):
  assert _train(tmp_path / 'run', tiny_dataset, f'--finetune={what}', steps=0) == 0
  assert any('builds on new weights' in message for message in caplog.messages) is warned


def test_the_table_of_the_start(mobilenet_checkpoint, tiny_dataset, tmp_path, capsys):
  how = ['--finetune=from:Conv2d_2_depthwise', '--checkpoint_exclude_scopes=MobilenetV1/Logits']
  assert _fine_tune(tiny_dataset, tmp_path, mobilenet_checkpoint, *how) == 0
  rows = [line.split() for line in capsys.readouterr().out.splitlines()]
  fates = {row[0]: row[-3:] for row in rows if row and row[0].startswith('MobilenetV1/')}
  assert fates == {
    'MobilenetV1/Conv2d_0': ['restored', 'frozen', 'stored'],
    'MobilenetV1/Conv2d_2_depthwise': ['restored', 'trained', 'updated'],
    'MobilenetV1/Logits': ['new', 'trained', '-'],
  }


@pytest.fixture(scope='module')
def records_from_1(tiny_dataset, tmp_path_factory):
  """The tiny records with labels from 1 and a background class 0, as slim's ImageNet has them."""
  folder = tmp_path_factory.mktemp('from 1')
  for path in tiny_dataset.glob('*.tfrecord'):
    with tf.python_io.TFRecordWriter(str(folder / path.name)) as writer:
      for content in tf.io.tf_record_iterator(str(path)):
        example = tf.train.Example.FromString(content)
        example.features.feature['image/class/label'].int64_list.value[0] += 1
        writer.write(example.SerializeToString())
  names = ['background', *sorted(TINY_CLASSES)]
  (folder / 'label.txt').write_text('\n'.join(names), encoding='utf-8')
  return folder


def test_labels_offset(records_from_1, tmp_path, capsys):
  assert _train(tmp_path / 'a', records_from_1, '--labels_offset=1') == 0
  record = json.loads((tmp_path / 'a' / 'run.json').read_text(encoding='utf-8'))
  assert record['class_names'] == sorted(TINY_CLASSES)
  assert _values(tmp_path / 'a' / 'model.ckpt-2')['LeNet/fc4/biases'].shape == (3,)
  assert '--labels_offset=1 leaves it out' in capsys.readouterr().out
  assert _train(tmp_path / 'b', records_from_1, '--labels_offset=2') == 2
  assert '--labels_offset=2 leaves out the label 1' in capsys.readouterr().err
  assert _train(tmp_path / 'c', records_from_1, '--labels_offset=-1') == 2


def test_one_class_is_nothing_to_train_on(tiny_dataset, tmp_path, capsys):
  with tf.python_io.TFRecordWriter(str(tmp_path / 'one_train_00000-of-00001.tfrecord')) as writer:
    for path in tiny_dataset.glob('*_train_*.tfrecord'):
      for content in tf.io.tf_record_iterator(str(path)):
        if records.example_label(tf.train.Example.FromString(content), '')[0] == 0:
          writer.write(content)
  (tmp_path / 'label.txt').write_text(f'{sorted(TINY_CLASSES)[0]}\n', encoding='utf-8')
  assert _train(tmp_path / 'run', tmp_path) == 2
  assert f'{tmp_path} has one class only' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


def test_a_head_of_another_size_starts_new(mobilenet_checkpoint, records_from_1, tmp_path, caplog):
  assert _fine_tune(records_from_1, tmp_path, mobilenet_checkpoint) == 0
  (line,) = [message for message in caplog.messages if 'Starting new' in message]
  assert line == (
    'Starting new: MobilenetV1/Logits/Conv2d_1c_1x1; the checkpoint knows 3 classes, this net 4.'
  )


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--checkpoint_exclude_scopes=LeNet/fc_'], "no variable starts with 'LeNet/fc_'"),
    (['--trainable_scopes=LeNet/Head'], "no trainable variable starts with 'LeNet/Head'"),
    (['--finetune=head', '--trainable_scopes=LeNet'], 'say the same thing'),
    (['--finetune=most'], 'is not one of head, from:SCOPE and all'),
    (['--checkpoint_path=nowhere'], 'Checkpoint nowhere is not complete'),
    (['--use_grayscale'], 'LeNet/conv1/weights in shape [5, 5, 3, 32], the net needs'),
    (['--batch_norm=off'], '--batch_norm=off'),
  ],
)
def test_a_wrong_start_is_refused(arguments, words, lenet_run, tiny_dataset, tmp_path, capsys):
  start = f'--checkpoint_path={lenet_run}'
  assert _train(tmp_path, tiny_dataset, start, *arguments) == 2
  assert words in capsys.readouterr().err
  assert not list(tmp_path.glob('model.ckpt*'))


def test_a_checkpoint_of_another_net_is_refused(lenet_run, tiny_dataset, tmp_path, capsys):
  start = f'--checkpoint_path={lenet_run}'
  assert _train(tmp_path, tiny_dataset, start, model='cifarnet') == 2
  expected = 'variables to restore: it looks like lenet: pass --model_name=lenet.'
  assert expected in capsys.readouterr().err


def test_missing_variables(lenet_run, tiny_dataset, tmp_path, capsys):
  with tf.Graph().as_default(), tf.Session() as session:
    names = ['LeNet/conv2/weights', 'LeNet/conv2/biases']
    values = _values(lenet_run / 'model.ckpt-4')
    variables = {name: tf.get_variable(name, initializer=values[name]) for name in names}
    session.run(tf.global_variables_initializer())
    tf.train.Saver(variables).save(session, f'{tmp_path}/part')
  start = f'--checkpoint_path={tmp_path}/part'
  assert _train(tmp_path / 'a', tiny_dataset, start) == 2
  assert 'lacks LeNet/conv1/weights: name its scope' in capsys.readouterr().err
  assert _train(tmp_path / 'b', tiny_dataset, start, '--ignore_missing_vars') == 0
  for name in names:
    assert np.array_equal(_values(tmp_path / 'b' / 'model.ckpt-0')[name], values[name])


# Settings.


def test_settings_change_the_first_loss(tiny_dataset, tmp_path):
  small = {'train_image_size': 12, 'max_number_of_steps': 1, 'save_summaries_secs': 0}
  settings = [
    {},
    {'label_smoothing': 0.5},
    {'weight_decay': 0.1},
    {'use_grayscale': True},
    {'train_image_size': 16},
    {'preprocessing_name': 'inception'},
    {'batch_size': 7},
    {'seed': 1},
  ]
  usual, *others = (
    runs.train(_options(tiny_dataset, tmp_path / str(i), **{**small, **s})).loss
    for i, s in enumerate(settings)
  )
  assert all(abs(loss - usual) > 1e-4 for loss in others), others


def test_the_same_seed_gives_the_same_weights(tiny_dataset, tmp_path):
  for name, seed in (('first', 1), ('again', 1), ('other', 2)):
    runs.train(_options(tiny_dataset, tmp_path / name, model_name='cifarnet', seed=seed))
  first, again, other = (
    _values(tmp_path / name / 'model.ckpt-2') for name in ('first', 'again', 'other')
  )
  assert _changed(first, again) == set()
  assert 'CifarNet/conv1/weights' in _changed(first, other)


@pytest.mark.parametrize(
  'flag',
  [
    '--master=grpc://x',
    '--task=1',
    '--num_clones=2',
    '--worker_replicas=2',
    '--num_ps_tasks=1',
    '--sync_replicas',
    '--replicas_to_aggregate=2',
    '--quantize_delay=10',
  ],
)
def test_several_machines_are_refused(flag, tiny_dataset, tmp_path, capsys):
  assert _train(tmp_path, tiny_dataset, flag) == 2
  error = capsys.readouterr().err
  assert f'error: {flag.split("=")[0]}=' in error and 'is not supported' in error
  assert error.count('\n') == 1


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['--model_name=lenett'], "Unknown model_name 'lenett': did you mean 'lenet'?"),
    (['--optimizer=adm'], "Unknown optimizer 'adm'"),
    (['--train_image_size=3'], 'lenet cannot take images of 3 pixels a side: give at least 4'),
    (['--batch_size=0'], '--batch_size=0 must be at least 1'),
    (['--dataset_dir='], 'You must supply the dataset directory with --dataset_dir'),
    (['--dataset_split_name=tst'], 'tst'),
  ],
)
def test_wrong_settings_are_refused(arguments, words, tiny_dataset, tmp_path, capsys):
  assert _train(tmp_path, tiny_dataset, *arguments) == 2
  assert words in capsys.readouterr().err


def test_a_train_dir_that_cannot_be_written_to(tiny_dataset, tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  assert _train(tmp_path / 'file' / 'run', tiny_dataset) == 2
  assert 'cannot be written to' in capsys.readouterr().err


def _resolved(*arguments):
  seen = []
  main = lambda f: seen.append(train_image_classifier.resolved_options(f))  # noqa: E731
  command.run('', train_image_classifier.FLAGS, main, ['x', '--train_dir=/nowhere', *arguments])
  return seen[0]


def test_momentum_is_rmsprops_too_unless_said_otherwise():
  assert _resolved('--momentum=0.5').rmsprop_momentum == 0.5
  assert _resolved('--momentum=0.5', '--rmsprop_momentum=0.7').rmsprop_momentum == 0.7


def test_images_are_prepared_by_a_thread_a_core_unless_said_otherwise():
  assert _resolved().num_preprocessing_threads is None
  assert _resolved('--num_preprocessing_threads=4').num_preprocessing_threads == 4


def test_clone_on_cpu_hides_the_gpus():
  config = runs._session_config(TrainingOptions(clone_on_cpu=True))
  assert dict(config.device_count) == {'GPU': 0}


# Checkpoints and stopping.


def test_the_newest_five_checkpoints_stay(tiny_dataset, tmp_path):
  options = _options(tiny_dataset, tmp_path, max_number_of_steps=8, save_interval_secs=1e-9)
  runs.train(options)
  assert {path.stem for path in tmp_path.glob('*.index')} == {
    f'model.ckpt-{step}' for step in (4, 5, 6, 7, 8)
  }
  runs.train(dataclasses.replace(options, max_number_of_steps=10))
  assert {path.stem for path in tmp_path.glob('*.index')} == {
    f'model.ckpt-{step}' for step in (6, 7, 8, 9, 10)
  }


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
  tiny_dataset, tmp_path, capsys
):
  arguments = ['--optimizer=sgd', '--learning_rate=1e30', '--save_interval_secs=0']
  assert _train(tmp_path, tiny_dataset, *arguments, steps=50) == 3
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith('error: At step ') and 'model.ckpt-0 is the last good' in error
  assert '(learning rate 1e+30)' in error
  assert all(np.isfinite(v).all() for v in _values(tmp_path / 'model.ckpt-0').values())


def test_the_batch_of_a_loss_that_is_not_finite_is_named(tiny_dataset, tmp_path, capsys):
  arguments = ['--optimizer=sgd', '--learning_rate=1e30', '--save_interval_secs=0']
  assert _train(tmp_path, tiny_dataset, *arguments, steps=50) == 3
  batch = capsys.readouterr().err.rsplit('; the batch was ', 1)[1]
  assert len(batch.split(', ')) == 5 and '.jpg' in batch


def test_going_back_with_a_tenth_of_the_rate(tiny_dataset, tmp_path, caplog, capsys):
  settings = ['--optimizer=sgd', '--train_image_size=12', '--log_every_n_steps=1']
  diverging = [*settings, '--learning_rate=1000']
  assert _train(tmp_path, tiny_dataset, *diverging, '--retry_on_nan=1', steps=12) == 3
  assert sum('the loss is ' in message for message in caplog.messages) == 1
  error = capsys.readouterr().err
  assert '(learning rate 100)' in error and '--retry_on_nan=2' not in error
  # A process that takes over goes on with what the one before came to.
  caplog.clear()
  assert _train(tmp_path, tiny_dataset, *diverging, '--retry_on_nan=9', steps=12) == 0
  retries = [message for message in caplog.messages if message.startswith('Retry ')]
  assert retries[0] == 'Retry 1 after a loss that was not a number: --learning_rate=100'
  lines = (tmp_path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  metrics = [json.loads(line) for line in lines]
  assert [line['step'] for line in metrics] == list(range(1, 13))
  assert metrics[-1]['learning_rate'] < 20
  # Another rate is another matter.
  caplog.clear()
  assert _train(tmp_path, tiny_dataset, *settings, '--learning_rate=0.001', steps=13) == 0
  assert not any(message.startswith('Retry ') for message in caplog.messages)


def test_weights_that_are_not_finite_are_not_saved(tiny_dataset, tmp_path, capsys):
  arguments = ['--optimizer=sgd', '--learning_rate=1e38']  # finite loss, infinite weights after it
  assert _train(tmp_path, tiny_dataset, *arguments, steps=1) == 3
  assert 'a weight is not a number' in capsys.readouterr().err
  assert not (tmp_path / 'model.ckpt-1.index').exists()


def test_statistics_that_are_not_finite_are_not_saved(short_mobilenet, tiny_dataset, tmp_path):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  options = _options(
    tiny_dataset, tmp_path, model_name='mobilenet_v1_025', moving_average_decay=0.9
  )
  with tf.Graph().as_default(), tf.Session() as session:
    graph = _build(options, dataset, 32)
    session.run(tf.global_variables_initializer())
    assert session.run(graph.is_finite)
    others = [v for v in tf.global_variables() if v.dtype.is_floating and not v.trainable]
    kinds = {v.op.name.rsplit('/', 1)[-1] for v in others}
    assert {'moving_variance', 'RMSProp', 'ExponentialMovingAverage'} <= kinds
    for kind in kinds:
      variable = next(v for v in others if v.op.name.endswith(f'/{kind}'))
      good = session.run(variable)
      session.run(tf.assign(variable, tf.fill(variable.shape, np.inf)))
      assert not session.run(graph.is_finite), variable.op.name
      session.run(tf.assign(variable, good))


def test_a_warm_start_from_weights_that_are_no_numbers(lenet_run, tiny_dataset, tmp_path, capsys):
  values = _values(lenet_run / 'model.ckpt-4')
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in values.items():
      tf.get_variable(name, initializer=value * np.nan if 'conv1' in name else value)
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, f'{tmp_path}/nan')
  start = f'--checkpoint_path={tmp_path}/nan'
  assert _train(tmp_path / 'run', tiny_dataset, start) == 3
  assert f'take another --checkpoint_path than {tmp_path}/nan' in capsys.readouterr().err


def test_all_checkpoints_damaged_is_refused_and_nothing_changes(lenet_run, tiny_dataset, tmp_path):
  folder = _copy(lenet_run, tmp_path)
  for path in folder.glob('*.data-*'):
    path.write_bytes(path.read_bytes()[:-100])
  before = {path.name: path.read_bytes() for path in folder.glob('*ckpt*')}
  assert _train(folder, tiny_dataset, '--moving_average_decay=0.5', steps=6) == 2
  assert {path.name: path.read_bytes() for path in folder.glob('*ckpt*')} == before
  for path in folder.glob('*.data-*'):
    path.unlink()  # incomplete is as bad
  assert _train(folder, tiny_dataset, '--moving_average_decay=0.5', steps=6) == 2


def _stand_still_at(number, seconds, monkeypatch):
  """Makes the input stand still at an image."""
  seen = itertools.count()

  def wait(image):
    if next(seen) == number:
      time.sleep(seconds)
    return image

  original = preprocessing_factory.get_preprocessing

  def get_preprocessing(*args, **kwargs):
    fn = original(*args, **kwargs)

    def preprocess(image, *args, **kwargs):
      pixels = pictures.as_picture(image).pixels()
      waited = tf.numpy_function(wait, [pixels], tf.uint8)
      waited.set_shape(pixels.shape)
      return fn(waited, *args, **kwargs)

    return preprocess

  monkeypatch.setattr(preprocessing_factory, 'get_preprocessing', get_preprocessing)


def test_standing_still_is_said(tiny_dataset, tmp_path, monkeypatch, caplog):
  _stand_still_at(12, 4, monkeypatch)  # in the third batch of five
  options = _options(tiny_dataset, tmp_path, max_number_of_steps=5, num_preprocessing_threads=1)
  assert runs.train(options, patience=0.5).step == 5
  lines = [line for line in caplog.messages if line.startswith('No step has ended for ')]
  assert any(f'waits for its batch to be read from {tiny_dataset}' in line for line in lines)
  assert len(lines) < 8


def _start(tiny_dataset, train_dir, *arguments):
  command_line = [
    *[sys.executable, REPO / 'train_image_classifier.py', f'--train_dir={train_dir}'],
    *[f'--dataset_dir={tiny_dataset}', '--model_name=lenet', '--log_every_n_steps=1', *arguments],
  ]
  quiet = {'stderr': subprocess.PIPE, 'stdout': subprocess.DEVNULL, 'text': True}
  return subprocess.Popen(command_line, **quiet)


def test_a_second_signal_exits_at_once_and_a_second_run_is_refused(tiny_dataset, tmp_path, capsys):
  with _start(tiny_dataset, tmp_path, '--batch_size=1000000') as process:  # reads for minutes
    for line in process.stderr:
      if 'Starting Queues' in line:
        break
    assert _train(tmp_path, tiny_dataset) == 2
    assert f'is in use by process {process.pid} on ' in capsys.readouterr().err
    process.send_signal(signal.SIGTERM)
    heard = 'Signal 15: saving after this step; once more stops at once.'
    assert any(heard in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait(20) == 130
  assert _train(tmp_path, tiny_dataset) == 0  # its lock has gone with it


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits(number, code, tiny_dataset, tmp_path):
  with _start(tiny_dataset, tmp_path) as process:
    for line in process.stderr:
      if 'global step 3:' in line:
        process.send_signal(number)
        break
    rest = process.stderr.read()
    assert process.wait(60) == code, rest
  assert checkpoints.step_of(checkpoints.newest_intact(str(tmp_path))) >= 3


def test_a_signal_before_the_first_step_is_no_end_of_the_run(
  tiny_dataset, tmp_path, monkeypatch, capsys
):
  def save(self, step):
    signal.raise_signal(signal.SIGTERM)
    return original(self, step)

  original = saving.CheckpointWriter.save
  monkeypatch.setattr(saving.CheckpointWriter, 'save', save)
  assert _train(tmp_path, tiny_dataset) == 143
  assert (tmp_path / 'model.ckpt-0.index').exists()
  assert 'already' not in capsys.readouterr().out


@pytest.mark.slow
def test_a_long_run_does_not_grow(tiny_dataset, tmp_path, monkeypatch):
  sizes = []
  original = loop.Progress.step

  def step(self, number, loss):
    original(self, number, loss)
    if number % 100 == 0:
      with open('/proc/self/statm', encoding='utf-8') as file:
        pages = int(file.read().split()[1])
      sizes.append((len(tf.get_default_graph().get_operations()), pages >> 8))  # nodes, MB

  monkeypatch.setattr(loop.Progress, 'step', step)
  options = {'train_image_size': 12, 'save_interval_secs': 1, 'save_summaries_secs': 1}
  runs.train(_options(tiny_dataset, tmp_path, max_number_of_steps=1200, **options))
  nodes, megabytes = zip(*sizes, strict=True)
  assert len(set(nodes)) == 1
  assert max(megabytes[5:]) - megabytes[2] < 30, megabytes


def test_a_step_that_does_not_fit_into_memory(tiny_dataset, tmp_path, monkeypatch, capsys):
  def run_out_of_memory(self):
    raise tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating tensor')

  monkeypatch.setattr(runs.Loop, 'run', run_out_of_memory)
  assert _train(tmp_path, tiny_dataset) == 3
  said = capsys.readouterr().err
  assert 'does not fit into memory: halve --batch_size=5' in said and 'Traceback' not in said
