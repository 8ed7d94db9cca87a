"""The JSON file beside every graph that leaves the project: what a program must know to use it."""

import slim_files
from image_classifier import clips, temperatures
from image_classifier.graphs import graph_defs
from nets import net_info
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError
from slim_files import Field

_FORMAT_VERSION = 1
_IMAGENET_WITHOUT_BACKGROUND = 1000
# Pixels a side, beyond which a picture is larger than any net takes.
_MAX_SIDE = 4096
_FIELDS = {
  'model_name': Field('text', is_optional=True),
  'num_classes': Field('whole number', 1, 10**6),
  'labels_offset': Field('whole number', 0, 10**6),
  'class_names': Field('texts', 1, 10**6, is_optional=True),
  'input_node': Field('text', choices=(graph_defs.INPUT_NODE,)),
  'logits_node': Field('text', is_optional=True),
  'softmax_node': Field('text', is_optional=True),
  'output_nodes': Field('texts', 1, 1000),
  'image_size': Field('whole number', 1, _MAX_SIDE),
  'use_grayscale': Field('true or false'),
  'num_frames': Field('whole number', 1, 10**4, is_optional=True),
  'preprocessing_name': Field('text', choices=preprocessing_factory.preprocessing_fn_map),
  'preprocessing': Field('object'),
  'is_training': Field('true or false'),
  'step': Field('whole number', 0, 2**63 - 1, is_optional=True),
  'moving_average_decay': Field('number', 0, 1, is_optional=True),
  'data_fingerprint': Field('text', is_optional=True),
  'checkpoint': Field('text'),
  'checkpoint_sha256': Field('text'),
  'moving_averages': Field('true or false'),
  'temperature': temperatures.FIELD,
}
# Whoever names its logits must say how pictures are prepared for them.
_TO_CLASSIFY = ('preprocessing_name', 'image_size', 'use_grayscale', 'labels_offset')


def path(file):
  """Returns where the sidecar of `file` lies: `file` + '.json'."""
  return f'{file}.json'


def write(file, facts):
  """Writes the sidecar of `file`, atomically.

  Args:
    file: path of the graph.
    facts: dict of what JSON can hold; `facts_of_net` lists the keys.
  """
  slim_files.write_json(path(file), facts)


def read(file):
  """Returns the sidecar of `file` as a dict, None when there is none.

  Raises:
    UserError: when there is one that is damaged, incomplete or of a later version.
  """
  facts = slim_files.read_object(path(file), {}, 'make the graph again, or move the file away')
  if facts is None:
    return None
  version = facts.get('format_version', _FORMAT_VERSION)
  if version != _FORMAT_VERSION:
    raise UserError(
      f'{path(file)} has format_version {version}, and this program reads {_FORMAT_VERSION}: '
      'make the graph again.'
    )
  slim_files.check_fields(facts, _FIELDS, path(file), 'make the graph again')
  missing = [key for key in _TO_CLASSIFY if facts.get('logits_node') and key not in facts]
  if missing:
    raise UserError(f'{path(file)} lacks {", ".join(missing)}: make the graph again.')
  return facts


def facts_of_net(
  model_name,
  *,
  num_classes,
  class_names=None,
  labels_offset=0,
  image_size=None,
  use_grayscale=False,
  num_frames=None,
  preprocessing_name=None,
  moving_average_decay=None,
  data_fingerprint=None,
):
  """Returns the sidecar of a net's graph before it has weights.

  Args:
    model_name: key of networks_map.
    num_classes: classes the net tells apart.
    class_names: their names, or None.
    labels_offset: what training took from the data set's labels: the label of class 0.
    image_size: side of the input in pixels, None for the net's own.
    use_grayscale: whether the net reads one channel.
    num_frames: pictures in a clip, None for what training uses; for a net that reads clips.
    preprocessing_name: key of preprocessing_fn_map, None for the net's own.
    moving_average_decay: of the run, None when it kept no moving averages of its weights.
    data_fingerprint: of the data set, None when unknown.

  Returns:
    A dict that JSON can hold.

  Raises:
    UserError: when the image is too small for the net, or it reads no clips but frames are given.
  """
  info = net_info.net_info(model_name)
  image_size = image_size or info.default_image_size
  preprocessing_name = preprocessing_name or model_name
  net_info.check_image_size(model_name, image_size)
  if info.is_video:
    num_frames = num_frames or clips.NUM_FRAMES
  elif num_frames:
    raise UserError(
      f'{model_name} is not a video net: leave out --is_video_model and --num_frames.'
    )
  return {
    'format_version': _FORMAT_VERSION,
    'model_name': model_name,
    'num_classes': num_classes,
    'labels_offset': labels_offset,
    'class_names': class_names,
    'input_node': graph_defs.INPUT_NODE,
    'logits_node': info.logits_node,
    'softmax_node': info.softmax_node,
    'image_size': image_size,
    'use_grayscale': use_grayscale,
    'num_frames': num_frames,
    'preprocessing_name': preprocessing_name,
    'preprocessing': preprocessing_factory.describe(preprocessing_name, use_grayscale),
    'is_training': False,
    'step': None,
    'moving_average_decay': moving_average_decay,
    'data_fingerprint': data_fingerprint,
  }


def recognized(graph_def, file, likely=()):
  """Returns what a graph without a sidecar tells of itself, {} when its net is not known.

  The data set's label of class 0 is not in a graph; of the nets whose published checkpoints lack
  the background class, those with ImageNet's other 1000 classes are taken for such.

  Args:
    graph_def: a tf.GraphDef that `safety.check` has passed, or that is trusted.
    file: its path, for the message when it cannot be used.
    likely: nets that its weights may be of, where that is known.
  """
  name = graph_defs.recognize_net(graph_def, likely)
  shape = graph_defs.input_shape(graph_def)
  if name is None or shape is None:
    return {}
  info = net_info.net_info(name)
  with tf.Graph().as_default() as graph:
    graph_defs.import_graph(graph_def, file)
    num_classes = graph.get_tensor_by_name(f'{info.logits_node}:0').shape.as_list()[-1]
  return facts_of_net(
    name,
    num_classes=num_classes,
    labels_offset=info.labels_offset if num_classes == _IMAGENET_WITHOUT_BACKGROUND else 0,
    image_size=shape[-2],
    use_grayscale=shape[-1] == 1,
    num_frames=shape[1] if len(shape) == 5 else None,
  )
