"""What a warm start takes from a checkpoint and what it says of the rest, without a net's graph."""

import types

import pytest

from image_classifier.training import warm_start
from nets.net_info import NET_INFO
from slim_compat import tf
from slim_errors import UserError

TRUNK = {'MobilenetV1/Conv2d_13_pointwise/weights': [1, 1, 256, 256]}  # of mobilenet_v1_025


def checkpoint(folder, shapes):
  """Saves zeros of these shapes and returns the prefix."""
  with tf.Graph().as_default(), tf.Session() as session:
    variables = [tf.get_variable(name, shape) for name, shape in shapes.items()]
    session.run(tf.variables_initializer(variables))
    return tf.train.Saver(variables).save(session, f'{folder}/model.ckpt')


def variables(shapes):
  """Returns what stands for a net's variables."""
  return [
    types.SimpleNamespace(op=types.SimpleNamespace(name=name), shape=tf.TensorShape(shape))
    for name, shape in shapes.items()
  ]


def head(num_classes):
  """Returns InceptionV3's last layers, and a trunk of one variable."""
  return {
    'InceptionV3/Conv2d_1a_3x3/weights': [3, 3, 3, 32],
    'InceptionV3/AuxLogits/Conv2d_1b_1x1/weights': [1, 1, 768, 128],
    'InceptionV3/AuxLogits/Conv2d_2b_1x1/weights': [1, 1, 768, num_classes],
    'InceptionV3/AuxLogits/Conv2d_2b_1x1/biases': [num_classes],
    'InceptionV3/Logits/Conv2d_1c_1x1/weights': [1, 1, 2048, num_classes],
    'InceptionV3/Logits/Conv2d_1c_1x1/biases': [num_classes],
  }


def test_all_heads_of_another_size_share_one_line(tmp_path):
  plan = warm_start.plan(
    checkpoint(tmp_path, head(1001)), variables(head(6)), NET_INFO['inception_v3']
  )
  assert plan.new_heads == [
    'Starting new: InceptionV3/AuxLogits/Conv2d_2b_1x1, InceptionV3/Logits/Conv2d_1c_1x1; '
    'the checkpoint knows 1001 classes, this net 6.'
  ]
  assert set(plan.restored) == set(list(head(6))[:2])


def test_a_head_that_fits_needs_no_line(tmp_path):
  plan = warm_start.plan(
    checkpoint(tmp_path, head(6)), variables(head(6)), NET_INFO['inception_v3']
  )
  assert plan.new_heads == [] and set(plan.restored) == set(head(6))


def test_an_auxiliary_head_for_another_image_size_has_no_class_counts(tmp_path):
  name = 'InceptionV3/AuxLogits/Conv2d_2a_5x5/weights'
  there, here = ({**head(6), name: [size, size, 128, 768]} for size in (5, 3))
  plan = warm_start.plan(checkpoint(tmp_path, there), variables(here), NET_INFO['inception_v3'])
  (line,) = plan.new_heads
  assert line == (
    'Starting new: InceptionV3/AuxLogits/Conv2d_2a_5x5; the checkpoint has them in another shape.'
  )


@pytest.mark.parametrize(
  ('wanted', 'start'),
  [
    ({'MobilenetV1/Conv2d_13_pointwise/weights': [1, 1, 512, 512]}, 'holds MobilenetV1/Conv2d_13'),
    ({**TRUNK, 'MobilenetV1/Conv2d_14/weights': [1]}, 'lacks MobilenetV1/Conv2d_14/weights'),
    ({'vgg_16/fc6/weights': [1]}, 'holds none of the 1 variables to restore'),
  ],
)
def test_the_net_of_a_foreign_checkpoint_is_named(tmp_path, wanted, start):
  prefix = checkpoint(tmp_path, TRUNK)
  with pytest.raises(UserError) as caught:
    warm_start.plan(prefix, variables(wanted), NET_INFO['mobilenet_v1_050'])
  assert f'Checkpoint {prefix} {start}' in str(caught.value)
  assert 'it looks like mobilenet_v1_025: pass --model_name=mobilenet_v1_025' in str(caught.value)
