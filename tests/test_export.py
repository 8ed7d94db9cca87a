"""export_inference_graph: which graph is written, with which sidecar, for which flags."""

import json

import pytest
from google.protobuf import text_format
from small_nets import run, write_checkpoint, write_run

import export_inference_graph
from preprocessing import preprocessing_factory
from slim_compat import tf


def _export(folder, *arguments, name='graph.pb'):
  """Exports and returns (GraphDef, sidecar)."""
  file = folder / name
  assert run(export_inference_graph, f'--output_file={file}', *arguments) == 0
  graph_def = tf.GraphDef()
  if '--write_text_graphdef' in arguments:
    text_format.Parse(file.read_text(encoding='utf-8'), graph_def)
  else:
    graph_def.ParseFromString(file.read_bytes())
  return graph_def, json.loads((folder / f'{name}.json').read_text(encoding='utf-8'))


def _shape(graph_def, name):
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
    return graph.get_tensor_by_name(f'{name}:0').shape.as_list()


def _trains(graph_def):
  return any('is_training' in node.attr and node.attr['is_training'].b for node in graph_def.node)


# The nodes people name on command lines.
@pytest.mark.parametrize(
  ('model_name', 'size', 'logits', 'softmax'),
  [
    ('lenet', 28, 'LeNet/fc4/BiasAdd', 'Predictions/Reshape_1'),
    ('cifarnet', 32, 'CifarNet/logits/BiasAdd', 'CifarNet/Predictions/Reshape_1'),
    ('vgg_a', 224, 'vgg_a/fc8/squeezed', None),
    (
      'inception_v3',
      299,
      'InceptionV3/Logits/SpatialSqueeze',
      'InceptionV3/Predictions/Reshape_1',
    ),
    ('mobilenet_v2', 224, 'MobilenetV2/Logits/output', 'MobilenetV2/Predictions/Reshape_1'),
  ],
)
def test_the_tutorials_command_for_several_nets(tmp_path, model_name, size, logits, softmax):
  graph_def, facts = _export(
    tmp_path, '--alsologtostderr', f'--model_name={model_name}', '--dataset_name', 'satellite'
  )
  assert _shape(graph_def, 'input') == [None, size, size, 3]
  for node in filter(None, (logits, softmax)):
    assert _shape(graph_def, node) == [None, 6]
  assert not _trains(graph_def)
  assert facts['model_name'] == model_name
  assert (facts['logits_node'], facts['softmax_node']) == (logits, softmax)
  assert facts['num_classes'] == 6 and facts['class_names'][3] == 'water'
  assert facts['input_node'] == 'input' and facts['image_size'] == size
  assert facts['preprocessing'] == preprocessing_factory.describe(model_name)
  assert facts['step'] is None and facts['data_fingerprint'] is None


@pytest.mark.parametrize(
  ('model_name', 'flags', 'outputs'),
  [
    ('cifarnet', [], 1001),
    ('cifarnet', ['--dataset_name=imagenet'], 1001),
    ('cifarnet', ['--labels_offset=1'], 1000),
    ('vgg_a', [], 1000),  # its published checkpoints have no background class
    ('vgg_a', ['--labels_offset=0'], 1001),
    ('vgg_a', ['--dataset_name=satellite'], 6),
    ('vgg_a', ['--dataset_name=satellite', '--labels_offset=1'], 5),
  ],
)
def test_imagenet_is_known_without_files(tmp_path, monkeypatch, caplog, model_name, flags, outputs):
  monkeypatch.chdir(tmp_path)
  graph_def, facts = _export(tmp_path, f'--model_name={model_name}', *flags)
  assert _shape(graph_def, facts['logits_node']) == [None, outputs]
  assert facts['num_classes'] == outputs
  assert ('--labels_offset=1, as in the checkpoints' in caplog.text) is (
    model_name == 'vgg_a' and not flags
  )
  assert len(facts['class_names']) == outputs
  if outputs > 6:  # ImageNet's, whose names are not known without its files
    assert facts['class_names'][:2] == ['background', 'class 1', 'class 2'][1001 - outputs :][:2]
  assert sorted(path.name for path in tmp_path.iterdir()) == ['graph.pb', 'graph.pb.json']


@pytest.mark.parametrize(
  ('num_classes', 'flags', 'offset'),
  [
    (1001, [], 0),
    (1000, [], 1),  # ImageNet without the background
    (1000, ['--labels_offset=1'], 1),
    (5, [], 0),
    (6, ['--dataset_name=satellite'], 0),
  ],
)
def test_a_checkpoint_says_net_and_classes(tmp_path, num_classes, flags, offset):
  prefix = write_checkpoint(tmp_path / 'run', 'lenet', num_classes)
  graph_def, facts = _export(tmp_path, f'--checkpoint_path={prefix}', *flags)
  assert _shape(graph_def, 'LeNet/fc4/BiasAdd') == [None, num_classes]
  assert (facts['num_classes'], facts['labels_offset']) == (num_classes, offset)
  assert len(facts['class_names'] or 'five!') == num_classes


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--model_name=cifarnet'], 'is not of cifarnet: it looks like lenet: pass --model_name=lenet'),
    (['--labels_offset=0'], 'knows 1000 classes, and the data set has 1001 with --labels_offset=0'),
    (['--dataset_name=satellite'], 'knows 1000 classes, and the data set has 6'),
    (['--train_dir=run'], 'Give --train_dir or --checkpoint_path, not both'),
  ],
)
def test_a_checkpoint_that_is_contradicted_is_refused(tmp_path, capsys, flags, message):
  prefix = write_checkpoint(tmp_path / 'run', 'lenet', 1000)
  file = tmp_path / 'graph.pb'
  argv = (f'--output_file={file}', f'--checkpoint_path={prefix}', *flags)
  assert run(export_inference_graph, *argv) == 2
  assert message in capsys.readouterr().err
  assert not file.exists()


def test_size_batch_and_colour_flags_shape_the_placeholder(tmp_path):
  graph_def, facts = _export(
    tmp_path,
    *('--model_name=mobilenet_v1_025', '--image_size=96', '--batch_size=4', '--use_grayscale'),
  )
  assert _shape(graph_def, 'input') == [4, 96, 96, 1]
  assert facts['image_size'] == 96 and facts['use_grayscale'] is True
  assert facts['preprocessing']['colour_order'] == 'GRAY'


def test_text_form_is_the_same_graph(tmp_path):
  binary, _ = _export(tmp_path, '--model_name=lenet')
  text, _ = _export(tmp_path, '--model_name=lenet', '--write_text_graphdef', name='graph.pbtxt')
  assert binary == text


def test_the_training_form_says_that_it_is_one(tmp_path):
  flags = ('--model_name=mobilenet_v1_025', '--dataset_name=satellite')
  _, facts = _export(tmp_path, *flags)
  assert facts['is_training'] is False
  graph_def, facts = _export(tmp_path, *flags, '--is_training')
  assert _trains(graph_def) and facts['is_training'] is True


def test_a_run_answers_everything(tmp_path):
  write_run(
    tmp_path,
    'lenet',
    ('冰川', 'rock'),
    image_size=30,
    use_grayscale=True,
    labels_offset=1,
    preprocessing_name='cifarnet',
    moving_average_decay=0.99,
  )
  graph_def, facts = _export(tmp_path, f'--train_dir={tmp_path}')
  assert _shape(graph_def, 'input') == [None, 30, 30, 1]
  assert _shape(graph_def, 'LeNet/fc4/BiasAdd') == [None, 2]
  assert facts['class_names'] == ['冰川', 'rock'] and facts['labels_offset'] == 1
  assert facts['preprocessing']['name'] == 'cifarnet'
  assert facts['moving_average_decay'] == 0.99 and facts['data_fingerprint'] == 'f' * 64
  _, facts = _export(tmp_path, f'--train_dir={tmp_path}', '--image_size=40')
  assert facts['image_size'] == 40


def test_classes_of_a_data_set_folder(tmp_path, tiny_dataset):
  graph_def, facts = _export(tmp_path, '--model_name=cifarnet', f'--dataset_dir={tiny_dataset}')
  assert facts['class_names'] == ['forest', 'sea ice', '城市']
  assert len(facts['data_fingerprint']) == 64
  assert _shape(graph_def, 'CifarNet/logits/BiasAdd') == [None, 3]


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], 'You must supply the path to save to with --output_file'),
    (['--output_file=g', '--quantize'], '--quantize=True is not supported'),
    (['--output_file=g', '--model_name=lenett'], "did you mean 'lenet'"),
    (
      ['--output_file=g', '--is_video_model'],
      'Number of frames must be specified for video models with --num_frames',
    ),
    (['--output_file=g', '--is_video_model', '--num_frames=8'], 'inception_v3 is not a video net'),
    (['--output_file=g', '--image_size=0'], '--image_size=0 must be 1 or more'),
    (['--output_file=g', '--image_size=40'], 'inception_v3 cannot take images of 40 pixels'),
    (['--output_file=g', '--labels_offset=1001'], 'leaves none of the 1001 classes'),
    (['--output_file=g', '--labels_offset=-1'], 'must be 0 or more'),
    (['--output_file=g', '--train_dir=nowhere'], 'nowhere has no run.json'),
    (['--output_file=g', '--dataset_name=satelite'], "did you mean 'satellite'"),
    (['--output_file=g', '--train_dir=run', '--model_name=lenet'], 'model_name cifarnet, and'),
    (['--output_file=g', '--train_dir=run', '--dataset_name=satellite'], 'num_classes 3, and 6'),
    (['--output_file=g', '--train_dir=run', '--labels_offset=1'], 'labels_offset 0, and 1'),
    (['--output_file=g', '--train_dir=run', '--use_grayscale'], 'use_grayscale False, and True'),
  ],
)
def test_mistakes_are_answered_in_a_sentence(tmp_path, monkeypatch, capsys, flags, message):
  write_run(tmp_path / 'run')
  monkeypatch.chdir(tmp_path)
  assert run(export_inference_graph, *flags) == 2
  assert message in capsys.readouterr().err
  assert [path.name for path in tmp_path.iterdir()] == ['run']


def test_flags_without_meaning_say_so(tmp_path, capsys):
  _export(tmp_path, '--model_name=lenet', '--default_image_size=224', '--num_frames=3')
  printed = capsys.readouterr().err
  assert '--default_image_size has no effect any more' in printed
  assert '--num_frames has no effect any more' in printed
