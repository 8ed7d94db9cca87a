"""Finding checkpoints by every usual spelling, and saying what is wrong with one."""

import shutil

import pytest

from image_classifier import checkpoints
from image_classifier.evaluation import restoring
from slim_compat import tf
from slim_errors import UserError


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A train_dir with checkpoints of the steps 0, 5 and 12."""
  folder = tmp_path_factory.mktemp('run')
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('a/weights', [2, 3])
    tf.get_variable('b', [])
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver(save_relative_paths=True)
    for step in (0, 5, 12):
      saver.save(session, f'{folder}/model.ckpt', global_step=step)
  return folder


@pytest.mark.parametrize(
  ('spelling', 'step'),
  [
    ('', 12),
    ('/', 12),
    ('/model.ckpt-5', 5),
    ('/model.ckpt-5.index', 5),
    ('/model.ckpt-5.meta', 5),
    ('/model.ckpt-5.data-00000-of-00001', 5),
  ],
)
def test_every_spelling_is_resolved(run, spelling, step):
  prefix = checkpoints.resolve(str(run) + spelling)
  assert prefix.endswith(f'model.ckpt-{step}')
  assert checkpoints.step_of(prefix) == step


def test_variables(run):
  assert checkpoints.variables(f'{run}/model.ckpt-5') == {'a/weights': [2, 3], 'b': []}


def test_a_name_without_a_step(tmp_path):
  assert checkpoints.step_of(f'{tmp_path}/inception_v3.ckpt') is None


def test_a_moved_folder_still_works(run, tmp_path):
  shutil.copytree(run, tmp_path / 'moved')
  state = tmp_path / 'moved' / 'checkpoint'
  text = state.read_text().replace('"model', f'"{tmp_path}/gone/model')
  state.write_text(text)
  assert checkpoints.resolve(f'{tmp_path}/moved') == f'{tmp_path}/moved/model.ckpt-12'


def test_without_the_checkpoint_file_the_highest_step_counts(run, tmp_path):
  shutil.copytree(run, tmp_path / 'copy')
  (tmp_path / 'copy' / 'checkpoint').unlink()
  assert checkpoints.newest_intact(str(tmp_path / 'copy')).endswith('-12')


def test_an_incomplete_newest_checkpoint_is_passed_over(run, tmp_path):
  shutil.copytree(run, tmp_path / 'copy')
  (tmp_path / 'copy' / 'model.ckpt-12.data-00000-of-00001').unlink()
  assert checkpoints.newest_intact(str(tmp_path / 'copy')).endswith('-5')


def _without_data(folder):
  (folder / 'model.ckpt-5.data-00000-of-00001').unlink()
  return folder / 'model.ckpt-5'


@pytest.mark.parametrize(
  ('spoil', 'words'),
  [
    (lambda folder: folder / 'nothing', 'nothing.index does not exist; '),
    (lambda folder: folder / 'no' / 'where', 'that folder does not exist'),
    (_without_data, 'has no .*data-00000-of-00001 beside it'),
    (lambda folder: '', 'No checkpoint was named'),
  ],
)
def test_what_is_wrong_is_said(run, tmp_path, spoil, words):
  shutil.copytree(run, tmp_path / 'copy')
  with pytest.raises(UserError, match=words):
    checkpoints.resolve(str(spoil(tmp_path / 'copy')))


def test_other_files_beside_a_checkpoint_do_not_count(run, tmp_path):
  shutil.copytree(run, tmp_path / 'copy')
  for end in (':Zone.Identifier', '.part', '.tempstate123'):
    (tmp_path / 'copy' / f'model.ckpt-12.data-00000-of-00001{end}').write_bytes(b'')
  assert checkpoints.resolve(f'{tmp_path}/copy').endswith('-12')
  (tmp_path / 'copy' / 'model.ckpt-12.data-00000-of-00001').unlink()
  with pytest.raises(UserError, match='has no .*data-00000-of-00001 beside it'):
    checkpoints.resolve(f'{tmp_path}/copy/model.ckpt-12')


def test_a_renamed_checkpoint_beside_a_record_is_sound(run, tmp_path):
  for end in ('index', 'data-00000-of-00001'):
    shutil.copy(run / f'model.ckpt-5.{end}', tmp_path / f'model.ckpt.{end}')
  (tmp_path / 'run.json').write_text('{}')
  assert checkpoints.resolve(str(tmp_path)) == f'{tmp_path}/model.ckpt'


@pytest.mark.parametrize(('name', 'is_fine'), [('run [1]', False), ('a\\b', False), ('r]*[', True)])
def test_paths_that_are_patterns_to_tensorflow_are_refused(run, tmp_path, name, is_fine):
  shutil.copytree(run, tmp_path / name)
  if is_fine:
    assert checkpoints.load(f'{tmp_path}/{name}').shapes() == {'a/weights': [2, 3], 'b': []}
    return
  with pytest.raises(UserError, match='in the path of a checkpoint for a pattern; rename'):
    checkpoints.resolve(f'{tmp_path}/{name}')


def test_an_empty_folder(tmp_path):
  with pytest.raises(UserError, match='no complete checkpoint in .*: nothing'):
    checkpoints.resolve(str(tmp_path))


def test_a_damaged_checkpoint_is_named(tmp_path):
  (tmp_path / 'model.ckpt-1.index').write_bytes(b'not an index')
  (tmp_path / 'model.ckpt-1.data-00000-of-00001').write_bytes(b'')
  with pytest.raises(UserError, match='model.ckpt-1 is damaged'):
    checkpoints.variables(checkpoints.resolve(f'{tmp_path}/model.ckpt-1'))


def test_an_auxiliary_head_may_be_missing_for_inference(tmp_path):
  head, auxiliary = 'InceptionV3/Logits/Conv2d_1c_1x1/biases', 'InceptionV3/AuxLogits/Conv2d/biases'
  with tf.Graph().as_default(), tf.Session() as session:
    saved = tf.get_variable(head, [3])
    session.run(saved.initializer)
    prefix = tf.train.Saver([saved]).save(session, str(tmp_path / 'model.ckpt'))
    tf.get_variable(auxiliary, [3])
    assert restoring.variables_to_restore(prefix, 'inception_v3') == {head: saved}
    tf.get_variable('InceptionV3/Conv2d_1a_3x3/weights', [3])
    with pytest.raises(UserError, match='it holds no InceptionV3/Conv2d_1a_3x3/weights'):
      restoring.variables_to_restore(prefix, 'inception_v3')
