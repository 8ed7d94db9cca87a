"""Checkpoints are told apart by the names and shapes of their variables."""

import json

import pytest

from image_classifier import recognition
from nets.net_info import NET_INFO

CLASSES = 10  # in the files of facts


def facts_of(shared, name):
  """Returns {variable: shape} of a net, in its training form, from the file of facts."""
  with open(shared / 'spec' / 'nets' / f'{name}.json', encoding='utf-8') as file:
    return {variable: shape for variable, shape, _ in json.load(file)['training_variables']}


@pytest.mark.parametrize('name', NET_INFO)
def test_every_net_is_recognized_as_itself(shared, name):
  shapes = facts_of(shared, name)
  assert recognition.nets_of(shapes) == [name]
  heads = NET_INFO[name].head_prefixes
  trunk = {variable: shape for variable, shape in shapes.items() if not variable.startswith(heads)}
  assert len(trunk) < len(shapes)
  assert recognition.nets_of(trunk) == [name]


@pytest.mark.parametrize('name', NET_INFO)
def test_the_number_of_classes_is_that_of_the_logits(shared, name):
  shapes, info = facts_of(shared, name), NET_INFO[name]
  assert recognition.num_classes(shapes, info) == CLASSES
  shapes |= {f'{v}/ExponentialMovingAverage': s for v, s in shapes.items()}
  assert recognition.num_classes(shapes, info) == CLASSES
  trunk = {v: shape for v, shape in shapes.items() if not v.startswith(info.head_prefixes)}
  assert recognition.num_classes(trunk, info) is None


def test_a_foreign_checkpoint_is_of_no_net():
  assert (
    recognition.nets_of({'Variable': [], 'MobilenetV2/Conv_1/weights': [1, 1, 160, 1280]}) == []
  )
  assert recognition.hint({'Variable': [3]}, NET_INFO['lenet']) == ''


def test_a_hint_names_the_flag_and_never_the_net_itself(shared):
  shapes = facts_of(shared, 'resnet_v1_50')
  expected = 'it looks like resnet_v1_50: pass --model_name=resnet_v1_50'
  assert recognition.hint(shapes, NET_INFO['inception_v3']) == expected
  assert recognition.hint(shapes, NET_INFO['resnet_v1_50']) == ''
