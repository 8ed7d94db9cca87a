"""Weights of classes: from the flag, and from the counts of the data set."""

import json
import shutil

import pytest

from datasets import dataset_factory
from image_classifier.optimization import class_weights
from image_classifier.options import TrainingOptions
from slim_errors import UserError


def _weights(folder, text, **settings):
  options = TrainingOptions(dataset_dir=str(folder), class_weights=text, **settings)
  dataset = dataset_factory.get_dataset(None, 'train', str(folder))
  return class_weights.of_classes(options, dataset)


@pytest.fixture
def uneven(tiny_dataset, tmp_path):
  """A data set that says it has 20, 8 and 2 images of its classes."""
  folder = shutil.copytree(tiny_dataset, tmp_path / 'uneven')
  facts = json.loads((folder / 'dataset.json').read_text(encoding='utf-8'))
  counts = facts['splits']['train']['images_per_class']
  facts['splits']['train']['images_per_class'] = dict(zip(counts, [20, 8, 2], strict=True))
  (folder / 'dataset.json').write_text(json.dumps(facts), encoding='utf-8')
  return folder


def test_auto_makes_all_classes_count_alike(uneven):
  weights = _weights(uneven, 'auto')
  shares = [w * n for w, n in zip(weights, [20, 8, 2], strict=True)]
  assert shares == pytest.approx([10, 10, 10])  # 30 images: 1 each on average


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('none', None),
    ('城市:3', [1.0, 1.0, 3.0]),
    ('sea ice:0.5, forest:2', [2.0, 0.5, 1.0]),
    ('sea ice:0', [1.0, 0.0, 1.0]),
  ],
)
def test_weights_by_name(text, expected, tiny_dataset):
  assert _weights(tiny_dataset, text) == expected


def test_a_name_may_have_a_colon():
  assert class_weights.parse('a:b:2.5,c:1') == {'a:b': 2.5, 'c': 1.0}


@pytest.mark.parametrize('text', ['autos', 'forest', 'forest:x', 'forest:-1', ':1', '', 'a:inf'])
def test_what_is_no_weight(text):
  with pytest.raises(UserError, match='--class_weights: '):
    class_weights.parse(text)


def test_an_unknown_class(tiny_dataset):
  with pytest.raises(UserError, match="'forrest': did you mean 'forest'"):
    _weights(tiny_dataset, 'forrest:2')


def test_nothing_left_to_learn(tiny_dataset):
  with pytest.raises(UserError, match='every class has the weight 0'):
    _weights(tiny_dataset, 'forest:0,sea ice:0,城市:0')


def test_auto_without_counts(tiny_dataset, tmp_path):
  folder = shutil.copytree(tiny_dataset, tmp_path / 'old')
  (folder / 'dataset.json').unlink()
  with pytest.raises(UserError, match='dataset.json, which does not exist'):
    _weights(folder, 'auto')
