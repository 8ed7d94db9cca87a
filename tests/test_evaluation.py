"""Evaluation, through the command: exact figures, every flag, and what a user may get wrong."""

import csv
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tqdm
from PIL import Image

import eval_image_classifier
from datasets import dataset_factory, record_writer
from image_classifier import checkpoints, run_record
from image_classifier.evaluation import metrics, predicting, scoring
from nets import net_info, nets_factory
from slim_compat import slim, tf
from slim_errors import RunError
from tests.small_nets import SHADOW, needs_onednn, run, write_checkpoint

NAMES = ['glacier', 'rock', '城市', 'sea ice', 'wetland', 'wood', 'fire']
SHARDS = (13, 10)  # records: 23 examples, so that no batch size but 1 and 23 divides them
COUNT = sum(SHARDS)
STEP = 7


def make_images(count=COUNT):
  """Noise around a colour of its own for each image: uint8 [count, 28, 28, 3]."""
  rng = np.random.default_rng(1)
  colours = rng.integers(0, 256, (count, 1, 1, 3))
  return np.clip(colours + rng.normal(0, 40, (count, 28, 28, 3)), 0, 255).astype(np.uint8)


def make_labels(count=COUNT):
  return np.arange(count) % len(NAMES)


def write_split(folder, split, images, labels, shards=SHARDS):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'label.txt').write_text('\n'.join(NAMES) + '\n', encoding='utf-8')
  i = 0
  for number, size in enumerate(shards):
    path = folder / f'toy_{split}_{number:05d}-of-{len(shards):05d}.tfrecord'
    with tf.io.TFRecordWriter(str(path)) as writer:
      for _ in range(size):
        png = io.BytesIO()
        Image.fromarray(images[i]).save(png, 'PNG')
        facts = (png.getvalue(), 'PNG', int(labels[i]), NAMES[labels[i]], 28, 28)
        writer.write(record_writer.example(*facts, f'照片/{i}.png'))
        i += 1


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp('toy data')
  write_split(folder, 'validation', make_images(), make_labels())
  return folder


def write_run(folder, data, averages=False, **changes):
  """A lenet as training would have left it."""
  write_checkpoint(folder, 'lenet', len(NAMES), step=STEP, averages=averages)
  record = {
    'model_name': 'lenet',
    'num_classes': len(NAMES),
    'class_names': NAMES,
    'labels_offset': 0,
    'image_size': 28,
    'preprocessing_name': 'lenet',
    'use_grayscale': False,
    'moving_average_decay': None,
    'dataset_dir': str(data),
    'data_fingerprint': dataset_factory.fingerprint(str(data)),
  }
  run_record.write(folder, record | changes)
  return folder


@pytest.fixture(scope='module')
def train_dir(tmp_path_factory, data):
  return write_run(tmp_path_factory.mktemp('a run'), data)


def evaluate(train_dir, data, *flags):
  return run(
    eval_image_classifier, f'--checkpoint_path={train_dir}', f'--dataset_dir={data}', *flags
  )


def read_report(eval_dir):
  return json.loads((eval_dir / 'report.json').read_text(encoding='utf-8'))


def read_predictions(eval_dir):
  with open(eval_dir / 'predictions.csv', encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def logits_by_hand(checkpoint, images, suffix='', model_name='lenet'):
  """What the net says to images without any of the code under test; pixels are lenet's."""
  with tf.Graph().as_default(), tf.Session() as session:
    inputs = tf.constant((images.astype(np.float32) - 128) / 128)
    logits, _ = nets_factory.get_network_fn(model_name, len(NAMES))(inputs)
    names = {v.op.name + suffix: v for v in tf.global_variables()}
    tf.train.Saver(names).restore(session, str(checkpoint))
    return session.run(logits)


@pytest.fixture(scope='module')
def logits(train_dir):
  return logits_by_hand(train_dir / f'model.ckpt-{STEP}', make_images())


@pytest.fixture(scope='module')
def outcome(train_dir, data, tmp_path_factory):
  """The short way: nothing but the run and the data; the last of five batches is short."""
  assert evaluate(train_dir, data, '--batch_size=5', '--precision=float32') == 0
  return train_dir / 'eval_validation'


def test_figures_are_those_worked_out_by_hand(outcome, logits):
  report, labels = read_report(outcome), make_labels()
  predicted = logits.argmax(axis=1)
  assert len(set(predicted)) > 2  # else the figures below would prove little
  assert report['num_examples'] == COUNT
  assert report['accuracy'] == np.mean(predicted == labels)
  in_top_5 = [label in row for label, row in zip(labels, np.argsort(-logits)[:, :5], strict=True)]
  assert report['recall_at_k']['5'] == pytest.approx(np.mean(in_top_5))
  matrix = np.zeros((7, 7), int)
  for label, guess in zip(labels, predicted, strict=True):
    matrix[label, guess] += 1
  assert report['confusion_matrix'] == matrix.tolist()
  softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  expected = -np.log(softmax[np.arange(COUNT), labels]).mean()
  assert report['loss'] == pytest.approx(expected, rel=1e-4)


def test_report_says_what_was_run(outcome, train_dir, data):
  report = read_report(outcome)
  assert {
    'checkpoint': str(train_dir / f'model.ckpt-{STEP}'),
    'step': STEP,
    'model_name': 'lenet',
    'preprocessing_name': 'lenet',
    'image_size': 28,
    'dataset_dir': str(data),
    'dataset_split_name': 'validation',
    'moving_averages': False,
    'precision': 'float32',
    'warnings': [],
  }.items() <= report.items()
  assert report['images_per_second'] > 0


def test_predictions_are_one_row_an_example_in_order(outcome, logits):
  rows = read_predictions(outcome)
  assert [row['file'] for row in rows] == [f'照片/{i}.png' for i in range(COUNT)]
  assert [row['truth'] for row in rows] == [NAMES[label] for label in make_labels()]
  best = np.argsort(-logits)[:, :5]
  shares = metrics.probabilities(logits)
  for i, row in enumerate(rows):
    assert [row[f'prediction_{k}'] for k in range(1, 6)] == [NAMES[c] for c in best[i]]
    written = [float(row[f'probability_{k}']) for k in range(1, 6)]
    np.testing.assert_allclose(written, shares[i, best[i]], atol=1e-5)


def test_events_bear_the_step_of_the_checkpoint(outcome):
  report = read_report(outcome)
  (path,) = outcome.glob('events.out.tfevents.*')
  found = {
    value.tag: (event.step, value.simple_value)
    for event in tf.train.summary_iterator(str(path))
    for value in event.summary.value
  }
  assert found == {
    'eval/Accuracy': (STEP, pytest.approx(report['accuracy'])),
    'eval/Recall_5': (STEP, pytest.approx(report['recall_at_k']['5'])),
    'eval/loss': (STEP, pytest.approx(report['loss'])),
  }


def test_lines_of_the_old_tool_and_the_summary(train_dir, data, tmp_path):
  """As a user's shell sees them, from whatever folder the script is started in."""
  script = pathlib.Path(eval_image_classifier.__file__).resolve()
  flags = [f'--checkpoint_path={train_dir}', f'--dataset_dir={data}', f'--eval_dir={tmp_path}']
  done = subprocess.run(
    [sys.executable, script, *flags, '--batch_size=10'],
    cwd=tmp_path,
    capture_output=True,
    check=True,
    encoding='utf-8',
  )
  report = read_report(tmp_path)
  told = ('Evaluating', 'Restoring', 'Starting', 'Evaluation', 'Finished')
  starts = ('eval/', *(f'INFO:tensorflow:{word} ' for word in told))
  lines = [line for line in done.stderr.splitlines() if line.startswith(starts)]
  checkpoint = train_dir / f'model.ckpt-{STEP}'
  start, end = lines.pop(2), lines.pop()
  day = r'\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d'
  assert re.fullmatch(f'INFO:tensorflow:Starting evaluation at {day}', start)
  assert re.fullmatch(f'INFO:tensorflow:Finished evaluation at {day}', end)
  assert lines == [
    f'INFO:tensorflow:Evaluating {checkpoint}',
    f'INFO:tensorflow:Restoring parameters from {checkpoint}',
    'INFO:tensorflow:Evaluation [1/3]',
    'INFO:tensorflow:Evaluation [2/3]',
    'INFO:tensorflow:Evaluation [3/3]',
    f'eval/Accuracy[{str(np.float32(report["accuracy"]))}]',
    f'eval/Recall_5[{str(np.float32(report["recall_at_k"]["5"]))}]',
  ]
  assert f'accuracy   {report["accuracy"]:.4f}' in done.stdout
  assert f'In {tmp_path}: report.json' in done.stdout


def test_a_terminal_gets_a_bar_that_counts_images(train_dir, data, tmp_path, monkeypatch, caplog):
  class Bar(tqdm.tqdm):
    """Keeps what is drawn when the bar is complete."""

    drawn = []

    def close(self):
      self.drawn.append(str(self))
      super().close()

  monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
  monkeypatch.setattr('tqdm.tqdm', Bar)
  assert evaluate(train_dir, data, f'--eval_dir={tmp_path}', '--batch_size=10') == 0
  assert '23/23' in Bar.drawn[0] and 'img/s' in Bar.drawn[0]
  assert 'Evaluation [' not in caplog.text


@pytest.mark.parametrize('batch_size', [1, 7, 100])
def test_batch_size_changes_no_result(train_dir, data, logits, batch_size):
  dataset = dataset_factory.get_dataset(None, 'validation', str(data))
  predictions = predicting.predict(
    str(train_dir), dataset, 'lenet', batch_size=batch_size, precision='float32'
  )
  assert predictions.labels.tolist() == make_labels().tolist()
  np.testing.assert_allclose(
    metrics.probabilities(predictions.logits), metrics.probabilities(logits), atol=1e-5
  )


def test_max_num_batches(train_dir, data, tmp_path):
  flags = (f'--eval_dir={tmp_path}', '--batch_size=9', '--max_num_batches=2')
  assert evaluate(train_dir, data, *flags) == 0
  assert [row['file'] for row in read_predictions(tmp_path)] == [f'照片/{i}.png' for i in range(18)]
  assert read_report(tmp_path)['num_examples'] == 18


def test_tutorial_command(train_dir, data, tmp_path):
  """Every value said, by a prefix; nothing is taken from the run."""
  flags = [
    f'--checkpoint_path={train_dir}/model.ckpt-{STEP}',
    f'--eval_dir={tmp_path}',
    '--dataset_name=toy',
    '--dataset_split_name=validation',
    f'--dataset_dir={data}',
    '--model_name=lenet',
    '--preprocessing_name=lenet',
    '--eval_image_size=28',
    '--labels_offset=0',
    '--num_preprocessing_threads=2',
    '--use_grayscale=false',
    '--alsologtostderr',
  ]
  assert run(eval_image_classifier, *flags) == 0
  assert read_report(tmp_path)['num_examples'] == COUNT


@needs_onednn
def test_bfloat16(train_dir, data, logits, tmp_path, caplog):
  flags = (f'--eval_dir={tmp_path}', '--precision=bfloat16')
  assert evaluate(train_dir, data, *flags) == 0
  assert 'Computing in bfloat16, with weights and outputs in float32' in caplog.text
  assert read_report(tmp_path)['precision'] == 'bfloat16'
  dataset = dataset_factory.get_dataset(None, 'validation', str(data))
  predictions = predicting.predict(str(train_dir), dataset, 'lenet', precision='bfloat16')
  assert (predictions.logits.view(np.uint32) & 0xFFFF).any()  # the last layer's are not rounded
  # Each product is rounded by up to 2**-9 of itself; lenet has three layers of them.
  difference = np.abs(predictions.logits - logits).max()
  assert 0 < difference < 3 * 2**-7 * np.abs(logits).max()


def test_a_checkpoint_is_read_once(train_dir, data, tmp_path, monkeypatch):
  opened = []
  load = tf.train.load_checkpoint

  def counted(prefix):
    class Reader:
      def __getattr__(self, name):
        if name == 'get_tensor':
          opened.append(prefix)
        return getattr(reader, name)

    reader = load(prefix)
    return Reader()

  monkeypatch.setattr(tf.train, 'load_checkpoint', counted)
  assert evaluate(train_dir / f'model.ckpt-{STEP}', data, f'--eval_dir={tmp_path}') == 0
  assert len(opened) == len(checkpoints.variables(str(train_dir / f'model.ckpt-{STEP}')))


def test_split_is_test_where_there_is_one(train_dir, data, tmp_path):
  folder = shutil.copytree(data, tmp_path / 'data')
  write_split(folder, 'test', make_images(3), make_labels(3), shards=(3,))
  assert evaluate(train_dir, folder, f'--eval_dir={tmp_path / "out"}') == 0
  report = read_report(tmp_path / 'out')
  assert (report['dataset_split_name'], report['num_examples']) == ('test', 3)


def test_data_set_of_the_run_is_the_default(train_dir, data, tmp_path):
  flags = (f'--checkpoint_path={train_dir}', f'--eval_dir={tmp_path}')
  assert run(eval_image_classifier, *flags) == 0
  assert read_report(tmp_path)['dataset_dir'] == str(data)


def test_top_k(train_dir, data, logits, tmp_path, capsys):
  flags = (f'--eval_dir={tmp_path}', '--top_k=3,1,2,7', '--precision=float32')
  assert evaluate(train_dir, data, *flags) == 0
  report, labels = read_report(tmp_path), make_labels()
  ranked = np.argsort(-logits)
  for k in (1, 2, 3):
    expected = np.mean([labels[i] in ranked[i, :k] for i in range(COUNT)])
    assert report['recall_at_k'][str(k)] == pytest.approx(expected)
  assert '7' not in report['recall_at_k']
  stderr = capsys.readouterr().err
  assert 'eval/Recall_7[1]\nRecall_7: 1 for any model of 7 classes' in stderr
  assert 'eval/Recall_5' not in stderr
  assert 'prediction_7' in read_predictions(tmp_path)[0]


def test_grayscale(data, tmp_path):
  write_checkpoint(tmp_path / 'run', 'lenet', len(NAMES), channels=1)
  flags = ('--model_name=lenet', f'--eval_dir={tmp_path}')
  assert evaluate(tmp_path / 'run', data, *flags, '--use_grayscale') == 0
  report = read_report(tmp_path)
  assert (report['use_grayscale'], report['num_examples']) == (True, COUNT)


def test_image_size_and_preprocessing_name_are_those_of_the_flags(data, tmp_path):
  write_checkpoint(tmp_path / 'run', 'lenet', len(NAMES), size=32)
  flags = ('--model_name=lenet', '--eval_image_size=32', '--preprocessing_name=cifarnet')
  assert evaluate(tmp_path / 'run', data, *flags, f'--eval_dir={tmp_path}') == 0
  report = read_report(tmp_path)
  assert (report['image_size'], report['preprocessing_name']) == (32, 'cifarnet')


def test_labels_offset(tmp_path):
  """Class 0 is a background class the net does not have."""
  write_split(tmp_path / 'data', 'validation', make_images(6), np.arange(1, 7), shards=(6,))
  write_checkpoint(tmp_path / 'run', 'lenet', num_classes=6)
  flags = ('--model_name=lenet', '--labels_offset=1', f'--eval_dir={tmp_path}')
  assert evaluate(tmp_path / 'run', tmp_path / 'data', *flags) == 0
  assert [row['truth'] for row in read_predictions(tmp_path)] == NAMES[1:]
  assert [row['name'] for row in read_report(tmp_path)['per_class']] == NAMES[1:]


@pytest.mark.parametrize(
  ('flags', 'suffix'),
  [
    ((), SHADOW),
    (('--moving_average_decay=0.9',), SHADOW),
    (('--use_moving_averages=true',), SHADOW),
    (('--use_moving_averages=false',), ''),
  ],
)
def test_moving_averages(data, tmp_path, caplog, flags, suffix):
  write_run(tmp_path / 'run', data, averages=True, moving_average_decay=0.9)
  flags += (f'--eval_dir={tmp_path}', '--precision=float32')
  assert evaluate(tmp_path / 'run', data, *flags) == 0
  expected = logits_by_hand(tmp_path / f'run/model.ckpt-{STEP}', make_images(), suffix)
  sure = metrics.probabilities(expected).max(axis=1)
  written = [float(row['probability_1']) for row in read_predictions(tmp_path)]
  np.testing.assert_allclose(written, sure, atol=1e-5)
  assert read_report(tmp_path)['moving_averages'] == bool(suffix)
  said = 'Using the moving averages of 8 of 8 variables' in caplog.text
  assert said == bool(suffix)


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    (('--master=grpc://a',), '--master=grpc://a is not supported'),
    (('--quantize',), '--quantize=True is not supported'),
    (('--top_k=0',), '--top_k=0 must be numbers from 1'),
    (('--top_k=one',), '--top_k=one must be numbers from 1'),
    (('--batch_size=0',), '--batch_size=0 must be at least 1'),
    (('--max_num_batches=0',), '--max_num_batches=0 must be at least 1'),
    (('--num_preprocessing_threads=0',), '--num_preprocessing_threads=0 must be at least 1'),
    (('--eval_image_size=-1',), '--eval_image_size=-1 must be at least 1'),
    (('--labels_offset=-1',), '--labels_offset=-1 must be 0 or more'),
    (('--dataset_split_name=tset',), 'tset'),
    (('--dataset_name=flowers',), 'flowers'),
    (('--dataset_dir=/nowhere',), '/nowhere is not a folder'),
    (('--checkpoint_path=/nowhere/model.ckpt-1',), '/nowhere/model.ckpt-1'),
    (('--model_name=lennet',), "did you mean 'lenet'?"),
    (('--preprocessing_name=lennet',), "did you mean 'lenet'?"),
    (('--model_name=cifarnet',), 'is not of cifarnet: it holds no CifarNet/conv1/weights'),
    (('--eval_image_size=32',), 'LeNet/fc3/weights has shape [3136, 1024] there and [4096, 1024]'),
    (('--labels_offset=1',), 'leaves 6 of the 7 classes of the data set, and'),
    (('--eval_dir=/dev/null/out',), '--eval_dir=/dev/null/out cannot be written to'),
    (('--moving_average_decay=0.9',), 'holds no moving averages'),
  ],
)
def test_mistakes_are_said_in_one_line(train_dir, data, tmp_path, capsys, flags, expected):
  assert evaluate(train_dir, data, f'--eval_dir={tmp_path}', *flags) == 2
  stderr = capsys.readouterr().err
  (line,) = [line for line in stderr.splitlines() if line.startswith('error: ')]
  assert expected in line
  assert 'Traceback' not in stderr
  assert list(tmp_path.iterdir()) == []  # nothing half done


def test_no_data_set(tmp_path, capsys):
  write_checkpoint(tmp_path / 'run', 'lenet')
  assert run(eval_image_classifier, f'--checkpoint_path={tmp_path / "run"}') == 2
  assert 'You must supply the dataset directory with --dataset_dir' in capsys.readouterr().err


@pytest.fixture
def behind_background(tmp_path):
  """A data set of 6 classes behind a background class 0 without pictures."""
  write_split(tmp_path / 'data', 'validation', make_images(6), np.arange(1, 7), shards=(6,))
  labels = (tmp_path / 'data' / 'label.txt').read_text(encoding='utf-8').splitlines()
  labels[0] = 'background'
  (tmp_path / 'data' / 'label.txt').write_text('\n'.join(labels), encoding='utf-8')
  return tmp_path / 'data'


@pytest.mark.parametrize(('num_classes', 'offset'), [(6, 1), (7, 0)])
def test_the_checkpoint_decides_the_labels_offset(
  behind_background, tmp_path, caplog, num_classes, offset
):
  write_checkpoint(tmp_path / 'run', 'lenet', num_classes)
  flags = ('--model_name=lenet', f'--eval_dir={tmp_path}')
  assert evaluate(tmp_path / 'run', behind_background, *flags) == 0
  assert read_report(tmp_path)['labels_offset'] == offset
  assert [row['truth'] for row in read_predictions(tmp_path)] == NAMES[1:]
  assert ('--labels_offset=1: the checkpoint knows 6 classes' in caplog.text) == (offset == 1)


@pytest.mark.parametrize(('num_classes', 'given', 'right'), [(6, 0, 1), (7, 1, 0), (6, 2, 1)])
def test_a_labels_offset_that_the_checkpoint_contradicts_is_refused(
  behind_background, tmp_path, capsys, num_classes, given, right
):
  write_checkpoint(tmp_path / 'run', 'lenet', num_classes)
  flags = ('--model_name=lenet', f'--labels_offset={given}')
  assert evaluate(tmp_path / 'run', behind_background, *flags) == 2
  message = capsys.readouterr().err
  assert f'--labels_offset={given} leaves {7 - given} of the 7 classes' in message
  assert f'give --labels_offset={right}, or leave it out' in message


def test_a_checkpoint_of_another_net_is_recognized(data, tmp_path, capsys):
  write_checkpoint(tmp_path / 'run', 'lenet', len(NAMES))
  assert evaluate(tmp_path / 'run', data, '--model_name=cifarnet') == 2
  assert 'it looks like lenet: pass --model_name=lenet.' in capsys.readouterr().err


def test_class_count_that_a_labels_offset_would_explain(data, tmp_path, capsys):
  write_checkpoint(tmp_path / 'run', 'lenet', num_classes=6)
  assert evaluate(tmp_path / 'run', data, '--model_name=lenet') == 2
  stderr = capsys.readouterr().err
  assert 'knows 6 classes and the data set has 7' in stderr
  assert 'check --labels_offset' in stderr


def test_a_net_without_its_last_layer(data, tmp_path, capsys):
  """As some published checkpoints are."""
  with tf.Graph().as_default(), tf.Session() as session:
    nets_factory.get_network_fn('lenet', None)(tf.zeros([1, 28, 28, 3]))
    session.run(tf.global_variables_initializer())
    checkpoint = tf.train.Saver().save(session, str(tmp_path / 'lenet.ckpt'))
  assert evaluate(checkpoint, data, '--model_name=lenet') == 2
  assert 'lenet without its last layer (LeNet/fc4/weights, ' in capsys.readouterr().err


def test_other_class_names_than_in_training(data, tmp_path, capsys):
  write_run(tmp_path, data, class_names=[*NAMES[:2], 'urban', *NAMES[3:]])
  assert evaluate(tmp_path, data) == 2
  stderr = capsys.readouterr().err
  assert "class 2 is '城市' in the data set and 'urban' in the checkpoint (7 and 7" in stderr


def test_data_changed_in_the_folder_of_the_training(data, tmp_path, capsys):
  """Pictures may have moved between splits, so the figures would flatter."""
  folder = shutil.copytree(data, tmp_path / 'data')
  write_run(tmp_path / 'run', folder)
  write_split(folder, 'validation', make_images()[::-1], make_labels())
  with open(folder / 'toy_train_00000-of-00001.tfrecord', 'wb'):
    pass
  assert evaluate(tmp_path / 'run', folder) == 2
  assert f'{folder} has changed since the training' in capsys.readouterr().err


def test_other_pictures_of_the_same_classes_are_welcome(train_dir, tmp_path):
  write_split(tmp_path / 'new', 'validation', make_images(5), make_labels(5), shards=(5,))
  assert evaluate(train_dir, tmp_path / 'new', f'--eval_dir={tmp_path}') == 0
  assert read_report(tmp_path)['num_examples'] == 5


def test_a_damaged_record_is_named(train_dir, data, tmp_path, capsys):
  folder = shutil.copytree(data, tmp_path / 'data')
  shard = folder / 'toy_validation_00001-of-00002.tfrecord'
  content = bytearray(shard.read_bytes())
  content[-1] ^= 0xFF  # the checksum of the last record
  shard.write_bytes(content)
  assert evaluate(train_dir, folder, '--batch_size=4', f'--eval_dir={tmp_path}') == 3
  assert f'{shard}: record 9 cannot be used' in capsys.readouterr().err


def test_a_record_that_holds_no_picture_is_named(train_dir, data, tmp_path, capsys):
  folder = shutil.copytree(data, tmp_path / 'data')
  shard = folder / 'toy_validation_00000-of-00001.tfrecord'
  for path in folder.glob('*.tfrecord'):
    path.unlink()
  with tf.io.TFRecordWriter(str(shard)) as writer:
    writer.write(record_writer.example(b'raw', 'PNG', 0, NAMES[0], 1, 1, 'x'))
  assert evaluate(train_dir, folder, f'--eval_dir={tmp_path}') == 3
  assert f'{shard}: record 0 cannot be used' in capsys.readouterr().err


def test_a_label_outside_the_classes_is_named(train_dir, data):
  dataset = dataset_factory.get_dataset(None, 'validation', str(data))
  dataset.num_classes = len(NAMES) + 1
  with pytest.raises(RunError, match=r'00000-of-00002.tfrecord: record 0 cannot be used'):
    predicting.predict(str(train_dir), dataset, 'lenet', labels_offset=1)


def test_wrong_count_in_the_description_is_said(train_dir, data):
  dataset = dataset_factory.get_dataset(None, 'validation', str(data))
  dataset.num_samples = COUNT + 1
  figures = scoring.evaluate(str(train_dir), dataset, 'lenet')
  assert figures['num_examples'] == COUNT
  assert 'hold 23 records and the data set states 24' in figures['warnings'][0]


def rewrite(prefix, **values):
  """Overwrites variables of a lenet checkpoint, named by their last two parts."""
  with tf.Graph().as_default(), tf.Session() as session:
    nets_factory.get_network_fn('lenet', len(NAMES))(tf.zeros([1, 28, 28, 3]))
    saver = tf.train.Saver(save_relative_paths=True)
    saver.restore(session, prefix)
    for name, value in values.items():
      (variable,) = [v for v in tf.global_variables() if v.op.name.endswith(name)]
      variable.load(np.full(variable.shape, value), session)
    saver.save(session, prefix, write_meta_graph=False)


def test_one_class_for_everything_is_said(data, tmp_path, capsys):
  write_run(tmp_path, data)
  rewrite(str(tmp_path / f'model.ckpt-{STEP}'), **{'fc4/weights': 0, 'fc4/biases': 0})
  assert evaluate(tmp_path, data) == 0
  assert "The network predicts 'glacier' for every image" in capsys.readouterr().out


def test_outputs_that_are_not_finite(data, tmp_path, capsys):
  write_run(tmp_path, data)
  rewrite(str(tmp_path / f'model.ckpt-{STEP}'), **{'fc4/biases': np.nan})
  assert evaluate(tmp_path, data) == 2
  assert 'The outputs for 23 of 23 images are not finite' in capsys.readouterr().err


def colour_net(images, num_classes, is_training, scope='Colour'):
  """Says which colour channel is strongest, by the mean colours normalized.

  Like NASNet's, its training form has a head of its own.
  """
  with tf.variable_scope(scope, 'Colour', [images]):
    colours = tf.reduce_mean(images, [1, 2], keepdims=True)
    net = slim.batch_norm(colours, is_training=is_training, scope='BatchNorm')
    logits = tf.squeeze(net, [1, 2])
    if is_training:
      slim.fully_connected(logits, num_classes, scope='AuxLogits')
  return logits, {'Logits': logits}


colour_net.default_image_size = 28


def test_a_temperature_is_fitted_on_the_validation_split(tmp_path):
  for split in ('validation', 'test'):
    write_split(tmp_path / 'data', split, make_images(), make_labels())
  write_run(tmp_path / 'run', tmp_path / 'data')
  for flags, split in (((), 'test'), (('--fit_temperature',), 'validation')):
    assert evaluate(tmp_path / 'run', tmp_path / 'data', *flags) == 0
    assert read_report(tmp_path / 'run' / f'eval_{split}')['dataset_split_name'] == split


@pytest.mark.parametrize(('stored_mean', 'stale'), [([0, 0, 0], False), ([9, 0, 0], True)])
def test_stale_batch_norm_statistics_are_said(tmp_path, monkeypatch, stored_mean, stale):
  images = np.full((24, 28, 28, 3), 100, np.uint8)
  images[np.arange(24), ..., np.arange(24) % 3] = 200
  write_split(tmp_path / 'data', 'validation', images, np.arange(24) % 3, shards=(24,))
  monkeypatch.setitem(nets_factory.networks_map, 'colour', colour_net)
  monkeypatch.setitem(nets_factory.arg_scopes_map, 'colour', lambda **_: {})
  info = net_info.net_info('lenet')
  monkeypatch.setitem(net_info.NET_INFO, 'colour', info)
  with tf.Graph().as_default(), tf.Session() as session:
    colour_net(tf.zeros([1, 28, 28, 3]), 3, False)
    session.run(tf.global_variables_initializer())
    (mean,) = [v for v in tf.global_variables() if v.op.name.endswith('moving_mean')]
    mean.load(stored_mean, session)
    checkpoint = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  dataset = dataset_factory.get_dataset(None, 'validation', str(tmp_path / 'data'))
  dataset.num_classes = 3
  loaded = checkpoints.load(checkpoint)
  for path in tmp_path.glob('model.ckpt*'):  # as a training does that goes on meanwhile
    path.unlink()
  figures = scoring.evaluate(loaded, dataset, 'colour', preprocessing_name='lenet')
  said = [text for text in figures['warnings'] if text.startswith('Batch-norm statistics')]
  assert bool(said) == stale
  if stale:
    assert '100% of the first 24 images are right' in said[0]
