"""The frame of every command: flags as old commands spell them, one-sentence errors, exit codes."""

import subprocess
import sys

import conftest
import pytest

import slim_errors
from image_classifier import command


@pytest.fixture
def flags():
  flags = command.new_flags()
  group = command.FlagGroup(flags, 'Test')
  group.string('dataset_dir', None, 'A folder.')
  group.string('image_dir', 'pic/', 'A folder.', short_name='t')
  group.integer('num_threads', 2, 'Threads.')
  group.float('rate', 0.5, 'A rate.')
  group.boolean('input_binary', False, 'A switch.')
  group.list('names', None, 'Comma-separated.')
  group.enum('mode', 'a', ['a', 'b'], 'One of two.')
  return flags


@pytest.mark.parametrize(
  ('arguments', 'name', 'value'),
  [
    ('--dataset_dir=x', 'dataset_dir', 'x'),
    ('--dataset_dir x', 'dataset_dir', 'x'),
    ('--dataset-dir x', 'dataset_dir', 'x'),
    ('-dataset_dir=a-b', 'dataset_dir', 'a-b'),
    ('-t pic/', 'image_dir', 'pic/'),
    ('--num-threads=3', 'num_threads', 3),
    ('--rate=1e-3', 'rate', 0.001),
    ('--input_binary', 'input_binary', True),
    ('--input_binary true', 'input_binary', True),
    ('--input_binary True', 'input_binary', True),
    ('--input_binary=false', 'input_binary', False),
    ('--noinput_binary', 'input_binary', False),
    ('--names=a,b', 'names', ['a', 'b']),
    ('--mode b', 'mode', 'b'),
    ('--alsologtostderr --rate=2', 'rate', 2.0),
    ('--logtostderr --v=1 --rate=2', 'rate', 2.0),
  ],
)
def test_flags_are_read_as_old_commands_spell_them(flags, arguments, name, value):
  seen = []
  code = command.run('Doc.', flags, lambda f: seen.append(f[name].value), ['x', *arguments.split()])
  assert (code, seen) == (command.EXIT_DONE, [value])


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    ('--datset_dir=x', "did you mean 'dataset_dir'?"),
    ('--num_threads=two', '--num_threads=two'),
    ('--mode=c', '--mode=c'),
    ('stray', "Unexpected argument 'stray'"),
  ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(flags, arguments, words, capsys):
  assert command.run('Doc.', flags, lambda f: None, ['x', *arguments.split()]) == 2
  error = capsys.readouterr().err
  assert error.startswith('error: ') and words in error and error.count('\n') == 1


def test_flagfile(flags, tmp_path):
  (tmp_path / 'flags').write_text('--rate=3\n--names=é,b\n', encoding='utf-8')
  seen = []
  main = lambda f: seen.append((f.rate, f.names))  # noqa: E731
  assert command.run('Doc.', flags, main, ['x', f'--flagfile={tmp_path}/flags']) == 0
  assert seen == [(3.0, ['é', 'b'])]


def _raise(error):
  def main(flags):
    raise error

  return main


@pytest.mark.parametrize(
  ('error', 'code', 'line'),
  [
    (slim_errors.UserError('Name a folder.'), 2, 'error: Name a folder.'),
    (slim_errors.RunError('The loss is nan.'), 3, 'error: The loss is nan.'),
    (OSError('disk full\nmore'), 3, 'error: OSError: disk full (--debug shows where it happened)'),
    (KeyboardInterrupt(), 130, 'Interrupted.'),
  ],
)
def test_errors_have_a_line_and_a_code(flags, error, code, line, capsys):
  assert command.run('Doc.', flags, _raise(error), ['x']) == code
  assert capsys.readouterr().err == line + '\n'


def test_debug_shows_the_traceback(flags, capsys):
  assert command.run('Doc.', flags, _raise(OSError('disk full')), ['x', '--debug']) == 3
  assert 'Traceback' in capsys.readouterr().err


def test_parsing_leaves_the_defaults_for_the_next_run(flags):
  seen = []
  for arguments in (['--rate=1'], []):
    command.run('Doc.', flags, lambda f: seen.append(f.rate), ['x', *arguments])
  assert seen == [1.0, 0.5]


@pytest.mark.parametrize('spelling', ['--help', '-h', '--helpfull'])
def test_help_shows_groups_defaults_and_meanings(flags, spelling, capsys):
  assert command.run('What it does.', flags, lambda f: 1, ['x', spelling]) == 0
  shown = capsys.readouterr().out
  assert shown.startswith('What it does.')
  for words in ('Test:', '-t, --image_dir=pic/', '--rate=0.5', 'Threads.'):
    assert words in shown


def test_a_reader_that_has_seen_enough_is_no_error():
  command_line = (
    f'"{sys.executable}" train_image_classifier.py --help | head -n 1; exit ${{PIPESTATUS[0]}}'
  )
  done = subprocess.run(
    ['bash', '-c', command_line], capture_output=True, text=True, cwd=conftest.REPO
  )
  assert (done.returncode, done.stderr) == (0, '')


def test_verbosity(flags):
  import logging

  for v, level in ((-1, logging.WARNING), (1, logging.DEBUG), (0, logging.INFO)):
    command.run('Doc.', flags, lambda f: None, ['x', f'--v={v}'])
    assert logging.getLogger('tensorflow').level == level


def test_the_level_set_by_a_command_survives_the_import_of_tensorflow():
  program = (
    'import logging; logging.getLogger("tensorflow").setLevel(logging.WARNING); '
    'from slim_compat import tf; tf.logging.info("hidden"); tf.logging.warning("shown")'
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, cwd=conftest.REPO
  )
  assert done.stderr == 'WARNING:tensorflow:shown\n'


def test_help_of_training_needs_no_tensorflow(tmp_path):
  program = (
    'import sys, train_image_classifier as t; '
    'code = t.command.run("", t.FLAGS, t.main, ["x", "--help"]); '
    'sys.exit(code or "tensorflow" in sys.modules)'
  )
  done = subprocess.run([sys.executable, '-c', program], capture_output=True, cwd=conftest.REPO)
  assert done.returncode == 0, done.stderr
