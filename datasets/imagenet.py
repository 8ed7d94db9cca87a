"""ImageNet: the 1.3 million photographs of ILSVRC 2012 in 1,000 classes, 0 being the background.

Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015;
https://image-net.org/

The names of the classes are not part of this project, and are not downloaded: they come from the
label file beside the shards, else from the records (`image/class/text`), and a class that neither
names is called 'class 17'.
"""

from datasets import records, shards
from slim_compat import slim, tf

_BOX = 'image/object/bbox/'
_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')

FACTS = shards.Facts(
  name='imagenet',
  class_names=('background', *(f'class {label}' for label in range(1, 1001))),
  has_stand_in_names=True,
  split_sizes={'train': 1_281_167, 'validation': 50_000},
  file_pattern='%s-*',
  extra_items={
    'label_text': records.ExtraItem(
      {'image/class/text': tf.FixedLenFeature([], tf.string, default_value='')},
      slim.tfexample_decoder.Tensor('image/class/text'),
      'The name of the class, as the record has it; empty when it has none.',
    ),
    'object/bbox': records.ExtraItem(
      {_BOX + side: tf.VarLenFeature(tf.float32) for side in _SIDES},
      slim.tfexample_decoder.BoundingBox(_SIDES, _BOX),
      'Boxes around objects, float32 [boxes, 4]: top, left, bottom, right as shares, 0 to 1.',
    ),
    'object/label': records.ExtraItem(
      {'image/object/class/label': tf.VarLenFeature(tf.int64)},
      slim.tfexample_decoder.Tensor('image/object/class/label'),
      'The class of each box, int64 [boxes].',
    ),
  },
)


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the slim.dataset.Dataset of a split; see shards.describe_split."""
  return shards.describe_split(FACTS, split_name, dataset_dir, file_pattern, reader)
