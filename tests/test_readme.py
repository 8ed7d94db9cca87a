"""What the documentation tells people to type works."""

import copy
import importlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from image_classifier import command

REPO = pathlib.Path(__file__).parent.parent
PAGES = ('README.md', 'CONTRIBUTING.md', *sorted(f'docs/{p.name}' for p in REPO.glob('docs/*.md')))
STEPS_IN_THE_TEST = 20


def commands_of(page):
  """Returns the commands of a page's sh blocks as lists of words, continued lines joined."""
  text = (REPO / page).read_text(encoding='utf-8')
  blocks = re.findall(r'^```sh\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  lines = ''.join(blocks).replace('\\\n', ' ').splitlines()
  return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


ALL_COMMANDS = [(page, words) for page in PAGES for words in commands_of(page)]


@pytest.mark.parametrize(
  ('page', 'words'),
  ALL_COMMANDS,
  ids=[' '.join([page, *words[:2]]) for page, words in ALL_COMMANDS],
)
def test_every_command_is_one_that_exists(page, words):
  if words[0] == 'make':
    done = subprocess.run(['make', '--dry-run', *words[1:]], cwd=REPO, stdout=subprocess.DEVNULL)
    assert done.returncode == 0
  elif words[:2] == ['python', 'scripts/make_demo_images.py']:
    assert len(words) == 3 and (REPO / words[1]).exists()
  else:
    assert words[0] == 'python', f'{page}: no test knows how to check {words}'
    module = importlib.import_module(words[1].removesuffix('.py').replace('/', '.'))
    command.parse(copy.deepcopy(module.FLAGS), words[1:])


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_to_files(page):
  text = (REPO / page).read_text(encoding='utf-8')
  for target in re.findall(r'\]\((?!http)([^)#]+)\)', text):
    assert (REPO / page).parent.joinpath(target).exists(), target


@pytest.mark.slow
def test_the_readmes_main_job_runs_in_its_order(tmp_path):
  """The python lines of the README, as they stand but for fewer training steps."""
  job = [words for words in commands_of('README.md') if words[0] == 'python']
  assert len(job) == 7  # draw, convert, train, evaluate, export, freeze, classify
  for words in job:
    arguments = [
      re.sub(r'(--max_number_of_steps)=\d+', rf'\1={STEPS_IN_THE_TEST}', word) for word in words[2:]
    ]
    done = subprocess.run(
      [sys.executable, str(REPO / words[1]), *arguments],
      cwd=tmp_path,
      capture_output=True,
      text=True,
    )
    assert done.returncode == 0, f'{words}: {done.stderr}'
  assert 'score = ' in done.stdout

  text = (REPO / 'README.md').read_text(encoding='utf-8')
  snippet = re.search(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL).group(1)
  (tmp_path / 'picture.jpg').write_bytes((tmp_path / job[-1][-1]).read_bytes())
  snippet += "assert len(predictions) == 1 and 'water' in str(predictions[0])\n"
  environment = {**os.environ, 'PYTHONPATH': str(REPO)}
  subprocess.run([sys.executable, '-c', snippet], cwd=tmp_path, env=environment, check=True)
