"""The package's metadata, and the files that stand around the code, agree with one another."""

import importlib
import pathlib
import re
import subprocess

import pytest

try:
  import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest itself brings tomli
  import tomli as tomllib

REPO = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((REPO / 'pyproject.toml').read_text(encoding='utf-8'))['project']
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
MAKE_TARGETS = ('install', 'demo', 'test', 'test-slow', 'lint', 'format', 'bench')


def text_of(name):
  return (REPO / name).read_text(encoding='utf-8')


def requirements():
  return PROJECT['dependencies'] + sum(PROJECT['optional-dependencies'].values(), [])


@pytest.mark.parametrize('name', sorted(PROJECT['scripts']))
def test_console_command_calls_a_command_file(name):
  module, function = PROJECT['scripts'][name].split(':')
  assert function == 'cli'
  assert callable(importlib.import_module(module).cli)


def test_there_are_six_console_commands_each_in_the_readme():
  assert len(PROJECT['scripts']) == 6
  for name, target in PROJECT['scripts'].items():
    assert f'| `{target.split(":")[0]}.py` | `{name}` |' in text_of('README.md')


@pytest.mark.parametrize('requirement', requirements())
def test_every_requirement_is_bounded_on_both_sides(requirement):
  assert re.fullmatch(r'[\w-]+(==[\d.]+|>=[\d.]+,<[\d.]+)', requirement)


@pytest.mark.parametrize('requirement', PROJECT['dependencies'])
def test_every_runtime_dependency_is_justified_in_the_readme(requirement):
  name = re.match(r'[\w-]+', requirement).group()
  assert re.search(rf'^\| `{name}`[^|]*\| \w[^|]+\|$', text_of('README.md'), re.MULTILINE)


def test_the_versions_of_python_agree():
  assert PROJECT['requires-python'] == '>=3.10,<3.14'
  matrix = re.search(r'python: \[(.*)\]', text_of('.github/workflows/ci.yml')).group(1)
  assert tuple(re.findall(r"'([\d.]+)'", matrix)) == PYTHONS


def test_the_changelog_begins_with_this_version():
  assert (
    re.search(r'^## ([\d.]+)', text_of('CHANGELOG.md'), re.MULTILINE).group(1)
    == (PROJECT['version'])
  )


@pytest.mark.parametrize('target', MAKE_TARGETS)
def test_make_knows_the_target(target):
  done = subprocess.run(
    ['make', '--dry-run', target], cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
  )
  assert done.returncode == 0, done.stderr


def test_make_demo_hands_on_paths_with_spaces():
  done = subprocess.run(
    ['make', '--dry-run', 'demo', 'IMAGES=my pictures', 'CHECKPOINT=a b.ckpt', 'MODEL=vgg_16'],
    cwd=REPO,
    capture_output=True,
    text=True,
  )
  assert "--images='my pictures'" in done.stdout
  assert "--checkpoint='a b.ckpt'" in done.stdout
  assert "--model='vgg_16'" in done.stdout


@pytest.mark.parametrize('script', ['.ci/run', *sorted(p.name for p in REPO.glob('scripts/*.sh'))])
def test_shell_scripts_parse_and_stop_on_errors(script):
  path = REPO / script if '/' in script else REPO / 'scripts' / script
  assert subprocess.run(['bash', '-n', str(path)]).returncode == 0
  assert 'set -euo pipefail' in path.read_text(encoding='utf-8')
  assert path.stat().st_mode & 0o111, 'not executable'


def test_the_licence_is_apache_2():
  text = text_of('LICENSE')
  assert 'Apache License' in text and 'Version 2.0, January 2004' in text
  assert PROJECT['license'] == 'Apache-2.0'
