"""What training writes for TensorBoard, under the tags of research/slim.

The raw operations take a tag as it is; tf.summary would number it when an operation of the graph
has the same name.
"""

from slim_compat import tf

_PICTURES = 3


def scalars(learning_rate, losses):
  """Returns the serialized summary of the learning rate and the losses ({tag: scalar})."""
  values = {'learning_rate': learning_rate, **losses}
  for loss in tf.losses.get_losses():
    values[f'losses/{loss.op.name}'] = loss
  return tf.summary.merge([_scalar(tag, value) for tag, value in values.items()])


def details(images, end_points, variables):
  """Returns the serialized summary of pictures, activations and weights: costly to compute.

  Args:
    images: float32 [b, h, w, c], as the net gets them.
    end_points: {name: tensor} of the net.
    variables: the net's variables, a histogram each.
  """
  merged = [
    tf.raw_ops.ImageSummary(tag='final_distorted_image', tensor=images, max_images=_PICTURES)
  ]
  for name, tensor in end_points.items():
    merged.append(_histogram(f'activations/{name}', tensor))
    merged.append(_scalar(f'sparsity/{name}', tf.nn.zero_fraction(tensor)))
  merged += [_histogram(variable.op.name, variable) for variable in variables]
  return tf.summary.merge(merged)


def _scalar(tag, value):
  return tf.raw_ops.ScalarSummary(tags=tag, values=value)


def _histogram(tag, values):
  return tf.raw_ops.HistogramSummary(tag=tag, values=values)
