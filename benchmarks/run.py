"""Measures this project beside research/slim's way, row by row, in one run on one machine.

  python benchmarks/run.py --rows=full_training,head --repeat=5

Prints a table and writes one line of JSON a row to --output. Each measurement runs in a process of
its own; ours and the reference take turns. docs/performance.md explains the rows.
"""

import dataclasses
import importlib
import itertools
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import slim_files
from benchmarks import machine, material, report, rows
from benchmarks.isolation import in_own_process
from image_classifier import command
from nets import net_info
from slim_errors import UserError, unknown

FLAGS = command.new_flags()

_what = command.FlagGroup(FLAGS, 'What is measured')
_what.list('rows', '', 'Rows by name; none: all.')
_what.integer('repeat', 3, 'How often ours and the reference take turns.')
_what.string('model_name', None, 'Net by name; None: inception_v3, with --quick cifarnet.')
_what.integer('image_size', None, "Pixels a side; None: the net's own.")
_what.integer('batch_size', None, 'Images a training step; None: 32, with --quick 4.')
_what.boolean(
  'quick', False, 'A small net, few images and few steps: whether it works, no figures.'
)

_results = command.FlagGroup(FLAGS, 'Results')
_results.string('output', 'bench.jsonl', 'File for the lines of JSON; an old one is replaced.')

_QUICK_MATRIX, _MATRIX = 256, 4096


def main(flags, call=None):
  """Measures; `call` runs a function, in a process of its own when it is None."""
  call = call or in_own_process
  if flags.repeat < 1:
    raise UserError(f'--repeat={flags.repeat} must be at least 1.')
  model_name = flags.model_name or ('cifarnet' if flags.quick else 'inception_v3')
  chosen = _chosen(flags.rows, rows.table(model_name, flags.quick))
  default_size = net_info.net_info(model_name).default_image_size
  facts = machine.describe()
  with tempfile.TemporaryDirectory() as folder:
    prepared = material.prepare(
      folder,
      call,
      model_name=model_name,
      image_size=flags.image_size or default_size,
      batch_size=flags.batch_size or (4 if flags.quick else 32),
      start_models=rows.started(chosen),
      quick=flags.quick,
    )
    rates = call(machine.matrix_rates, size=_QUICK_MATRIX if flags.quick else _MATRIX)
    print(
      *report.machine_lines(facts, prepared, rates), '', *report.heading(), sep='\n', flush=True
    )
    limits = call(_limits, chosen=chosen, prepared=prepared, rates=rates)
    done = []
    for row in _measured(chosen, prepared, flags.repeat, limits, call):
      print(report.line(row), flush=True)
      done.append(json.dumps(row | {'machine': facts, 'material': prepared.description}) + '\n')
      slim_files.write_atomically(flags.output, ''.join(done))


def _chosen(names, table):
  by_name = {row.name: row for row in table}
  for name in names:
    if name not in by_name:
      raise unknown('row', name, by_name)
  return [row for row in table if not names or row.name in names]


def _measured(chosen, prepared, repeat, limits, call):
  """Yields the facts of each row; the cases of a family are measured in turn."""
  for _, family in itertools.groupby(chosen, lambda row: row.family):
    family = list(family)
    cases = dict.fromkeys(case for row in family for case in (row.ours, row.reference))
    figures = {case: [] for case in cases}
    for turn, case in itertools.product(range(repeat), cases):
      _say(f'{family[0].name}: {case.function}, {turn + 1} of {repeat}')
      figures[case].append(call(_measure, case=case, prepared=prepared))
    for row in family:
      ours = [one[row.figure_of_ours or row.figure] for one in figures[row.ours]]
      reference = [one[row.figure] for one in figures[row.reference]]
      yield report.row_facts(row, ours, reference, limits.get(row.name))


def _say(text):
  print(text, file=sys.stderr, flush=True)


def _measure(case, prepared):
  """Returns a case's figures, with the most memory that this process has had in use."""
  module, _, function = case.function.partition('.')
  measure = getattr(importlib.import_module(f'benchmarks.{module}'), function)
  with tempfile.TemporaryDirectory(dir=prepared.folder) as folder:
    figures = measure(dataclasses.replace(prepared, folder=folder), **dict(case.arguments))
  return figures | {'peak_bytes': machine.peak_bytes()}


def _limits(chosen, prepared, rates):
  """Returns {row's name: operations of an image, and the machine's rates} where it is computing."""
  from benchmarks import operations

  limits = {}
  for row in chosen:
    if row.work is not None:
      counts = operations.of_an_image(
        prepared.model_name, prepared.image_size, prepared.num_classes, row.finetune
      )
      whole, trained = row.work
      count = whole * counts['forward'] + trained * counts['trained']
      limits[row.name] = {'operations': count, 'rates': rates}
  return limits


def cli():
  return command.run(__doc__, FLAGS, main)


if __name__ == '__main__':
  sys.exit(cli())
