"""Flags that change nothing beside the others are told."""

import dataclasses

import pytest

import train_image_classifier
from image_classifier.optimization import optimizers, schedules
from image_classifier.options import TrainingOptions
from image_classifier.training import idle_flags
from tests.small_nets import run

_NAMES = {field.name for field in dataclasses.fields(TrainingOptions)}


@pytest.mark.parametrize(
  ('settings', 'idle'),
  [
    ({'adam_beta1': 0.5, 'optimizer': 'sgd'}, ['adam_beta1']),
    ({'adam_beta1': 0.5, 'optimizer': 'lamb'}, []),
    ({'momentum': 0.5}, []),  # of RMSProp, too
    ({'end_learning_rate': 0.1}, ['end_learning_rate']),
    ({'end_learning_rate': 0.1, 'learning_rate_decay_type': 'cosine'}, []),
    ({'rand_augment_magnitude': 5.0}, ['rand_augment_magnitude']),
    ({'rand_augment_magnitude': 5.0, 'rand_augment': 2}, []),
    ({'best_metric': 'loss', 'eval_split': 'test'}, ['eval_split', 'best_metric']),
    ({'best_metric': 'loss', 'eval_every_epochs': 0.5}, []),
    ({'ignore_missing_vars': True}, ['ignore_missing_vars']),
    ({'cached_views': 2, 'cache_dir': 'c'}, ['cached_views', 'cache_dir']),
    ({'cache_dir': 'c', 'finetune': 'all'}, ['cache_dir']),
    ({'cache_dir': 'c', 'finetune': 'head', 'cache_features': 'off'}, ['cache_dir']),
    ({'cache_dir': 'c', 'finetune': 'head'}, []),
    ({'cache_dir': 'c', 'trainable_scopes': 'LeNet/fc4'}, []),
    ({'cache_dir': 'c', 'recipe': 'fine_tune'}, []),  # in its first stage
    ({'batch_norm_decay': 0.9, 'batch_norm': 'frozen'}, ['batch_norm_decay']),
    ({'batch_norm_decay': 0.9}, []),
    ({'layer_decay': 0.9, 'finetune': 'head'}, ['layer_decay']),
    ({'layer_decay': 0.9, 'finetune': 'from:LeNet/fc3'}, []),
  ],
)
def test_which_are_idle(settings, idle):
  found = idle_flags.sentences(TrainingOptions(**settings), settings)
  assert [sentence.split()[0] for sentence in found] == [f'--{name}' for name in idle]


def test_tables_name_what_there_is():
  assert {*idle_flags._OF_OPTIMIZERS, *idle_flags._OF_SCHEDULES, *idle_flags._NEEDS} <= _NAMES
  for table, known in (
    (idle_flags._OF_OPTIMIZERS, optimizers.OPTIMIZERS),
    (idle_flags._OF_SCHEDULES, schedules.SCHEDULES),
  ):
    assert {user for users in table.values() for user in users} <= set(known)


def test_they_are_told(tiny_dataset, tmp_path, capsys):
  arguments = [f'--dataset_dir={tiny_dataset}', f'--train_dir={tmp_path}/run', '--batch_size=2']
  arguments += ['--model_name=lenet', '--max_number_of_steps=0', '--optimizer=sgd', '--momentum=0']
  assert run(train_image_classifier, *arguments) == 0
  expected = '--momentum has no effect: --optimizer=sgd does not use it.'
  assert capsys.readouterr().err.startswith(expected)
