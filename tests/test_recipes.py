"""Recipes: what --recipe chooses, what flags take back, and fine-tuning in two stages."""

import copy
import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
from conftest import TINY_CLASSES
from small_nets import run, write_checkpoint, write_run

import train_image_classifier
from image_classifier import checkpoints, command, run_length
from image_classifier.options import TrainingOptions
from image_classifier.training import loop, recipes, runs, stages, validation
from slim_compat import tf
from slim_errors import UserError

_PERIOD = recipes.HEAD_STAGE['eval_every_epochs']
_OPTIONS = {field.name for field in dataclasses.fields(TrainingOptions)}


@pytest.fixture(scope='module')
def dataset_dir(tiny_dataset, tmp_path_factory):
  """The tiny data set in a folder of its own, in which caches may be."""
  return shutil.copytree(tiny_dataset, tmp_path_factory.mktemp('données') / 'tiny')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A checkpoint of lenet on 28 x 28 pixels in colour, of nine classes."""
  return write_checkpoint(tmp_path_factory.mktemp('checkpoint'), 'lenet', 9, size=28)


def _arguments(train_dir, dataset_dir, recipe='fine_tune', **flags):
  flags = {'train_dir': train_dir, 'dataset_dir': dataset_dir, 'recipe': recipe} | flags
  flags = {'model_name': 'lenet', 'batch_size': 10, 'precision': 'float32'} | flags
  return [f'--{name}={value}' for name, value in flags.items() if value is not None]


def _train(*arguments, **flags):
  return run(train_image_classifier, *_arguments(*arguments, **flags))


def _resolved(*arguments):
  flags = copy.deepcopy(train_image_classifier.FLAGS)
  command.parse(flags, ['train', '--dataset_dir=.', *arguments])
  return train_image_classifier.checked_options(flags)


def _record(train_dir):
  return json.loads((train_dir / 'run.json').read_text(encoding='utf-8'))


def _values(prefix):
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _assert_equal(one, other):
  assert one.keys() == other.keys()
  for name, value in one.items():
    np.testing.assert_array_equal(value, other[name], err_msg=name)


# What a recipe chooses.


@pytest.mark.parametrize('recipe', recipes.RECIPES)
def test_tables_name_options_in_their_types(recipe):
  flags = train_image_classifier.FLAGS
  for table in (recipes.RECIPES[recipe], recipes.HEAD_STAGE):
    assert table.keys() <= _OPTIONS
    for name, value in table.items():
      assert (
        flags[name].parser.parse(str(value)) == value
        and type(value) is not int
        or (flags[name].flag_type() == 'int')
      )


def test_left_out_is_research_slims(tmp_path, capsys):
  assert _resolved(f'--train_dir={tmp_path}') == _resolved(
    f'--train_dir={tmp_path}', '--recipe=legacy'
  )
  assert capsys.readouterr().out == ''


def test_given_flags_win(tmp_path):
  given = {'learning_rate': 0.02, 'label_smoothing': 0.0}
  chosen = recipes.choices('fine_tune', given)
  assert not chosen.keys() & given
  flags = [f'--{name}={value}' for name, value in given.items()]
  found = _resolved('--recipe=fine_tune', '--checkpoint_path=x', f'--train_dir={tmp_path}', *flags)
  expected = TrainingOptions(
    train_dir=str(tmp_path),
    dataset_dir='.',
    checkpoint_path='x',
    recipe='fine_tune',
    **chosen | given,
  )
  assert found == expected
  line = recipes.described(found)
  assert line.startswith(f'Recipe fine_tune: optimizer={chosen["optimizer"]} ')
  assert line.endswith(' (overridden: learning_rate, label_smoothing)')


def test_a_choice_that_the_preprocessing_lacks_is_not_overridden():
  options = TrainingOptions(
    recipe='fine_tune', model_name='lenet', **recipes.choices('fine_tune', {'model_name': 'lenet'})
  )
  assert 'overridden' not in recipes.described(options)


@pytest.mark.parametrize(
  ('recipe', 'given', 'dropped'),
  [
    ('head', {'trainable_scopes': 'LeNet/fc4'}, {'finetune'}),
    ('head', {'max_minutes': 5.0}, set()),
    ('head', {'max_number_of_steps': 5}, {'max_epochs'}),
    ('fine_tune', {'max_minutes': 5.0}, {'max_epochs'}),
    ('fine_tune', {'eval_every_steps': 5}, {'eval_every_epochs'}),
    ('fine_tune', {'warmup_steps': 5}, {'warmup_epochs'}),
    ('fine_tune', {'learning_rate_decay_type': 'one_cycle'}, {'warmup_epochs'}),
    ('fine_tune', {'optimizer': 'adamw'}, set()),
    ('fine_tune', {'model_name': 'resnet_v1_50'}, set()),
    ('fine_tune', {'model_name': 'lenet'}, {'min_crop_area'}),
    ('fine_tune', {'preprocessing_name': 'cifarnet'}, {'min_crop_area'}),
    ('head', {'optimizer': 'adam', 'learning_rate': 0.01}, {'decoupled_weight_decay'}),
    (
      'fine_tune',
      {'optimizer': 'ftrl', 'learning_rate': 0.1},
      {'opt_epsilon', 'decoupled_weight_decay'},
    ),
  ],
)
def test_what_gives_way_with_a_flag(recipe, given, dropped):
  table, chosen = recipes.RECIPES[recipe], recipes.choices(recipe, given)
  assert table.keys() - chosen.keys() - given.keys() == dropped


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (['--recipe=head'], '--recipe=head starts from a pretrained net: name its checkpoint'),
    (['--recipe=fine_tune'], 'name its checkpoint with --checkpoint_path'),
    (['--recipe=scratch', '--checkpoint_path=x'], 'leave out --checkpoint_path'),
    (['--recipe=scratch', '--finetune=head'], 'leave out --finetune'),
    (['--recipe=scratch', '--optimizer=sgd'], 'give --learning_rate along with --optimizer=sgd'),
    (['--recipe=fine_tune', '--checkpoint_path=x', '--finetune=head'], 'take --recipe=head'),
    (['--recipe=fine'], 'fine_tune'),
  ],
)
def test_what_makes_no_sense(flags, words, tmp_path, capsys):
  arguments = ['--dataset_dir=.', f'--train_dir={tmp_path}', *flags]
  assert run(train_image_classifier, *arguments) == 2
  assert words in capsys.readouterr().err


def test_an_unknown_recipe_of_a_record():
  with pytest.raises(UserError, match='fine_tune'):
    recipes.choices('fine_tun', {})


# One stage.


@pytest.mark.parametrize('recipe', ['head', 'scratch'])
def test_one_stage(recipe, dataset_dir, checkpoint, tmp_path, capsys):
  start = {'checkpoint_path': checkpoint} if recipe == 'head' else {}
  assert _train(tmp_path, dataset_dir, recipe, max_epochs=2, **start) == 0
  said = capsys.readouterr().out
  assert f'Recipe {recipe}: ' in said and '(overridden: max_epochs)' in said
  record = _record(tmp_path)
  chosen = recipes.RECIPES[recipe] | {'max_epochs': 2.0}
  assert record['recipe'] == recipe and chosen.items() <= record['flags'].items()
  assert checkpoints.resolve(str(tmp_path / 'best')).endswith('model.ckpt-6')
  assert not (tmp_path / 'head').exists()


def test_legacy_is_told(dataset_dir, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, 'legacy', max_number_of_steps=1) == 0
  assert 'Recipe legacy: optimizer=rmsprop learning_rate=0.01 ' in capsys.readouterr().out


def test_the_recipe_of_a_run_need_not_be_said_again(dataset_dir, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, 'scratch', max_epochs=1) == 0
  assert _train(tmp_path, dataset_dir, None, max_epochs=2) == 0
  assert 'Recipe scratch' in capsys.readouterr().out
  rate = recipes.RECIPES['scratch']['learning_rate']
  assert _record(tmp_path)['flags']['learning_rate'] == rate
  assert _train(tmp_path, dataset_dir, 'legacy', max_epochs=3) == 2
  assert 'recipe: scratch there, legacy now' in capsys.readouterr().err


@pytest.mark.parametrize('split', [{}, {'validation': {'num_images': 0, 'shards': []}}])
def test_without_a_validation_split(split, dataset_dir, tmp_path, capsys):
  folder = shutil.copytree(dataset_dir, tmp_path / 'data')
  listed = json.loads((folder / 'dataset.json').read_text(encoding='utf-8'))
  counts = dict.fromkeys(listed['classes'], 0)
  splits = {name: facts | {'images_per_class': counts} for name, facts in split.items()}
  listed['splits'] = {'train': listed['splits']['train'], **splits}
  (folder / 'dataset.json').write_text(json.dumps(listed), encoding='utf-8')
  options = TrainingOptions(
    train_dir=str(tmp_path), dataset_dir=str(folder), eval_every_epochs=5.0, model_name='lenet'
  )
  found = stages.without_missing_split(options)
  assert found == dataclasses.replace(options, eval_every_epochs=None)
  assert "has no images in a split 'validation'" in capsys.readouterr().out
  asked_for = dataclasses.replace(options, eval_split='test')
  assert stages.without_missing_split(asked_for) == asked_for


# Two stages.


@pytest.fixture(scope='module')
def fine_tuned(dataset_dir, checkpoint, tmp_path_factory):
  """A train_dir of --recipe=fine_tune, and what was printed."""
  folder = tmp_path_factory.mktemp('run')
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr('builtins.print', lambda *texts, **_: lines.append(' '.join(map(str, texts))))
    flags = {'checkpoint_path': checkpoint, 'max_epochs': 2, 'eval_every_epochs': 1}
    assert _train(folder, dataset_dir, **flags) == 0
  return folder, lines


def test_two_stages(fine_tuned):
  folder, lines = fine_tuned
  told = [line for line in lines if line.startswith(('Recipe', 'Stage'))]
  assert [line[:15] for line in told] == ['Recipe fine_tun', 'Stage 1 of 2: t', 'Stage 2 of 2: a']
  first, second = _record(folder / 'head'), _record(folder)
  assert (first['recipe'], second['recipe']) == ('head', 'fine_tune')
  assert first['cached_views'] == 1
  assert recipes.HEAD_STAGE.items() <= first['flags'].items()
  assert second['flags']['checkpoint_path'] == str(folder / 'head' / 'best')
  assert (second['flags']['max_epochs'], second['flags']['max_number_of_steps']) == (2, None)
  assert (folder / 'model.ckpt-6.index').is_file()
  start, head = _values(folder / 'model.ckpt-0'), _values(folder / 'head' / 'best')
  for name in ('LeNet/fc4/weights', 'LeNet/conv1/weights'):
    np.testing.assert_array_equal(start[name], head[name])
  best = _values(checkpoints.resolve(str(folder / 'best')))
  assert not np.array_equal(best['LeNet/conv1/weights'], start['LeNet/conv1/weights'])


def test_the_same_command_keeps_nothing_that_is_worth_a_line(
  fine_tuned, dataset_dir, checkpoint, capsys
):
  flags = {'checkpoint_path': checkpoint, 'max_epochs': 2, 'eval_every_epochs': 1}
  assert _train(fine_tuned[0], dataset_dir, **flags) == 0
  said = capsys.readouterr().out
  assert 'has reached step 6 already' in said and 'Kept of the run' not in said
  assert 'The run goes on with' not in said


def _stop_at(step, folder, monkeypatch):
  """Makes the evaluation of a step in a folder ask the run to stop."""
  write = validation.Validation._write_events

  def stop(self, evaluated, scalars):
    write(self, evaluated, scalars)
    if self._options.train_dir == str(folder) and evaluated == step:
      signal.raise_signal(signal.SIGTERM)

  monkeypatch.setattr(validation.Validation, '_write_events', stop)


def _interrupt(*_):
  raise KeyboardInterrupt


@pytest.mark.parametrize('where', ['head', 'between', 'rest'])
def test_a_stopped_run_goes_on_by_its_folder(
  where, fine_tuned, dataset_dir, checkpoint, tmp_path, monkeypatch
):
  folder = tmp_path / 'run'
  arguments = (folder, dataset_dir)
  flags = {'checkpoint_path': checkpoint, 'max_epochs': 2, 'eval_every_epochs': 1}
  if where == 'between':
    monkeypatch.setattr(stages, '_seconds', _interrupt)
  else:
    first = round(3 * recipes.HEAD_STAGE['eval_every_epochs'])  # of three steps
    step, stopped = (first, folder / 'head') if where == 'head' else (3, folder)
    _stop_at(step, stopped, monkeypatch)
  assert _train(*arguments, **flags) == (130 if where == 'between' else 143)
  monkeypatch.undo()
  assert recipes.has_checkpoint(str(folder)) == (where == 'rest')
  kept = {path: path.stat().st_mtime_ns for path in (folder / 'head').glob('model.ckpt-*')}
  if where == 'rest':
    shutil.rmtree(folder / 'head')  # which nobody looks at any more
  assert run(train_image_classifier, f'--train_dir={folder}') == 0
  _assert_equal(_values(folder / 'model.ckpt-6'), _values(fine_tuned[0] / 'model.ckpt-6'))
  if where == 'between':
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.fixture
def told(monkeypatch):
  """What runs.train is asked for, without doing it."""
  calls = []

  def train(options, spent_seconds=0.0, share_from_images=1.0):
    calls.append((options, spent_seconds, share_from_images))
    return loop.Result(1, 1.0, None)

  monkeypatch.setattr(runs, 'train', train)
  monkeypatch.setattr(stages, '_seconds', lambda train_dir: 12.0)
  return calls


def _options(train_dir, dataset_dir, checkpoint, **settings):
  settings = {'model_name': 'lenet', 'recipe': 'fine_tune', **settings}
  folders = {'train_dir': str(train_dir), 'dataset_dir': str(dataset_dir)}
  return TrainingOptions(**folders, checkpoint_path=str(checkpoint), **settings)


@pytest.mark.parametrize(
  ('settings', 'minutes', 'epochs', 'in_second'),
  [
    ({'max_minutes': 5.0, 'eval_every_steps': 7, 'cache_features': 'on'}, 5.0, _PERIOD, 'auto'),
    ({'max_minutes': 5.0, 'cache_features': 'off'}, 5.0, None, 'off'),
    ({'max_number_of_steps': 3, 'eval_every_epochs': 1.0}, None, _PERIOD, 'auto'),
  ],
)
def test_the_stage_of_the_head(
  settings, minutes, epochs, in_second, dataset_dir, checkpoint, tmp_path, told
):
  settings |= {'vertical_flip': True, 'mixup_alpha': 0.2, 'moving_average_decay': 0.9}
  options = _options(tmp_path, dataset_dir, checkpoint, batch_size=3, seed=4, **settings)
  stages.train(options)
  (first, *of_first), (second, *of_second) = told
  assert (of_first, of_second) == ([0.0, 0.5], [12.0, 1.0])
  assert second == dataclasses.replace(
    options, checkpoint_path=f'{tmp_path}/head', cache_features=in_second
  )
  assert (first.train_dir, first.recipe, first.finetune) == (f'{tmp_path}/head', 'head', 'head')
  assert (first.max_minutes, first.max_number_of_steps) == (minutes, None)
  assert first.eval_every_steps is None
  assert (first.eval_every_epochs, first.batch_size, first.seed) == (epochs, 3, 4)
  assert (first.vertical_flip, first.mixup_alpha, first.moving_average_decay) == (False, 0.0, None)


@pytest.mark.parametrize(
  ('names', 'settings', 'is_left_out'),
  [
    (TINY_CLASSES, {}, True),
    (TINY_CLASSES, {'checkpoint_exclude_scopes': 'LeNet/fc4'}, False),
    (('a', 'b', 'c'), {}, False),
  ],
)
def test_a_head_of_these_classes(names, settings, is_left_out, dataset_dir, tmp_path, told, capsys):
  prefix = write_checkpoint(tmp_path / 'old', 'lenet', 3, size=28)
  write_run(tmp_path / 'old', 'lenet', names)
  stages.train(_options(tmp_path / 'new', dataset_dir, prefix, **settings))
  assert len(told) == (1 if is_left_out else 2)
  assert ('is left out' in capsys.readouterr().out) == is_left_out
  if is_left_out:
    assert told[0][0].checkpoint_path == prefix


def test_a_run_by_another_recipe_is_not_touched(dataset_dir, checkpoint, tmp_path, told):
  write_run(tmp_path, 'lenet', TINY_CLASSES)  # from before there were recipes
  with pytest.raises(UserError, match='recipe: legacy there, fine_tune now'):
    stages.train(_options(tmp_path, dataset_dir, checkpoint))
  assert told == []


def test_wrong_settings_of_the_second_stage_come_first(dataset_dir, checkpoint, tmp_path, told):
  for settings in ({'optimizer': 'adamm'}, {'finetune': 'from:conv9'}):
    with pytest.raises(UserError, match='conv1|adamw'):
      stages.train(_options(tmp_path, dataset_dir, checkpoint, **settings))
  assert told == []


@pytest.mark.parametrize(('metric', 'said'), [('accuracy', True), ('loss', False)])
def test_a_head_that_was_better_is_told(
  metric, said, dataset_dir, checkpoint, tmp_path, told, capsys, monkeypatch
):
  head = {'accuracy': 0.75, 'loss': 1.0}
  found = {f'{tmp_path}/head/best': head, f'{tmp_path}/best': {'accuracy': 0.5, 'loss': 0.5}}
  monkeypatch.setattr(validation, 'read_best', found.get)
  stages.train(_options(tmp_path, dataset_dir, checkpoint, best_metric=metric))
  is_said = 'The head alone was better: accuracy 0.750, now 0.500.' in capsys.readouterr().out
  assert is_said == said


def test_time_before_the_first_step_is_not_of_the_schedule():
  with tf.Graph().as_default(), tf.Session() as session:
    times = run_length.times()
    session.run(tf.global_variables_initializer())
    run_length.spend(times, session, 60, is_new=True)
    shares = [session.run(run_length.share(times, 3))]
    run_length.spend(times, session, 60, is_new=False)  # as a resumed run does
    shares.append(session.run(run_length.share(times, 3)))
    late = session.run(run_length.share(times, 1))
    assert session.run(times) == (120, 60)
  assert shares == [0.0, 0.5] and np.isfinite(late)
