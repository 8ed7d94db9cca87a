"""Export: a net's inference graph, without weights, and the sidecar that says how to use it."""

from google.protobuf import text_format

import slim_files
from datasets import dataset_factory, labels
from image_classifier import checkpoints, recognition, run_record
from image_classifier.graphs import sidecar
from nets import net_info, nets_factory
from slim_compat import tf
from slim_errors import UserError, unknown

# What the published checkpoints tell apart: its classes with or without the background.
_IMAGENET, _IMAGENET_CLASSES = 'imagenet', (1000, 1001)
_DEFAULT_MODEL = 'inception_v3'


def resolve(
  model_name=None,
  dataset_name=None,
  dataset_dir=None,
  train_dir=None,
  labels_offset=None,
  image_size=None,
  use_grayscale=None,
  num_frames=None,
  checkpoint_path=None,
):
  """Completes what the user gave by what the run, the data set and the net say.

  Args: None, everywhere, for what was not given.
    model_name: key of networks_map; else the run's; else inception_v3.
    dataset_name: name of the data set, for the number and names of the classes.
    dataset_dir: its folder; a registered data set may need none.
    train_dir: folder of a training run, whose run.json answers everything else.
    labels_offset: what training took from every label.
    image_size: side of the input, in pixels; else the run's; else the net's own.
    use_grayscale: whether the net reads one channel.
    num_frames: pictures in a clip, for a net that reads clips; else what training used.
    checkpoint_path: a checkpoint of no run, whose variables say net and number of classes.

  Returns:
    The keyword arguments of `sidecar.facts_of_net`.

  Raises:
    UserError: for unknown names, and where run, checkpoint, data set and flags contradict one
      another.
  """
  known = None
  if checkpoint_path:
    if train_dir:
      raise UserError('Give --train_dir or --checkpoint_path, not both: the run says everything.')
    model_name, known = _of_checkpoint(checkpoint_path, model_name)
  record = _record(train_dir)
  model_name = model_name or record.get('model_name', _DEFAULT_MODEL)
  if model_name not in nets_factory.networks_map:
    raise unknown('model_name', model_name, nets_factory.networks_map)
  if labels_offset is None:
    labels_offset = record.get('labels_offset')
  if use_grayscale is None:
    use_grayscale = record.get('use_grayscale', False)
  _check_same('model_name', model_name, record, train_dir)
  _check_same('labels_offset', labels_offset, record, train_dir)
  _check_same('use_grayscale', use_grayscale, record, train_dir)
  return {
    'model_name': model_name,
    'image_size': image_size or record.get('image_size'),
    'use_grayscale': use_grayscale,
    'num_frames': num_frames,
    'preprocessing_name': record.get('preprocessing_name'),
    'moving_average_decay': record.get('moving_average_decay'),
    **_classes(model_name, dataset_name, dataset_dir, labels_offset, record, train_dir, known),
  }


def _of_checkpoint(checkpoint_path, model_name):
  """Returns the net that a checkpoint is of, if none was given, and how many classes it knows."""
  prefix = checkpoints.resolve(checkpoint_path)
  shapes = checkpoints.variables(prefix)
  model_name = model_name or next(iter(recognition.nets_of(shapes)), None)
  if model_name is None:
    raise UserError(f'{prefix} is of no net that is known by its variables: give --model_name.')
  info = net_info.net_info(model_name)
  hint = recognition.hint(shapes, info)
  if hint:
    raise UserError(f'{prefix} is not of {model_name}: {hint}.')
  num_classes = recognition.num_classes(shapes, info)
  if num_classes is None:
    raise UserError(
      f'{prefix} holds no last layer of {model_name}, so it knows no classes: fine-tune it with '
      'train_image_classifier.py first, or leave out --checkpoint_path.'
    )
  return model_name, num_classes


def _record(train_dir):
  """Returns the run record of a train_dir; {} when no train_dir was given."""
  if not train_dir:
    return {}
  record = run_record.read(train_dir)
  if record is None:
    raise UserError(
      f'{train_dir} has no {run_record.FILE_NAME}: leave out --train_dir and give --model_name and '
      '--dataset_dir (or --dataset_name).'
    )
  return record


def _check_same(key, value, record, train_dir):
  if record.get(key, value) != value:
    raise UserError(
      f'--train_dir={train_dir} was trained with {key} {record[key]}, and {value} was asked for: '
      'the graph would not fit its checkpoints.'
    )


def _classes(model_name, dataset_name, dataset_dir, labels_offset, record, train_dir, known):
  """Returns num_classes, class_names, labels_offset and data_fingerprint, as a dict.

  Classes are those the net tells apart: the data set's without the first `labels_offset`. `known`
  is how many a checkpoint has, None without one.
  """
  if known not in (None, *_IMAGENET_CLASSES) and not (dataset_name or dataset_dir):
    return {'num_classes': known, 'labels_offset': labels_offset or 0}
  if not (dataset_name or dataset_dir or record):
    dataset_name = _IMAGENET
  if dataset_name or dataset_dir:
    classes = _classes_of_dataset(dataset_name, dataset_dir)
    # Pictures of one's own may go by the name of imagenet too, but have no background.
    has_background = classes['class_names'][0] == labels.BACKGROUND
    if labels_offset is None and known is not None:
      labels_offset = int(has_background and known == classes['num_classes'] - 1)
    elif dataset_name == _IMAGENET and has_background:
      labels_offset = _offset_of_checkpoints(model_name, labels_offset)
  else:
    keys = ('num_classes', 'class_names', 'labels_offset', 'data_fingerprint')
    return {key: record[key] for key in keys if key in record}
  labels_offset = labels_offset or 0
  if labels_offset >= classes['num_classes']:
    raise UserError(
      f'--labels_offset={labels_offset} leaves none of the {classes["num_classes"]} classes.'
    )
  classes['num_classes'] -= labels_offset
  classes['class_names'] = classes['class_names'][labels_offset:]
  _check_same('num_classes', classes['num_classes'], record, train_dir)
  if known not in (None, classes['num_classes']):
    raise UserError(
      f'The checkpoint knows {known} classes, and the data set has {classes["num_classes"]} with '
      f'--labels_offset={labels_offset}: leave out that flag, or give the data set it is of.'
    )
  return {**classes, 'labels_offset': labels_offset}


def _offset_of_checkpoints(model_name, labels_offset):
  """Returns the labels_offset, where None was given that of the net's published checkpoints."""
  if labels_offset is None:
    labels_offset = net_info.net_info(model_name).labels_offset
    if labels_offset:
      tf.logging.info('--labels_offset=%d, as in the checkpoints of %s', labels_offset, model_name)
  return labels_offset


def _classes_of_dataset(dataset_name, dataset_dir):
  """Returns num_classes, class_names and data_fingerprint of a data set; needs no images."""
  splits = dataset_factory.split_names(dataset_name, dataset_dir)
  dataset = dataset_factory.get_dataset(dataset_name, splits[-1], dataset_dir)
  return {
    'num_classes': dataset.num_classes,
    'class_names': labels.class_names(dataset),
    'data_fingerprint': dataset_factory.fingerprint(dataset_dir) if dataset_dir else None,
  }


def build_graph(facts, batch_size=None, is_training=False):
  """Returns the GraphDef of a net between the placeholder `input` and its last end point.

  Args:
    facts: of `sidecar.facts_of_net`.
    batch_size: fixed first dimension of the placeholder, None for any.
    is_training: the training form: dropout, and batch norm on the statistics of the batch.
  """
  size, channels = facts['image_size'], 1 if facts['use_grayscale'] else 3
  frames = [facts['num_frames']] if facts['num_frames'] else []
  with tf.Graph().as_default() as graph:
    images = tf.placeholder(
      tf.float32, [batch_size, *frames, size, size, channels], facts['input_node']
    )
    network_fn = nets_factory.get_network_fn(
      facts['model_name'], facts['num_classes'], is_training=is_training
    )
    network_fn(images)
    return graph.as_graph_def()


def export(facts, output_file, batch_size=None, is_training=False, as_text=False):
  """Builds a net, writes its graph without weights and then its sidecar, each atomically.

  Args:
    facts: of `sidecar.facts_of_net`.
    output_file: where the GraphDef goes; the sidecar goes to the same name + '.json'.
    batch_size: fixed batch size, None for any.
    is_training: write the training form, which only training should use.
    as_text: write the GraphDef as text.

  Returns:
    The sidecar, as a dict.
  """
  graph_def = build_graph(facts, batch_size, is_training)
  data = text_format.MessageToString(graph_def) if as_text else graph_def.SerializeToString()
  facts = {**facts, 'is_training': is_training}
  slim_files.write_atomically(output_file, data)
  sidecar.write(output_file, facts)
  return facts
