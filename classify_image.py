"""Says what pictures show, by a frozen graph of freeze_graph.py.

  python classify_image.py --model_path=frozen_graph.pb test.jpg
  python classify_image.py --model_path=frozen_graph.pb --label_path=label.txt --image_file=test.jpg
  python classify_image.py --model_path=frozen_graph.pb --csv pictures/ 'more/*.png' > classes.csv

Prints the best classes of each picture with their scores, which are logits; --json and --csv print
every class, with its probability too. A picture that cannot be read gets a line with the reason;
the others are classified all the same, and the exit code is 1.
"""

import sys

from image_classifier import command, precision
from slim_errors import UserError

FLAGS = command.new_flags()

_model = command.FlagGroup(FLAGS, 'Model')
_model.string('model_path', None, 'The frozen graph (required).')
_model.string('label_path', None, 'File of the class names, one a line; none: of the sidecar.')
_model.string('preprocessing_name', None, 'For a graph without a sidecar; none: of the net.')
_model.integer('image_size', None, 'Input side in pixels, for a graph that does not tell.')
_model.boolean('trust_graph', False, 'Run the graph whatever its operations can do.')
_model.enum(
  'precision',
  'auto',
  precision.PRECISIONS,
  'What the network computes in; auto: bfloat16 where the processor is fast at it, else float32.',
)

_images = command.FlagGroup(FLAGS, 'Pictures')
_images.string('image_file', '', 'Files, folders or patterns, comma separated.')
_images.enum(
  'test_time_augmentation',
  'none',
  ['none', 'flip', 'rotations', 'crops'],
  'Average over views of each picture: flip: it and its mirror image; rotations: those in all '
  'quarter turns (8); crops: it and its corners, mirrored too (10). Takes as many times as long.',
)

_output = command.FlagGroup(FLAGS, 'Output')
_output.float(
  'min_confidence',
  None,
  "Answer 'unknown' where the best class is less probable than this, from 0 to 1.",
)
_output.integer('num_top_predictions', 5, 'How many classes of a picture to print.')
_output.boolean('json', False, 'Print JSON, all classes unless --num_top_predictions is given.')
_output.boolean('csv', False, 'Print CSV, all classes unless --num_top_predictions is given.')


def main(flags, files):
  command.require(flags, 'model_path', 'You must supply the frozen graph with --model_path.')
  if flags.json and flags.csv:
    raise UserError('--json and --csv exclude one another.')
  if flags.num_top_predictions < 1:
    raise UserError(f'--num_top_predictions={flags.num_top_predictions} must be 1 or more.')
  if flags.min_confidence is not None and not 0 <= flags.min_confidence <= 1:
    raise UserError(f'--min_confidence={flags.min_confidence} must be from 0 to 1.')
  from image_classifier.inference import Classifier, image_list, output

  images = image_list.expand([*image_list.split(flags.image_file), *files])
  kind = 'json' if flags.json else 'csv' if flags.csv else 'text'
  shows_all = kind != 'text' and not command.is_given(flags, 'num_top_predictions')
  with Classifier(
    flags.model_path,
    flags.label_path,
    flags.preprocessing_name,
    flags.image_size,
    trust_graph=flags.trust_graph,
    precision=flags.precision,
    test_time_augmentation=flags.test_time_augmentation,
    min_confidence=flags.min_confidence,
  ) as classifier:
    num_unreadable = output.write(
      kind,
      sys.stdout,
      images,
      classifier.predict_each(images),
      None if shows_all else flags.num_top_predictions,
      shows_answer=flags.min_confidence is not None,
    )
  return command.EXIT_LEFT_OUT if num_unreadable else command.EXIT_DONE


def cli():
  return command.run(__doc__, FLAGS, main, takes_files=True)


if __name__ == '__main__':
  sys.exit(cli())
