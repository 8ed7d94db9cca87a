"""Runs the whole job, from a folder of images to a frozen graph that classifies a picture.

Without options it draws its own images and trains a small net from scratch, in a few minutes. With
them it works on your pictures. Every command is printed as you would type it. Each run gets a new
folder demo/run-N; images are only read, and nothing is deleted.

  python scripts/demo.py
  python scripts/demo.py --images pic/ --checkpoint inception_v3.ckpt --model inception_v3
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

REPO = pathlib.Path(__file__).resolve().parent.parent
IMAGE_ENDINGS = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
CLASSIFIED_AT_THE_END = 6

# New weights: an optimizer that needs no patience.
FROM_SCRATCH = {
  'max_number_of_steps': 600,
  'optimizer': 'adam',
  'opt_epsilon': 1e-8,
  'learning_rate': 0.01,
  'learning_rate_decay_type': 'polynomial',
}
# The drawn images are told apart by fine texture, which cifarnet's preprocessing keeps: it never
# resizes.
SMALL_NET = {
  'model_name': 'mobilenet_v1_025',
  'train_image_size': 96,
  'preprocessing_name': 'cifarnet',
}
# The head of a pretrained net, at the rate of research/slim's recipes.
HEAD_ONLY = {
  'finetune': 'head',
  'max_number_of_steps': 200,
  'learning_rate': 0.01,
  'learning_rate_decay_type': 'fixed',
}


def run(script, *arguments):
  """Prints a command as a user types it and runs it; ends with its exit code when it fails."""
  command = [_near(sys.executable), _near(REPO / script), *(str(value) for value in arguments)]
  print(f'\n$ {shlex.join(command)}', flush=True)
  code = subprocess.run(command, check=False).returncode
  if code:
    print(f'\nThe demo stops: {script} ended with exit code {code}.', file=sys.stderr)
    sys.exit(code)


def _near(path):
  """Returns the path as seen from here when it lies below, else as it is."""
  path = os.path.abspath(path)
  relative = os.path.relpath(path)
  return path if relative.startswith(os.pardir) else relative


def _flags(settings):
  return [f'--{name}={value}' for name, value in settings.items()]


def _settings(options):
  """Returns the training flags for what the user has: no checkpoint, or one to start from."""
  if options.checkpoint:
    net = {'model_name': options.model, 'checkpoint_path': options.checkpoint}
    return net | HEAD_ONLY
  net = {'model_name': options.model} if options.model else SMALL_NET
  return net | FROM_SCRATCH


def _new_run_folder(output):
  """Makes and returns `output/run-N` with the first number that is free."""
  number = 1
  while True:
    folder = pathlib.Path(output, f'run-{number}')
    try:
      folder.mkdir(parents=True)
      return folder
    except FileExistsError:
      number += 1


def _some_images(folder):
  """Returns one image of each class of a folder, validation images where there are any."""
  by_class = {}
  for path in sorted(pathlib.Path(folder).rglob('*')):
    if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith('.'):
      by_class[path.parent.name] = path  # validation comes after train
  return list(by_class.values())[:CLASSIFIED_AT_THE_END]


def main():
  options = _parse()
  began = time.monotonic()
  images = options.images or os.path.join(options.output, 'images')
  if not options.images:
    run('scripts/make_demo_images.py', images)
  folder = _new_run_folder(options.output)
  data, train_dir, eval_dir = folder / 'data', folder / 'train_dir', folder / 'eval_dir'
  graph, frozen = folder / 'inference_graph.pb', folder / 'frozen_graph.pb'

  run('data_convert.py', '-t', images, f'--output_dir={data}')
  run(
    'train_image_classifier.py',
    f'--dataset_dir={data}',
    f'--train_dir={train_dir}',
    *_flags(_settings(options)),
  )
  run(
    'eval_image_classifier.py',
    f'--dataset_dir={data}',
    f'--checkpoint_path={train_dir}',
    f'--eval_dir={eval_dir}',
  )
  run('export_inference_graph.py', f'--train_dir={train_dir}', f'--output_file={graph}')
  run(
    'freeze_graph.py',
    f'--input_graph={graph}',
    f'--input_checkpoint={train_dir}',
    f'--output_graph={frozen}',
  )
  run(
    'classify_image.py',
    f'--model_path={frozen}',
    '--num_top_predictions=2',
    *_some_images(images),
  )

  with open(eval_dir / 'report.json', encoding='utf-8') as file:
    accuracy = json.load(file)['accuracy']
  print(_summary(options, folder, accuracy, time.monotonic() - began))


def _summary(options, folder, accuracy, seconds):
  python, classify = _near(sys.executable), _near(REPO / 'classify_image.py')
  lines = [
    '',
    f'Validation accuracy: {accuracy:.1%}, {seconds / 60:.1f} minutes in all.',
    f'  {folder}/data             shards, label.txt, dataset.json',
    f'  {folder}/train_dir        checkpoints, summaries, run.json',
    f'  {folder}/eval_dir         report.json, predictions.csv, the confusion matrix',
    f'  {folder}/frozen_graph.pb  the classifier, described in frozen_graph.pb.json',
    '',
    'Classify a picture of yours:',
    f'  {python} {classify} --model_path={folder}/frozen_graph.pb picture.jpg',
  ]
  if not options.images:
    lines += [
      'Teach it your classes, one folder of images a class:',
      '  make demo IMAGES=folder',
      '  make demo IMAGES=folder CHECKPOINT=inception_v3.ckpt MODEL=inception_v3',
    ]
  return '\n'.join(lines)


def _parse():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--images', help='Folder with a folder of images a class; default: drawn.')
  parser.add_argument('--checkpoint', help='Pretrained checkpoint; its head is made new.')
  parser.add_argument('--model', help='Net of the checkpoint, or to train from new weights.')
  parser.add_argument('--output', default='demo', help='Folder of the runs (default: demo).')
  options = parser.parse_args()
  if options.images and not os.path.isdir(options.images):
    parser.error(f'--images {options.images} is not a folder.')
  if options.checkpoint and not options.model:
    parser.error('--checkpoint needs --model: the name of its net, such as inception_v3.')
  return options


if __name__ == '__main__':
  try:
    main()
  except KeyboardInterrupt:  # which the command that ran has answered
    sys.exit(130)
