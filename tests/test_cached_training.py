"""Training from cached features: when it is done, what it leaves, and how it goes on."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import small_nets

import eval_image_classifier
import train_image_classifier
from datasets import dataset_factory
from image_classifier import checkpoints
from image_classifier.evaluation import predicting, scoring
from image_classifier.features import cached_split
from image_classifier.options import TrainingOptions
from image_classifier.training import cached_inputs, runs
from slim_compat import tf
from slim_errors import UserError

_HEAD = '--trainable_scopes=LeNet/fc4'


@pytest.fixture(scope='module')
def dataset_dir(tiny_dataset, tmp_path_factory):
  """The tiny data set in a folder of its own, in which caches may be."""
  return shutil.copytree(tiny_dataset, tmp_path_factory.mktemp('数据') / 'tiny')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A checkpoint of lenet on 28 x 28 pixels in colour."""
  folder = tmp_path_factory.mktemp('checkpoint')
  return small_nets.write_checkpoint(folder, 'lenet', 3, size=28)


def _train(train_dir, dataset_dir, checkpoint, *arguments, steps=4):
  settings = {'train_dir': train_dir, 'dataset_dir': dataset_dir, 'checkpoint_path': checkpoint}
  settings |= {'model_name': 'lenet', 'batch_size': 5, 'max_number_of_steps': steps}
  flags = [f'--{name}={value}' for name, value in settings.items() if value]
  return small_nets.run(train_image_classifier, *flags, *arguments)


def _values(train_dir, step):
  reader = tf.train.load_checkpoint(f'{train_dir}/model.ckpt-{step}')
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _assert_equal(one, other):
  assert one.keys() == other.keys()
  for name, value in one.items():
    np.testing.assert_array_equal(value, other[name], err_msg=name)


@pytest.fixture(scope='module')
def run(dataset_dir, checkpoint, tmp_path_factory):
  """A train_dir of six steps from the cache, with moving averages and all summaries."""
  folder = tmp_path_factory.mktemp('run')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr('image_classifier.training.loop._DETAIL_SUMMARIES_SECS', 1e-9)
    arguments = [_HEAD, '--cache_features=on', '--moving_average_decay=0.5']
    assert _train(folder, dataset_dir, checkpoint, *arguments, steps=6) == 0
  return folder


def test_the_cache_lies_in_the_folder_of_the_data(run, dataset_dir):
  (store,) = (dataset_dir / '.feature_cache').iterdir()
  assert len(list(store.glob('*.npy'))) == 1
  assert json.loads((run / 'run.json').read_text(encoding='utf-8'))['cached_views'] == 1


def test_the_checkpoint_is_an_ordinary_one(run, dataset_dir, checkpoint, tmp_path):
  arguments = [_HEAD, '--cache_features=off', '--moving_average_decay=0.5']
  assert _train(tmp_path, dataset_dir, checkpoint, *arguments, steps=6) == 0
  cached, plain = _values(run, 6), _values(tmp_path, 6)
  assert {n: v.shape for n, v in cached.items()} == {n: v.shape for n, v in plain.items()}
  frozen = [name for name in cached if 'fc4' not in name and name != 'global_step']
  _assert_equal({n: cached[n] for n in frozen}, {n: plain[n] for n in frozen})
  weights = 'LeNet/fc4/weights'
  assert not np.array_equal(cached[weights], _values(run, 0)[weights])


def _losses(train_dir):
  lines = (train_dir / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return [json.loads(line)['loss'] for line in lines]


def test_losses_are_those_of_the_images(dataset_dir, checkpoint, tmp_path):
  # The training view of lenet's preprocessing is the evaluation view, and a batch is an epoch.
  same = [_HEAD, '--dropout_keep_prob=1', '--batch_size=30', '--log_every_n_steps=1']
  for cache in ('on', 'off'):
    arguments = [*same, f'--cache_features={cache}']
    assert _train(tmp_path / cache, dataset_dir, checkpoint, *arguments) == 0
  np.testing.assert_allclose(_losses(tmp_path / 'on'), _losses(tmp_path / 'off'), rtol=1e-4)


def test_evaluation_works(run, dataset_dir):
  flags = [f'--checkpoint_path={run}', f'--dataset_dir={dataset_dir}']
  assert small_nets.run(eval_image_classifier, *flags, f'--eval_dir={run}/eval') == 0


@pytest.mark.parametrize(
  ('arguments', 'room'),
  [([_HEAD], 1 << 40), ([_HEAD, '--moving_average_decay=0.5'], 1 << 40), ([_HEAD], 0)],
)
def test_evaluation_while_training_takes_features_too(
  arguments, room, run, dataset_dir, checkpoint, tmp_path, monkeypatch
):
  images = []
  predict = predicting.predict
  monkeypatch.setattr(predicting, 'predict', lambda *a, **k: images.append(a) or predict(*a, **k))
  free = iter([1 << 40])  # for the features to train on
  monkeypatch.setattr(cached_split, '_free_bytes', lambda folder: next(free, room))
  cache = ['--cache_features=on', f'--cache_dir={tmp_path}/cache', '--eval_every_steps=2']
  assert _train(tmp_path, dataset_dir, checkpoint, *arguments, *cache) == 0
  lines = (tmp_path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  lines = [line for line in map(json.loads, lines) if 'split' in line]
  assert [line['step'] for line in lines] == [2, 4] and len(images) == (0 if room else 2)
  assert len(list((tmp_path / 'cache').iterdir())) == 1  # an image of both splits has one row
  dataset = dataset_factory.get_dataset(None, 'validation', str(dataset_dir))
  expected = scoring.evaluate(str(tmp_path), dataset, 'lenet', image_size=28)
  assert lines[-1]['accuracy'] == expected['accuracy']
  assert lines[-1]['loss'] == pytest.approx(expected['loss'], rel=1e-4)


def test_it_goes_on_without_the_cache(run, dataset_dir, checkpoint, tmp_path, capsys):
  folder = shutil.copytree(run, tmp_path / 'copy')
  arguments = [_HEAD, '--cache_features=off', '--moving_average_decay=0.5']
  assert _train(folder, dataset_dir, checkpoint, *arguments, steps=7) == 0
  assert 'Training from cached features' not in capsys.readouterr().out
  assert checkpoints.step_of(checkpoints.newest_intact(str(folder))) == 7


def test_a_stopped_run_goes_on_with_the_cache(dataset_dir, checkpoint, tmp_path, capsys):
  changes = ['--rotation=20', '--rand_augment=1', '--contrast=0.3', '--nohorizontal_flip']
  views = [_HEAD, '--cache_features=on', '--cached_views=3', '--preprocessing_name=inception']
  views += changes
  cache = f'--cache_dir={tmp_path}/缓存'
  assert _train(tmp_path / 'whole', dataset_dir, checkpoint, *views, cache, steps=9) == 0
  assert _train(tmp_path / 'parts', dataset_dir, checkpoint, *views, cache, steps=5) == 0
  shutil.copytree(tmp_path / 'parts', tmp_path / 'again')
  for folder, missing in (('parts', 0), ('again', 90)):
    capsys.readouterr()
    assert _train(tmp_path / folder, dataset_dir, None, _HEAD, *changes, cache, steps=9) == 0
    said = capsys.readouterr().out
    assert 'Training from cached features of 3 random views of every image' in said
    assert f'90 of 4,132 bytes, 0.4 MB in {tmp_path}/缓存/' in said
    assert f', {missing} to be computed.' in said
    _assert_equal(_values(tmp_path / 'whole', 9), _values(tmp_path / folder, 9))
    shutil.rmtree(tmp_path / '缓存')  # lost, for the next


# The decision.


def _decision(tiny_dataset, recorded=None, has_checkpoint=True, **settings):
  settings = {'trainable_scopes': 'a', 'batch_size': 10, 'max_number_of_steps': 4, **settings}
  options = TrainingOptions(dataset_dir=str(tiny_dataset), **settings)
  dataset = dataset_factory.get_dataset(None, 'train', str(tiny_dataset))
  patterns = options.trainable_scopes and (options.trainable_scopes,)
  return cached_inputs.num_views(options, dataset, patterns, has_checkpoint, recorded)


@pytest.mark.parametrize(
  ('settings', 'views'),
  [
    ({}, 1),  # 40 images against 30
    ({'max_number_of_steps': 3}, 0),
    ({'max_number_of_steps': 3, 'accumulate_steps': 2}, 1),
    ({'max_number_of_steps': 3, 'cache_features': 'on'}, 1),
    ({'max_number_of_steps': None}, 1),
    ({'max_epochs': 1, 'max_number_of_steps': None}, 0),
    ({'cached_views': 2}, 0),  # 40 images against 60
    ({'cached_views': 2, 'max_number_of_steps': 7}, 2),
    ({'cache_features': 'off'}, 0),
    ({'trainable_scopes': None}, 0),
    ({'batch_norm': 'update'}, 0),
    ({'mixup_alpha': 0.2}, 0),
    ({'vertical_flip': True}, 0),
    ({'hue': 0.1}, 0),
    ({'horizontal_flip': False, 'brightness': 0.0}, 1),  # as in the evaluation view
    ({'vertical_flip': True, 'cached_views': 2, 'max_number_of_steps': 7}, 2),
    ({'has_checkpoint': False}, 0),
    # A run goes on with what it began with.
    ({'recorded': 0}, 0),
    ({'recorded': 0, 'cache_features': 'on'}, 1),
    ({'recorded': 3, 'max_number_of_steps': 1}, 3),
    ({'recorded': 3, 'cache_features': 'off'}, 0),
  ],
)
def test_when_features_are_cached(settings, views, tiny_dataset):
  assert _decision(tiny_dataset, **settings) == views


@pytest.mark.parametrize(
  ('settings', 'reason'),
  [
    ({'trainable_scopes': None}, 'no scope is frozen; name what is trained with --finetune'),
    ({'batch_norm': 'update'}, '--batch_norm=update changes the statistics'),
    ({'has_checkpoint': False}, 'the frozen scopes have no weights; name some with --checkpoint'),
    ({'rotation': '5'}, 'random views need several --cached_views, for --rotation'),
  ],
)
def test_why_features_cannot_be_cached(settings, reason, tiny_dataset):
  with pytest.raises(UserError, match=f'--cache_features=on is impossible: {reason}'):
    _decision(tiny_dataset, cache_features='on', **settings)


@pytest.mark.parametrize(
  ('settings', 'reason'),
  [
    ({'mixup_alpha': 0.2}, '--mixup_alpha, --cutmix_alpha and --random_erasing change the images'),
    ({'hue': 0.1, 'recorded': 1}, 'random views need several --cached_views, for --hue'),
    ({'trainable_scopes': None}, ''),
    ({'has_checkpoint': False}, ''),
  ],
)
def test_a_frozen_trunk_without_a_cache_is_told(settings, reason, tiny_dataset, capsys):
  assert _decision(tiny_dataset, **settings) == 0
  said = capsys.readouterr().out
  assert said.startswith(
    f'Training from images, without cached features: {reason}' if reason else ''
  )
  assert bool(said) is bool(reason)


def test_a_short_run_says_why_it_has_no_cache(dataset_dir, checkpoint, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, checkpoint, _HEAD) == 0
  line = 'Training from images: the run sees 20, and cached features of 30 would have to be'
  assert line in capsys.readouterr().out
  assert json.loads((tmp_path / 'run.json').read_text(encoding='utf-8'))['cached_views'] == 0


_LARGE = '--trainable_scopes=LeNet/fc3,LeNet/fc4'  # 7 * 7 * 64 = 3136 numbers of 28 * 28 * 3 = 2352


def test_features_larger_than_the_image(dataset_dir, checkpoint, tmp_path, capsys):
  cache = f'--cache_dir={tmp_path}/cache'
  assert _train(tmp_path / 'auto', dataset_dir, checkpoint, _LARGE, cache, steps=7) == 0
  said = capsys.readouterr().out
  assert 'The features of an image are 3,136 numbers, more than the image itself' in said
  assert said.count('Training from images.') == 1 and not list((tmp_path / 'cache').iterdir())
  how = ['--cache_features=on', cache]
  assert _train(tmp_path / 'on', dataset_dir, checkpoint, _LARGE, *how, steps=7) == 0
  assert '30 of 12,580 bytes' in capsys.readouterr().out  # 3136 * 4, 32 and 4


def test_a_disk_without_room(dataset_dir, checkpoint, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(cached_split, '_free_bytes', lambda folder: 1 << 30)
  cache = f'--cache_dir={tmp_path}/cache'
  assert _train(tmp_path / 'auto', dataset_dir, checkpoint, _HEAD, cache, steps=7) == 0
  assert 'do not fit into' in capsys.readouterr().out
  how = [_HEAD, cache, '--cache_features=on']
  assert _train(tmp_path / 'on', dataset_dir, checkpoint, *how, steps=7) == 2
  assert 'GB are free: name another disk with --cache_dir.' in capsys.readouterr().err


@pytest.mark.parametrize(('seconds', 'is_cached'), [(0.5, True), (1.5, False)])
def test_a_run_bounded_by_time(
  seconds, is_cached, dataset_dir, checkpoint, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(cached_inputs.cache, 'seconds_per_image', lambda *_: seconds)
  monkeypatch.setattr(cached_inputs.CachedInputs, 'fill', lambda self: 59.99)
  monkeypatch.setattr(cached_inputs.row_batches, 'features', _zeros)
  options = TrainingOptions(
    train_dir=str(tmp_path),
    dataset_dir=str(dataset_dir),
    checkpoint_path=checkpoint,
    model_name='lenet',
    trainable_scopes='LeNet/fc4',
    cache_dir=str(tmp_path / 'cache'),
    max_minutes=1,
    batch_size=5,
  )
  if not is_cached:  # 45 of 60 seconds
    options = dataclasses.replace(options, max_minutes=1.0, max_epochs=40.0)
    monkeypatch.setattr(runs, '_train', _once_refused(runs._train))
    with pytest.raises(StopIteration):
      runs.train(options)
    assert 'would take about 0.8 of the 1 minutes' in capsys.readouterr().out
    return
  # The time that filling took counts, and the share is for runs that learn from images.
  assert runs.train(options, share_from_images=0.5).step < 500
  assert _values_at_end(tmp_path)['elapsed_seconds'] >= 60


def _zeros(rows, store, keys):
  return [tf.zeros([5, *dtype.shape]) for dtype in store.feature_types], tf.no_op()


def _once_refused(train):
  """Returns a function that trains once, and stops before training again."""
  calls = []

  def refused(*arguments):
    calls.append(arguments)
    if len(calls) == 2:
      assert arguments[0].cache_features == 'off'
      raise StopIteration
    return train(*arguments)

  return refused


def _values_at_end(train_dir):
  prefix = checkpoints.newest_intact(str(train_dir))
  return _values(train_dir, checkpoints.step_of(prefix))


def test_where_the_cache_is(tmp_path, monkeypatch):
  options = TrainingOptions(dataset_dir=str(tmp_path / 'data'), train_dir=str(tmp_path / 'run'))
  (tmp_path / 'data').mkdir()
  assert cached_split._root(options) == str(tmp_path / 'data/.feature_cache')
  monkeypatch.setattr('os.access', lambda path, mode: False)
  assert cached_split._root(options) == str(tmp_path / 'run/.feature_cache')
  with pytest.raises(UserError, match=r'--cache_dir=.* cannot be written to\.'):
    cached_split._root(dataclasses.replace(options, cache_dir=str(tmp_path / 'cache')))
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match=r'--cache_dir=.* cannot be made'):
    cached_split._root(dataclasses.replace(options, cache_dir=str(tmp_path / 'file/cache')))


def test_wrong_flags_are_named(dataset_dir, checkpoint, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, checkpoint, '--cached_views=0') == 2
  assert '--cached_views=0 must be at least 1' in capsys.readouterr().err
  with pytest.raises(UserError, match=r"Unknown cache_features 'an'"):
    cached_inputs.check(TrainingOptions(cache_features='an'))
