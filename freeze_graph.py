"""Puts the weights of a checkpoint into a graph, so that one file is all other programs need.

  python freeze_graph.py --input_graph=inf_graph.pb --input_checkpoint=train_dir \\
    --output_graph=frozen_graph.pb

The graph comes from export_inference_graph.py; --input_checkpoint takes a folder (its newest
checkpoint), a prefix such as model.ckpt-300, or one of its files. The result is run once on a black
picture before it is written, with a sidecar that says how to use it. Moving averages of the weights
are used when the checkpoint has them.
"""

import sys

import slim_files
from image_classifier import command
from slim_errors import UserError

FLAGS = command.new_flags()

_graph = command.FlagGroup(FLAGS, 'Graph: one of three')
_graph.string('input_graph', '', 'A GraphDef, binary or text.')
_graph.string('input_meta_graph', '', 'A MetaGraphDef (.meta), binary or text.')
_graph.string('input_saved_model_dir', '', 'Folder of a SavedModel, which has its own weights.')
_graph.list('saved_model_tags', 'serve', 'Tags of the graph in the SavedModel.')
_graph.boolean('input_binary', False, 'The graph is binary; told by its content all the same.')
_graph.boolean('trust_graph', False, 'Take the graph whatever its operations can do.')

_weights = command.FlagGroup(FLAGS, 'Weights')
_weights.string('input_checkpoint', '', 'Folder, prefix or file of the checkpoint.')
_weights.enum(
  'use_moving_averages', 'auto', ['auto', 'true', 'false'], 'Averaged weights; auto: if there.'
)
_weights.string('input_saver', '', 'A SaverDef whose operations in the graph restore the weights.')
_weights.list('initializer_nodes', '', 'Operations to run after the weights are there.')
_weights.list('variable_names_whitelist', '', 'The variables to make constant; none: all.')
_weights.list('variable_names_denylist', '', 'Variables that stay variables.')
_weights.list('variable_names_blacklist', '', 'The same as --variable_names_denylist.')
_weights.integer('checkpoint_version', 2, 'Format of the checkpoint; told by its files.')
_weights.string('restore_op_name', 'save/restore_all', 'No longer used.')
_weights.string('filename_tensor_name', 'save/Const:0', 'No longer used.')

_output = command.FlagGroup(FLAGS, 'Output')
_output.string('output_graph', '', 'Where to write the frozen graph (required).')
_output.list('output_node_names', '', 'Outputs; none: the softmax of the net, else its logits.')
_output.boolean('clear_devices', True, 'Forget which device each operation was placed on.')


def main(flags):
  _check(flags)
  from image_classifier.graphs import freezing
  from slim_compat import tf

  source = freezing.Source(
    input_graph=flags.input_graph,
    input_meta_graph=flags.input_meta_graph,
    input_saved_model_dir=flags.input_saved_model_dir,
    saved_model_tags=_names(flags.saved_model_tags),
    input_checkpoint=flags.input_checkpoint,
    input_saver=flags.input_saver,
    trust_graph=flags.trust_graph,
  )
  options = freezing.Options(
    use_moving_averages={'auto': None, 'true': True, 'false': False}[flags.use_moving_averages],
    clear_devices=flags.clear_devices,
    initializer_nodes=_names(flags.initializer_nodes),
    only_variables=_names(flags.variable_names_whitelist),
    skip_variables=_names(flags.variable_names_denylist + flags.variable_names_blacklist),
  )
  frozen = freezing.freeze(source, flags.output_graph, _names(flags.output_node_names), options)
  facts = frozen.facts
  if facts['moving_averages']:
    tf.logging.info('The weights are the moving averages of the run.')
  if facts['temperature']:
    tf.logging.info('The sidecar has the temperature %g for probabilities.', facts['temperature'])
  if not frozen.was_run:
    tf.logging.warning('The graph was not tried out: it still has variables or unknown shapes.')
  outputs = ', '.join(facts['output_nodes'])
  tf.logging.info('Wrote %s with the outputs %s', flags.output_graph, outputs)
  print(f'{len(frozen.graph_def.node)} ops in the final graph.')


def _check(flags):
  sources = ('input_graph', 'input_meta_graph', 'input_saved_model_dir')
  given = [name for name in sources if flags[name].value]
  if len(given) != 1:
    listed = ', '.join(f'--{name}' for name in sources)
    raise UserError(f'Give one of {listed}: {len(given)} of them were given.')
  command.require(flags, 'output_graph', 'You must supply the path to save to with --output_graph.')
  slim_files.check_can_write(flags.output_graph, 'output_graph')
  if not flags.input_saved_model_dir:
    message = 'You must supply the checkpoint with --input_checkpoint.'
    command.require(flags, 'input_checkpoint', message)
  elif flags.input_checkpoint:
    raise UserError('A SavedModel has its own weights: leave out --input_checkpoint.')
  if flags.checkpoint_version not in (1, 2):
    raise UserError(f'--checkpoint_version={flags.checkpoint_version} must be 1 or 2.')
  command.warn_without_effect(flags, ['checkpoint_version'], 'the files tell their format')
  reason = 'variables are restored by their names'
  command.warn_without_effect(flags, ['restore_op_name', 'filename_tensor_name'], reason)


def _names(values):
  return tuple(value.strip() for value in values if value.strip())


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
