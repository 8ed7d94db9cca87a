"""classify_image and its Python API: the answers are those of the checkpoint and of evaluation."""

import csv
import io
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_nets import logits_of, needs_onednn, run, write_checkpoint, write_run

import classify_image
import export_inference_graph
import freeze_graph
from datasets import dataset_factory
from image_classifier.evaluation import predicting
from image_classifier.inference import Classifier
from image_classifier.inference import classifier as classifiers
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError

_REPO = pathlib.Path(__file__).resolve().parents[1]
_NAMES = ('forest', 'sea ice', '城市')


def _freeze(folder, *export_flags, model_name='cifarnet', names=_NAMES, **net):
  """Makes a run of a net with random weights and freezes it; returns (frozen graph, checkpoint)."""
  prefix = write_checkpoint(folder / 'run', model_name, len(names), **net)
  size, gray = net.get('size', 32), net.get('channels') == 1
  write_run(folder / 'run', model_name, names, image_size=size, use_grayscale=gray)
  graph, frozen = folder / 'graph.pb', folder / 'frozen.pb'
  argv = (f'--train_dir={folder / "run"}', f'--output_file={graph}')
  assert run(export_inference_graph, *argv, *export_flags) == 0
  argv = (f'--input_graph={graph}', f'--input_checkpoint={prefix}', f'--output_graph={frozen}')
  assert run(freeze_graph, *argv) == 0
  return frozen, prefix


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A frozen cifarnet of three classes and the checkpoint it is made of."""
  return _freeze(tmp_path_factory.mktemp('a frozen net'))


@pytest.fixture(scope='module')
def frozen(made):
  return made[0]


@pytest.fixture(scope='module')
def classifier(frozen):
  with Classifier(frozen, precision='float32') as loaded:
    yield loaded


@pytest.fixture(scope='module')
def pictures(tiny_images):
  return sorted((tiny_images / 'validation').rglob('*.jpg'))


def _prepared(pictures, name, size, gray=False):
  """Evaluation's preprocessing of pictures, as a batch."""
  fn = preprocessing_factory.get_preprocessing(name, use_grayscale=gray)
  with tf.Graph().as_default(), tf.Session() as session:
    images = [
      fn(tf.image.decode_jpeg(tf.constant(path.read_bytes()), 3), size, size) for path in pictures
    ]
    return np.stack(session.run(images))


def _in_class_order(prediction):
  logits = np.empty_like(prediction.logits)
  logits[prediction.class_ids] = prediction.logits
  return logits


def _classify(frozen, *arguments):
  return run(classify_image, f'--model_path={frozen}', *arguments)


def test_predictions_are_those_of_the_checkpoint(made, classifier, pictures):
  expected = logits_of(made[1], _prepared(pictures, 'cifarnet', 32))
  predictions = classifier.predict(pictures)
  for prediction, logits in zip(predictions, expected, strict=True):
    np.testing.assert_allclose(_in_class_order(prediction), logits, rtol=1e-4, atol=1e-4)
    exponents = np.exp(np.float64(logits - logits.max()))
    probabilities = np.sort(exponents / exponents.sum())[::-1]
    np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-5)
    assert prediction.class_names == [_NAMES[i] for i in np.argsort(-logits)]


def test_predictions_are_those_of_evaluation(made, classifier, tiny_dataset, tiny_images):
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  evaluated = predicting.predict(made[1], dataset, 'cifarnet', image_size=32, precision='float32')
  assert len(evaluated.files) == 15
  paths = [tiny_images / name for name in evaluated.files]
  for prediction, logits in zip(classifier.predict(paths), evaluated.logits, strict=True):
    exponents = np.exp(np.float64(logits - logits.max()))
    expected = (exponents / exponents.sum())[prediction.class_ids]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)


@pytest.mark.parametrize(
  ('model_name', 'size', 'channels'),
  [('lenet', 28, 1), ('mobilenet_v1_025', 64, 3)],
)
def test_other_nets_sizes_and_grayscale(tmp_path, pictures, model_name, size, channels):
  file, prefix = _freeze(tmp_path, model_name=model_name, size=size, channels=channels)
  images = _prepared(pictures[:3], model_name, size, gray=channels == 1)
  expected = logits_of(prefix, images, model_name, size=size)
  with Classifier(file, precision='float32') as loaded:
    for prediction, logits in zip(loaded.predict(pictures[:3]), expected, strict=True):
      np.testing.assert_allclose(_in_class_order(prediction), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
  ('model_name', 'size'),
  [
    pytest.param('inception_v3', 299, marks=pytest.mark.slow),
    pytest.param('alexnet_v2', 224, marks=pytest.mark.zoo),
  ],
)
def test_large_nets(tmp_path, pictures, model_name, size):
  file, prefix = _freeze(tmp_path, model_name=model_name, size=size)
  expected = logits_of(prefix, _prepared(pictures[:2], model_name, size), model_name, size=size)
  with Classifier(file, precision='float32') as loaded:
    for prediction, logits in zip(loaded.predict(pictures[:2]), expected, strict=True):
      tolerance = 1e-4 * np.abs(logits).max()
      np.testing.assert_allclose(_in_class_order(prediction), logits, atol=tolerance)


def test_a_graph_that_ends_at_its_logits(frozen, classifier, tmp_path, pictures):
  file = tmp_path / 'logits.pb'
  argv = (f'--input_graph={frozen.parent}/graph.pb', f'--input_checkpoint={frozen.parent}/run')
  flags = (f'--output_graph={file}', '--output_node_names=CifarNet/logits/BiasAdd')
  assert run(freeze_graph, *argv, *flags) == 0
  (expected,) = classifier.predict(pictures[:1])
  with Classifier(file, precision='float32') as loaded:
    (prediction,) = loaded.predict(pictures[:1])
  np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-6)


def test_paths_bytes_and_pixels_are_the_same_picture(classifier, pictures, tmp_path):
  pixels = np.asarray(Image.open(pictures[0]))
  file = tmp_path / 'picture.png'
  Image.fromarray(pixels).save(file)
  first, *others = classifier.predict([file, str(file), file.read_bytes(), pixels])
  for other in others:
    np.testing.assert_allclose(other.logits, first.logits, rtol=1e-5)
  gray = pixels[..., 0]
  one, two = classifier.predict([gray, np.stack([gray] * 3, 2)])
  np.testing.assert_array_equal(one.logits, two.logits)


@pytest.mark.parametrize('batch_flag', [[], ['--batch_size=1'], ['--batch_size=4']])
def test_a_picture_is_answered_the_same_in_any_batch(tmp_path, classifier, pictures, batch_flag):
  file, _ = _freeze(tmp_path, *batch_flag)
  for batch_size in (32, 2):
    loaded = Classifier(file, batch_size=batch_size, precision='float32')
    with loaded:
      for one, other in zip(
        loaded.predict(pictures[:7]), classifier.predict(pictures[:7]), strict=True
      ):
        assert one.class_names == other.class_names
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-5, atol=1e-5)


def test_many_pictures_are_answered_in_their_order(classifier, pictures):
  pictures = [str(picture) for picture in pictures]
  each = {
    path: answer.logits for path, answer in zip(pictures, classifier.predict(pictures), strict=True)
  }
  asked = (pictures + [b'no picture']) * 5
  answers = list(classifier.predict_each(iter(asked)))
  assert len(asked) == len(answers) == 80  # more than two batches
  for path, answer in zip(asked, answers, strict=True):
    if path == b'no picture':
      assert str(answer) == 'text, not an image'
    else:
      np.testing.assert_allclose(answer.logits, each[path], rtol=1e-5, atol=1e-5)


def test_pictures_are_read_one_batch_ahead(frozen, pictures):
  taken = []
  with Classifier(frozen, batch_size=2) as loaded:
    answers = loaded.predict_each(taken.append(path) or path for path in pictures)
    next(answers)
    assert len(taken) == 4
    answers.close()


@needs_onednn
def test_bfloat16_says_what_evaluation_says(made, pictures, tiny_dataset, tiny_images):
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  settings = {'image_size': 32, 'precision': 'bfloat16'}
  evaluated = predicting.predict(made[1], dataset, 'cifarnet', **settings)
  with Classifier(made[0], precision='bfloat16') as loaded:
    predictions = loaded.predict([tiny_images / name for name in evaluated.files])
  logits = np.stack([_in_class_order(prediction) for prediction in predictions])
  assert (logits.view(np.uint32) & 0xFFFF).any()  # the last layer's are not rounded
  # A batch of another size may round a value of one of five layers to the other side, by 2**-8.
  np.testing.assert_allclose(logits, evaluated.logits, atol=5 * 2**-8 * np.abs(logits).max())
  for prediction in predictions:
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_large_pictures_are_prepared_one_by_one(frozen, pictures, monkeypatch):
  monkeypatch.setattr(classifiers, '_LARGE_PICTURE_PIXELS', 100)
  with Classifier(frozen) as loaded:
    assert len(loaded.predict(pictures[:3])) == 3


def test_the_graph_does_not_grow(classifier, pictures):
  def size():
    return len(classifier._session.graph.get_operations())

  before = size()
  for _ in range(50):
    classifier.predict(pictures[:1])
  assert size() == before and classifier._session.graph.finalized


@pytest.mark.parametrize(
  ('image', 'reason'),
  [
    (b'', 'empty file'),
    (b'no picture', 'text, not an image'),
    ('nowhere.jpg', 'nowhere.jpg cannot be read: No such file'),
    (np.zeros([4, 4, 4], np.uint8), r'uint8 \[4, 4, 4\]'),
    (np.zeros([4, 4, 3], np.float32), 'float32'),
    (np.zeros([0, 4, 3], np.uint8), r'uint8 \[0, 4, 3\]'),
  ],
)
def test_an_unreadable_image_is_named(classifier, pictures, image, reason):
  with pytest.raises(UserError, match=reason):
    classifier.predict([pictures[0], image])
  good, bad, also_good = classifier.predict_each([pictures[0], image, pictures[0]])
  assert isinstance(bad, Exception) and good.class_names == also_good.class_names


def test_any_iterable_of_images_will_do(classifier, pictures):
  (first, second), expected = (
    classifier.predict(iter(pictures[:2])),
    classifier.predict(pictures[:2]),
  )
  for one, other in zip((first, second), expected, strict=True):
    np.testing.assert_array_equal(one.logits, other.logits)


def test_hidden_files_of_a_folder_are_left_out(frozen, tmp_path, pictures, capsys):
  shutil.copy(pictures[0], tmp_path / 'a.jpg')
  for name in ('.ipynb_checkpoints/b.jpg', '@eaDir/c.jpg', 'Thumbs.db', '.d.jpg'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'')
  assert _classify(frozen, tmp_path, '--csv') == 0
  assert {row['file'] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))} == {
    str(tmp_path / 'a.jpg')
  }


def test_no_images_give_no_predictions(classifier):
  assert classifier.predict([]) == []


def test_the_old_lines_best_first(frozen, classifier, pictures, capsys):
  (prediction,) = classifier.predict(pictures[:1])
  exact = '--precision=float32'
  assert _classify(frozen, f'--image_file={pictures[0]}', exact) == 0
  lines = capsys.readouterr().out.splitlines()
  assert lines == [
    f'{name} (score = {logit:.5f})'
    for name, logit in zip(prediction.class_names, prediction.logits, strict=True)
  ]
  flags = (f'--image_file={pictures[0]}', exact, '--num_top_predictions', 1)
  assert _classify(frozen, *flags) == 0
  assert capsys.readouterr().out.splitlines() == lines[:1]


def test_files_folders_patterns_and_lists(frozen, tmp_path, pictures, capsys):
  folder = tmp_path / '图 片'
  (folder / 'below').mkdir(parents=True)
  files = ['a.jpg', 'b,c.jpg', 'below/d.jpg', '.hidden']
  for name in files:
    shutil.copy(pictures[0], folder / name)
  every = [f'{folder}/{name}:' for name in files[:3]]
  for arguments, expected in (
    ([folder], every),
    ([f'--image_file={folder}'], every),
    ([f'{folder}/*.jpg'], every[:2]),
    ([f'--image_file={folder}/**/*.jpg'], every),
    ([f'--image_file={folder}/a.jpg,{folder}/below'], [every[0], every[2]]),
    ([f'--image_file={folder}/a.jpg', f'{folder}/below/d.jpg'], [every[0], every[2]]),
    ([f'--image_file={folder}/b,c.jpg'], []),
  ):
    assert _classify(frozen, *arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.endswith(':')] == expected
    assert len(printed) == (4 * len(expected) or 3)  # a header each, but for a single picture


def test_a_bad_file_gets_a_row_and_the_rest_is_classified(frozen, tmp_path, pictures, capsys):
  shutil.copy(pictures[0], tmp_path / 'a.jpg')
  (tmp_path / 'b.jpg').write_bytes(b'<html>')
  shutil.copy(pictures[1], tmp_path / 'c.jpg')
  assert _classify(frozen, tmp_path) == 1
  lines = capsys.readouterr().out.splitlines()
  assert lines[4] == f'{tmp_path}/b.jpg: error: HTML page, not an image'
  assert lines[5] == f'{tmp_path}/c.jpg:' and len(lines) == 9
  assert _classify(frozen, tmp_path, '--json') == 1
  entries = json.loads(capsys.readouterr().out)
  assert [sorted(entry) for entry in entries] == [
    ['file', 'predictions'],
    ['error', 'file'],
    ['file', 'predictions'],
  ]
  assert _classify(frozen, tmp_path, '--csv') == 1
  rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
  assert [row['rank'] for row in rows] == ['1', '2', '3', '', '1', '2', '3']
  assert rows[3]['error'] == 'HTML page, not an image'


def test_json_and_csv_carry_logits_and_probabilities(frozen, classifier, pictures, capsys):
  (prediction,) = classifier.predict(pictures[:1])
  expected = [prediction.class_names, prediction.probabilities, prediction.logits]
  exact = '--precision=float32'
  assert _classify(frozen, pictures[0], '--json', exact) == 0
  (entry,) = json.loads(capsys.readouterr().out)
  assert entry['file'] == str(pictures[0])
  for key, values in zip(('class', 'probability', 'logit'), expected, strict=True):
    assert [row[key] for row in entry['predictions']] == pytest.approx(list(values))
  assert _classify(frozen, pictures[0], '--csv', exact, '--num_top_predictions=2') == 0
  rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
  assert [row['class'] for row in rows] == prediction.class_names[:2]
  assert [float(row['logit']) for row in rows] == pytest.approx(list(prediction.logits[:2]))


@pytest.mark.parametrize(
  ('name', 'content', 'best'),
  [
    ('label.txt', 'x\ny\nz\n', 'xyz'),
    ('label.txt', '\ufeffx\r\ny\r\nz\r\n\r\n', 'xyz'),
    ('labels.txt', '0:x\n1:y\n2:z\n', 'xyz'),
    ('labels.txt', '2:z\n0:x\n1:y\n', 'xyz'),
    ('标签.txt', '水\n木\n火', '水木火'),
  ],
)
def test_label_files(frozen, classifier, tmp_path, pictures, name, content, best):
  (tmp_path / name).write_text(content, encoding='utf-8', newline='')
  (by_id,) = classifier.predict(pictures[:1])
  with Classifier(frozen, label_path=tmp_path / name, precision='float32') as loaded:
    (prediction,) = loaded.predict(pictures[:1])
  assert prediction.class_names == [best[i] for i in by_id.class_ids]


@pytest.mark.parametrize(
  ('names', 'words'),
  [
    (['sea ice', 'forest', '城市'], "says 'sea ice' where"),
    (['forest', 'ice', '城市'], "says 'ice' where"),
    (['Wald', 'Eis', 'Stadt'], None),
  ],
)
def test_label_files_are_compared_with_the_sidecar(
  frozen, pictures, tmp_path, capsys, caplog, names, words
):
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(names), encoding='utf-8')
  is_permuted = sorted(names) == sorted(_NAMES)
  assert _classify(frozen, pictures[0], f'--label_path={labels}') == (2 if is_permuted else 0)
  said = capsys.readouterr().err + caplog.text
  assert words in said if words else 'says' not in said


def test_a_label_file_of_another_length(frozen, tmp_path, pictures, capsys):
  labels = tmp_path / 'label.txt'
  labels.write_text('x\ny\n', encoding='utf-8')
  assert _classify(frozen, pictures[0], f'--label_path={labels}') == 2
  printed = capsys.readouterr().err
  assert 'names 2 classes' in printed and 'tells 3 apart' in printed


def test_labels_offset_leaves_out_the_first_names(tmp_path, pictures):
  write_checkpoint(tmp_path / 'run')
  write_run(tmp_path / 'run', class_names=_NAMES, labels_offset=1)
  graph, file = tmp_path / 'graph.pb', tmp_path / 'frozen.pb'
  argv = (f'--train_dir={tmp_path / "run"}', f'--output_file={graph}')
  assert run(export_inference_graph, *argv) == 0
  argv = (f'--input_graph={graph}', f'--input_checkpoint={tmp_path / "run"}')
  assert run(freeze_graph, *argv, f'--output_graph={file}') == 0
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(['background', *_NAMES]), encoding='utf-8')
  for label_path in (None, labels):
    with Classifier(file, label_path) as loaded:
      assert loaded.class_names == list(_NAMES)


def test_a_graph_without_sidecar_is_recognised(tmp_path, pictures, capsys):
  file, _ = _freeze(tmp_path)
  (expected,) = Classifier(file).predict(pictures[:1])
  (tmp_path / 'frozen.pb.json').unlink()
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(_NAMES), encoding='utf-8')
  (prediction,) = Classifier(file, labels).predict(pictures[:1])
  assert prediction.class_names == expected.class_names
  np.testing.assert_allclose(prediction.logits, expected.logits, atol=1e-5)
  (other,) = Classifier(file, labels, preprocessing_name='lenet').predict(pictures[:1])
  assert np.abs(_in_class_order(other) - _in_class_order(expected)).max() > 1e-3
  assert _classify(file, pictures[0]) == 2
  assert 'give a --label_path' in capsys.readouterr().err


def test_the_image_size_of_a_graph_that_does_not_tell(frozen, tmp_path, pictures):
  graph_def = tf.GraphDef.FromString(frozen.read_bytes())
  node = next(node for node in graph_def.node if node.name == 'input')
  for axis in (1, 2):
    node.attr['shape'].shape.dim[axis].size = -1
  (tmp_path / 'any.pb').write_bytes(graph_def.SerializeToString())
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(_NAMES), encoding='utf-8')
  for size in (None, 32):
    with Classifier(tmp_path / 'any.pb', labels, image_size=size) as loaded:
      assert len(loaded.predict(pictures[:1])) == 1
  # CifarNet's first dense layer takes the values of a 32 x 32 picture and no other.
  with (
    Classifier(tmp_path / 'any.pb', labels, image_size=64) as loaded,
    pytest.raises(UserError, match=r'\(64, 64\): give --image_size'),
  ):
    loaded.predict(pictures[:1])


def _with_input(frozen, file, height, width):
  graph_def = tf.GraphDef.FromString(frozen.read_bytes())
  node = next(node for node in graph_def.node if node.name == 'input')
  for axis, size in ((1, height), (2, width)):
    node.attr['shape'].shape.dim[axis].size = size
  file.write_bytes(graph_def.SerializeToString())


def test_other_sizes_than_the_graph_takes_are_refused(frozen, tmp_path, pictures, capsys):
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(_NAMES), encoding='utf-8')
  argv = (pictures[0], f'--label_path={labels}')
  _with_input(frozen, tmp_path / 'flat.pb', 32, 48)
  assert _classify(tmp_path / 'flat.pb', *argv) == 2
  assert 'takes pictures of 32 x 48 pixels, and only square' in capsys.readouterr().err
  _with_input(frozen, tmp_path / 'fixed.pb', 32, 32)
  assert _classify(tmp_path / 'fixed.pb', *argv, '--image_size=64') == 2
  assert '--image_size=64: ' in capsys.readouterr().err
  assert _classify(tmp_path / 'fixed.pb', *argv, '--image_size=32') == 0


def _write_graph(file, *names):
  """Writes a graph of placeholders with these names."""
  with tf.Graph().as_default() as graph:
    for name in names:
      tf.identity(tf.placeholder(tf.float32, [None, 4, 4, 3], name=name), name=f'{name}_out')
    file.write_bytes(graph.as_graph_def().SerializeToString())


def _write_training_graph(file):
  with tf.Graph().as_default() as graph:
    data = tf.data.Dataset.from_tensors(np.zeros([4, 4, 3], np.float32))
    tf.identity(tf.data.make_initializable_iterator(data).get_next(), name='logits')
    file.write_bytes(graph.as_graph_def().SerializeToString())


def test_graphs_that_cannot_classify_are_refused(frozen, tmp_path, pictures, capsys):
  (tmp_path / 'empty.pb').write_bytes(b'')
  (tmp_path / 'bytes.pb').write_bytes(b'\x00\xff' * 20)
  _write_graph(tmp_path / 'no_input.pb', 'images')
  _write_graph(tmp_path / 'no_net.pb', 'input')
  _write_training_graph(tmp_path / 'training.pb')
  for name, message in (
    ('missing.pb', 'cannot be read: No such file'),
    ('empty.pb', 'is empty'),
    ('bytes.pb', 'is no GraphDef'),
    ('no_input.pb', "has no placeholder 'input' to feed pictures to; its inputs are images"),
    ('no_net.pb', 'is none of the known nets'),
    ('training.pb', 'is a training graph: it feeds itself from a data set'),
    (frozen.parent / 'graph.pb', 'holds no weights'),
  ):
    assert _classify(tmp_path / name, pictures[0]) == 2
    assert message in capsys.readouterr().err


def test_a_damaged_sidecar_is_named(tmp_path, pictures, capsys):
  file, _ = _freeze(tmp_path)
  for content, message in (
    ('{', 'cannot be read'),
    ('[]', 'a JSON object is expected'),
    ('{"format_version": 99}', 'format_version 99'),
    ('{"logits_node": "CifarNet/logits/BiasAdd", "image_size": 32}', 'lacks preprocessing_name'),
  ):
    (tmp_path / 'frozen.pb.json').write_text(content, encoding='utf-8')
    assert _classify(file, pictures[0]) == 2
    printed = capsys.readouterr().err
    assert 'frozen.pb.json' in printed and message in printed


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['a.jpg'], 'supply the frozen graph with --model_path'),
    (['--model_path=g'], 'No picture is named'),
    (['--model_path=g', '--json', '--csv', 'a.jpg'], 'exclude one another'),
    (['--model_path=g', '--num_top_predictions=0', 'a.jpg'], 'must be 1 or more'),
    (['--model_path=g', '*.jpg'], 'no file in or of the name *.jpg'),
    (['--model_path=g', '.'], 'no file in or of the name .'),
    (['--model_path=frozen', '--image_size=9', 'a.jpg'], 'leave out --preprocessing_name and'),
    (['--model_path=frozen', '--preprocessing_name=vgg', 'a.jpg'], 'leave out --preprocessing_na'),
  ],
)
def test_mistakes_are_answered_in_a_sentence(frozen, tmp_path, monkeypatch, capsys, flags, message):
  monkeypatch.chdir(tmp_path)
  flags = [flag.replace('=frozen', f'={frozen}') for flag in flags]
  assert run(classify_image, *flags) == 2
  assert message in capsys.readouterr().err


def test_the_tutorials_script_runs_from_any_folder(frozen, tmp_path, pictures):
  labels = tmp_path / 'label.txt'
  labels.write_text('\n'.join(_NAMES), encoding='utf-8')
  done = subprocess.run(
    [
      *(sys.executable, _REPO / 'scripts' / 'classify_image_inception_v3.py'),
      *('--model_path', frozen, '--label_path', labels, '--image_file', pictures[0]),
    ],
    cwd=tmp_path,
    capture_output=True,
    encoding='utf-8',
    check=True,
  )
  assert len(done.stdout.splitlines()) == 3 and '(score = ' in done.stdout
