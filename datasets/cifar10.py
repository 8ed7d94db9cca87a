"""CIFAR-10: 60,000 colour pictures of 32x32 pixels in ten classes.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from datasets import shards

FACTS = shards.Facts(
  name='cifar10',
  class_names=(
    'airplane',
    'automobile',
    'bird',
    'cat',
    'deer',
    'dog',
    'frog',
    'horse',
    'ship',
    'truck',
  ),
  split_sizes={'train': 50_000, 'test': 10_000},
  file_pattern='cifar10_%s.tfrecord',
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split."""
  return shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
