"""freeze_graph: the frozen graph answers as the checkpoint does, and refuses what cannot."""

import json
import shutil

import numpy as np
import pytest
from google.protobuf import text_format
from small_nets import SHADOW, logits_of, run, write_checkpoint, write_run

import export_inference_graph
import freeze_graph
from slim_compat import tf

_LOGITS, _SOFTMAX = 'CifarNet/logits/BiasAdd', 'CifarNet/Predictions/Reshape_1'


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder with a run of cifarnet, three classes, and graph.pb exported for it."""
  folder = tmp_path_factory.mktemp('a run')
  write_checkpoint(folder / 'run')
  write_run(folder / 'run', class_names=('glacier', 'rock', '水'))
  argv = (f'--train_dir={folder / "run"}', f'--output_file={folder / "graph.pb"}')
  assert run(export_inference_graph, *argv) == 0
  return folder


def _freeze(made, output, *arguments, checkpoint='run'):
  """Freezes graph.pb unless the arguments name another graph; returns the exit code."""
  arguments = [f'--input_checkpoint={made / checkpoint}', f'--output_graph={output}', *arguments]
  if not any('input_graph' in argument for argument in arguments):
    arguments.append(f'--input_graph={made / "graph.pb"}')
  return run(freeze_graph, *arguments)


def _answers(file, output, feeds):
  graph_def = tf.GraphDef.FromString(file.read_bytes())
  with tf.Graph().as_default() as graph, tf.Session() as session:
    tf.import_graph_def(graph_def, name='')
    return session.run(f'{output}:0', feeds), graph


def _images(count=4):
  return np.random.default_rng(1).normal(0, 1, (count, 32, 32, 3)).astype(np.float32)


def _facts(file):
  return json.loads(file.with_name(file.name + '.json').read_text(encoding='utf-8'))


def test_the_frozen_graph_answers_as_the_checkpoint(made, tmp_path, capsys):
  file = tmp_path / 'frozen.pb'
  assert _freeze(made, file) == 0
  softmax, graph = _answers(file, _SOFTMAX, {'input:0': _images()})
  logits, _ = _answers(file, _LOGITS, {'input:0': _images()})
  expected = logits_of(f'{made}/run/model.ckpt-7', _images())
  np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(
    softmax, np.exp(expected) / np.exp(expected).sum(1, keepdims=True), atol=1e-5
  )
  count = len(tf.GraphDef.FromString(file.read_bytes()).node)
  assert f'{count} ops in the final graph.' in capsys.readouterr().out.splitlines()
  assert not [op for op in graph.get_operations() if 'Variable' in op.type]


def test_the_sidecar_knows_the_run(made, tmp_path):
  file = tmp_path / 'frozen.pb'
  assert _freeze(made, file) == 0
  facts = _facts(file)
  assert facts['class_names'] == ['glacier', 'rock', '水'] and facts['num_classes'] == 3
  assert facts['step'] == 7 and facts['checkpoint'] == 'model.ckpt-7'
  assert facts['output_nodes'] == [_SOFTMAX] and facts['logits_node'] == _LOGITS
  assert facts['moving_averages'] is False and len(facts['checkpoint_sha256']) == 64
  assert facts['data_fingerprint'] == 'f' * 64


def test_the_run_knows_better_than_a_graph_exported_without_it(tmp_path):
  write_checkpoint(tmp_path / 'run', num_classes=6)
  names = ['g', 'r', 'u', 'w', 'l', 'f']
  write_run(tmp_path / 'run', class_names=names, preprocessing_name='lenet')
  argv = ('--model_name=cifarnet', '--dataset_name=satellite')
  assert run(export_inference_graph, *argv, f'--output_file={tmp_path / "graph.pb"}') == 0
  assert _freeze(tmp_path, tmp_path / 'frozen.pb') == 0
  facts = _facts(tmp_path / 'frozen.pb')
  assert facts['class_names'] == names and facts['preprocessing']['name'] == 'lenet'


def _moved_graph(folder, name):
  """Exports the graph of folder/run and moves it away from its sidecar; returns the flag."""
  argv = (f'--train_dir={folder / "run"}', f'--output_file={folder / "made.pb"}')
  assert run(export_inference_graph, *argv) == 0
  (folder / 'made.pb').rename(folder / name)
  return f'--input_graph={folder / name}'


@pytest.mark.parametrize('has_run', [True, False])
def test_a_graph_without_sidecar_is_of_the_net_that_the_weights_are_of(tmp_path, has_run):
  write_checkpoint(tmp_path / 'run', 'mobilenet_v1_025', size=32)
  write_run(tmp_path / 'run', 'mobilenet_v1_025', preprocessing_name='cifarnet')
  graph = _moved_graph(tmp_path, 'alone.pb')
  if not has_run:
    (tmp_path / 'run' / 'run.json').unlink()
  assert _freeze(tmp_path, tmp_path / 'frozen.pb', graph) == 0
  facts = _facts(tmp_path / 'frozen.pb')
  assert (facts['model_name'], facts['num_classes']) == ('mobilenet_v1_025', 3)
  assert facts['class_names'] == (['a', 'b', 'c'] if has_run else None)
  assert facts['preprocessing_name'] == ('cifarnet' if has_run else 'mobilenet_v1_025')


def test_another_size_than_the_run_was_trained_on_is_said(tmp_path, caplog):
  write_checkpoint(tmp_path / 'run', 'mobilenet_v1_025', size=48)
  write_run(tmp_path / 'run', 'mobilenet_v1_025', image_size=48)
  argv = (f'--train_dir={tmp_path / "run"}', f'--output_file={tmp_path / "graph.pb"}')
  assert run(export_inference_graph, *argv, '--image_size=64') == 0
  assert _freeze(tmp_path, tmp_path / 'frozen.pb') == 0
  assert 'pictures of 48 pixels, and the graph takes 64' in caplog.text


@pytest.mark.parametrize('flag', [[], ['--input_binary', 'true'], ['--input_binary=false']])
@pytest.mark.parametrize('is_text', [False, True])
def test_binary_and_text_are_told_apart_by_content(made, tmp_path, is_text, flag):
  graph = made / 'graph.pb'
  if is_text:
    graph = tmp_path / 'graph.pbtxt'
    graph_def = tf.GraphDef.FromString((made / 'graph.pb').read_bytes())
    graph.write_text(text_format.MessageToString(graph_def), encoding='utf-8')
  # Without a sidecar, too: the net is recognised by its nodes.
  assert _freeze(made, tmp_path / 'frozen.pb', f'--input_graph={graph}', *flag) == 0
  assert _facts(tmp_path / 'frozen.pb')['output_nodes'] == [_SOFTMAX]


@pytest.mark.parametrize(
  'spelling',
  ['run', 'run/model.ckpt-7', 'run/model.ckpt-7.index', 'run/model.ckpt-7.data-00000-of-00001'],
)
def test_spellings_of_a_checkpoint(made, tmp_path, spelling):
  assert _freeze(made, tmp_path / 'frozen.pb', checkpoint=spelling) == 0


@pytest.mark.parametrize(
  ('given', 'outputs'),
  [
    (f'{_SOFTMAX}:0', [_SOFTMAX]),
    (_LOGITS, [_LOGITS]),
    (f'{_LOGITS}, {_SOFTMAX}:0', [_LOGITS, _SOFTMAX]),
  ],
)
def test_named_outputs(made, tmp_path, given, outputs):
  file = tmp_path / 'frozen.pb'
  assert _freeze(made, file, '--output_node_names', given) == 0
  facts = _facts(file)
  assert facts['output_nodes'] == outputs
  assert facts['softmax_node'] == (_SOFTMAX if _SOFTMAX in outputs else None)


def test_a_wrong_output_is_answered_with_the_nearest(made, tmp_path, capsys):
  assert _freeze(made, tmp_path / 'frozen.pb', '--output_node_names=CifarNet/Predictions') == 2
  printed = capsys.readouterr().err
  nearest = printed.split('the nearest are ')[1].split(';')[0].split(', ')
  assert len(nearest) == 5 and any('CifarNet/Predictions' in name for name in nearest)
  assert f'its inputs are input, its outputs {_SOFTMAX}' in printed
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('mode', 'uses'), [('auto', True), ('true', True), ('false', False)])
def test_moving_averages(tmp_path, mode, uses, caplog):
  prefix = write_checkpoint(tmp_path / 'run', averages=True)
  write_run(tmp_path / 'run', moving_average_decay=0.9)
  graph, file = tmp_path / 'graph.pb', tmp_path / 'frozen.pb'
  assert (
    run(export_inference_graph, f'--train_dir={tmp_path / "run"}', f'--output_file={graph}') == 0
  )
  assert _freeze(tmp_path, file, f'--use_moving_averages={mode}') == 0
  logits, _ = _answers(file, _LOGITS, {'input:0': _images()})
  np.testing.assert_allclose(
    logits, logits_of(prefix, _images(), averages=uses), rtol=1e-5, atol=1e-5
  )
  other = logits_of(prefix, _images(), averages=not uses)
  assert np.abs(logits - other).max() > 0.1
  assert _facts(file)['moving_averages'] is uses
  assert ('moving averages of the run' in caplog.text) is uses


def test_moving_averages_that_are_not_there(made, tmp_path, capsys):
  assert _freeze(made, tmp_path / 'frozen.pb', '--use_moving_averages=true') == 2
  assert 'holds no moving averages' in capsys.readouterr().err


def _training_graph(file):
  with tf.Graph().as_default() as graph:
    data = tf.data.Dataset.from_tensors(np.ones([2], np.float32)).repeat()
    images = tf.data.make_initializable_iterator(data).get_next()
    weights = tf.Variable([1.0, 2.0], name='weights')
    loss = tf.reduce_sum(tf.multiply(images, weights, name='scores'))
    tf.train.GradientDescentOptimizer(0.1).minimize(loss, name='train_op')
    file.write_text(text_format.MessageToString(graph.as_graph_def()), encoding='utf-8')


def test_a_training_graph_is_refused_with_the_way_out(made, tmp_path, capsys):
  _training_graph(tmp_path / 'graph.pbtxt')
  graph = f'--input_graph={tmp_path / "graph.pbtxt"}'
  assert _freeze(made, tmp_path / 'frozen.pb', graph, '--output_node_names=scores') == 2
  printed = capsys.readouterr().err
  assert 'is a training graph' in printed and "placeholder 'input'" in printed
  assert 'export_inference_graph.py --train_dir' in printed


@pytest.mark.parametrize(
  ('model_name', 'reason'),
  [('mobilenet_v1_025', 'statistics of the batch'), ('cifarnet', 'is left to chance')],
)
def test_the_training_form_is_refused(tmp_path, capsys, model_name, reason):
  write_checkpoint(tmp_path / 'run', model_name, 6)
  argv = (f'--model_name={model_name}', '--dataset_name=satellite', '--is_training')
  assert run(export_inference_graph, *argv, f'--output_file={tmp_path / "graph.pb"}') == 0
  assert _freeze(tmp_path, tmp_path / 'frozen.pb') == 2
  printed = capsys.readouterr().err
  assert 'in training form' in printed and reason in printed


@pytest.mark.parametrize(
  ('model_name', 'num_classes', 'messages'),
  [
    ('cifarnet', 5, ['has 3 outputs', 'has 5', 'CifarNet/logits', '--checkpoint_path=']),
    ('lenet', 3, ['lacks 10 of the 10 variables', 'CifarNet/conv1/weights', 'it looks like lenet']),
  ],
)
def test_a_checkpoint_that_does_not_fit(made, tmp_path, capsys, model_name, num_classes, messages):
  write_checkpoint(tmp_path / 'other', model_name, num_classes)
  assert _freeze(made, tmp_path / 'frozen.pb', checkpoint=tmp_path / 'other') == 2
  printed = capsys.readouterr().err
  assert not [message for message in messages if message not in printed], printed
  assert not (tmp_path / 'frozen.pb').exists()


def test_another_input_size_is_told_from_another_class_count(made, tmp_path, capsys):
  # CifarNet's first dense layer takes as many values as the picture leaves over.
  prefix = write_checkpoint(tmp_path / 'other', size=64)
  assert _freeze(made, tmp_path / 'frozen.pb', checkpoint=prefix) == 2
  assert 'CifarNet/fc3/weights is [4096, 384] in' in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_not_frozen(made, tmp_path, capsys):
  reader = tf.train.load_checkpoint(f'{made}/run/model.ckpt-7')
  values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
  values['CifarNet/fc3/biases'][0] = np.nan
  with tf.Graph().as_default(), tf.Session() as session:
    variables = [tf.Variable(value, name=name) for name, value in values.items()]
    session.run(tf.variables_initializer(variables))
    tf.train.Saver().save(session, f'{tmp_path}/model.ckpt', 8)
  assert _freeze(made, tmp_path / 'frozen.pb', checkpoint=tmp_path / 'model.ckpt-8') == 2
  assert 'values in CifarNet/fc3/biases that are not finite' in capsys.readouterr().err
  assert not (tmp_path / 'frozen.pb').exists()


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'cannot be read: No such file'),
    (b'', 'is empty (0 bytes)'),
    (b'\x00\xff' * 50, 'is no GraphDef, neither binary nor text (100 bytes)'),
    (b'node { nme: "x" }', 'is no GraphDef'),
  ],
)
def test_files_that_are_no_graph(made, tmp_path, capsys, content, message):
  if content is not None:
    (tmp_path / 'bad.pb').write_bytes(content)
  graph = f'--input_graph={tmp_path / "bad.pb"}'
  assert _freeze(made, tmp_path / 'frozen.pb', graph) == 2
  assert message in capsys.readouterr().err


def test_a_frozen_graph_is_not_frozen_again(made, tmp_path, capsys):
  assert _freeze(made, tmp_path / 'frozen.pb') == 0
  graph = f'--input_graph={tmp_path / "frozen.pb"}'
  assert _freeze(made, tmp_path / 'again.pb', graph) == 2
  assert 'holds no variables: it is frozen already' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], 'Give one of --input_graph, --input_meta_graph, --input_saved_model_dir: 0'),
    (['--input_graph=a', '--input_meta_graph=b'], '2 of them were given'),
    (['--input_graph=a'], 'the path to save to with --output_graph'),
    (['--input_graph=a', '--output_graph=b'], 'the checkpoint with --input_checkpoint'),
    (
      ['--input_saved_model_dir=a', '--output_graph=b', '--input_checkpoint=c'],
      'leave out --input_checkpoint',
    ),
    (
      ['--input_graph=a', '--output_graph=b', '--input_checkpoint=c', '--checkpoint_version=3'],
      'must be 1 or 2',
    ),
    (['--input_saved_model_dir=nowhere', '--output_graph=b'], 'SavedModel nowhere cannot be'),
  ],
)
def test_mistakes_are_answered_in_a_sentence(tmp_path, monkeypatch, capsys, flags, message):
  monkeypatch.chdir(tmp_path)
  assert run(freeze_graph, *flags) == 2
  assert message in capsys.readouterr().err


def test_flags_without_meaning_say_so(made, tmp_path, capsys):
  names = ('restore_op_name', 'filename_tensor_name', 'checkpoint_version')
  flags = [f'--{name}={value}' for name, value in zip(names, ('a', 'b:0', 1), strict=True)]
  assert _freeze(made, tmp_path / 'frozen.pb', *flags) == 0
  printed = capsys.readouterr().err
  assert not [name for name in names if f'--{name} has no effect any more' not in printed]


class Foreign:
  """A graph that is no net of this project: y = x w + b, in every form the tool takes."""

  def __init__(self, folder):
    self.folder = folder
    with tf.Graph().as_default() as graph, tf.Session() as session:
      x = tf.placeholder(tf.float32, [None, 2], name='x')
      w = tf.Variable([[1.0], [2.0]], name='w')
      with tf.device('/cpu:0'):
        b = tf.Variable([0.5], name='b')
      y = tf.add(tf.matmul(x, w), b, name='y')
      tf.assign(b, [7.0], name='set_b')
      session.run(tf.global_variables_initializer())
      saver = tf.train.Saver()
      saver.save(session, f'{folder}/model.ckpt', 3)
      tf.saved_model.simple_save(session, f'{folder}/saved', {'x': x}, {'y': y})
      (folder / 'saver.pb').write_bytes(saver.as_saver_def().SerializeToString())
      (folder / 'foreign.pb').write_bytes(graph.as_graph_def().SerializeToString())

  def freeze(self, *arguments, saved=False):
    checkpoint = [] if saved else [f'--input_checkpoint={self.folder}/model.ckpt-3']
    output = f'--output_graph={self.folder}/frozen.pb'
    return run(freeze_graph, *checkpoint, output, '--output_node_names=y', *arguments)

  def graph_def(self):
    return tf.GraphDef.FromString((self.folder / 'frozen.pb').read_bytes())

  def answer(self):
    return _answers(self.folder / 'frozen.pb', 'y', {'x:0': [[1.0, 10.0]]})[0].item()


@pytest.fixture
def foreign(tmp_path):
  return Foreign(tmp_path)


def test_every_source_gives_the_same_graph(foreign):
  folder = foreign.folder
  sources = (
    [f'--input_graph={folder}/foreign.pb'],
    [f'--input_graph={folder}/foreign.pb', f'--input_saver={folder}/saver.pb'],
    [f'--input_meta_graph={folder}/model.ckpt-3.meta'],
    [f'--input_saved_model_dir={folder}/saved', '--saved_model_tags=serve'],
  )
  for source in sources:
    assert foreign.freeze(*source, saved='saved' in source[0]) == 0, source
    assert foreign.answer() == 21.5  # 1 * 1 + 10 * 2 + 0.5


def test_a_saved_model_without_the_tags(foreign, capsys):
  source = f'--input_saved_model_dir={foreign.folder}/saved'
  assert foreign.freeze(source, '--saved_model_tags=serve,gpu', saved=True) == 2
  assert 'cannot be loaded: MetaGraphDef associated with tags' in capsys.readouterr().err


def test_other_layers_are_not_taken_for_other_classes(foreign, capsys):
  with tf.Graph().as_default(), tf.Session() as session:
    variables = [tf.Variable(tf.zeros(shape), name=n) for n, shape in (('b', [4]), ('w', [3, 4]))]
    session.run(tf.variables_initializer(variables))
    tf.train.Saver().save(session, f'{foreign.folder}/model.ckpt', 3)
  assert foreign.freeze(f'--input_graph={foreign.folder}/foreign.pb') == 2
  assert 'w is [2, 1] in' in capsys.readouterr().err


def test_initializers_run_after_the_weights_are_there(foreign):
  graph = f'--input_graph={foreign.folder}/foreign.pb'
  assert foreign.freeze(graph, '--initializer_nodes=set_b') == 0
  assert foreign.answer() == 28.0  # b is 7
  assert foreign.freeze(graph, '--initializer_nodes=set_c') == 2


def test_devices_are_forgotten_unless_asked_otherwise(foreign):
  graph = f'--input_graph={foreign.folder}/foreign.pb'
  assert foreign.freeze(graph) == 0
  assert not any(node.device for node in foreign.graph_def().node)
  assert foreign.freeze(graph, '--clear_devices=false') == 0
  assert any(node.device for node in foreign.graph_def().node)


@pytest.mark.parametrize(
  'flag',
  ['--variable_names_whitelist=w', '--variable_names_denylist=b', '--variable_names_blacklist=b'],
)
def test_variables_can_stay_variables(foreign, caplog, flag):
  assert foreign.freeze(f'--input_graph={foreign.folder}/foreign.pb', flag) == 0
  kinds = {node.name: node.op for node in foreign.graph_def().node}
  assert kinds['w'] == 'Const' and kinds['b'] == 'VariableV2'
  assert 'was not tried out' in caplog.text


@pytest.mark.parametrize('flag', ['--variable_names_whitelist=w,v', '--variable_names_denylist=v'])
def test_a_variable_that_is_not_there_is_said(foreign, caplog, flag):
  assert foreign.freeze(f'--input_graph={foreign.folder}/foreign.pb', flag) == 0
  assert "has no variable 'v', which a list of variables names" in caplog.text


def test_a_graph_that_is_fed_with_texts_is_frozen_without_a_trial(tmp_path, caplog):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    encoded = tf.placeholder(tf.string, [], name='encoded')
    weights = tf.Variable([2.0], name='w')
    pixels = tf.cast(tf.io.decode_jpeg(encoded, 3), tf.float32)
    tf.multiply(tf.reduce_mean(pixels), weights, name='y')
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, f'{tmp_path}/model.ckpt', 3)
    (tmp_path / 'graph.pb').write_bytes(graph.as_graph_def().SerializeToString())
  argv = (f'--input_graph={tmp_path}/graph.pb', '--output_node_names=y', '--trust_graph')
  paths = (f'--input_checkpoint={tmp_path}/model.ckpt-3', f'--output_graph={tmp_path}/frozen.pb')
  assert run(freeze_graph, *argv, *paths) == 0
  assert 'was not tried out' in caplog.text


def test_why_a_frozen_graph_does_not_run_is_said(tmp_path, capsys):
  with tf.Graph().as_default() as graph, tf.Session() as session:
    numbers = tf.placeholder(tf.int32, [1], name='numbers')
    weights = tf.Variable([2.0], name='w')
    tf.gather(weights, numbers + 7, name='y')
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, f'{tmp_path}/model.ckpt', 3)
    (tmp_path / 'graph.pb').write_bytes(graph.as_graph_def().SerializeToString())
  argv = (f'--input_graph={tmp_path}/graph.pb', '--output_node_names=y')
  paths = (f'--input_checkpoint={tmp_path}/model.ckpt-3', f'--output_graph={tmp_path}/frozen.pb')
  assert run(freeze_graph, *argv, *paths) == 2
  assert 'does not run once frozen: indices[0] = 7 is not in [0, 1)' in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_said_before_the_work(made, tmp_path, capsys):
  (tmp_path / 'file').write_bytes(b'')
  for output, why in (
    (tmp_path, 'is a folder: name a file'),
    (tmp_path / 'file' / 'g.pb', 'no folder'),
  ):
    assert _freeze(made, output, '--input_graph=nowhere') == 2
    assert f'--output_graph={output} ' in (printed := capsys.readouterr().err) and why in printed
    assert run(export_inference_graph, f'--output_file={output}') == 2
    assert f'--output_file={output} ' in (printed := capsys.readouterr().err) and why in printed


def test_an_unknown_graph_needs_the_name_of_its_output(foreign, capsys):
  graph = f'--input_graph={foreign.folder}/foreign.pb'
  assert foreign.freeze(graph, '--output_node_names=') == 2
  printed = capsys.readouterr().err
  assert 'name its output with --output_node_names' in printed
  assert 'its inputs are x' in printed and ' y' in printed


def test_paths_with_spaces_and_chinese(made, tmp_path):
  folder = tmp_path / '卫星 图'
  shutil.copytree(made, folder)
  assert _freeze(folder, folder / '冻结.pb') == 0
  assert _facts(folder / '冻结.pb')['step'] == 7


def test_shadow_names_are_those_of_tensorflow():
  with tf.Graph().as_default():
    variable = tf.Variable(1.0, name='v')
    average = tf.train.ExponentialMovingAverage(0.9)
    average.apply([variable])
    assert average.average_name(variable) == 'v' + SHADOW
