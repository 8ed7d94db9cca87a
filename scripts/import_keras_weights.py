"""Turns weights of keras.applications into a slim checkpoint, and back.

  python scripts/import_keras_weights.py --weights=inception_v3.h5 --model_name=inception_v3
  python scripts/import_keras_weights.py --to_keras --checkpoint_path=run \\
    --model_name=mobilenet_v2 --output=mobilenet_v2.weights.h5

The same picture, prepared as the net wants it, then gives the same answers in both. The checkpoint
is what --checkpoint_path of train_image_classifier.py takes; the sidecar beside it, OUTPUT.json,
says how many classes it knows and how pictures are prepared. docs/keras_weights.md lists the nets.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from image_classifier import command

FLAGS = command.new_flags()

_from = command.FlagGroup(FLAGS, 'From Keras')
_from.string('weights', '', 'Weight file: .h5 (Keras 2), .weights.h5 or .keras (Keras 3).')

_to = command.FlagGroup(FLAGS, 'To Keras')
_to.boolean('to_keras', False, 'Turn a slim checkpoint into weights for Keras.')
_to.string('checkpoint_path', '', 'The slim checkpoint: a folder or a prefix.')

_both = command.FlagGroup(FLAGS, 'Both ways')
_both.string('model_name', '', 'The net by its slim name, such as inception_v3 (required).')
_both.string(
  'output',
  '',
  'What to write; must not exist. Default: MODEL_NAME.ckpt, to Keras MODEL_NAME.weights.h5. With '
  '--to_keras a name in .weights.h5 is for Keras 3, another in .h5 for Keras 2 and 3.',
)
_both.boolean(
  'accept_difference',
  False,
  'Take nets too that slim builds a little differently, so that the answers are not the same.',
)


def main(flags):
  command.require(flags, 'model_name', 'Say which net it is with --model_name=inception_v3.')
  source, other = ('checkpoint_path', 'weights')[:: 1 if flags.to_keras else -1]
  direction = 'with' if flags.to_keras else 'without'
  command.require(flags, source, f'Name what to read with --{source}, {direction} --to_keras.')
  command.warn_without_effect(flags, [other], f'it is not read {direction} --to_keras')
  (_to_keras if flags.to_keras else _from_keras)(flags)


def _from_keras(flags):
  from image_classifier.keras_weights import conversion
  from slim_compat import tf

  output = flags.output or f'{flags.model_name}.ckpt'
  facts = conversion.import_weights(
    flags.weights, flags.model_name, output, flags.accept_difference
  )
  classes, offset = facts['num_classes'], facts['labels_offset']
  known = f'{classes} classes' if classes else 'no classes, the file has no top'
  tf.logging.info(
    'Wrote %s: %s, %s; use it with --preprocessing_name=%s%s',
    *(output, flags.model_name, known, facts['preprocessing_name']),
    f' --labels_offset={offset} for ImageNet' if offset else '',
  )
  if facts['left_out']:
    tf.logging.info('Left out, for the file has no weights: %s', ', '.join(facts['left_out']))


def _to_keras(flags):
  from image_classifier.keras_weights import conversion
  from image_classifier.keras_weights.nets import KERAS_NETS
  from slim_compat import tf

  output = flags.output or f'{flags.model_name}.weights.h5'
  classes = conversion.export_weights(
    flags.checkpoint_path, flags.model_name, output, flags.accept_difference
  )
  top = f'classes={classes}' if classes else 'include_top=False'
  tf.logging.info(
    'Wrote %s: load it into keras.applications.%s with weights=None and %s',
    *(output, KERAS_NETS[flags.model_name].keras_name, top),
  )


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
