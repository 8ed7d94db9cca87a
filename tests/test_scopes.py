"""Which variables a scope names, and what a mistyped one is told."""

import pytest

from image_classifier import scopes
from nets.net_info import net_info
from slim_errors import UserError

NAMES = [
  'InceptionV3/Conv2d_1a_3x3/weights',
  'InceptionV3/Mixed_7a/Branch_0/Conv2d_0a_1x1/weights',
  'InceptionV3/Logits/Conv2d_1c_1x1/weights',
  'InceptionV3/AuxLogits/Conv2d_1b_1x1/weights',
]


def test_lists_are_split_at_commas():
  assert scopes.split_list('a/b, c,,') == ('a/b', 'c')
  assert scopes.split_list(None) == scopes.split_list('') == ()


@pytest.mark.parametrize(
  ('name', 'patterns', 'expected'),
  [
    ('InceptionV3/Logits/weights', ('InceptionV3/Logits',), True),
    ('InceptionV3/AuxLogits/weights', ('InceptionV3/Logits',), False),
    ('InceptionV3/AuxLogits/weights', ('InceptionV3/.*Logits',), True),
    ('a/InceptionV3/Logits', ('InceptionV3/Logits',), False),
  ],
)
def test_trainable_scopes_match_as_collections_do(name, patterns, expected):
  assert scopes.matches_any(name, patterns) is expected


def _trained(model_name, spec, names):
  patterns = scopes.finetune_scopes(spec, net_info(model_name))
  return [name for name in names if patterns is None or scopes.matches_any(name, patterns)]


def test_finetune_of_inception_v3():
  assert _trained('inception_v3', 'head', NAMES) == NAMES[2:]
  assert _trained('inception_v3', 'from:Mixed_7a', NAMES) == NAMES[1:]
  assert _trained('inception_v3', 'from:InceptionV3/Mixed_7a', NAMES) == NAMES[1:]
  assert _trained('inception_v3', 'from:Mixed_7b', NAMES) == NAMES[2:]
  assert _trained('inception_v3', 'all', NAMES) == NAMES


def test_a_block_is_not_taken_for_one_whose_name_it_starts():
  names = ['MobilenetV2/expanded_conv_1/expand/weights', 'MobilenetV2/expanded_conv_16/x/weights']
  assert _trained('mobilenet_v2', 'from:expanded_conv_16', names) == names[1:]
  assert _trained('mobilenet_v2', 'from:expanded_conv_1', names) == names


@pytest.mark.parametrize(
  ('spec', 'words'),
  [
    ('tail', 'is not one of head, from:SCOPE and all'),
    ('from:', 'is not one of head'),
    ('from:Mixed_7z', "did you mean 'Mixed_7"),
  ],
)
def test_wrong_finetune(spec, words):
  with pytest.raises(UserError, match=words):
    scopes.finetune_scopes(spec, net_info('inception_v3'))


def test_a_scope_that_trains_nothing_is_refused_with_the_nearest():
  with pytest.raises(UserError, match="starts with 'InceptionV3/Logit_'; .*InceptionV3/Logits"):
    scopes.check_trainable_scopes(['InceptionV3/Logit_'], NAMES)
  with pytest.raises(UserError, match='is not a valid scope'):
    scopes.check_trainable_scopes(['InceptionV3/(Logits'], NAMES)
  scopes.check_trainable_scopes(['InceptionV3/Logits', 'InceptionV3/AuxLogits'], NAMES)
