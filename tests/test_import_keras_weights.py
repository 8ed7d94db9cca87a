"""Keras weights as slim checkpoints, and back: the same picture gives the same answers in both."""

import functools
import json
import pathlib
import subprocess
import sys
import zipfile

import h5py
import keras_reference as reference
import numpy as np
import pytest
from small_nets import run, write_checkpoint

from image_classifier import checkpoints
from image_classifier.keras_weights import conversion, rows, weight_files
from image_classifier.keras_weights.nets import KERAS_NETS
from nets import net_info, nets_factory
from preprocessing import preprocessing_factory
from scripts import import_keras_weights
from slim_compat import tf
from slim_errors import UserError

_TOLERANCE = 1e-4
_FAST = ('mobilenet_v1_025', 'resnet_v2_50', 'vgg_16')
# One of each kind; other widths and depths are rows of the same tables.
_OF_FAMILIES = (
  *('inception_resnet_v2', 'inception_v3', 'mobilenet_v2_035', 'nasnet_mobile', 'resnet_v2_50'),
  'vgg_16',
)
_DIFFERENT = [name for name, net in KERAS_NETS.items() if net.difference]


def _keras(*arguments):
  """Runs keras_reference.py in a process of its own."""
  command = [sys.executable, reference.__file__, *map(str, arguments)]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder with the files and the answers of Keras for the nets in _FAST."""
  folder = tmp_path_factory.mktemp('Keras 权重')
  _keras('make', folder, *_FAST)
  return folder


@pytest.fixture(scope='module')
def imported(made, tmp_path_factory):
  """A function of a net and a file of `made` that returns the imported checkpoint."""
  folder = tmp_path_factory.mktemp('slim 权重')

  @functools.cache
  def import_file(name, file):
    prefix = str(folder / f'{file}.ckpt')
    facts = conversion.import_weights(str(made / file), name, prefix, accept_difference=True)
    assert facts['num_classes'] == (None if 'notop' in file else reference.CLASSES)
    return prefix

  return import_file


def _answers(name, prefix, images, num_classes):
  """Returns what slim's net answers: logits, or without classes its features, both [b, n]."""
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.placeholder(tf.float32, images.shape)
    is_bare_vgg = name.startswith('vgg') and not num_classes
    kwargs = {'fc_conv_padding': 'SAME'} if is_bare_vgg else {}
    net, end_points = nets_factory.get_network_fn(name, num_classes)(inputs, **kwargs)
    if is_bare_vgg:
      net = tf.reduce_mean(end_points[f'{name}/pool5'], [1, 2])
    saved = checkpoints.variables(prefix)
    variables = {v.op.name: v for v in tf.global_variables() if v.op.name in saved}
    tf.train.Saver(variables).restore(session, prefix)
    # What the checkpoint lacks, an auxiliary head or a VGG's top, must not be needed.
    return session.run(net, {inputs: images}).reshape(len(images), -1)


def _check_parity(folder, name, prefix, num_classes):
  """Compares the answers of an imported checkpoint on the pictures of NAME.npz."""
  expected = np.load(folder / f'{name}.npz')
  images = expected['images'][..., :: -1 if name.startswith('vgg') else 1]  # BGR in Keras
  answers = _answers(name, prefix, images, num_classes)
  wanted = expected['logits' if num_classes else 'features']
  assert wanted.std() > 0.01 * abs(wanted).max()
  assert abs(answers - wanted).max() < _TOLERANCE * abs(wanted).max()
  return expected


@pytest.mark.parametrize(
  ('name', 'suffix'),
  [
    ('mobilenet_v1_025', '.h5'),
    ('mobilenet_v1_025', '.weights.h5'),
    ('mobilenet_v1_025', '.keras'),
    ('mobilenet_v1_025', '_notop.weights.h5'),
    ('resnet_v2_50', '_notop.weights.h5'),
    ('vgg_16', '_notop.weights.h5'),
  ],
)
def test_the_same_picture_gives_the_same_answers(made, imported, name, suffix):
  num_classes = None if 'notop' in suffix else reference.CLASSES
  expected = _check_parity(made, name, imported(name, name + suffix), num_classes)
  if name in _DIFFERENT:  # only with the poolings padded alike
    off = abs(expected['unpatched'] - expected['features']).max()
    assert off > 100 * _TOLERANCE * abs(expected['features']).max()


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=pytest.mark.slow if name in _OF_FAMILIES else pytest.mark.zoo)
    for name in sorted(reference.MODELS.keys() - {'mobilenet_v1_025'})
  ],
)
def test_the_same_picture_gives_the_same_answers_in_every_net(tmp_path, name):
  _keras('make', tmp_path, name, 'full')
  notop = [] if name.startswith('vgg') else ['_notop.weights.h5']
  for suffix in reference.MODELS[name][3] + notop:
    prefix = str(tmp_path / f'{name}{suffix}.ckpt')
    facts = conversion.import_weights(str(tmp_path / (name + suffix)), name, prefix, True)
    _check_parity(tmp_path, name, prefix, facts['num_classes'])


def test_every_table_and_every_variable_of_the_nets_agree():
  for name, net in KERAS_NETS.items():
    body, top = net.table()
    assert name in reference.MODELS
    assert net.preprocessing in (None, *preprocessing_factory.preprocessing_fn_map)
    variables = [weight.variable for row in body + top for weight in row.weights]
    assert len(set(variables)) == len(variables)
    info = net_info.net_info(name)
    in_top = {weight.variable for row in top for weight in row.weights}
    in_head = {variable for variable in variables if variable.startswith(info.head_prefixes)}
    assert in_head and in_head <= in_top
    for block in info.blocks:
      assert any(variable.startswith(f'{block}/') for variable in variables), block


def _arrays(file):
  with weight_files.open_layers(str(file)) as layers:
    return [(layer.kind, [np.asarray(array) for array in layer.arrays]) for layer in layers]


def _assert_same(arrays, others):
  for kind in weight_files.CLASSES:  # those of one kind are in the order of the model
    ours = [array for k, layer in arrays if k == kind for array in layer]
    theirs = [array for k, layer in others if k == kind for array in layer]
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
      assert one.dtype == other.dtype
      np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  ('file', 'back'),
  [
    ('mobilenet_v1_025.weights.h5', 'back.h5'),
    ('mobilenet_v1_025.weights.h5', 'back.weights.h5'),
    ('resnet_v2_50_notop.weights.h5', 'back.h5'),
    ('vgg_16_notop.weights.h5', 'back.h5'),
  ],
)
def test_there_and_back_is_bit_exact(made, imported, tmp_path, file, back):
  name = file.partition('.')[0].removesuffix('_notop')
  back = str(tmp_path / back)
  classes = conversion.export_weights(imported(name, file), name, back, accept_difference=True)
  assert classes == (None if 'notop' in file else reference.CLASSES)
  _assert_same(_arrays(back), _arrays(made / file))


def test_a_slim_checkpoint_comes_back_bit_exact(tmp_path):
  prefix = write_checkpoint(tmp_path, 'mobilenet_v1_025', 5, size=32)
  conversion.export_weights(prefix, 'mobilenet_v1_025', str(tmp_path / 'a.weights.h5'))
  again = str(tmp_path / 'again.ckpt')
  conversion.import_weights(str(tmp_path / 'a.weights.h5'), 'mobilenet_v1_025', again)
  old, new = tf.train.load_checkpoint(prefix), tf.train.load_checkpoint(again)
  names = checkpoints.variables(again)
  assert len(names) == 137  # 28 kernels, 27 batch norms of 4, the top's bias
  for name in names:
    np.testing.assert_array_equal(old.get_tensor(name), new.get_tensor(name))


def test_keras_loads_what_is_exported(made, imported, tmp_path):
  name = 'mobilenet_v1_025'
  source = made / f'{name}.h5'
  prefix = imported(name, source.name)
  files = [tmp_path / 'new.weights.h5', tmp_path / 'legacy.h5']
  for file in files:
    conversion.export_weights(prefix, name, str(file))
  _keras('load', name, *files)
  wanted = [array for _, arrays in _arrays(source) for array in arrays]
  for file in files:
    with h5py.File(file.with_suffix('.loaded')) as loaded:
      assert len(loaded) == len(wanted)
      for i, array in enumerate(wanted):
        np.testing.assert_array_equal(loaded[str(i)], array)


def test_moving_averages_are_what_is_exported(tmp_path):
  prefix = write_checkpoint(tmp_path, 'mobilenet_v1_025', 5, size=32, averages=True)
  conversion.export_weights(prefix, 'mobilenet_v1_025', str(tmp_path / 'a.h5'))
  reader = tf.train.load_checkpoint(prefix)
  first = reader.get_tensor(f'MobilenetV1/Conv2d_0/weights{checkpoints.AVERAGE_SUFFIX}')
  np.testing.assert_array_equal(_arrays(tmp_path / 'a.h5')[0][1][0], first)


def test_the_order_of_a_file_counts_where_it_gives_no_names(made, imported, tmp_path):
  """As those of Keras 2's `.weights.h5`, and those of a user who renamed his layers."""
  nameless = tmp_path / 'nameless.weights.h5'
  nameless.write_bytes((made / 'mobilenet_v1_025.weights.h5').read_bytes())
  with h5py.File(nameless, 'a') as file:
    for group in file['layers'].values():
      del group['vars'].attrs['name']
  conversion.import_weights(str(nameless), 'mobilenet_v1_025', str(tmp_path / 'a.ckpt'))
  named = imported('mobilenet_v1_025', 'mobilenet_v1_025.weights.h5')
  part = '.data-00000-of-00001'
  assert (tmp_path / f'a.ckpt{part}').read_bytes() == pathlib.Path(named + part).read_bytes()


def test_the_difference_in_epsilon_is_folded_into_the_variance():
  keras_variance = np.float32([1e-6, 3e-5, 0.01, 1, 500])
  slim_variance = rows.EPSILON.to_slim(keras_variance)
  np.testing.assert_allclose(
    slim_variance.astype(np.float64) + 1e-5, keras_variance.astype(np.float64) + 1.001e-5, rtol=1e-7
  )
  np.testing.assert_array_equal(rows.EPSILON.to_keras(slim_variance), keras_variance)


def test_the_command_writes_a_checkpoint_with_a_sidecar(made, tmp_path, caplog):
  output = tmp_path / 'out' / 'm.ckpt'
  weights = made / 'mobilenet_v1_025.keras'
  arguments = ['--model_name=mobilenet_v1_025', f'--output={output}']
  assert run(import_keras_weights, f'--weights={weights}', *arguments) == 0
  assert '7 classes; use it with --preprocessing_name=mobilenet_v1_025' in caplog.text
  facts = json.loads(pathlib.Path(f'{output}.json').read_text(encoding='utf-8'))
  assert (facts['num_classes'], facts['labels_offset'], facts['left_out']) == (7, 0, [])
  assert sorted(path.name for path in output.parent.iterdir()) == [
    'm.ckpt.data-00000-of-00001',
    'm.ckpt.index',
    'm.ckpt.json',
  ]
  back = tmp_path / 'm.weights.h5'
  arguments = ['--model_name=mobilenet_v1_025', f'--checkpoint_path={output}', f'--output={back}']
  assert run(import_keras_weights, '--to_keras', *arguments) == 0
  assert 'keras.applications.MobileNet(alpha=0.25) with weights=None and classes=7' in caplog.text
  _assert_same(_arrays(back), _arrays(weights))


def test_the_1000_classes_of_imagenet_have_no_background(tmp_path):
  prefix = write_checkpoint(tmp_path, 'mobilenet_v1_025', 1000, size=32)
  conversion.export_weights(prefix, 'mobilenet_v1_025', str(tmp_path / 'a.h5'))
  arguments = str(tmp_path / 'a.h5'), 'mobilenet_v1_025', str(tmp_path / 'a.ckpt')
  facts = conversion.import_weights(*arguments)
  assert (facts['num_classes'], facts['labels_offset']) == (1000, 1)


def test_resnet_v2_is_told_to_be_prepared_as_inception(made, tmp_path):
  arguments = str(made / 'resnet_v2_50_notop.weights.h5'), 'resnet_v2_50', str(tmp_path / 'a.ckpt')
  with pytest.raises(UserError, match='first pooling.*--accept_difference'):
    conversion.import_weights(*arguments)
  assert not list(tmp_path.iterdir())
  facts = conversion.import_weights(*arguments, accept_difference=True)
  assert facts['preprocessing_name'] == 'inception'
  assert facts['left_out'] == ['resnet_v2_50/logits']


def _refusal(weights, name, tmp_path):
  with pytest.raises(UserError) as error:
    conversion.import_weights(str(weights), name, str(tmp_path / 'no' / 'a.ckpt'))
  assert not (tmp_path / 'no').exists()
  assert str(error.value).count('\n') == 0
  return str(error.value)


def test_weights_of_another_net_are_told(made, tmp_path):
  message = _refusal(made / 'resnet_v2_50_notop.weights.h5', 'vgg_16', tmp_path)
  assert '53 convolutions' in message and '--model_name=resnet_v2_50' in message
  message = _refusal(made / 'mobilenet_v1_025.weights.h5', 'mobilenet_v1_050', tmp_path)
  assert 'has weights of shapes [(3, 3, 3, 8)]' in message
  assert '--model_name=mobilenet_v1_025' in message


def test_files_that_are_none_or_damaged_are_refused(made, tmp_path):
  assert 'does not exist' in _refusal(tmp_path / 'none.h5', 'vgg_16', tmp_path)
  text = tmp_path / 'text.h5'
  text.write_text('weights', encoding='utf-8')
  assert 'neither an HDF5 file' in _refusal(text, 'vgg_16', tmp_path)
  for suffix in ('.h5', '.weights.h5', '.keras'):
    whole = (made / f'mobilenet_v1_025{suffix}').read_bytes()
    half = tmp_path / f'half{suffix}'
    half.write_bytes(whole[: len(whole) // 2])
    assert 'truncated or damaged' in _refusal(half, 'mobilenet_v1_025', tmp_path)
  archive = tmp_path / 'other.keras'
  with zipfile.ZipFile(archive, 'w') as file:
    file.writestr('config.json', '{}')
  assert 'without model.weights.h5' in _refusal(archive, 'vgg_16', tmp_path)
  with h5py.File(tmp_path / 'empty.h5', 'w'):
    pass
  assert 'holds no layers' in _refusal(tmp_path / 'empty.h5', 'vgg_16', tmp_path)


def test_a_model_inside_a_model_and_links_are_refused(tmp_path):
  with h5py.File(tmp_path / 'nested.weights.h5', 'w') as file:
    file['layers/functional/layers/conv2d/vars/0'] = np.zeros((3, 3, 3, 8), np.float32)
  message = _refusal(tmp_path / 'nested.weights.h5', 'vgg_16', tmp_path)
  assert 'a model inside a model' in message
  with h5py.File(tmp_path / 'links.weights.h5', 'w') as file:
    outside = [(str(tmp_path / 'secret'), 0, 4)]
    file.create_dataset('layers/dense/vars/0', (1,), np.float32, external=outside)
  assert 'points into another file' in _refusal(tmp_path / 'links.weights.h5', 'vgg_16', tmp_path)


def test_nothing_is_overwritten_and_flags_are_checked(made, tmp_path, capsys):
  weights = made / 'mobilenet_v1_025.h5'
  (tmp_path / 'a.ckpt.index').write_text('mine', encoding='utf-8')
  name = '--model_name=mobilenet_v1_025'
  arguments = (f'--weights={weights}', name, f'--output={tmp_path / "a.ckpt"}')
  assert run(import_keras_weights, *arguments) == 2
  assert 'a.ckpt.index exists' in capsys.readouterr().err
  assert (tmp_path / 'a.ckpt.index').read_text(encoding='utf-8') == 'mine'
  for arguments, message in (
    ([f'--weights={weights}'], '--model_name='),
    ([name], '--weights'),
    (['--to_keras', name], '--checkpoint_path'),
    ([f'--weights={weights}', '--model_name=mobilenet_v3'], 'Unknown model_name'),
    (['--to_keras', name, '--checkpoint_path=x', '--output=a.keras'], 'must end with'),
  ):
    assert run(import_keras_weights, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_another_net_is_not_exported(tmp_path):
  prefix = write_checkpoint(tmp_path, 'mobilenet_v1_025', 5, size=32)
  for name, lacks in (('mobilenet_v1_050', 'has shape'), ('inception_v3', 'lacks')):
    with pytest.raises(UserError, match=lacks):
      conversion.export_weights(prefix, name, str(tmp_path / 'a.h5'))
  assert not (tmp_path / 'a.h5').exists()
