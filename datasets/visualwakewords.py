"""Visual Wake Words: 123,287 photographs of COCO 2014, with or without a person.

Chowdhery et al., Visual Wake Words Dataset, 2019; https://arxiv.org/abs/1906.05721
"""

from datasets import shards

FACTS = shards.Facts(
  name='visualwakewords',
  class_names=('background', 'person'),
  # The tool that makes the records can be told to look for another thing than a person.
  has_stand_in_names=True,
  split_sizes={'train': 82_783, 'val': 40_504},
  file_pattern='%s.record-*',
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split."""
  return shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
