"""Every network through every command: trained, evaluated, exported, frozen and classified with."""

import csv
import json
import shutil

import pytest
from small_nets import run

import classify_image
import eval_image_classifier
import export_inference_graph
import freeze_graph
import train_image_classifier
from nets import net_info

_SMALL = ('lenet', 'cifarnet', 'mobilenet_v1_025')
# One of a family; other widths and depths of it are the same code, and longer or larger.
_OF_FAMILIES = (
  *('i3d', 'inception_v3', 'mobilenet_v2_035', 'mobilenet_v3_small', 'pnasnet_mobile'),
  'resnet_v2_50',
)


def _marked(name):
  if name in _SMALL:
    return name
  return pytest.param(name, marks=pytest.mark.slow if name in _OF_FAMILIES else pytest.mark.zoo)


@pytest.fixture
def folder(tmp_path):
  """A folder whose content, checkpoints of up to a GB, does not outlive the test."""
  yield tmp_path
  shutil.rmtree(tmp_path)


@pytest.mark.parametrize('name', list(map(_marked, net_info.NET_INFO)))
def test_goes_through_all_commands(name, folder, tiny_dataset, tiny_images, capsys):
  info = net_info.net_info(name)
  size = max(info.min_image_size, min(info.default_image_size, 64))
  flags = (f'--model_name={name}', f'--train_image_size={size}')
  exactly = ('--precision=float32', 1e-4)
  _go_through_all_commands(flags, folder, tiny_dataset, tiny_images, capsys, *exactly)


@pytest.mark.parametrize(
  'preprocessing', ['cifarnet', 'inception', 'inception_whole', 'lenet', 'vgg']
)
def test_grayscale_goes_through_all_commands(
  preprocessing, folder, tiny_dataset, tiny_images, capsys
):
  flags = ('--model_name=lenet', f'--preprocessing_name={preprocessing}', '--use_grayscale')
  # Batches of another size may be rounded to the other side in bfloat16, by 2**-8 a layer of four.
  as_it_comes = ('--precision=auto', 4 * 2**-8)
  _go_through_all_commands(flags, folder, tiny_dataset, tiny_images, capsys, *as_it_comes)
  record = json.loads((folder / 'train_dir/run.json').read_text(encoding='utf-8'))
  assert (record['use_grayscale'], record['preprocessing_name']) == (True, preprocessing)


def _go_through_all_commands(
  flags, folder, tiny_dataset, tiny_images, capsys, precision, tolerance
):
  """Tests that the frozen graph says of pictures what evaluation said of their records."""
  train_dir, graph, frozen = (folder / file for file in ('train_dir', 'graph.pb', 'frozen.pb'))
  of_run = f'--train_dir={train_dir}'
  data = f'--dataset_dir={tiny_dataset}'

  # Batch norm over three small images can have any gradient, and Adagrad divides by its size. A
  # decay of 0.5 lets one step change the statistics without making them those of three images.
  training = ('--max_number_of_steps=1', '--batch_size=3', '--optimizer=adagrad')
  training += ('--learning_rate=1e-4', '--batch_norm_decay=0.5')
  assert run(train_image_classifier, of_run, data, *flags, *training, precision) == 0

  report = folder / 'eval'
  asked = (
    f'--checkpoint_path={train_dir}',
    '--dataset_split_name=validation',
    '--batch_size=5',
    precision,
  )
  assert run(eval_image_classifier, data, *asked, f'--eval_dir={report}') == 0
  with open(report / 'predictions.csv', encoding='utf-8', newline='') as file:
    evaluated = {row['file']: _probabilities_by_class(row) for row in csv.DictReader(file)}
  assert len(evaluated) == 15

  assert run(export_inference_graph, of_run, f'--output_file={graph}') == 0
  inputs = (f'--input_graph={graph}', f'--input_checkpoint={train_dir}')
  assert run(freeze_graph, *inputs, f'--output_graph={frozen}') == 0

  files = sorted(evaluated)[::5]
  capsys.readouterr()
  pictures = [tiny_images / file for file in files]
  assert run(classify_image, f'--model_path={frozen}', '--json', precision, *pictures) == 0
  answers = json.loads(capsys.readouterr().out)
  for file, answer in zip(files, answers, strict=True):
    classified = {row['class']: row['probability'] for row in answer['predictions']}
    assert classified == pytest.approx(evaluated[file], abs=tolerance)


def _probabilities_by_class(row):
  return {row[f'prediction_{k}']: float(row[f'probability_{k}']) for k in range(1, 4)}


@pytest.mark.parametrize('name', [n for n, i in net_info.NET_INFO.items() if i.min_image_size > 1])
def test_sizes_below_its_minimum_are_refused_at_once(name, tmp_path, tiny_dataset, capsys):
  size = net_info.net_info(name).min_image_size - 1
  net = (f'--model_name={name}', f'--dataset_dir={tiny_dataset}')
  made = tmp_path / 'made'
  assert run(train_image_classifier, *net, f'--train_dir={made}', f'--train_image_size={size}') == 2
  sizes = f'{name} cannot take images of {size} pixels a side: give at least {size + 1}.'
  assert sizes in capsys.readouterr().err
  assert run(export_inference_graph, *net, f'--output_file={made}', f'--image_size={size}') == 2
  assert sizes in capsys.readouterr().err
  assert not made.exists()
