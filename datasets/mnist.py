"""MNIST: 70,000 handwritten digits, gray pictures of 28x28 pixels.

LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998;
http://yann.lecun.com/exdb/mnist/
"""

from datasets import shards

FACTS = shards.Facts(
  name='mnist',
  class_names=(
    'zero',
    'one',
    'two',
    'three',
    'four',
    'five',
    'six',
    'seven',
    'eight',
    'nine',
  ),
  split_sizes={'train': 60_000, 'test': 10_000},
  file_pattern='mnist_%s.tfrecord',
  channels=1,
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split.

  The item 'image' is uint8 [28, 28, 1].
  """
  dataset = shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
  if dataset.labels_to_names.get(6) == 'size':  # as the labels.txt of research/slim spells it
    dataset.labels_to_names[6] = 'six'
  return dataset
