"""Freezing: a graph and the weights of a checkpoint become one file."""

import dataclasses
import difflib
import os

import numpy as np

import slim_files
from image_classifier import checkpoints, recognition, run_record, temperatures
from image_classifier.graphs import graph_defs, safety, saved_models, sidecar
from preprocessing import preprocessing_factory
from slim_compat import tf
from slim_errors import UserError, reason_of

# What the run knows better than the graph's sidecar, which may be made without it.
_OF_THE_RUN = (
  'num_classes',
  'labels_offset',
  'class_names',
  'preprocessing_name',
  'moving_average_decay',
  'data_fingerprint',
)


@dataclasses.dataclass(frozen=True)
class Source:
  """Where graph and weights come from: one of three kinds of graph, and a checkpoint.

  Attributes:
    input_graph: path of a GraphDef, binary or text.
    input_meta_graph: path of a MetaGraphDef, binary or text.
    input_saved_model_dir: folder of a SavedModel, which holds its own weights.
    saved_model_tags: tags of the MetaGraphDef in it.
    input_checkpoint: folder, prefix or file of a checkpoint.
    input_saver: path of a SaverDef whose operations, in the graph, restore the checkpoint.
    trust_graph: whether the graph may hold any operation, even one that reads or writes files.
  """

  input_graph: str = ''
  input_meta_graph: str = ''
  input_saved_model_dir: str = ''
  saved_model_tags: tuple = ('serve',)
  input_checkpoint: str = ''
  input_saver: str = ''
  trust_graph: bool = False

  @property
  def path(self):
    return self.input_graph or self.input_meta_graph or self.input_saved_model_dir


@dataclasses.dataclass(frozen=True)
class Options:
  """How to freeze.

  Attributes:
    use_moving_averages: True or False; None: when the checkpoint has them.
    clear_devices: whether to forget which device each operation was placed on.
    initializer_nodes: names of operations to run after the weights are there.
    only_variables: names of the variables to make constant; none: all.
    skip_variables: names of variables that stay variables.
  """

  use_moving_averages: bool | None = None
  clear_devices: bool = True
  initializer_nodes: tuple = ()
  only_variables: tuple = ()
  skip_variables: tuple = ()


@dataclasses.dataclass(frozen=True)
class Frozen:
  """What freezing made: the GraphDef, its sidecar, and how it went.

  Attributes:
    graph_def: the frozen tf.GraphDef.
    facts: its sidecar, a dict.
    was_run: whether it could be run once before it was written.
  """

  graph_def: object
  facts: dict
  was_run: bool


def freeze(source, output_graph, output_nodes=(), options=None):
  """Puts the weights of a checkpoint into a graph, runs the result once and writes it.

  Args:
    source: a Source.
    output_graph: where the frozen GraphDef goes, atomically; its sidecar goes to '.json' of it.
    output_nodes: names of the outputs, ':0' or not; none: the net's softmax, else its logits.
    options: Options; None: all at their defaults.

  Returns:
    A Frozen.

  Raises:
    UserError: when graph, checkpoint and names do not fit together, or the graph could do more than
      compute and is not trusted, in one sentence.
  """
  options = options or Options()
  graph_def = _graph_of(source)
  saver_def = _saver_of(source)
  restored_by = [saver_def.restore_op_name] if saver_def else []
  _check_runs(graph_def, source, (*output_nodes, *options.initializer_nodes, *restored_by))
  prefix = None
  if not source.input_saved_model_dir:
    prefix = checkpoints.resolve(source.input_checkpoint)
  facts = sidecar.read(source.path)
  facts = facts or sidecar.recognized(graph_def, source.path, _nets_of(prefix))
  output_nodes = _output_nodes(graph_def, output_nodes, facts, source.path)
  _check_runs(graph_def, source, output_nodes)
  if options.clear_devices:
    for node in graph_def.node:
      node.device = ''
  variables = _variables_to_freeze(graph_def, output_nodes, options, source.path)
  keys = {}
  if prefix:
    keys = _checkpoint_keys(variables, prefix, source, options, facts.get('model_name'))
  frozen = _with_constants(graph_def, source, saver_def, prefix, keys, output_nodes, options)
  _check_weights(frozen, keys, prefix)
  was_run = _run_once(frozen, output_nodes, source.path)
  facts = _facts(facts, frozen, prefix, keys, output_nodes)
  slim_files.write_atomically(output_graph, frozen.SerializeToString(deterministic=True))
  sidecar.write(output_graph, facts)
  return Frozen(frozen, facts, was_run)


def _nets_of(prefix):
  """Returns the nets that a checkpoint may be of: its run's, else those its variables tell."""
  if not prefix:
    return []
  record = run_record.read(os.path.dirname(prefix) or '.') or {}
  net = record.get('model_name')
  return [net] if net else recognition.nets_of(checkpoints.variables(prefix))


def _graph_of(source):
  """Returns the GraphDef of a source, checked before TensorFlow sees it."""
  if source.input_saved_model_dir:
    saved_models.check(source.path, source.saved_model_tags, source.trust_graph)
    with tf.Graph().as_default(), tf.Session() as session:
      return _load_saved_model(session, source).graph_def
  if source.input_meta_graph:
    graph_def = graph_defs.read_graph(source.input_meta_graph, tf.MetaGraphDef)[0].graph_def
  else:
    graph_def = graph_defs.read_graph(source.input_graph)[0]
  graph_defs.refuse_training_graph(graph_def, source.path)
  if not source.trust_graph:
    safety.check(graph_def, source.path, has_saver=True)
  return graph_def


def _check_runs(graph_def, source, names):
  """Raises UserError when running some nodes of a graph that is not trusted would write a file."""
  if not source.trust_graph:
    safety.check_runs(graph_def, names, source.path)


def _saver_of(source):
  """Returns the SaverDef that a source names, None when it names none."""
  if not source.input_saver:
    return None
  return graph_defs.read_graph(source.input_saver, tf.train.SaverDef)[0]


def _load_saved_model(session, source):
  """Loads a SavedModel, weights and all, into the session's graph; returns its MetaGraphDef."""
  folder, tags = source.input_saved_model_dir, list(source.saved_model_tags)
  try:
    return tf.saved_model.loader.load(session, tags, folder)
  except (OSError, RuntimeError, ValueError, TypeError, KeyError, tf.errors.OpError) as error:
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    raise UserError(f'SavedModel {folder} cannot be loaded: {first_line}') from None


def _output_nodes(graph_def, given, facts, path):
  """Returns the names of the outputs: the user's, else the first the sidecar knows of."""
  names = [name.removesuffix(':0') for name in given]
  if not names:
    names = [facts[key] for key in ('softmax_node', 'logits_node') if facts.get(key)][:1]
  if not names:
    raise UserError(
      f'{path} is none of the known nets: name its output with --output_node_names; '
      f'{graph_defs.inputs_and_outputs(graph_def)}.'
    )
  for name in names:
    graph_defs.check_node(graph_def, name, path)
  return names


def _variables_to_freeze(graph_def, output_nodes, options, path):
  """Returns the nodes of the variables that the outputs need and that become constants."""
  variables = graph_defs.variable_nodes(tf.graph_util.extract_sub_graph(graph_def, output_nodes))
  if not variables:
    raise UserError(f'{path} holds no variables: it is frozen already.')
  names = {node.name for node in graph_defs.variable_nodes(graph_def)}
  for name in sorted({*options.skip_variables, *options.only_variables} - names):
    nearest = difflib.get_close_matches(name, names, n=1)
    tf.logging.warning(
      '%s has no variable %r, which a list of variables names%s.',
      path,
      name,
      f': the nearest is {nearest[0]}' if nearest else '',
    )
  return [
    node
    for node in variables
    if node.name not in options.skip_variables
    and (not options.only_variables or node.name in options.only_variables)
  ]


def _checkpoint_keys(variables, prefix, source, options, model_name):
  """Returns {name of a variable: name of its value in the checkpoint}; the shapes are checked."""
  stored = checkpoints.variables(prefix)
  averaged = {node.name for node in variables if node.name + checkpoints.AVERAGE_SUFFIX in stored}
  if options.use_moving_averages and not averaged:
    raise UserError(
      f'--use_moving_averages=true, and {prefix} holds no moving averages of the weights.'
    )
  if options.use_moving_averages is False:
    averaged = set()
  keys = {
    node.name: node.name + checkpoints.AVERAGE_SUFFIX if node.name in averaged else node.name
    for node in variables
  }
  missing = [name for name, key in keys.items() if key not in stored]
  if missing and not (options.initializer_nodes or source.input_saver):
    others = [name for name in recognition.nets_of(stored) if name != model_name]
    looks = f'it looks like {others[0]}, so export that, or ' if others else ''
    raise UserError(
      f'{prefix} lacks {len(missing)} of the {len(keys)} variables of {source.path}, '
      f'{", ".join(missing[:5])} among them: {looks}take a checkpoint of a run of this net.'
    )
  keys = {name: key for name, key in keys.items() if name not in missing}
  shapes = {node.name: tf.TensorShape(node.attr['shape'].shape) for node in variables}
  wrong = [
    (name, shapes[name].as_list(), list(stored[key]))
    for name, key in keys.items()
    if not shapes[name].is_compatible_with(stored[key])
  ]
  if wrong:
    raise _wrong_shape(wrong, prefix, source.path)
  return keys


def _wrong_shape(wrong, prefix, path):
  """Returns the UserError for variables of other shapes: (name, shape in graph, in checkpoint)."""
  other_layers = [entry for entry in wrong if entry[1][:-1] != entry[2][:-1]]
  if not other_layers:  # then it is the number of outputs, of one layer
    name, here, there = wrong[0]
    return UserError(
      f'{path} has {here[-1]} outputs where {prefix} has {there[-1]} ({name}): export the graph '
      f'again with --train_dir of the run, or without one --checkpoint_path={prefix}.'
    )
  name, here, there = other_layers[0]
  return UserError(
    f'{name} is {here} in {path} and {there} in {prefix}: '
    'export the graph again for the net and input size of that checkpoint.'
  )


def _with_constants(graph_def, source, saver_def, prefix, keys, output_nodes, options):
  """Returns the sub-graph of the outputs with the restored variables as constants."""
  with tf.Graph().as_default(), tf.Session() as session:
    if source.input_saved_model_dir:
      _load_saved_model(session, source)
    else:
      graph_defs.import_graph(graph_def, source.path)
      _restore(session, saver_def, prefix, keys)
    if options.initializer_nodes:
      for name in options.initializer_nodes:
        graph_defs.check_node(graph_def, name, source.path)
      session.run(list(options.initializer_nodes))
    try:
      return tf.graph_util.convert_variables_to_constants(
        session,
        graph_def,
        output_nodes,
        variable_names_whitelist=options.only_variables or None,
        variable_names_blacklist=options.skip_variables or None,
      )
    except tf.errors.FailedPreconditionError as error:
      raise UserError(f'A variable of {source.path} got no value: {reason_of(error)}') from None


def _restore(session, saver_def, prefix, keys):
  """Gives the variables of the session's graph their values in the checkpoint."""
  if saver_def:
    saver = tf.train.Saver(saver_def=saver_def)
  elif keys:
    graph = session.graph
    saver = tf.train.Saver({key: graph.get_tensor_by_name(f'{n}:0') for n, key in keys.items()})
  else:
    return
  saver.restore(session, prefix)


def _run_once(graph_def, output_nodes, path):
  """Runs a frozen graph on zeros, one picture, and checks what comes out.

  Returns:
    Whether it was run; it is not while variables are left, or when a placeholder's rank is unknown
    or it takes texts, such as encoded pictures.

  Raises:
    UserError: when it does not run, or a result is not finite.
  """
  if graph_defs.variable_nodes(graph_def):
    return False
  with tf.Graph().as_default() as graph:
    graph_defs.import_graph(graph_def, path)
    fed = {}
    for name in graph_defs.placeholders(graph_def):
      tensor = graph.get_tensor_by_name(f'{name}:0')
      if tensor.shape.rank is None or tensor.dtype == tf.string:
        return False
      fed[tensor] = np.zeros([size or 1 for size in tensor.shape], tensor.dtype.as_numpy_dtype)
    with tf.Session() as session:
      tensors = [graph.get_tensor_by_name(f'{name}:0') for name in output_nodes]
      try:
        results = session.run(tensors, fed)
      except tf.errors.OpError as error:
        raise UserError(f'{path} does not run once frozen: {reason_of(error)}') from None
  for name, result in zip(output_nodes, results, strict=True):
    if result.dtype.kind == 'f' and not np.isfinite(result).all():
      raise UserError(
        f'{path}: output {name} is not finite for a black picture; take another checkpoint.'
      )
  return True


def _check_weights(graph_def, names, prefix):
  """Raises UserError for a weight that is not finite, which may not show in the output."""
  for node in graph_def.node:
    if node.name in names and node.op == 'Const':
      values = tf.make_ndarray(node.attr['value'].tensor)
      if values.dtype.kind == 'f' and not np.isfinite(values).all():
        raise UserError(
          f'{prefix} holds values in {node.name} that are not finite: take an earlier checkpoint.'
        )


def _facts(facts, graph_def, prefix, keys, output_nodes):
  """Returns the sidecar of a frozen graph: the input graph's, the run's, and the checkpoint's."""
  facts = dict(facts)
  record = (run_record.read(os.path.dirname(prefix) or '.') if prefix else None) or {}
  if facts.get('model_name') == record.get('model_name', ''):
    facts.update({key: record[key] for key in _OF_THE_RUN if record.get(key) is not None})
    facts['preprocessing'] = preprocessing_factory.describe(
      facts['preprocessing_name'], facts['use_grayscale']
    )
    if record.get('image_size', facts['image_size']) != facts['image_size']:
      tf.logging.warning(
        'The run was trained on pictures of %d pixels, and the graph takes %d: '
        'its answers are not those of evaluation.',
        record['image_size'],
        facts['image_size'],
      )
  nodes = {node.name for node in graph_def.node}
  for key in ('logits_node', 'softmax_node'):
    facts[key] = facts.get(key) if facts.get(key) in nodes else None
  facts['output_nodes'] = list(output_nodes)
  if prefix:
    facts['step'] = _step(prefix)
    facts['checkpoint'] = os.path.basename(prefix)
    facts['checkpoint_sha256'] = checkpoints.sha256(prefix)
  facts['moving_averages'] = any(key.endswith(checkpoints.AVERAGE_SUFFIX) for key in keys.values())
  facts['temperature'] = temperatures.read(prefix, facts['moving_averages']) if prefix else None
  return facts


def _step(prefix):
  """Returns the step of a checkpoint, by its name, else by the global step in it, else None."""
  step = checkpoints.step_of(prefix)
  if step is None and 'global_step' in checkpoints.variables(prefix):
    step = int(tf.train.load_variable(prefix, 'global_step'))
  return step
