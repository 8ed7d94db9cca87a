"""What a run says before its first step: what it trains on, restores, trains and freezes."""

import itertools
import sys

from datasets import labels
from image_classifier import precision
from image_classifier.optimization import class_weights, optimizers, schedules
from nets.net_info import net_info
from slim_compat import tf

# Share of batch norm's first statistics above which a finished run is worth a warning.
_UNSETTLED = 0.1
_LINE = '{:<52} {:>12}  {:<12} {:<8} {}'


def announce(options, dataset, net, graph, restored):
  """Prints what this run trains on, and what it restores, trains and freezes."""
  print(
    f'{dataset.num_samples} images of {dataset.num_classes} classes in '
    f'{options.dataset_dir}, split {options.dataset_split_name}'
  )
  print(labels.describe_base(dataset, options.labels_offset))
  if options.class_weights != 'none':
    print(class_weights.table(options, dataset))
  print(precision.describe(options.precision))
  print(_table(net.variables, restored, graph, net_info(options.model_name)))
  if graph.left_out:
    print(
      f'{", ".join(graph.left_out)} stays out of the loss: below it nothing is trained that it '
      'could teach.'
    )
  _warn_of_new_frozen_weights(graph, restored)
  _warn_of_unsettled_batch_norm(options, graph)
  optimizers.warn(options)
  schedules.warn_of_long_warmup(options, dataset.num_samples)
  sys.stdout.flush()


def _warn_of_new_frozen_weights(graph, restored):
  known = {v.op.name for v in restored.values()} | graph.trained
  names = [v.op.name for v in tf.trainable_variables() if v.op.name not in known]
  names = [name for name in names if not name.startswith(tuple(f'{s}/' for s in graph.left_out))]
  if names:
    tf.logging.warning(
      'What is trained builds on new weights that stay as they are (%s and %d more): name a '
      '--checkpoint_path that holds them, or train all layers.',
      names[0],
      len(names) - 1,
    )


def _warn_of_unsettled_batch_norm(options, graph):
  steps, decay = options.max_number_of_steps, graph.slowest_decay
  num_batches = (steps or 0) * options.accumulate_steps
  if steps and decay is not None and decay**num_batches > _UNSETTLED:
    tf.logging.warning(
      'After %d steps batch norm keeps %.0f %% of the statistics it started with (decay %g): '
      'evaluation will look worse than training; train longer%s.',
      steps,
      100 * decay**num_batches,
      decay,
      '' if options.batch_norm == 'auto' else ', or use --batch_norm=auto',
    )


def _table(variables, restored, graph, net_info):
  """Returns in lines what is restored, new, trained and frozen, block by block.

  Neighbouring blocks of the same fate share a line.

  Args:
    variables: list of the net's variables.
    restored: names that a checkpoint gives.
    graph: train_graph.TrainingGraph.
    net_info: the net's nets.net_info.NetInfo.
  """
  blocks = [*net_info.blocks, *net_info.head_scopes]
  rows = []
  for block in blocks:
    members = [v for v in variables if v.op.name.startswith(block + '/')]
    if members:
      fate = _fate(members, restored, graph, block in graph.left_out)
      rows.append((block, sum(v.shape.num_elements() for v in members), fate))
  lines = [_LINE.format('scope', 'parameters', 'weights', 'training', 'batch norm')]
  for fate, group in itertools.groupby(rows, key=lambda row: row[2]):
    group = list(group)
    first, last = group[0][0], group[-1][0]
    name = first if first == last else f'{first} .. {last.rsplit("/", 1)[-1]}'
    lines.append(_LINE.format(name, f'{sum(row[1] for row in group):,}', *fate))
  return '\n'.join(line.rstrip() for line in lines)


def _fate(members, restored, graph, is_left_out):
  names = [v.op.name for v in members]
  weights = _all_or_some((name in restored for name in names), 'restored', 'new')
  learnable = [v.op.name for v in members if v.trainable]
  training = _all_or_some((name in graph.trained for name in learnable), 'trained', 'frozen')
  training = 'left out' if is_left_out else training
  norms = {name.rsplit('/', 1)[0] for name in names if name.endswith('/moving_mean')}
  batch_norm = _all_or_some((norm in graph.update_scopes for norm in norms), 'updated', 'stored')
  return weights, training, batch_norm if norms else '-'


def _all_or_some(flags, yes, no):
  flags = list(flags)
  return yes if all(flags) else f'{yes}, {no}' if any(flags) else no
