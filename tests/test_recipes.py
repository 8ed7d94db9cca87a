"""Recipes: what --recipe chooses, what flags take back, and fine-tuning in two stages."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from small_nets import run, write_checkpoint

import train_image_classifier
from image_classifier import checkpoints, command, recipes, stages
from image_classifier.options import TrainingOptions
from slim_compat import tf
from slim_errors import UserError

_OPTIONS = {field.name for field in dataclasses.fields(TrainingOptions)}


@pytest.fixture(scope='module')
def dataset_dir(tiny_dataset, tmp_path_factory):
  """The tiny data set in a folder of its own, in which caches may be."""
  return shutil.copytree(tiny_dataset, tmp_path_factory.mktemp('données') / 'tiny')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A checkpoint of lenet on 28 x 28 pixels in colour, of a thousand classes."""
  return write_checkpoint(tmp_path_factory.mktemp('checkpoint'), 'lenet', 9, size=28)


def _arguments(train_dir, dataset_dir, recipe='fine_tune', **flags):
  flags = {'train_dir': train_dir, 'dataset_dir': dataset_dir, 'recipe': recipe} | flags
  flags = {'model_name': 'lenet', 'batch_size': 10, 'precision': 'float32'} | flags
  return [f'--{name}={value}' for name, value in flags.items() if value is not None]


def _train(*arguments, **flags):
  return run(train_image_classifier, *_arguments(*arguments, **flags))


def _resolved(*arguments):
  flags = command.copy.deepcopy(train_image_classifier.FLAGS)
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
  assert not chosen.keys() & given and chosen['optimizer'] == 'adamw'
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
  line = recipes.described('fine_tune', chosen)
  assert line.startswith('Recipe fine_tune: optimizer=adamw ')
  assert line.endswith(' (overridden: learning_rate, label_smoothing)')


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
  assert record['recipe'] == recipe and record['flags']['optimizer'] == 'adamw'
  assert checkpoints.resolve(str(tmp_path / 'best')).endswith('model.ckpt-6')
  assert not (tmp_path / 'head').exists()


def test_legacy_is_told(dataset_dir, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, 'legacy', max_number_of_steps=1) == 0
  assert 'Recipe legacy: optimizer=rmsprop learning_rate=0.01 ' in capsys.readouterr().out


def test_the_recipe_of_a_run_need_not_be_said_again(dataset_dir, tmp_path, capsys):
  assert _train(tmp_path, dataset_dir, 'scratch', max_epochs=1) == 0
  assert _train(tmp_path, dataset_dir, None, max_epochs=2) == 0
  assert 'Recipe scratch' in capsys.readouterr().out
  assert _record(tmp_path)['flags']['learning_rate_decay_type'] == 'one_cycle'
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
    assert _train(folder, dataset_dir, checkpoint_path=checkpoint, max_epochs=2) == 0
  return folder, lines


def test_two_stages(fine_tuned):
  folder, lines = fine_tuned
  told = [line for line in lines if line.startswith(('Recipe', 'Stage'))]
  assert [line[:15] for line in told] == ['Recipe fine_tun', 'Stage 1 of 2: t', 'Stage 2 of 2: a']
  first, second = _record(folder / 'head'), _record(folder)
  assert (first['recipe'], second['recipe']) == ('head', 'fine_tune')
  assert first['cached_views'] == 1 and first['flags']['max_epochs'] == 20
  assert second['flags']['checkpoint_path'] == str(folder / 'head' / 'best')
  assert second['flags']['max_number_of_steps'] == 6
  start, head = _values(folder / 'model.ckpt-0'), _values(folder / 'head' / 'best')
  for name in ('LeNet/fc4/weights', 'LeNet/conv1/weights'):
    np.testing.assert_array_equal(start[name], head[name])
  best = _values(checkpoints.resolve(str(folder / 'best')))
  assert not np.array_equal(best['LeNet/conv1/weights'], start['LeNet/conv1/weights'])
