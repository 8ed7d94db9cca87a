"""Batch-norm statistics worked out again: plain means, a new checkpoint, nothing else changed."""

import json

import numpy as np
import pytest
from conftest import TINY_CLASSES
from small_nets import SHADOW, run, write_checkpoint, write_run

import eval_image_classifier
import train_image_classifier
from datasets import dataset_factory
from image_classifier import inputs
from image_classifier.options import TrainingOptions
from image_classifier.training import batch_norm_statistics
from nets import net_info, nets_factory
from nets.batch_norm import batch_norm
from preprocessing import preprocessing_factory
from scripts import recalibrate_batch_norm
from slim_compat import slim, tf

_STATISTICS = ('/moving_mean', '/moving_variance')
# Of the two batch norms of the net below.
_ALL = {f'Colours/{layer}/BatchNorm{kind}' for layer in ('first', 'second') for kind in _STATISTICS}


def _colours(images, num_classes, is_training):
  """Normalizes the mean colours of each image, twice: statistics that can be worked out by hand."""
  with tf.variable_scope('Colours'), slim.arg_scope([batch_norm], is_training=is_training):
    net = tf.reduce_mean(images, [1, 2], keepdims=True)
    net = batch_norm(net, scope='first/BatchNorm')
    net = batch_norm(net, scope='second/BatchNorm')
    logits = tf.squeeze(slim.conv2d(net, num_classes, 1, scope='Logits'), [1, 2])
  return logits, {'Logits': logits}


_colours.default_image_size = 28


@pytest.fixture(scope='module', autouse=True)
def colours():
  """The net is one of the factory's for this module."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(nets_factory.networks_map, 'colours', _colours)
    patch.setitem(nets_factory.arg_scopes_map, 'colours', lambda **_: {})
    patch.setitem(net_info.NET_INFO, 'colours', net_info.net_info('lenet'))
    yield


def _values(folder):
  reader = tf.train.load_checkpoint(str(folder))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _changed(old, new):
  assert old.keys() == new.keys()
  return {name for name in old if not np.array_equal(old[name], new[name])}


def _write(folder, data, averages=False, **flags):
  """A run of the net with random weights, whose statistics belong to no images."""
  write_checkpoint(folder, 'colours', 3, averages=averages)
  about = {'dataset_dir': str(data), 'data_fingerprint': None, 'image_size': 28}
  about |= {'preprocessing_name': 'lenet', 'flags': {'batch_size': 10, **flags}}
  write_run(folder, 'colours', TINY_CLASSES, **about)
  return folder


def _recalibrate(checkpoint, output_dir, *flags):
  argv = (f'--checkpoint_path={checkpoint}', f'--output_dir={output_dir}', *flags)
  return run(recalibrate_batch_norm, *argv)


@pytest.fixture(scope='module')
def train_dir(tmp_path_factory, tiny_dataset):
  return _write(tmp_path_factory.mktemp('a run'), tiny_dataset)


@pytest.fixture(scope='module')
def recalibrated(train_dir, tmp_path_factory):
  """The short way: nothing but the run and where to."""
  folder = tmp_path_factory.mktemp('new') / 'a folder'
  old = {path.name: path.read_bytes() for path in train_dir.iterdir()}
  assert _recalibrate(train_dir, folder) == 0
  assert {path.name: path.read_bytes() for path in train_dir.iterdir()} == old
  return folder


def test_statistics_are_plain_means_over_batches(tmp_path, tiny_dataset):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  checkpoint = write_checkpoint(tmp_path, 'colours', 3)
  options = TrainingOptions(
    model_name='colours', preprocessing_name='lenet', precision='float32', batch_size=4, seed=3
  )
  statistics = batch_norm_statistics.estimate(checkpoint, dataset, options, num_batches=5)
  fn = preprocessing_factory.get_preprocessing('lenet', is_training=True)
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    images, _, _, initializer = inputs.training_batches(dataset, fn, 4, 28, seed=3)
    session.run(initializer)
    seen = np.float64([session.run(images).mean(axis=(1, 2)) for _ in range(5)])
  values = statistics.values
  mean, variance = (values[f'Colours/first/BatchNorm{kind}'] for kind in _STATISTICS)
  np.testing.assert_allclose(mean, seen.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
  # The fused batch norm stores the unbiased variance, of 4 - 1.
  np.testing.assert_allclose(variance, seen.var(axis=1, ddof=1).mean(axis=0), rtol=1e-3)
  # The first one has normalized every batch by itself and then moved it by its beta.
  beta = _values(tmp_path)['Colours/first/BatchNorm/beta']
  np.testing.assert_allclose(values['Colours/second/BatchNorm/moving_mean'], beta, atol=1e-5)
  assert (statistics.num_layers, statistics.num_images) == (2, 20)


def test_nothing_is_left_of_the_old_statistics(tmp_path, tiny_dataset):
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  folder = _write(tmp_path / 'run', tiny_dataset)
  old = batch_norm_statistics.Statistics(dict.fromkeys(_ALL, np.float32([1e6] * 3)), 0, 0, False)
  stale = batch_norm_statistics.write(f'{folder}/model.ckpt-7', old, str(tmp_path / 'stale'))
  options = TrainingOptions(model_name='colours', preprocessing_name='lenet', precision='float32')
  new, expected = (
    batch_norm_statistics.estimate(c, dataset, options, num_batches=1)
    for c in (stale, f'{folder}/model.ckpt-7')
  )
  assert all(np.array_equal(new.values[name], expected.values[name]) for name in _ALL)


def test_only_statistics_change(train_dir, recalibrated):
  assert _changed(_values(train_dir), _values(recalibrated)) == _ALL


def test_new_checkpoint_is_one_that_evaluation_takes(train_dir, recalibrated, tmp_path):
  names = {path.name for path in recalibrated.iterdir()}
  parts = ('data-00000-of-00001', 'index')
  assert names == {'checkpoint', 'run.json', *(f'model.ckpt-7.{part}' for part in parts)}
  assert (recalibrated / 'run.json').read_bytes() == (train_dir / 'run.json').read_bytes()
  argv = (f'--checkpoint_path={recalibrated}', f'--eval_dir={tmp_path}')
  assert run(eval_image_classifier, *argv) == 0
  report = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
  assert report['checkpoint'] == str(recalibrated / 'model.ckpt-7')


def test_it_says_what_it_did(train_dir, tmp_path, capsys):
  flags = ('--num_batches=2', '--batch_size=6', '--num_preprocessing_threads=2')
  assert _recalibrate(train_dir, tmp_path / 'new', *flags) == 0
  said = capsys.readouterr().out
  assert '2 batch norms with the statistics of 12 images for the weights;' in said


def test_one_pass_by_default(recalibrated, train_dir, tmp_path):
  """30 images in the training's batches of 10."""
  assert _recalibrate(train_dir, tmp_path / 'new', '--num_batches=3') == 0
  assert not _changed(_values(tmp_path / 'new'), _values(recalibrated))


def test_the_seed_and_the_split_decide_the_batches(train_dir, tmp_path):
  flags = ('--seed=0', '--seed=1', '--dataset_split_name=validation')
  for i, flag in enumerate(flags):
    assert _recalibrate(train_dir, tmp_path / str(i), flag, '--num_batches=1') == 0
  first, *others = (_values(tmp_path / str(i)) for i in range(3))
  for other in others:
    assert 'Colours/first/BatchNorm/moving_mean' in _changed(first, other)


def test_moving_averages_of_the_weights_get_statistics_of_their_own(tmp_path, tiny_dataset):
  folder = _write(tmp_path / 'run', tiny_dataset, averages=True)
  old = _values(folder)
  for value, suffix in (('auto', SHADOW), ('true', SHADOW), ('false', '')):
    flags = ('--num_batches=1', f'--use_moving_averages={value}')
    assert _recalibrate(folder, tmp_path / value, *flags) == 0
    assert _changed(old, _values(tmp_path / value)) == {name + suffix for name in _ALL}


@pytest.mark.parametrize('flags', [{'finetune': 'head'}, {'batch_norm': 'frozen'}])
def test_statistics_that_training_kept_stay(tmp_path, tiny_dataset, capsys, flags):
  folder = _write(tmp_path / 'run', tiny_dataset, **flags)
  assert _recalibrate(folder, tmp_path / 'new', '--num_batches=1') == 2
  assert 'no batch norm of colours is to get new statistics' in capsys.readouterr().err
  assert not (tmp_path / 'new').exists()
  assert _recalibrate(folder, tmp_path / 'new', '--num_batches=1', '--all_layers') == 0
  assert _changed(_values(folder), _values(tmp_path / 'new')) == _ALL


def test_statistics_of_what_was_trained_only(tmp_path, tiny_dataset):
  folder = _write(tmp_path / 'run', tiny_dataset, trainable_scopes='Colours/second,Colours/Logits')
  assert _recalibrate(folder, tmp_path / 'new', '--num_batches=1') == 0
  changed = _changed(_values(folder), _values(tmp_path / 'new'))
  assert changed == {name for name in _ALL if 'second' in name}


def test_a_checkpoint_without_a_record(tmp_path, tiny_dataset, capsys):
  write_checkpoint(tmp_path / 'run', 'colours', 3)
  assert _recalibrate(tmp_path / 'run', tmp_path / 'new') == 2
  assert 'give --model_name and --dataset_dir.' in capsys.readouterr().err
  flags = ['--model_name=colours', f'--dataset_dir={tiny_dataset}', '--train_image_size=28']
  flags += ['--preprocessing_name=lenet', '--dataset_name=tiny', '--labels_offset=0']
  flags += ['--nouse_grayscale', '--batch_size=10']
  assert _recalibrate(tmp_path / 'run', tmp_path / 'new', *flags) == 0
  assert _changed(_values(tmp_path / 'run'), _values(tmp_path / 'new')) == _ALL


def test_never_over_a_checkpoint(train_dir, recalibrated, capsys):
  for folder in (train_dir, recalibrated, train_dir / 'run.json'):
    assert _recalibrate(train_dir, folder) == 2
    assert 'holds a checkpoint or is none: name a new folder' in capsys.readouterr().err


@pytest.mark.parametrize('flag', ['--num_batches=0', '--batch_size=0', '--train_image_size=0'])
def test_numbers_are_checked(tmp_path, capsys, flag):
  assert _recalibrate('x', tmp_path, flag) == 2
  assert f'{flag} must be at least 1' in capsys.readouterr().err


@pytest.mark.parametrize('missing', ['checkpoint_path', 'output_dir'])
def test_what_must_be_named(capsys, missing):
  given = {'checkpoint_path': 'x', 'output_dir': 'y'}
  given.pop(missing)
  assert run(recalibrate_batch_norm, *(f'--{name}={v}' for name, v in given.items())) == 2
  assert f'with --{missing}.' in capsys.readouterr().err


# Within training.


def _train(train_dir, data, *flags, model='colours', steps=4):
  flags = ('--batch_size=10', f'--max_number_of_steps={steps}', '--precision=float32', *flags)
  flags = (f'--model_name={model}', '--preprocessing_name=lenet', *flags)
  return run(train_image_classifier, f'--train_dir={train_dir}', f'--dataset_dir={data}', *flags)


@pytest.mark.parametrize('averages', [(), ('--moving_average_decay=0.5',)])
def test_the_best_has_new_statistics_and_training_its_own(averages, tmp_path, tiny_dataset):
  flags = ('--eval_every_steps=2', *averages)
  assert _train(tmp_path / 'without', tiny_dataset, *flags) == 0
  assert _train(tmp_path / 'run', tiny_dataset, *flags, '--recalibrate_batch_norm') == 0
  assert _changed(_values(tmp_path / 'without'), _values(tmp_path / 'run')) == set()
  best = json.loads((tmp_path / 'run' / 'best' / 'metrics.json').read_text(encoding='utf-8'))
  values = _values(tmp_path / 'run' / 'best')
  evaluated = _values(tmp_path / 'run' / best['checkpoint'])
  assert _changed(evaluated, values) == {n + SHADOW * len(averages) for n in _ALL}
  argv = (f'--checkpoint_path={tmp_path}/run/best', f'--eval_dir={tmp_path}/eval')
  assert run(eval_image_classifier, *argv, '--precision=float32') == 0
  report = json.loads((tmp_path / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert (report['loss'], report['accuracy']) == (best['loss'], best['accuracy'])
  assert not (tmp_path / 'run' / '.saving').exists()


def test_without_evaluations_the_last_one(tmp_path, tiny_dataset, capsys):
  folder = tmp_path / 'recalibrated'
  for steps in (2, 3):
    assert _train(tmp_path, tiny_dataset, '--recalibrate_batch_norm', steps=steps) == 0
    assert f'worked out again in {folder}/model.ckpt-{steps}.' in capsys.readouterr().out
    assert [path.name for path in folder.glob('*.index')] == [f'model.ckpt-{steps}.index']
    assert _changed(_values(tmp_path), _values(folder)) == _ALL
  files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
  assert _train(tmp_path, tiny_dataset, '--recalibrate_batch_norm', steps=3) == 0
  assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files


@pytest.mark.parametrize(('model', 'flag'), [('lenet', ()), ('colours', ('--batch_norm=frozen',))])
def test_nothing_to_work_out(model, flag, tmp_path, tiny_dataset, capsys):
  flags = ('--recalibrate_batch_norm', '--eval_every_steps=1', *flag)
  assert _train(tmp_path, tiny_dataset, *flags, model=model, steps=1) == 0
  assert '--recalibrate_batch_norm does nothing' in capsys.readouterr().out


def test_a_full_disk(tmp_path, tiny_dataset, monkeypatch, capsys):
  def write(*_):
    raise tf.errors.ResourceExhaustedError(None, None, 'No space left on device')

  monkeypatch.setattr(batch_norm_statistics, 'write', write)
  assert _train(tmp_path, tiny_dataset, '--recalibrate_batch_norm', '--eval_every_steps=1') == 3
  assert 'There is no room left' in capsys.readouterr().err
  assert _values(tmp_path)['global_step'] == 1 and not (tmp_path / '.saving').exists()


def test_the_script_sees_batches_as_the_run_does(tmp_path, tiny_dataset):
  views = ('--preprocessing_name=inception', '--min_crop_area=0.9', '--brightness=0')
  flags = (*views, '--balanced_sampling', '--recalibrate_batch_norm')
  assert _train(tmp_path / 'run', tiny_dataset, *flags) == 0
  assert _recalibrate(tmp_path / 'run', tmp_path / 'new') == 0
  assert _changed(_values(tmp_path / 'run/recalibrated'), _values(tmp_path / 'new')) == set()
