"""SavedModels that came from elsewhere, checked as other graphs are before they are loaded."""

import os

from google.protobuf import descriptor_pool, message_factory

from image_classifier.graphs import graph_defs, safety
from slim_errors import UserError

# As TensorFlow looks for them: the first that exists is the one it loads.
_FILES = ('saved_model.pb', 'saved_model.pbtxt')
# Where a SavedModel names what runs when it is loaded.
_INIT_COLLECTIONS = ('saved_model_main_op', 'legacy_init_op')
_INIT_SIGNATURE = '__saved_model_init_op'


def check(folder, tags, trust_graph):
  """Refuses a SavedModel that is damaged, or can do more than compute when it is loaded or run.

  Args:
    folder: its folder.
    tags: of the graph that is wanted; the others are never loaded.
    trust_graph: whether its graphs may hold any operation.

  Raises:
    UserError: in the words of `graph_defs.read_graph` and `safety.check`.
  """
  path = next((p for p in (os.path.join(folder, f) for f in _FILES) if os.path.exists(p)), None)
  if path is None:
    raise UserError(f'SavedModel {folder} cannot be loaded: it has no {" or ".join(_FILES)}.')
  saved_model, _ = graph_defs.read_graph(path, _message_class())
  for meta_graph in saved_model.meta_graphs:
    if set(meta_graph.meta_info_def.tags) != set(tags):
      continue
    graph_defs.refuse_training_graph(meta_graph.graph_def, path)
    if not trust_graph:
      safety.check(meta_graph.graph_def, path, has_saver=True)
      safety.check_runs(meta_graph.graph_def, _runs_when_loaded(meta_graph), path)


def _message_class():
  """Returns the class of the message in saved_model.pb, to which tf gives no name."""
  name = 'tensorflow.SavedModel'
  return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def _runs_when_loaded(meta_graph):
  """Returns the names of the nodes by which loading restores weights and prepares the graph."""
  names = [meta_graph.saver_def.restore_op_name]
  for key in _INIT_COLLECTIONS:
    names += meta_graph.collection_def[key].node_list.value
  names += [info.name for info in meta_graph.signature_def[_INIT_SIGNATURE].outputs.values()]
  return names
