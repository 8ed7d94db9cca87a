"""A net with the weights of a checkpoint in it: a graph that does nothing but answer, and fast."""

import dataclasses

from image_classifier import clips, precision
from image_classifier.evaluation import restoring
from image_classifier.graphs import folding
from nets import nets_factory
from slim_compat import tf


@dataclasses.dataclass(frozen=True)
class TrainedNet:
  """What `load` made of a checkpoint.

  Attributes:
    graph_def: tf.GraphDef without variables, its batch norms folded where that can be.
    images: name of the placeholder, float32 [b, size, size, channels].
    logits: name of the tensor [b, classes].
    moving_averages: whether the weights are moving averages of them.
  """

  graph_def: object
  images: str
  logits: str
  moving_averages: bool


def load(checkpoint, model_name, num_classes, image_size, channels, use_moving_averages=None):
  """Builds a net with the weights of a checkpoint.

  Args:
    checkpoint: a checkpoints.Checkpoint.
    model_name: key of networks_map.
    num_classes: classes that the net tells apart.
    image_size: height and width of its pictures, in pixels.
    channels: 3, or 1 for gray pictures.
    use_moving_averages: True or False; None takes them when the checkpoint holds them.

  Returns:
    A TrainedNet.

  Raises:
    UserError: for a checkpoint that does not fit the net.
  """
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(tf.float32, [None, image_size, image_size, channels])
    network_fn = nets_factory.get_network_fn(model_name, num_classes, is_training=False)
    logits, _ = network_fn(clips.as_input(images, model_name))
    restored = restoring.variables_to_restore(checkpoint, model_name, use_moving_averages)
    graph_def = tf.graph_util.extract_sub_graph(graph.as_graph_def(), [logits.op.name])
  values = {variable.op.name: checkpoint.values[name] for name, variable in restored.items()}
  graph_def = folding.folded(folding.with_constants(graph_def, values))
  averages = restoring.has_averages(restored)
  return TrainedNet(graph_def, images.name, logits.name, averages)


def answers(net, images):
  """Adds a net to the default graph.

  Args:
    net: a TrainedNet.
    images: float32 tensor [b, size, size, channels].

  Returns:
    logits: float32 tensor [b, classes].
    operations: list of tf.Operation to run along with them, which keeps them float32.
  """
  (logits,) = tf.import_graph_def(
    net.graph_def, input_map={net.images: images}, return_elements=[net.logits], name=''
  )
  return logits, precision.float32_ops([logits])
