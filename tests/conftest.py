"""What several test modules use: the shared folder, a small image folder and its records."""

import functools
import gc
import logging
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

REPO = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

TINY_CLASSES = ('forest', 'sea ice', '城市')
_TINY_SIZES = {'train': 10, 'validation': 5}  # images a class


@pytest.fixture(autouse=True)
def _usual_verbosity():
  """Takes back what a command's -v has done to the messages of this process."""
  yield
  logging.getLogger('tensorflow').setLevel(logging.INFO)


def pytest_collection_finish():
  """Keeps what the imports have made out of the garbage collector's passes, which it makes long."""
  gc.freeze()


@pytest.fixture(scope='session')
def shared():
  """The folder of real images, checkpoints and facts beside the checkout; a user has none."""
  folder = REPO.parent / 'shared'
  if not folder.is_dir():
    pytest.skip(f'{folder} with the real images and checkpoints is not on this machine')
  return folder


@pytest.fixture(scope='module')
def short_mobilenet():
  """Cuts mobilenet_v1_025 short after two of thirteen pairs of layers, so that it builds fast."""
  from nets import mobilenet_v1, net_info

  base = functools.partial(mobilenet_v1.mobilenet_v1_base, final_endpoint='Conv2d_2_pointwise')
  info = net_info.NET_INFO['mobilenet_v1_025']
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(mobilenet_v1, 'mobilenet_v1_base', base)
    patch.setitem(net_info.NET_INFO, 'mobilenet_v1_025', info._replace(blocks=info.blocks[:5]))
    yield


@pytest.fixture(scope='session')
def tiny_images(tmp_path_factory):
  """A folder of train/ and validation/ with three classes of 40x40 JPEGs that differ in pattern."""
  folder = tmp_path_factory.mktemp('tiny images')
  rng = np.random.default_rng(0)
  for split, count in _TINY_SIZES.items():
    for number, name in enumerate(TINY_CLASSES):
      (folder / split / name).mkdir(parents=True)
      for i in range(count):
        Image.fromarray(_pattern(rng, number)).save(folder / split / name / f'{i}.jpg', quality=95)
  return folder


def _pattern(rng, number):
  """Stripes (0), columns (1) or checks (2) of 5 pixels in random strength: uint8 [40, 40, 3]."""
  rows, columns = np.indices((40, 40)) // 5 % 2
  pattern = (rows, columns, rows ^ columns)[number][..., None]
  low, high = rng.uniform(0, 90), rng.uniform(160, 255)
  noise = rng.normal(0, 10, (40, 40, 3))
  return np.clip(low + (high - low) * pattern + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope='session')
def tiny_dataset(tiny_images, tmp_path_factory):
  """The records of `tiny_images`: 30 to train on and 15 to validate with, in two shards each."""
  import data_convert
  from image_classifier import command

  folder = tmp_path_factory.mktemp('tiny records')
  argv = ['data_convert', '-t', str(tiny_images), '--output_dir', str(folder)]
  assert command.run('', data_convert.FLAGS, data_convert.main, [*argv, '--dataset_name=tiny']) == 0
  return folder
