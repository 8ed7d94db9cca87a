"""The table of the nets, and the record of one."""

import subprocess
import sys

import pytest
from conftest import REPO

from image_classifier import command
from nets.net_info import NET_INFO
from scripts import list_models


def run(*arguments):
  argv = ['list_models', *arguments]
  return command.run('', list_models.FLAGS, list_models.main, argv, True)


def test_the_table_has_a_line_for_every_net(capsys):
  assert run() == 0
  titles, *lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines] == list(NET_INFO)
  assert titles.split()[0] == 'net'


def test_a_line_says_the_facts(capsys):
  assert run('inception_v*') == 0
  (line,) = [
    line for line in capsys.readouterr().out.splitlines() if line.startswith('inception_v3')
  ]
  assert line.split() == [
    *('inception_v3', '299', '107', 'inception', '27.15', '0', 'yes', 'yes'),
    'InceptionV3/Logits,InceptionV3/AuxLogits',
  ]


@pytest.mark.parametrize(
  ('pattern', 'expected'),
  [
    ('vgg', ['vgg_a', 'vgg_16', 'vgg_19']),
    ('resnet_v?_50', ['resnet_v1_50', 'resnet_v2_50']),
    ('*_200', ['resnet_v1_200', 'resnet_v2_200']),
    ('mobilenet_v1', ['mobilenet_v1']),  # a whole name is that net alone
    ('v1_1', ['resnet_v1_101', 'resnet_v1_152']),
  ],
)
def test_patterns(pattern, expected):
  assert list_models.matching(pattern) == expected


def test_one_net_is_printed_whole(capsys):
  assert run('vgg_16') == 0
  out = capsys.readouterr().out
  facts = dict(line.split(maxsplit=1) for line in out.splitlines()[1:])
  assert list(facts) == list(NET_INFO['vgg_16']._fields)
  assert facts['logits_node'] == 'vgg_16/fc8/squeezed' and facts['softmax_node'] == 'none'
  assert facts['blocks'].startswith('vgg_16/conv1, vgg_16/conv2')
  assert facts['checkpoint_url'].endswith('/vgg_16_2016_08_28.tar.gz')
  assert (facts['labels_offset'], facts['is_video']) == ('1', 'no')


def test_verbose_prints_each_whole(capsys):
  assert run('vgg', '--verbose') == 0
  assert capsys.readouterr().out.count('logits_node') == 3


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [(['lenett'], "did you mean 'lenet'?"), (['vgg', 'lenet'], 'Give one pattern, not 2')],
)
def test_mistakes_are_said_in_one_line(arguments, message, capsys):
  assert run(*arguments) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line


def test_it_answers_without_tensorflow():
  without = (
    'import runpy, sys\n'
    'for name in ("tensorflow", "slim_compat", "numpy"): sys.modules[name] = None\n'
    'sys.argv = ["list_models.py", "lenet"]\n'
    'runpy.run_path("scripts/list_models.py", run_name="__main__")\n'
  )
  done = subprocess.run([sys.executable, '-c', without], cwd=REPO, capture_output=True, text=True)
  assert done.returncode == 0 and 'LeNet/fc4' in done.stdout, done.stderr
