"""Temperature, views of a picture and unknown answers, from evaluation to classification."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import TINY_CLASSES
from small_nets import SHADOW, logits_of, run, write_checkpoint, write_run

import classify_image
import eval_image_classifier
import export_inference_graph
import freeze_graph
from datasets import dataset_factory
from image_classifier import inputs, saving, temperatures
from image_classifier.evaluation import calibration, metrics, predicting, test_time_views
from image_classifier.graphs import sidecar
from image_classifier.inference import Classifier
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError

_VIEWS = ('none', 'flip', 'rotations', 'crops')


def _write(folder, data, **net):
  write_checkpoint(folder, **net)
  about = {'dataset_dir': str(data), 'data_fingerprint': None}
  write_run(folder, class_names=TINY_CLASSES, **about, flags={'dataset_split_name': 'train'})
  return folder


def _evaluate(train_dir, eval_dir, *flags):
  argv = (f'--checkpoint_path={train_dir}', f'--eval_dir={eval_dir}', '--precision=float32')
  code = run(eval_image_classifier, *argv, *flags)
  report = eval_dir / 'report.json'
  return code, json.loads(report.read_text(encoding='utf-8')) if report.exists() else None


def _freeze(train_dir, folder):
  graph, frozen = folder / 'graph.pb', folder / 'frozen.pb'
  assert run(export_inference_graph, f'--train_dir={train_dir}', f'--output_file={graph}') == 0
  argv = (f'--input_graph={graph}', f'--input_checkpoint={train_dir}', f'--output_graph={frozen}')
  assert run(freeze_graph, *argv) == 0
  return frozen


def _predict(train_dir, data, split='validation', **settings):
  dataset = dataset_factory.get_dataset(None, split, str(data))
  size = {'image_size': 32, 'precision': 'float32'}
  return predicting.predict(str(train_dir), dataset, 'cifarnet', **size, **settings)


@pytest.fixture(scope='module')
def train_dir(tmp_path_factory, tiny_dataset):
  """A run whose temperature was fitted on the validation split, as evaluation said in eval/."""
  folder = _write(tmp_path_factory.mktemp('a run'), tiny_dataset, seed=3)  # a temperature fits it
  code, _ = _evaluate(folder, folder / 'eval', '--fit_temperature')
  assert code == 0
  return folder


@pytest.fixture(scope='module')
def frozen(train_dir, tmp_path_factory):
  return _freeze(train_dir, tmp_path_factory.mktemp('frozen'))


@pytest.fixture(scope='module')
def pictures(tiny_images):
  return sorted((tiny_images / 'validation').rglob('*.jpg'))


def test_temperature_is_fitted_and_kept_beside_the_checkpoint(train_dir, tiny_dataset):
  predictions = _predict(train_dir, tiny_dataset)
  expected = calibration.fit_temperature(predictions.labels, predictions.logits)
  assert abs(expected - 1) > 0.1  # else the tests below would prove little
  kept = json.loads((train_dir / 'model.ckpt-7.temperature.json').read_text(encoding='utf-8'))
  assert kept['temperature'] == pytest.approx(expected, rel=1e-3)
  assert (kept['dataset_split_name'], kept['num_examples']) == ('validation', 15)
  report = json.loads((train_dir / 'eval' / 'report.json').read_text(encoding='utf-8'))
  assert report['temperature'] == kept['temperature']
  fitted = report['calibration']['fitted']['expected_calibration_error']
  assert kept['expected_calibration_error'] == fitted
  before = report['calibration']['as_it_is']['expected_calibration_error']
  assert kept['expected_calibration_error_before'] == before


def test_later_evaluations_use_it_for_probabilities_only(train_dir, tmp_path, tiny_dataset):
  code, report = _evaluate(train_dir, tmp_path)
  predictions = _predict(train_dir, tiny_dataset)
  assert code == 0
  temperature = report['temperature']
  assert report['calibration']['stored']['temperature'] == temperature
  selective = calibration.selective(predictions.labels, predictions.logits, temperature)
  assert report['selective'] == selective
  assert report['loss'] == pytest.approx(report['calibration']['as_it_is']['loss'])
  accuracy = np.mean(predictions.logits.argmax(axis=1) == predictions.labels)
  assert report['accuracy'] == accuracy
  with open(tmp_path / 'predictions.csv', encoding='utf-8', newline='') as file:
    said = [float(row['probability_1']) for row in csv.DictReader(file)]
  expected = metrics.probabilities(predictions.logits / temperature).max(axis=1)
  assert said == pytest.approx(expected, abs=1e-4)


def test_classification_divides_logits_by_it(train_dir, frozen, pictures, caplog):
  temperature = temperatures.read(str(train_dir / 'model.ckpt-7'), False)
  assert sidecar.read(frozen)['temperature'] == temperature
  with Classifier(frozen, precision='float32') as classifier:
    predictions = classifier.predict(pictures)
  assert f'divided by the temperature {temperature:.4f}' in caplog.text
  for prediction in predictions:
    expected = metrics.probabilities(np.float64([prediction.logits]) / temperature)[0]
    np.testing.assert_allclose(prediction.probabilities, expected, rtol=1e-5)
    assert (np.diff(prediction.logits) <= 0).all()  # the ranking is that of the logits


def test_evaluation_and_classification_say_the_same_probabilities(
  train_dir, frozen, tiny_images, tmp_path
):
  _evaluate(train_dir, tmp_path)
  with open(tmp_path / 'predictions.csv', encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  with Classifier(frozen, precision='float32') as classifier:
    predictions = classifier.predict([tiny_images / row['file'] for row in rows])
  for row, prediction in zip(rows, predictions, strict=True):
    assert row['prediction_1'] == prediction.class_names[0]
    assert float(row['probability_1']) == pytest.approx(prediction.probabilities[0], abs=1e-3)


@pytest.mark.parametrize(
  ('temperature', 'why'), [(0.05, 'all answers are right'), (20.0, 'say nothing about the classes')]
)
def test_no_temperature_is_written_where_none_fits(
  train_dir, tmp_path, monkeypatch, capsys, temperature, why
):
  folder = shutil.copytree(train_dir, tmp_path / 'run')
  (folder / 'model.ckpt-7.temperature.json').unlink()
  monkeypatch.setattr(calibration, 'fit_temperature', lambda *unused: temperature)
  code, report = _evaluate(folder, tmp_path / 'eval', '--fit_temperature')
  assert code == 0 and report['temperature'] == 1
  assert report['calibration']['fitted']['temperature'] == temperature
  assert why in capsys.readouterr().out
  assert not (folder / 'model.ckpt-7.temperature.json').exists()


def test_figures_are_not_lost_with_a_temperature_that_cannot_be_kept(
  train_dir, tmp_path, monkeypatch, capsys
):
  def refuse(*unused, **also_unused):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(temperatures, 'write', refuse)
  code, report = _evaluate(train_dir, tmp_path, '--fit_temperature')
  assert code == 2 and report['num_examples'] == 15
  assert 'temperature.json cannot be written (Permission denied)' in capsys.readouterr().err


def test_no_temperature_is_fitted_on_what_was_trained_on(train_dir, tmp_path, capsys):
  split = '--dataset_split_name=train'
  assert _evaluate(train_dir, tmp_path, '--fit_temperature', split)[0] == 2
  assert "--fit_temperature on 'train', which the training has seen" in capsys.readouterr().err
  code, report = _evaluate(train_dir, tmp_path, split)
  assert code == 0 and report['calibration']['fitted'] is None


def test_other_images_of_the_same_split_name_may_be_fitted_to(train_dir, tiny_dataset, tmp_path):
  shutil.copytree(tiny_dataset, tmp_path / 'others')
  flags = (f'--dataset_dir={tmp_path}/others', '--dataset_split_name=train')
  code, report = _evaluate(train_dir, tmp_path / 'eval', *flags)
  assert code == 0 and report['calibration']['fitted'] is not None


def test_a_temperature_of_single_views_is_doubted_for_several(train_dir, tmp_path):
  code, report = _evaluate(train_dir, tmp_path, '--test_time_augmentation=flip')
  assert code == 0 and any('fitted to single views' in text for text in report['warnings'])
  code, report = _evaluate(train_dir, tmp_path)
  assert code == 0 and not any('single views' in text for text in report['warnings'])


def test_no_temperature_is_fitted_over_several_views(train_dir, tmp_path, capsys):
  flags = ('--fit_temperature', '--test_time_augmentation=flip')
  assert _evaluate(train_dir, tmp_path, *flags)[0] == 2
  assert 'leave out one of the two flags' in capsys.readouterr().err


def test_temperature_of_another_checkpoint_is_not_used(train_dir, tmp_path, caplog):
  write_checkpoint(tmp_path, num_classes=4)
  name = 'model.ckpt-7.temperature.json'
  shutil.copyfile(train_dir / name, tmp_path / name)
  assert temperatures.read(str(tmp_path / 'model.ckpt-7'), False) is None
  assert 'is of another checkpoint, so it is not used' in caplog.text


def test_temperature_of_moving_averages_is_not_that_of_the_weights(tmp_path, tiny_dataset, caplog):
  prefix = write_checkpoint(tmp_path, averages=True)
  temperatures.write(prefix, 1.5, True)
  assert temperatures.read(prefix, True) == 1.5
  assert temperatures.read(prefix, False) is None
  assert 'is for other weights' in caplog.text
  assert f'Logits{SHADOW}' not in caplog.text


@pytest.mark.parametrize('content', ['{', '[]', '{"temperature": 0}', '{"temperature": "1"}'])
def test_damaged_temperature_is_named(tmp_path, content):
  prefix = write_checkpoint(tmp_path)
  (tmp_path / 'model.ckpt-7.temperature.json').write_text(content)
  with pytest.raises(UserError, match=r'model.ckpt-7.temperature.json.*--fit_temperature'):
    temperatures.read(prefix, False)


def test_temperature_goes_with_its_checkpoint(tmp_path):
  prefix = write_checkpoint(tmp_path)
  temperatures.write(prefix, 1.5, False)
  saving._delete(prefix)
  assert [path.name for path in tmp_path.iterdir()] == ['checkpoint']


def _all_views(name, images):
  """Returns the views of a batch, as arrays."""
  seen = []

  def ask(view):
    seen.append(view)
    return view.reshape(len(view), -1)

  with tf.Graph().as_default(), tf.Session() as session:
    mean = test_time_views.Views(name).mean_logits(session, images, ask)
  expected = np.mean([view.reshape(len(view), -1) for view in seen], axis=0)
  np.testing.assert_allclose(mean, expected, atol=1e-6)
  return seen


_RANDOM = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)


def test_views_are_mirror_images_and_quarter_turns():
  assert [view.tolist() for view in _all_views('none', _RANDOM)] == [_RANDOM.tolist()]
  first, mirrored = _all_views('flip', _RANDOM)
  np.testing.assert_array_equal(first, _RANDOM)
  np.testing.assert_array_equal(mirrored, _RANDOM[:, :, ::-1])
  turns = [np.rot90(_RANDOM, k, axes=(1, 2)) for k in range(4)]
  expected = [*turns, *(turn[:, :, ::-1] for turn in turns)]
  np.testing.assert_array_equal(_all_views('rotations', _RANDOM), expected)


def test_crops_are_the_corners_at_full_size():
  # Columns count from 0 to 15: a crop of 7/8 spans 0 to 13.125 or 1.875 to 15, and so do rows.
  rows, columns = np.float32(np.indices((16, 16)))
  images = np.stack([rows, columns], axis=-1)[np.newaxis]
  views = _all_views('crops', images)
  assert len(views) == 10 and all(view.shape == images.shape for view in views)
  for view, (y, x) in zip(
    views[1:5], [(0, 0), (0, 1.875), (1.875, 0), (1.875, 1.875)], strict=True
  ):
    np.testing.assert_allclose(view[0, ..., 0], y + rows * 0.875, atol=1e-5)
    np.testing.assert_allclose(view[0, ..., 1], x + columns * 0.875, atol=1e-5)
  for view, mirrored in zip(views[:5], views[5:], strict=True):
    np.testing.assert_array_equal(mirrored, view[:, :, ::-1])


@pytest.mark.parametrize('name', _VIEWS)
def test_both_commands_average_alike(name, train_dir, frozen, tiny_dataset, tiny_images):
  evaluated = _predict(train_dir, tiny_dataset, test_time_augmentation=name)
  paths = [tiny_images / file for file in evaluated.files]
  with Classifier(frozen, precision='float32', test_time_augmentation=name) as classifier:
    predictions = classifier.predict(paths)
  for prediction, logits in zip(predictions, evaluated.logits, strict=True):
    np.testing.assert_allclose(prediction.logits, logits[prediction.class_ids], atol=1e-4)
  assert evaluated.facts['test_time_augmentation'] == name


def test_mean_over_a_picture_and_its_mirror_image(train_dir, tiny_dataset):
  dataset = dataset_factory.get_dataset(None, 'validation', str(tiny_dataset))
  with tf.Graph().as_default(), tf.Session() as session:
    fn = preprocessing_factory.get_preprocessing('cifarnet', False)
    images = session.run(inputs.evaluation_batches(dataset, fn, 15, 32))['images']
  checkpoint = str(train_dir / 'model.ckpt-7')
  expected = (logits_of(checkpoint, images) + logits_of(checkpoint, images[:, :, ::-1])) / 2
  flipped = _predict(train_dir, tiny_dataset, test_time_augmentation='flip', batch_size=4)
  np.testing.assert_allclose(flipped.logits, expected, rtol=1e-3, atol=1e-4)


def test_views_by_their_flag(train_dir, frozen, pictures, tmp_path, capsys):
  code, report = _evaluate(train_dir, tmp_path, '--test_time_augmentation=rotations')
  assert code == 0 and report['test_time_augmentation'] == 'rotations'
  capsys.readouterr()
  flags = ('--csv', '--test_time_augmentation=rotations', '--precision=float32')
  assert run(classify_image, f'--model_path={frozen}', *flags, pictures[0]) == 0
  said = list(csv.DictReader(capsys.readouterr().out.splitlines()))
  with Classifier(frozen, precision='float32', test_time_augmentation='rotations') as classifier:
    (prediction,) = classifier.predict(pictures[:1])
  assert float(said[0]['logit']) == pytest.approx(prediction.logits[0], rel=1e-4)


@pytest.fixture(scope='module')
def bound(frozen, pictures):
  """A probability that the best classes of some pictures reach, and others do not."""
  with Classifier(frozen, precision='float32') as classifier:
    sureness = sorted(p.probabilities[0] for p in classifier.predict(pictures))
  assert sureness[-1] - sureness[0] > 1e-3
  return float((sureness[0] + sureness[-1]) / 2)


def _classify(frozen, pictures, *flags):
  argv = (f'--model_path={frozen}', '--precision=float32', *flags)
  assert run(classify_image, *argv, *pictures) == 0


def test_answers_below_the_confidence_are_unknown(frozen, pictures, bound):
  with Classifier(frozen, precision='float32', min_confidence=bound) as classifier:
    predictions = classifier.predict(pictures)
  expected = [p.class_names[0] if p.probabilities[0] >= bound else 'unknown' for p in predictions]
  assert [p.answer for p in predictions] == expected
  assert 'unknown' in expected and set(expected) != {'unknown'}
  assert all(sorted(p.class_names) == sorted(TINY_CLASSES) for p in predictions)
  with Classifier(frozen) as classifier:
    assert classifier.predict(pictures[:1])[0].answer != 'unknown'


def test_unknown_in_every_output(frozen, pictures, bound, capsys):
  with Classifier(frozen, precision='float32', min_confidence=bound) as classifier:
    answers = [p.answer for p in classifier.predict(pictures)]
  flag = f'--min_confidence={bound}'
  _classify(frozen, pictures, flag, '--json')
  entries = json.loads(capsys.readouterr().out)
  assert [entry['answer'] for entry in entries] == answers
  assert all(len(entry['predictions']) == 3 for entry in entries)
  _classify(frozen, pictures, flag, '--csv')
  rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
  assert [row['answer'] for row in rows if row['rank'] == '1'] == answers
  assert len(rows) == 3 * len(pictures)
  _classify(frozen, pictures, flag)
  lines = capsys.readouterr().out.splitlines()
  said = [line for line in lines if line.startswith('unknown (probability of the best class 0.')]
  assert len(said) == answers.count('unknown')
  assert sum(' (score = ' in line for line in lines) == 3 * len(pictures)


def test_outputs_have_no_answer_when_none_was_asked_for(frozen, pictures, capsys):
  _classify(frozen, pictures[:1], '--json')
  assert 'answer' not in json.loads(capsys.readouterr().out)[0]
  _classify(frozen, pictures[:1], '--csv')
  assert capsys.readouterr().out.startswith('file,rank,class,probability,logit,error\n')


@pytest.mark.parametrize('value', ['-0.1', '1.1'])
def test_confidence_is_checked(value, capsys):
  assert run(classify_image, '--model_path=x', f'--min_confidence={value}', 'y.jpg') == 2
  assert f'--min_confidence={value} must be from 0 to 1' in capsys.readouterr().err
