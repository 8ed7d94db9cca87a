"""The satellite tutorial's job as a shell script, on a small net and a few tiles."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from conftest import TINY_CLASSES
from small_nets import write_checkpoint

_SCRIPT = pathlib.Path(__file__).parent.parent / 'scripts' / 'finetune_on_satellite.sh'


@pytest.mark.slow  # six commands, each a process of its own, twice
def test_it_ends_with_a_frozen_net_of_the_classes(tiny_images, tmp_path):
  out = tmp_path / 'out put'
  checkpoint = write_checkpoint(tmp_path / 'checkpoint', 'mobilenet_v1_025', 9, size=64)
  settings = {'PYTHON': sys.executable, 'MODEL': 'mobilenet_v1_025'}
  settings |= {'IMAGE_SIZE': '64', 'MINUTES': '0.1'}
  command = [str(_SCRIPT), str(tiny_images), str(checkpoint), str(out)]
  for _ in range(2):  # the second goes on where the first ended
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
  assert 'Stage 2 of 2 goes on in' in done.stdout
  text = (out / 'frozen_graph.pb.json').read_text(encoding='utf-8')
  assert json.loads(text)['class_names'] == list(TINY_CLASSES)
  report = (out / 'train_dir/eval/report.json').read_text(encoding='utf-8')
  assert json.loads(report)['dataset_split_name'] == 'validation'
