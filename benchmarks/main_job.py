"""Times the main job's two long parts on drawn images: conversion and training.

Conversion stands beside what it cannot do without in the same run: reading every file and decoding
it once with Pillow, in one thread. Training is a small net's: 101 steps less the time of one step.

  python benchmarks/main_job.py
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

from PIL import Image

import data_convert
from image_classifier import command

REPO = pathlib.Path(__file__).resolve().parent.parent
STEPS = 100
BATCH_SIZE = 32


def seconds_of(script, *arguments):
  """Runs a script of the project and returns its wall time in seconds."""
  began = time.perf_counter()
  words = [sys.executable, str(REPO / script), *arguments]
  subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  return time.perf_counter() - began


def seconds_of_decoding(paths):
  """Decodes files to RGB pixels one after another and returns the wall time in seconds."""
  began = time.perf_counter()
  for path in paths:
    with Image.open(path) as image:
      image.convert('RGB')
  return time.perf_counter() - began


def seconds_of_training(folder, steps):
  return seconds_of(
    'train_image_classifier.py',
    f'--dataset_dir={folder}/data',
    f'--train_dir={folder}/train_dir-{steps}',
    '--model_name=mobilenet_v1_025',
    '--train_image_size=96',
    f'--batch_size={BATCH_SIZE}',
    f'--max_number_of_steps={steps}',
    '--save_summaries_secs=0',
  )


def seconds_of_conversion(images, data):
  """Converts in this process, so that importing TensorFlow is not counted; returns seconds."""
  import slim_compat  # noqa: F401

  began = time.perf_counter()
  argv = ['data_convert', '-t', images, f'--output_dir={data}']
  code = command.run('', data_convert.FLAGS, data_convert.main, argv)
  assert code == 0, f'conversion ended with {code}'
  return time.perf_counter() - began


def main():
  with tempfile.TemporaryDirectory() as folder:
    seconds_of('scripts/make_demo_images.py', f'{folder}/images')
    paths = sorted(pathlib.Path(folder, 'images').rglob('*.jpg'))
    decoding = seconds_of_decoding(paths)
    converting = seconds_of_conversion(f'{folder}/images', f'{folder}/data')
    one, many = (seconds_of_training(folder, steps) for steps in (1, STEPS + 1))
  step = (many - one) / STEPS
  print(f'\n{len(paths)} images of 96 x 96 pixels, {os.cpu_count()} processors')
  print(f'conversion: {len(paths) / converting:.0f} images/s')
  print(f'Pillow alone: {len(paths) / decoding:.0f} images/s decoded')
  print(f'mobilenet_v1_025: {step:.3f} s a step of {BATCH_SIZE}, {BATCH_SIZE / step:.0f} images/s')
  print(f'from the command to the end of a run of one step: {one:.1f} s')


if __name__ == '__main__':
  main()
