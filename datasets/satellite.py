"""Aerial tiles of six land covers, the data set of the satellite tutorial.

An example of a registered data set: its facts, `get_split`, and a line in dataset_factory.py.
"""

from datasets import shards

FACTS = shards.Facts(
  name='satellite',
  class_names=('glacier', 'rock', 'urban', 'water', 'wetland', 'wood'),
  split_sizes={'train': 4800, 'validation': 1200},
  file_pattern='satellite_%s_*.tfrecord',
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split."""
  return shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
