"""Writes the inference graph of a net, without weights, and a sidecar that says how to use it.

  python export_inference_graph.py --train_dir=satellite/train_dir --output_file=inf_graph.pb
  python export_inference_graph.py --model_name=inception_v3 --dataset_name=satellite \\
    --output_file=satellite/inception_v3_inf_graph.pb

The graph goes from the placeholder `input`, float32 [batch, height, width, channels], to the net's
logits and softmax. freeze_graph.py puts the weights of a checkpoint into it. With --train_dir,
everything else is taken from the run.
"""

import sys

import slim_files
from image_classifier import command
from slim_errors import UserError

FLAGS = command.new_flags()

_net = command.FlagGroup(FLAGS, 'Net')
_net.string('model_name', 'inception_v3', 'Name of the net; the run decides when there is one.')
_net.string('train_dir', None, 'Folder of the training run the graph is for.')
_net.string(
  'checkpoint_path', None, 'Checkpoint of no run, which says the net and the number of classes.'
)
_net.boolean('is_training', False, 'Write the training form: dropout, batch statistics.')
_net.integer('image_size', None, 'Side of the input in pixels; none: of the run, or the net.')
_net.integer('default_image_size', 224, 'Had meaning for nets without a size of their own.')
_net.integer('batch_size', None, 'Fixed batch size; none: any.')
_net.boolean('use_grayscale', False, 'The net reads one channel.')
_net.boolean('quantize', False, 'Not supported: a graph for quantized training.')
_net.boolean('is_video_model', False, 'The net reads clips of --num_frames pictures.')
_net.integer('num_frames', None, 'Pictures in a clip, for video nets, which otherwise get 16.')

_data = command.FlagGroup(FLAGS, 'Classes')
_data.string('dataset_name', 'imagenet', 'Data set that says how many classes there are.')
_data.string('dataset_dir', '', 'Its folder; a registered data set may need none.')
_data.integer('labels_offset', 0, 'What training took from every label.')

_output = command.FlagGroup(FLAGS, 'Output')
_output.string('output_file', '', 'Where to write the graph (required).')
_output.boolean('write_text_graphdef', False, 'Write the graph as text.')


def main(flags):
  command.require(flags, 'output_file', 'You must supply the path to save to with --output_file')
  command.refuse_changed(flags, ['quantize'], 'quantized graphs are not made')
  command.warn_without_effect(flags, ['default_image_size'], 'every net has a size of its own')
  _check_numbers(flags)
  slim_files.check_can_write(flags.output_file, 'output_file')
  from image_classifier.graphs import export, sidecar
  from slim_compat import tf

  names = ('model_name', 'dataset_name', 'dataset_dir', 'labels_offset', 'use_grayscale')
  given = {name: flags[name].value for name in names if command.is_given(flags, name)}
  choices = export.resolve(
    train_dir=flags.train_dir,
    checkpoint_path=flags.checkpoint_path,
    image_size=flags.image_size,
    num_frames=flags.num_frames if flags.is_video_model else None,
    **given,
  )
  facts = export.export(
    sidecar.facts_of_net(**choices),
    flags.output_file,
    batch_size=flags.batch_size,
    is_training=flags.is_training,
    as_text=flags.write_text_graphdef,
  )
  tf.logging.info(
    'Wrote %s: %s, %d classes, input %d x %d, logits %s, softmax %s',
    *(flags.output_file, facts['model_name'], facts['num_classes'], facts['image_size']),
    *(facts['image_size'], facts['logits_node'], facts['softmax_node'] or '(none)'),
  )


def _check_numbers(flags):
  if flags.is_video_model and not flags.num_frames:
    raise UserError('Number of frames must be specified for video models with --num_frames')
  if not flags.is_video_model:
    command.warn_without_effect(flags, ['num_frames'], 'it counts with --is_video_model only')
  for name in ('image_size', 'batch_size', 'num_frames'):
    if flags[name].value is not None and flags[name].value < 1:
      raise UserError(f'--{name}={flags[name].value} must be 1 or more, or left out.')
  if flags.labels_offset < 0:
    raise UserError(f'--labels_offset={flags.labels_offset} must be 0 or more.')


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
