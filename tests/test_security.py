"""What comes from outside can do no harm: graphs, JSON, names, archives, and the code itself.

docs/security.md names these tests, threat by threat.
"""

import ast
import csv
import gc
import io
import json
import os
import pathlib
import re
import resource
import shutil
import tarfile
import time
import types

import loopback
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from small_nets import run, write_checkpoint, write_run
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from test_layers import REPO, shipped_files

import classify_image
import data_convert
import eval_image_classifier
import export_inference_graph
import freeze_graph
import slim_files
import slim_text
from datasets import dataset_factory, labels, manifest
from image_classifier import checkpoints, run_record
from image_classifier.downloads import archives, fetching
from image_classifier.evaluation import calibration, metrics, predicting, reports
from image_classifier.graphs import export, graph_defs, limits, safety, sidecar
from image_classifier.inference import Classifier
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import RunError, UserError

_LOGITS = 'CifarNet/logits/BiasAdd'
_NAMES = ('forest', 'sea ice', '城市')
_ALLOWED = safety.NETS | safety.PREPROCESSING | safety.OLD_GRAPHS | safety.VARIABLES | safety.SAVER


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder with a cifarnet: its run, graph.pb without weights and frozen.pb."""
  folder = tmp_path_factory.mktemp('a net')
  prefix = write_checkpoint(folder / 'run')
  write_run(folder / 'run', class_names=_NAMES)
  graph = f'--output_file={folder / "graph.pb"}'
  assert run(export_inference_graph, f'--train_dir={folder / "run"}', graph) == 0
  graph, output = f'--input_graph={folder / "graph.pb"}', f'--output_graph={folder / "frozen.pb"}'
  assert run(freeze_graph, graph, f'--input_checkpoint={prefix}', output) == 0
  Image.new('RGB', (40, 40), 'green').save(folder / 'picture.png')
  return folder


@pytest.fixture
def untouched(monkeypatch, tmp_path):
  """No graph is imported and no session made, and nothing is written to the working folder."""

  def refused(*_, **__):
    raise AssertionError('TensorFlow saw the graph')

  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  for owner, name in (
    (tf, 'import_graph_def'),
    (tf, 'Session'),
    (tf.saved_model.loader, 'load'),
    (graph_defs, 'import_graph'),
  ):
    monkeypatch.setattr(owner, name, refused)
  yield
  assert not list((tmp_path / 'here').iterdir())


def _graph(made, name='frozen.pb'):
  return tf.GraphDef.FromString((made / name).read_bytes())


def _add(graph_def, op, name='evil', inputs=(), **attrs):
  node = graph_def.node.add(name=name, op=op, input=inputs)
  for key, value in attrs.items():
    node.attr[key].CopyFrom(value)
  return node


def _text_const(graph_def, name, text):
  tensor = tf.make_tensor_proto(text)
  dtype = tf.AttrValue(type=tensor.dtype)
  return _add(graph_def, 'Const', name, dtype=dtype, value=tf.AttrValue(tensor=tensor))


def _write(folder, graph_def, name='bad.pb'):
  (folder / name).write_bytes(graph_def.SerializeToString())
  return folder / name


def _classify(made, file, *arguments):
  return run(classify_image, f'--model_path={file}', made / 'picture.png', *arguments)


def _freeze(made, source, *arguments):
  checkpoint = [] if 'saved_model' in source else [f'--input_checkpoint={made / "run"}']
  output = f'--output_graph={made / "never.pb"}'
  return run(
    freeze_graph, source, output, f'--output_node_names={_LOGITS}', *checkpoint, *arguments
  )


def _save_model(folder, graph_def, **parts):
  """Writes a SavedModel's graph, as saved_model.pb, without weights."""
  meta_graph = tf.MetaGraphDef(graph_def=graph_def, **parts)
  meta_graph.meta_info_def.tags.append('serve')
  folder.mkdir(exist_ok=True)
  (folder / 'saved_model.pb').write_bytes(SavedModel(meta_graphs=[meta_graph]).SerializeToString())
  return f'--input_saved_model_dir={folder}'


def _sources(folder, graph_def):
  """A graph in every form that freeze_graph takes, as its flags."""
  (folder / 'bad.pbtxt').write_text(text_format.MessageToString(graph_def), encoding='utf-8')
  meta_graph = tf.MetaGraphDef(graph_def=graph_def)
  (folder / 'bad.meta').write_bytes(meta_graph.SerializeToString())
  return [
    f'--input_graph={_write(folder, graph_def)}',
    f'--input_graph={folder / "bad.pbtxt"}',
    f'--input_meta_graph={folder / "bad.meta"}',
    _save_model(folder / 'saved', graph_def),
  ]


# The list of operations


# Together they need all operations; that no other net needs more is asked in test_nets.py.
_FAMILIES = ('lenet', 'cifarnet', 'overfeat', 'i3d', 's3dg', 'inception_v2', 'resnet_v1_50')
_FAMILIES += ('mobilenet_v1_025', 'nasnet_cifar')


def _operations_of_nets():
  return {
    node.op
    for name in _FAMILIES
    for node in export.build_graph(sidecar.facts_of_net(name, num_classes=5)).node
  }


def _operations_of_preprocessing():
  ops = set()
  names = {fn: name for name, fn in preprocessing_factory.preprocessing_fn_map.items()}.values()
  for name in names:
    for use_grayscale in (False, True):
      fn = preprocessing_factory.get_preprocessing(name, use_grayscale=use_grayscale)
      with tf.Graph().as_default() as graph:
        fn(tf.placeholder(tf.uint8, [None, None, 3]), 32, 32)
        ops |= {node.op for node in graph.as_graph_def().node}
  return ops


@pytest.mark.slow
def test_the_list_holds_what_all_nets_need_and_nothing_else():
  assert _operations_of_nets() == safety.NETS


def test_the_list_holds_what_preprocessing_needs_and_nothing_else():
  assert _operations_of_preprocessing() - safety.NETS == safety.PREPROCESSING


def test_the_list_holds_what_a_saver_adds_and_nothing_else():
  ops = {'SaveSlices', 'RestoreSlice'}  # of 2016
  for sharded in (False, True):
    with tf.Graph().as_default() as graph:
      tf.Variable(1.0, use_resource=sharded)
      tf.train.Saver(sharded=sharded)
      graph_def = graph.as_graph_def()
      ops |= {node.op for node in graph_def.node}
      safety.check(graph_def, 'path', has_saver=True)
  others = safety.NETS | safety.PREPROCESSING | safety.OLD_GRAPHS
  assert ops - others - safety.VARIABLES == safety.SAVER


def test_the_list_holds_operations_that_exist_and_none_that_reaches_out():
  assert all(op_def_registry.get(op) for op in _ALLOWED)
  reaching = re.compile(r'File\b|Files|Py|Print|Table|Dataset|Queue|Reader|Call|Func|Send|Recv')
  assert [op for op in _ALLOWED if reaching.search(op)] == []
  is_stateful = [op for op in _ALLOWED if op_def_registry.get(op).is_stateful]
  random = {'RandomStandardNormal', 'RandomUniform', 'TruncatedNormal'}
  assert set(is_stateful) <= random | safety.VARIABLES | safety.SAVER | {
    'Assert',
    'CheckNumerics',
    'VariableV2',
  }


def _old_inception():
  """The nodes of the Inception graph of 2015 in small: pictures in, a softmax out."""
  with tf.Graph().as_default() as graph:
    pixels = tf.image.decode_jpeg(tf.constant(b'', name='DecodeJpeg/contents'), 3)
    image = tf.expand_dims(tf.cast(pixels, tf.float32), 0)
    image = (tf.image.resize_bilinear(image, [8, 8]) - 128.0) * 0.0078125
    net = tf.nn.conv2d(image, tf.zeros([1, 1, 3, 4]), padding='SAME')
    moments = [tf.zeros([4])] * 2 + [tf.ones([4])] * 2
    net = tf.nn.batch_norm_with_global_normalization(net, *moments, 0.001, True)
    net = tf.nn.relu(tf.debugging.check_numerics(net, 'finite'))
    net = tf.placeholder_with_default(tf.reduce_mean(net, [1, 2]), [None, 4])
    tf.nn.softmax(tf.matmul(net, tf.zeros([4, 2])), name='softmax')
    return graph.as_graph_def()


def test_old_published_graphs_pass():
  safety.check(_old_inception(), 'inception.pb')


# Graphs that could do more

_FLOAT = tf.AttrValue(type=tf.float32.as_datatype_enum)
_REACHING = (
  'PyFunc',
  'PyFuncStateless',
  'EagerPyFunc',
  'ReadFile',
  'WriteFile',
  'MatchingFiles',
  'Save',
  'Restore',
  'TFRecordReaderV2',
  'TFRecordDataset',
  'WholeFileReaderV2',
  'TextLineDataset',
  'InitializeTableFromTextFileV2',
  'ImmutableConst',
  'DebugIdentityV2',
  'CreateSummaryFileWriter',
  'Print',
  'PrintV2',
  'Abort',
  'PartitionedCall',
  'StatefulPartitionedCall',
  'RemoteCall',
  'If',
  'While',
  'SymbolicGradient',
  'MapDefun',
  'XlaLaunch',
  '_Send',
  'RpcCall',
  'FIFOQueueV2',
  'MyOwnOp',
)


@pytest.mark.parametrize('op', _REACHING)
def test_operations_that_reach_out_are_refused_by_name(made, tmp_path, untouched, capsys, op):
  graph_def = _graph(made)
  _add(graph_def, op, 'some/node')
  file = _write(tmp_path, graph_def)
  assert _classify(made, file) == 2
  printed = capsys.readouterr().err
  assert f'{file} can do more than classify' in printed and printed.count('\n') == 1
  assert "'some/node'" in printed and f'operation {op},' in printed and '--trust_graph' in printed
  with pytest.raises(UserError, match=f'the operation {op},'):
    Classifier(file)


@pytest.mark.parametrize('op', ['PyFunc', 'WriteFile', 'MyOwnOp'])
def test_every_form_is_checked_before_it_is_frozen(made, tmp_path, untouched, capsys, op):
  graph_def = _graph(made, 'graph.pb')
  _add(graph_def, op)
  for source in _sources(tmp_path, graph_def):
    assert _freeze(made, source) == 2, source
    assert f"node 'evil' has the operation {op}," in capsys.readouterr().err, source
  assert not (made / 'never.pb').exists()


def test_a_text_graph_is_checked_before_it_classifies(made, tmp_path, untouched, capsys):
  graph_def = _graph(made)
  for node in graph_def.node:
    node.attr['value'].tensor.ClearField('tensor_content')  # text of weights takes long to read
  _add(graph_def, 'ReadFile')
  file = tmp_path / 'bad.pbtxt'
  file.write_text(text_format.MessageToString(graph_def), encoding='utf-8')
  assert _classify(made, file) == 2
  assert 'the operation ReadFile' in capsys.readouterr().err


def _add_function(graph_def, name, *ops):
  function = graph_def.library.function.add()
  function.signature.name = name
  for number, op in enumerate(ops):
    function.node_def.add(name=f'inner{number}', op=op)
  return function


def test_functions_are_checked_wherever_they_hide(made, untouched):
  """In the library, called by nodes, by lists of functions, by functions that call one another."""

  def message(change):
    graph_def = _graph(made)
    change(graph_def)
    with pytest.raises(UserError) as caught:
      safety.check(graph_def, 'bad.pb', has_saver=True)
    return str(caught.value)

  def calling(graph_def):
    _add(graph_def, 'Identity').attr['f'].func.name = 'g'

  def calling_several(graph_def):
    _add(graph_def, 'Identity').attr['f'].list.func.add(name='g')

  def nested(graph_def):
    _add_function(graph_def, 'f', 'Relu').node_def[0].attr['body'].func.name = 'g'
    _add_function(graph_def, 'g', 'WriteFile')

  def in_a_circle(graph_def):
    _add_function(graph_def, 'f', 'g')
    _add_function(graph_def, 'g', 'f')

  inner = "node 'inner0' of its function 'f'"
  assert 'PyFunc' in message(lambda graph: _add_function(graph, 'f', 'PyFunc'))
  assert inner in message(lambda graph: _add_function(graph, 'f', 'PyFunc'))
  assert "'inner1' of its" in message(lambda graph: _add_function(graph, 'f', 'Relu', 'ReadFile'))
  assert 'SaveV2' in message(lambda graph: _add_function(graph, 'f', 'SaveV2'))
  assert "calls a function by its attribute 'f'" in message(calling)
  assert "calls a function by its attribute 'f'" in message(calling_several)
  assert inner in message(nested) and "'body'" in message(nested)
  assert inner in message(in_a_circle)
  assert 'Relu another meaning' in message(lambda graph: _add_function(graph, 'Relu', 'Relu'))


def _add_saver(graph_def, path, op='SaveV2'):
  _text_const(graph_def, 'prefix', path)
  _text_const(graph_def, 'names', [b'w'])
  _text_const(graph_def, 'slices', [b''])
  types = tf.AttrValue()
  types.list.type.append(tf.float32.as_datatype_enum)
  inputs = ['prefix', 'names', 'slices'] + ([_LOGITS] if op == 'SaveV2' else [])
  _add(graph_def, op, inputs=inputs, dtypes=types)


@pytest.mark.parametrize('op', ['SaveV2', 'RestoreV2'])
@pytest.mark.parametrize('path', [b'/etc/passwd', b'../model', b'model\n', b'_temp/../../part'])
def test_files_of_the_graphs_own_choice_are_refused(made, tmp_path, untouched, capsys, op, path):
  graph_def = _graph(made, 'graph.pb')
  _add_saver(graph_def, path, op)
  for source in _sources(tmp_path, graph_def):
    assert _freeze(made, source) == 2, source
    assert f"'evil' ({op}) takes a file name from 'prefix'" in capsys.readouterr().err
  frozen = _graph(made)
  _add_saver(frozen, b'model', op)  # and in a frozen graph no saver has any business
  assert _classify(made, _write(tmp_path, frozen)) == 2
  assert f'the operation {op}' in capsys.readouterr().err


def test_a_file_name_that_is_computed_is_refused(made):
  graph_def = _graph(made, 'graph.pb')
  _add_saver(graph_def, b'model')
  _text_const(graph_def, 'hidden', b'/etc/passwd')
  _add(graph_def, 'Reshape', 'piece', inputs=['hidden'])
  save = next(node for node in graph_def.node if node.op == 'SaveV2')
  save.input[0] = 'piece'
  with pytest.raises(UserError, match="from 'piece', which no Saver made"):
    safety.check(graph_def, 'bad.pb', has_saver=True)
  save.input[0] = 'evil'  # of itself, in a circle
  with pytest.raises(UserError, match="from 'evil'"):
    safety.check(graph_def, 'bad.pb', has_saver=True)


def test_nothing_is_written_when_outputs_or_initializers_run(made, tmp_path, untouched, capsys):
  graph_def = _graph(made, 'graph.pb')
  _add_saver(graph_def, b'model')
  _add(graph_def, 'NoOp', 'start', inputs=['^evil'])
  for source in _sources(tmp_path, graph_def)[:3]:
    assert _freeze(made, source, '--initializer_nodes=start') == 2
    assert 'would write a file' in capsys.readouterr().err
  saver = tmp_path / 'saver.pb'
  saver.write_bytes(tf.train.SaverDef(restore_op_name='start').SerializeToString())
  source = _sources(tmp_path, graph_def)[0]
  assert _freeze(made, source, f'--input_saver={saver}') == 2
  assert 'would write a file' in capsys.readouterr().err
  logits = next(node for node in graph_def.node if node.name == _LOGITS)
  del graph_def.node[-2].input[-1]  # else the logits would wait for themselves
  logits.input.append('^start')
  assert _freeze(made, _sources(tmp_path, graph_def)[0]) == 2
  assert 'would write a file' in capsys.readouterr().err


def test_a_saved_model_writes_nothing_when_it_is_loaded(made, tmp_path, untouched, capsys):
  graph_def = _graph(made, 'graph.pb')
  _add_saver(graph_def, b'model')
  starts = tf.MetaGraphDef()
  starts.collection_def['saved_model_main_op'].node_list.value.append('evil')
  signed = tf.MetaGraphDef()
  signed.signature_def['__saved_model_init_op'].outputs['a'].name = 'evil'
  parts = (
    {'saver_def': tf.train.SaverDef(restore_op_name='evil')},
    {'collection_def': starts.collection_def},
    {'signature_def': signed.signature_def},
  )
  for part in parts:
    assert _freeze(made, _save_model(tmp_path / 'saved', graph_def, **part)) == 2
    assert 'would write a file' in capsys.readouterr().err


def test_trust_graph_lets_a_graph_pass(made, tmp_path, capfd):
  graph_def = _graph(made)
  inputs, types = [_LOGITS, _LOGITS], tf.AttrValue()
  types.list.type.append(tf.float32.as_datatype_enum)
  _add(graph_def, 'Print', 'said', inputs=inputs, T=_FLOAT, U=types)
  file = _write(tmp_path, graph_def)
  shutil.copy(made / 'frozen.pb.json', f'{file}.json')
  assert _classify(made, file) == 2
  assert _classify(made, file, '--trust_graph') == 0
  Classifier(file, trust_graph=True).close()
  graph_def = _graph(made, 'graph.pb')
  _add(graph_def, 'Print', 'said', inputs=inputs, T=_FLOAT, U=types)
  source = f'--input_graph={_write(tmp_path, graph_def)}'
  output = f'--output_graph={tmp_path / "frozen.pb"}'
  flags = (source, output, f'--input_checkpoint={made / "run"}', f'--output_node_names={_LOGITS}')
  assert run(freeze_graph, *flags) == 2
  assert run(freeze_graph, *flags, '--trust_graph') == 0


# Graphs that are too much


def _is_refused_soon(made, file, message, capsys, seconds=60):
  began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  assert _classify(made, file) == 2
  printed = capsys.readouterr().err
  assert message in printed, printed
  assert time.monotonic() - began < seconds
  return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024  # MB


def test_bombs_of_empty_nodes_are_refused_unread(made, tmp_path, untouched, capsys):
  file = tmp_path / 'bomb.pb'
  file.write_bytes(b'\x0a\x00' * (limits.MAX_NODES + 1))
  assert _is_refused_soon(made, file, 'has more than 250000 nodes', capsys) < 100
  file.write_bytes(b'\x12\x02\x0a\x00' * (10 * 1024**2))  # libraries of an empty function
  assert _is_refused_soon(made, file, 'has more than 250000 nodes', capsys) < 200
  file.write_bytes(_field(2, b'\x0a\x00' * (20 * 1024**2)))  # a library of empty functions
  assert _is_refused_soon(made, file, 'has 40 MB beside its weights', capsys) < 200


def test_bombs_of_text_are_refused_unread(made, tmp_path, untouched, capsys):
  file = tmp_path / 'bomb.pbtxt'
  file.write_text('node{name:"a" op:"Relu"}\n' * 400_000)
  _is_refused_soon(made, file, 'more than 1000000 fields', capsys)
  file.write_text('node{name:"' + 'a' * limits.MAX_TEXT_BYTES + '"}')
  _is_refused_soon(made, file, 'MB of text', capsys)
  deep = 100_000
  file.write_text(
    'node{name:"a" op:"Relu" ' + 'attr{key:"a" value{func{' * deep + '}}}' * deep + '}'
  )
  _is_refused_soon(made, file, 'is no GraphDef', capsys)


def _field(number, content):
  """A field of bytes, as protocol buffers encode it."""
  length, size = b'', len(content)
  while size > 127:
    length, size = length + bytes([size & 127 | 128]), size >> 7
  return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_deep_binary_graphs_are_refused(made, tmp_path, untouched, capsys):
  """Functions that take functions as attributes: shallow ones are seen, deep ones not even read."""
  for depth, message in ((1, "calls a function by its attribute 'a'"), (3000, 'is no GraphDef')):
    value = b''
    for _ in range(depth):
      value = _field(10, _field(2, _field(1, b'a') + _field(2, value)))
    entry = _field(5, _field(1, b'a') + _field(2, value))
    data = _field(1, _field(1, b'evil') + _field(2, b'Identity') + entry)
    (tmp_path / 'deep.pb').write_bytes((made / 'frozen.pb').read_bytes() + data)
    _is_refused_soon(made, tmp_path / 'deep.pb', message, capsys)


def test_many_nodes_are_no_trouble(made, tmp_path, untouched, capsys):
  graph_def = _graph(made)
  for number in range(200_000):
    graph_def.node.add(name=f'n{number}', op='NoOp')
  _add(graph_def, 'PyFunc')
  _is_refused_soon(made, _write(tmp_path, graph_def), 'the operation PyFunc', capsys)


def test_memory_that_a_graph_only_claims_is_refused(made, tmp_path, untouched, capsys):
  for op, attr in (('Const', 'value'), ('Placeholder', 'shape')):
    graph_def = _graph(made)
    node = _add(graph_def, op, 'huge', dtype=_FLOAT)
    value = node.attr[attr]
    shape = value.shape if op == 'Placeholder' else value.tensor.tensor_shape
    for size in (-1, 10**9, 10**9, 10**9):
      shape.dim.add(size=size)
    if op == 'Const':
      value.tensor.dtype = tf.float32.as_datatype_enum
    message = "more than 4 GB of memory, at its node 'huge'"
    assert _is_refused_soon(made, _write(tmp_path, graph_def), message, capsys) < 200


def test_nodes_that_do_not_fit_together_are_refused_in_one_sentence(made, tmp_path, capsys):
  def missing(graph_def):
    _add(graph_def, 'Relu', inputs=['nowhere'], T=_FLOAT)

  def in_a_circle(graph_def):
    _add(graph_def, 'Relu', 'a', inputs=['b'], T=_FLOAT)
    _add(graph_def, 'Relu', 'b', inputs=['a'], T=_FLOAT)

  def twice(graph_def):
    graph_def.node.add().CopyFrom(graph_def.node[0])

  def without_attributes(graph_def):
    _add(graph_def, 'Conv2D', inputs=['input', 'input'])

  for change in (missing, in_a_circle, twice, without_attributes):
    graph_def = _graph(made)
    change(graph_def)
    assert _classify(made, _write(tmp_path, graph_def)) == 2, change
    assert 'is no graph that TensorFlow can use' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['pipe', 'device', 'folder'])
def test_what_is_no_plain_file_is_not_read(made, tmp_path, untouched, capsys, kind):
  file = tmp_path / 'thing'
  if kind == 'pipe':
    os.mkfifo(file)
  elif kind == 'device':
    file = pathlib.Path('/dev/zero')
  else:
    file.mkdir()
  assert _classify(made, file) == 2
  assert 'cannot be read' in capsys.readouterr().err
  with pytest.raises((OSError, ValueError)):
    slim_files.read_json(file)
  with pytest.raises(UserError, match='cannot be read'):
    labels.read_labels(file)


# The code itself


def _calls(path):
  """Yields (dotted name, ast.Call) of every call in a file."""
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Call):
      yield ast.unparse(node.func), node


def _is_given(call, name, value):
  return any(
    keyword.arg == name and getattr(keyword.value, 'value', None) is value
    for keyword in call.keywords
  )


def _harmful(path):
  """Returns the calls in a file by which data could become code."""
  never = re.compile(
    r'eval|exec|compile|__import__|os\.(system|popen|exec\w*|spawn\w*)|subprocess\.get\w*'
    r'|(\w+\.)*(pickle|dill|joblib|marshal|shelve|cloudpickle)\.\w+|(\w+\.)*load_model'
    r'|(\w+\.)*load_weights|yaml\.\w+|(\w+\.)*load_op_library|(\w+\.)*py_func|(\w+\.)*py_function'
    r'|(\w+\.)*numpy_function|(\w+\.)*read_pickle|importlib\.import_module|runpy\.\w+'
    r'|(\w+\.)*import_meta_graph|tarfile\.\w+\.extractall|(\w+\.)*unpack_archive|Markup'
  )
  for name, call in _calls(path):
    loads = name in ('np.load', 'numpy.load') and not _is_given(call, 'allow_pickle', False)
    shell = name.startswith('subprocess.') and any(k.arg == 'shell' for k in call.keywords)
    if never.fullmatch(name) or loads or shell:
      yield f'{path.relative_to(REPO)}: {name}'


def _names_of_own_code():
  folders = [*shipped_files(), *(REPO / 'scripts').glob('*.py')]
  return sorted(set(folders))


def test_no_data_becomes_code():
  found = {entry for path in _names_of_own_code() for entry in _harmful(path)}
  # slim_compat imports modules of TensorFlow by names of its own, and a worker the module that the
  # process which starts it names. Cached features are numbers, read by a function of this project.
  assert found == {
    'slim_compat.py: importlib.import_module',
    'datasets/decode_worker.py: importlib.import_module',
    'image_classifier/features/row_batches.py: tf.numpy_function',
  }


def test_what_data_becoming_code_looks_like_is_known(tmp_path, monkeypatch):
  monkeypatch.setattr('test_security.REPO', tmp_path)
  lines = (
    'eval(x)',
    'pickle.load(f)',
    'np.load(f)',
    'np.load(f, allow_pickle=True)',
    'subprocess.run(x, shell=True)',
    'os.system(x)',
    'tf.keras.models.load_model(f)',
    'tf.py_func(f, [], tf.float32)',
    'tf.train.import_meta_graph(f)',
  )
  for line in lines:
    (tmp_path / 'a.py').write_text(line)
    assert list(_harmful(tmp_path / 'a.py')), line
  for line in ('np.load(f, allow_pickle=False)', 'subprocess.run([x])', 're.compile(x)'):
    (tmp_path / 'a.py').write_text(line)
    assert not list(_harmful(tmp_path / 'a.py')), line


def test_the_only_unpickler_is_restricted():
  using = [
    path.name
    for path in _names_of_own_code()
    if re.search(r'^\s*(import|from) (pickle|marshal|shelve|yaml)\b', path.read_text('utf-8'), re.M)
  ]
  assert using == ['cifar10_files.py']
  text = (REPO / 'datasets/cifar10_files.py').read_text('utf-8')
  assert 'class _BatchUnpickler(pickle.Unpickler)' in text and 'def find_class' in text


def test_graphs_are_imported_at_one_place():
  importing = {
    path.name
    for path in _names_of_own_code()
    for name, _ in _calls(path)
    if name.endswith(('import_graph_def', 'loader.load'))
  }
  # Freezing checks SavedModels first; the others import graphs that were built here.
  built_here = {'trained_net.py', 'frozen_part.py', 'cache.py'}
  assert importing == {'graph_defs.py', 'freezing.py', *built_here}


# JSON


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    (b'{"a": NaN}', 'NaN is no number'),
    (b'{"a": -Infinity}', 'Infinity is no number'),
    (b'{"a": 1e999}', '1e999 is no number'),
    (b'{"a": ' + b'9' * 5000 + b'}', 'digits'),
    (b'{"a": 1, "b": 2, "a": 3}', "gives 'a' twice"),
    (b'[' * 200_000, 'nested too deeply'),
    (b'{"a":' * 200_000, 'nested too deeply'),
    (b'"' + b' ' * slim_files.MAX_JSON_BYTES + b'"', 'more than 16777216 bytes'),
    (b'\xff\xfe{}', 'utf-8'),
    (b'{"a": 1} {"b": 2}', 'Extra data'),
    (b'', 'Expecting value'),
  ],
)
def test_json_that_is_none_is_refused(tmp_path, text, message):
  (tmp_path / 'a.json').write_bytes(text)
  with pytest.raises(ValueError, match=message):
    slim_files.read_json(tmp_path / 'a.json')
  for name, read in (
    ('run.json', lambda: run_record.read(tmp_path)),
    ('graph.pb.json', lambda: sidecar.read(tmp_path / 'graph.pb')),
    ('dataset.json', lambda: manifest.read_manifest(str(tmp_path))),
  ):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(UserError, match=f'{name} cannot be read'):
      read()


_WRONG_FIELDS = (
  ('image_size', -1, 'from 1 to'),
  ('image_size', 10**9, 'from 1 to'),
  ('image_size', True, 'a whole number'),
  ('image_size', 32.5, 'a whole number'),
  ('image_size', '32', 'a whole number'),
  ('num_classes', 10**12, 'from 1 to'),
  ('num_classes', 0, 'from 1 to'),
  ('class_names', 'abc', 'a list of texts'),
  ('class_names', ['a', 1, 'c'], 'a list of texts'),
  ('class_names', [], 'a list of texts of 1 to'),
  ('class_names', ['a', '\ud800', 'c'], 'a list of texts'),
  ('labels_offset', -3, 'from 0 to'),
  ('use_grayscale', 'no', 'true or false'),
  ('moving_average_decay', 2, 'from 0 to 1'),
  ('data_fingerprint', 5, 'a text'),
  ('preprocessing_name', None, 'a text'),
  ('preprocessing_name', {'a': 1}, 'a text'),
)


@pytest.mark.parametrize(('field', 'value', 'wanted'), _WRONG_FIELDS)
def test_wrong_fields_are_named_with_their_file(made, tmp_path, field, value, wanted):
  facts = json.loads((made / 'frozen.pb.json').read_text('utf-8'))
  record = json.loads((made / 'run/run.json').read_text('utf-8'))
  for name, fields, read in (
    ('graph.pb.json', facts, lambda: sidecar.read(tmp_path / 'graph.pb')),
    ('run.json', record, lambda: run_record.read(tmp_path)),
  ):
    (tmp_path / name).write_text(json.dumps({**fields, 'of_a_later_version': [1]}))
    assert read()
    (tmp_path / name).write_text(json.dumps({**fields, field: value}))
    with pytest.raises(UserError) as caught:
      read()
    message = str(caught.value)
    assert f'{tmp_path / name}: {field} is ' in message and wanted in message


def test_a_hostile_sidecar_ends_in_one_sentence(made, tmp_path, capsys):
  facts = json.loads((made / 'frozen.pb.json').read_text('utf-8'))
  shutil.copy(made / 'frozen.pb', tmp_path / 'net.pb')
  for change, message in (
    ({'preprocessing_name': 'incption'}, "Unknown preprocessing_name 'incption': did you mean"),
    ({'logits_node': '../../etc/passwd'}, "has no node '../../etc/passwd'"),
    ({'logits_node': 'CifarNet/conv1/weights'}, 'is no list of scores'),
    ({'input_node': 'other'}, "Unknown input_node 'other'"),
    ({'image_size': 64}, 'speaks of pictures of [64, 64, 3]'),
    ({'use_grayscale': True}, 'speaks of pictures of [32, 32, 1]'),
    ({'class_names': ['a']}, 'names 1 classes'),
    ({'format_version': '1'}, 'format_version'),
  ):
    (tmp_path / 'net.pb.json').write_text(json.dumps({**facts, **change}))
    assert _classify(made, tmp_path / 'net.pb') == 2, change
    printed = capsys.readouterr().err
    assert message in printed and printed.count('\n') == 1


def test_a_hostile_run_json_ends_in_one_sentence(made, tmp_path, tiny_dataset, capsys):
  shutil.copytree(made / 'run', tmp_path / 'run')
  record = json.loads((made / 'run/run.json').read_text('utf-8'))
  evaluated = (eval_image_classifier, f'--checkpoint_path={tmp_path / "run"}')
  exported = (export_inference_graph, f'--train_dir={tmp_path / "run"}')
  for change, message in (
    ({'model_name': '\x1b[2J'}, r"model_name '\x1b[2J'"),
    ({'preprocessing_name': 'incption'}, "'incption'"),
    ({'class_names': ['x'] * 3, 'num_classes': 10**7}, 'num_classes is 10000000'),
    ({'num_classes': 2}, 'num_classes is 2, of 3 class_names'),
    ({'image_size': 10**9}, 'image_size is 1000000000'),
  ):
    (tmp_path / 'run/run.json').write_text(json.dumps({**record, **change}))
    folders = f'--dataset_dir={tiny_dataset}', f'--eval_dir={tmp_path / "eval"}'
    for arguments in ((*evaluated, *folders), (*exported, f'--output_file={tmp_path / "g.pb"}')):
      assert run(*arguments) == 2, (change, arguments)
      printed = capsys.readouterr().err
      assert message in printed and '\x1b' not in printed
  assert not (tmp_path / 'g.pb').exists()


def test_what_lies_beside_a_checkpoint_is_never_run(made, tmp_path, tiny_dataset, capsys):
  """Its .meta and graph.pbtxt are programs, and its `checkpoint` file names paths."""
  shutil.copytree(made / 'run', tmp_path / 'run')
  graph_def = _graph(made, 'graph.pb')
  _add_saver(graph_def, str(tmp_path / 'written').encode())
  meta_graph = tf.MetaGraphDef(graph_def=graph_def)
  meta_graph.saver_def.restore_op_name = 'evil'
  (tmp_path / 'run/model.ckpt-7.meta').write_bytes(meta_graph.SerializeToString())
  (tmp_path / 'run/graph.pbtxt').write_text(text_format.MessageToString(graph_def))
  state = '"/etc/model.ckpt-7"'
  (tmp_path / 'run/checkpoint').write_text(
    f'model_checkpoint_path: {state}\nall_model_checkpoint_paths: {state}\n'
  )
  assert checkpoints.resolve(str(tmp_path / 'run')) == str(tmp_path / 'run/model.ckpt-7')
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  assert predicting.predict(str(tmp_path / 'run'), dataset, 'cifarnet', image_size=32).files
  source = f'--input_graph={made / "graph.pb"}'
  checkpoint, output = f'--input_checkpoint={tmp_path / "run"}', f'{tmp_path / "frozen.pb"}'
  assert run(freeze_graph, source, checkpoint, f'--output_graph={output}') == 0
  assert not list(tmp_path.glob('written*'))


def test_shards_of_dataset_json_stay_in_their_folder(tmp_path):
  shard = {'file': 'a_train_00000-of-00001.tfrecord', 'num_images': 1, 'bytes': 1, 'sha256': 'a'}
  split = {'num_images': 1, 'images_per_class': {'x': 1}, 'shards': [shard]}
  value = {'format_version': 1, 'name': 'a', 'classes': ['x'], 'splits': {'train': split}}
  slim_files.write_json(tmp_path / 'dataset.json', value)
  assert manifest.read_manifest(str(tmp_path)) == value
  for name in ('../a', '/etc/passwd', 'a/b', '', '..', 5):
    shard['file'] = name
    slim_files.write_json(tmp_path / 'dataset.json', value)
    with pytest.raises(UserError, match=r'splits\.train\.shards\[0\]\.file'):
      manifest.read_manifest(str(tmp_path))


# Names

_HOSTILE = {
  'two\nlines': r'two\nlines',
  '\x1b[2Jcleared\x07': r'\x1b[2Jcleared\x07',
  'c1\x9b31m': r'c1\x9b31m',
  'gpj.\u202eexe': r'gpj.\u202eexe',
  'a\u2066b\u2028c': r'a\u2066b\u2028c',
  'back\rward\ttab': r'back\rward\ttab',
  'raw\udcff': r'raw\xff',
}
_LEGITIMATE = ('海冰', 'sea ice', 'a:b', '👩‍🌾 🏴󠁧󠁢󠁥󠁮󠁧󠁿', 'Ünïcödé', 'עברית', '<b>&amp;', "it's", 'a\\b')
_FORMULAS = ('=1+1', '+1', '-1', '@SUM(A1)', '＝1', "'=1", "''@x")


def test_only_what_harms_a_terminal_is_escaped():
  for name, expected in _HOSTILE.items():
    assert slim_text.shown(name) == expected
  for name in _LEGITIMATE:
    assert slim_text.shown(name) == slim_text.csv_cell(name) == name
    assert (
      json.loads(slim_text.json_text(name)) == name
      and name.isascii()
      or name in (slim_text.json_text(name))
    )


def test_spreadsheets_take_no_name_for_a_formula():
  for name in _FORMULAS:
    cell = slim_text.csv_cell(name)
    assert slim_text.text_of_csv_cell(cell) == slim_text.shown_lines(name)
    assert cell == f"'{name}"  # what stands behind the apostrophe is the name
  assert slim_text.csv_cell(-1.5) == -1.5 and slim_text.csv_cell("'quoted'") == "'quoted'"
  assert slim_text.csv_cell('\t=1') == r'\t=1'


def _is_harmless(printed, lines=None):
  assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]', printed)
  assert lines is None or printed.count('\n') == lines
  return True


def test_classification_prints_hostile_names_harmlessly(made, tmp_path, capsys):
  shutil.copy(made / 'frozen.pb', tmp_path / 'net.pb')
  facts = json.loads((made / 'frozen.pb.json').read_text('utf-8'))
  names = ['=cmd\x1b[31m', 'two\nlines', 'gpj.\u202eexe']
  (tmp_path / 'net.pb.json').write_text(json.dumps({**facts, 'class_names': names}))
  shutil.copy(made / 'picture.png', tmp_path / '\x1b]0;x\x07.png')
  (tmp_path / '=bad\u202e\n.png').write_bytes(b'')
  pictures = sorted(tmp_path.glob('*.png'))
  flags = [f'--model_path={tmp_path / "net.pb"}', *pictures]
  assert run(classify_image, *flags) == 1
  assert _is_harmless(capsys.readouterr().out, lines=5)
  assert run(classify_image, *flags, '--json') == 1
  printed = capsys.readouterr().out
  assert _is_harmless(printed)
  entries = {entry['file']: entry for entry in json.loads(printed)}
  assert set(entries) == set(map(str, pictures))
  answer = entries[str(tmp_path / '\x1b]0;x\x07.png')]
  assert {row['class'] for row in answer['predictions']} == set(names)
  assert run(classify_image, *flags, '--csv') == 1
  printed = capsys.readouterr().out
  assert _is_harmless(printed)
  rows = list(csv.DictReader(io.StringIO(printed, newline='')))
  assert {row['class'] for row in rows} == {'', r"'=cmd\x1b[31m", 'two\nlines', r'gpj.\u202eexe'}
  assert all(float(row['logit']) is not None for row in rows if row['rank'])


def test_evaluation_prints_and_draws_hostile_names_harmlessly(tmp_path):
  names = ['=cmd\x1b[31m', 'two\nlines', 'gpj.\u202eexe']
  files = ['@a\x1b[2J.jpg', '=b\u202e.jpg', 'c\n.jpg']
  labels, logits = np.array([0, 1, 2]), np.eye(3)[[1, 1, 0]]
  figures = {
    'checkpoint': 'model\x1b[2J',
    'step': 1,
    'model_name': 'lenet',
    'dataset_dir': 'pic\x1b[2J',
    'dataset_split_name': 'validation',
    'seconds': 1.0,
    'images_per_second': 3.0,
    'warnings': ['odd \x1b[2J'],
    **metrics.compute(labels, logits, names, (1, 2)),
    'confident_mistakes': metrics.confident_mistakes(labels, logits, names, files),
    'calibration': calibration.compute(labels, logits),
    'selective': calibration.selective(labels, logits),
  }
  page = reports.summary(figures, 'out\x1b[2J')
  assert _is_harmless(page) and r'=cmd\x1b[31m -> two\nlines: 1 of 1' in page
  predictions = types.SimpleNamespace(files=files, labels=labels, logits=logits)
  reports.write(tmp_path, figures, predictions, names, 2)
  for name in ('predictions.csv', 'confusion_matrix.csv'):
    with open(tmp_path / name, encoding='utf-8', newline='') as file:
      rows = list(csv.reader(file))
    assert all(_is_harmless(cell) for row in rows for cell in row)
    assert not [cell for row in rows for cell in row if cell[:1] in '=+-@' and cell]
  with Image.open(tmp_path / 'confusion_matrix.png') as drawing:
    assert drawing.width > 100


def test_conversion_prints_and_lists_hostile_names_harmlessly(tmp_path, capfd):
  picture = Image.new('RGB', (40, 40), 'green')
  for name in ('=cmd', 'gpj.\u202eexe'):
    (tmp_path / 'in' / name).mkdir(parents=True)
    for number in range(4):
      picture.putpixel((0, 0), (number, len(name), 0))
      picture.save(tmp_path / 'in' / name / f'{number}.png')
    (tmp_path / 'in' / name / '=bad\x1b[2J.png').write_bytes(b'')
  out = tmp_path / 'out'
  argv = ('-t', tmp_path / 'in', f'--output_dir={out}', '--max_skipped_fraction=1')
  assert run(data_convert, *argv) == 0
  printed = capfd.readouterr()
  assert _is_harmless(printed.out) and _is_harmless(printed.err)
  with open(out / 'skipped.csv', encoding='utf-8', newline='') as file:
    rows = list(csv.reader(file))[1:]
  assert [row[0] for row in rows] == [
    r"'=cmd/=bad\x1b[2J.png",
    r'gpj.\u202eexe/=bad\x1b[2J.png',
  ]


def test_messages_and_errors_are_harmless(capsys, caplog):
  from image_classifier import command

  def main(_):
    tf.logging.warning('Read %s and %s', 'a\x1b[2J', UserError('b\u202e'))
    tf.logging.warning('all \x1b[2J of it')
    raise UserError('There is no class \x1b[31m\u202e here.')

  assert command.run('', command.new_flags(), main, ['test']) == 2
  assert _is_harmless(capsys.readouterr().err.rstrip('\n'), lines=None)
  assert [record.getMessage() for record in caplog.records] == [
    r'Read a\x1b[2J and b\u202e',
    r'all \x1b[2J of it',
  ]


# Archives and downloads


def _header(name, kind, size):
  """A tar header with a sound checksum, whatever it says."""
  info = tarfile.TarInfo(name)
  info.type = kind
  data = bytearray(info.tobuf(tarfile.GNU_FORMAT))
  data[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
  data[148:156] = b'%06o\0 ' % tarfile.calc_chksums(bytes(data))[0]
  return bytes(data)


def test_headers_of_archives_are_bounded(tmp_path):
  """tarfile reads a long name as a whole, and takes what is negative off the sum of all sizes."""
  for kind, size in (
    (tarfile.XHDTYPE, 2 * 1024**2),
    (tarfile.XGLTYPE, 10**10),
    (tarfile.GNUTYPE_LONGNAME, 2 * 1024**2),
    (tarfile.GNUTYPE_LONGLINK, 10**10),
    (tarfile.REGTYPE, -(10**12)),
  ):
    data = _header('a', kind, size) + bytes(4 * 1024**2)
    (tmp_path / 'a.tar').write_bytes(data)
    with pytest.raises(RunError, match=f'a header of {size} bytes'):
      archives.extract(tmp_path / 'a.tar', tmp_path / 'out')
    assert [path.name for path in tmp_path.iterdir()] == ['a.tar']


def test_a_server_that_sends_more_than_it_said_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv('no_proxy', '127.0.0.1')
  with loopback.serving(bytes(10_000)) as server:
    server.chunked = True
    with pytest.raises(RunError, match='sends more than the 9000 bytes it has'):
      fetching.fetch(server.url, tmp_path / 'net', size=9000, pause=0)
  assert not list(tmp_path.iterdir())


def test_a_recorded_checksum_must_be_one(tmp_path):
  (tmp_path / 'net').write_bytes(b'x')
  for text in (b'', b'abc', b'\xff' * 64, b'0' * 10_000):
    (tmp_path / 'net.sha256').write_bytes(text)
    with pytest.raises(UserError, match='net.sha256 holds no SHA-256'):
      fetching.fetch('https://localhost/net', tmp_path / 'net')


@pytest.mark.parametrize('note', [{'validator': ['x']}, {'size': '9'}, {'url': 5}, {'size': [1]}])
def test_a_damaged_note_of_a_download_is_not_followed(tmp_path, monkeypatch, note):
  monkeypatch.setenv('no_proxy', '127.0.0.1')
  with loopback.serving(b'content') as server:
    (tmp_path / 'net.part').write_bytes(b'cont')
    facts = {'url': server.url, 'validator': '"one"', 'size': 7}
    (tmp_path / 'net.part.json').write_text(json.dumps({**facts, **note}))
    fetching.fetch(server.url, tmp_path / 'net', pause=0)
    assert 'Range' not in server.requests[0]
  assert (tmp_path / 'net').read_bytes() == b'content'


def test_numbers_without_end_in_a_label_file_are_names(tmp_path):
  line = '9' * 5000 + ':a'
  (tmp_path / 'names.txt').write_text(f'{line}\n1:b\n')
  assert labels.read_labels(tmp_path / 'names.txt') == {0: line, 1: '1:b'}


# Time and memory


def _memory():
  """Returns the resident memory of this process in MB."""
  gc.collect()
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * resource.getpagesize() / 1024**2


@pytest.mark.slow
def test_a_thousand_classifications_use_one_graph_and_no_more_memory(made):
  with Classifier(made / 'frozen.pb') as classifier:
    graph = classifier._session.graph
    picture = np.zeros([40, 40, 3], np.uint8)
    sizes, memory = set(), []
    for number in range(1000):
      classifier.predict([made / 'picture.png' if number % 2 else picture])
      sizes.add(len(graph.get_operations()))
      if number % 200 == 199:
        memory.append(_memory())
    assert len(sizes) == 1 and classifier._session.graph is graph
    assert memory[-1] - memory[0] < 20, memory


@pytest.mark.slow
def test_twenty_evaluations_leave_no_graph_and_no_memory(tmp_path, tiny_dataset):
  prefix = write_checkpoint(tmp_path / 'run')
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  before, memory = len(tf.get_default_graph().get_operations()), []
  for number in range(20):
    predictions = predicting.predict(prefix, dataset, 'cifarnet', image_size=32)
    assert len(predictions.files) == 15
    if number % 4 == 3:
      memory.append(_memory())
  assert len(tf.get_default_graph().get_operations()) == before
  gc.collect()
  assert sum(isinstance(thing, tf.Graph) for thing in gc.get_objects()) <= 3
  assert memory[-1] - memory[0] < 60, memory


# The pages


@pytest.mark.parametrize('name', ['security', 'faults'])
def test_every_test_that_the_page_names_exists(name):
  page = (REPO / 'docs' / f'{name}.md').read_text(encoding='utf-8')
  named = re.findall(r'`(test_\w+)\.py::(test_\w+)`', page)
  assert len(named) > 20
  for module, test in named:
    text = (REPO / 'tests' / f'{module}.py').read_text(encoding='utf-8')
    assert f'def {test}(' in text, (module, test)


def test_every_threat_names_a_test():
  page = (REPO / 'docs/security.md').read_text(encoding='utf-8')
  threats = [line for line in page.splitlines() if re.match(r'\| [STRIDE](, [STRIDE])* \|', line)]
  assert len(threats) > 10 and all('`test_' in line for line in threats)
