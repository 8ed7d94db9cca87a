"""Flowers: 3,670 photographs of five kinds, from Flickr under Creative Commons licences.

The TensorFlow team, http://download.tensorflow.org/example_images/flower_photos.tgz
"""

from datasets import shards

FACTS = shards.Facts(
  name='flowers',
  class_names=('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'),
  split_sizes={'train': 3320, 'validation': 350},
  file_pattern='flowers_%s_*.tfrecord',
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split."""
  return shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
