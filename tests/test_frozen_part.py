"""What a run does not change of a net: the same loss and gradients with constants in its place."""

import numpy as np
import pytest

from image_classifier import clips
from image_classifier.features import frozen_part
from image_classifier.graphs import folding
from nets import nets_factory
from slim_compat import slim, tf


def _build(model_name, size, patterns):
  """Builds a net in the training form on a constant batch; returns images, logits, end points."""
  tf.set_random_seed(0)
  tf.train.get_or_create_global_step()
  is_frozen = lambda scope: not scope.startswith(patterns)  # noqa: E731
  network_fn = nets_factory.get_network_fn(
    model_name, 3, weight_decay=1e-4, is_training=True, is_frozen=is_frozen
  )
  images = tf.constant(np.random.default_rng(0).uniform(-1, 1, [4, size, size, 3]), tf.float32)
  images = tf.identity(images, 'images')
  return images, *network_fn(clips.as_input(images, model_name))


def _loss_and_gradients(outputs, trained):
  labels = slim.one_hot_encoding([0, 1, 2, 0], 3)
  loss = tf.add_n([tf.losses.softmax_cross_entropy(labels, output) for output in outputs])
  return [loss, *tf.gradients(loss, trained)]


_CUTS = [
  ('lenet', 28, ('LeNet/fc4/',), ['LeNet/fc3/Relu:0']),  # what dropout drops from
  ('cifarnet', 32, ('CifarNet/logits/',), None),
  ('mobilenet_v1_025', 32, ('MobilenetV1/Logits/',), None),
  ('mobilenet_v2_035', 32, ('MobilenetV2/expanded_conv_16/', 'MobilenetV2/Logits/'), None),
  ('mobilenet_v3_small', 32, ('MobilenetV3/expanded_conv_9/', 'MobilenetV3/Logits/'), None),
  ('inception_v1', 32, ('InceptionV1/Mixed_5b/', 'InceptionV1/Logits/'), None),
  pytest.param(
    *('resnet_v2_50', 32, ('resnet_v2_50/block4/', 'resnet_v2_50/logits/'), None),
    marks=pytest.mark.slow,
  ),
]


@pytest.mark.parametrize(('model_name', 'size', 'patterns', 'boundary'), _CUTS)
def test_constants_in_place_of_the_part(model_name, size, patterns, boundary):
  with tf.Graph().as_default(), tf.Session() as session:
    images, logits, _ = _build(model_name, size, patterns)
    trained = [v for v in tf.trainable_variables() if v.op.name.startswith(patterns)]
    fixed = {v.op.name: v for v in slim.get_model_variables() if not v.op.name.startswith(patterns)}
    session.run(tf.global_variables_initializer())
    expected = session.run(_loss_and_gradients([logits], trained))

    part = frozen_part.find(images, [logits], fixed)
    assert part.variables and set(part.variables) <= set(fixed)
    assert boundary is None or [tensor.name for tensor in part.boundary] == boundary
    values = session.run({name: fixed[name] for name in part.variables})
    graph_def = folding.folded(folding.with_constants(frozen_part.graph_def(part), values))
    features = frozen_part.imported(part, graph_def)
    before = logits.graph.as_graph_def()
    frozen_part.replace(part, features)
    fetches = _loss_and_gradients([logits], trained)
    needed = frozen_part.ancestors(fetches)
    assert not any(op.name in part.variables for op in needed)
    actual = session.run(fetches)
    described = frozen_part.described(logits.graph.as_graph_def(), part, features)
  for one, other in zip(expected, actual, strict=True):
    assert np.abs(one - other).max() <= 1e-3 * np.abs(one).max()  # batch norms of 4 amplify
  nodes = {node.name: node for node in described.node}
  plain = {n.name: n for n in before.node if not n.name.startswith('frozen/')}
  assert plain.items() <= nodes.items()
