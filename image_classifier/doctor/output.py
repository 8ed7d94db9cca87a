"""What the doctor prints: text for people, JSON for machines. Names in it are harmless."""

from image_classifier.doctor.findings import CHECKS, ERROR
from slim_text import json_text, shown

FORMAT_VERSION = 1

_EXAMPLES = 3
_CLASSES = 20
_NAMES = 4  # of one finding


def text(report, machine, show_all=False):
  """Returns the report as text of several lines.

  Args:
    report: findings.Report.
    machine: machine.describe's dict.
    show_all: whether all findings and classes are listed, rather than examples.
  """
  lines = [shown(f'{report.path}: {" and ".join(report.kinds)}')]
  for facts in report.facts.values():
    lines += _facts(facts, show_all)
  lines += ['', *_findings(report, show_all)]
  lines += [f'Note: {shown(note)}' for note in report.notes]
  return '\n'.join([*lines, '', *_machine(machine)])


def json_report(report, machine):
  """Returns the report as JSON; docs/doctor.md describes it. It lists everything."""
  findings = [
    {
      'check': key,
      'severity': CHECKS[key].severity,
      'title': CHECKS[key].title,
      'fix': CHECKS[key].fix,
      'count': len(group),
      'items': [
        {'files': [place.name for place in finding.places], 'why': finding.why} for finding in group
      ],
    }
    for key, group in report.grouped().items()
  ]
  return json_text(
    {
      'format_version': FORMAT_VERSION,
      'path': report.path,
      'kinds': report.kinds,
      'facts': report.facts,
      'findings': findings,
      'notes': report.notes,
      'machine': machine,
    }
  )


def conclusion(report):
  """Returns one line: how much was found."""
  if not report.findings:
    return 'Nothing found.'
  errors = sum(CHECKS[finding.check].severity == ERROR for finding in report.findings)
  return f'Errors: {errors}, warnings: {len(report.findings) - errors}.'


def item(finding, most=None):
  """Returns a finding as one harmless line: its files, and what exactly.

  Args:
    finding: findings.Finding.
    most: how many files are named, None for all.
  """
  names = [shown(place.name) for place in finding.places[:most]]
  left = len(finding.places) - len(names)
  names += [f'{left} more'] if left else []
  return ': '.join([*([', '.join(names)] if names else []), shown(finding.why)])


def _findings(report, show_all):
  lines = []
  for key, group in report.grouped().items():
    check = CHECKS[key]
    lines.append(f'{check.severity:<8}{len(group):6d}  {check.title}. Fix: {check.fix}.')
    examples = group if show_all else group[:_EXAMPLES]
    lines += [
      f'                  {item(finding, None if show_all else _NAMES)}' for finding in examples
    ]
    if len(examples) < len(group):
      lines.append(f'{"":18}... {len(group) - len(examples)} more (--all)')
  return [*lines, conclusion(report)]


def _facts(facts, show_all):
  """Yields lines on what was looked at."""
  for key, value in facts.items():
    if key == 'classes':
      yield from _class_table(value, show_all)
    elif isinstance(value, dict):
      if value:
        counts = ', '.join(f'{shown(name)} {count}' for name, count in value.items())
        yield f'{key.replace("_", " ")}: {counts}'
    elif isinstance(value, list):
      left = '' if show_all or len(value) <= _CLASSES else f', {len(value) - _CLASSES} more'
      listed = value if show_all else value[:_CLASSES]
      yield f'{key.replace("_", " ")}: {", ".join(map(shown, listed))}{left}'
    else:
      yield f'{key.replace("_", " ")}: {shown(value)}'


def _class_table(classes, show_all):
  rows = list(classes.items()) if show_all else list(classes.items())[:_CLASSES]
  names = [shown(name) for name, _ in rows]
  width = max(map(len, (*names, 'class')), default=0)
  for name, (_, counts) in zip(names, rows, strict=True):
    if name is names[0]:
      yield f'  {"class":<{width}}' + ''.join(f'  {shown(split):>10}' for split in counts)
    yield f'  {name:<{width}}' + ''.join(f'  {count:>10}' for count in counts.values())
  if len(rows) < len(classes):
    yield f'  ... {len(classes) - len(rows)} more (--all)'


def _machine(machine):
  versions = [f'{name} {value or "missing"}' for name, value in machine['versions'].items()]
  features = machine['cpu']['features']
  speed = 'unknown' if features is None else ', '.join(features) or 'none of AMX and AVX2'
  return [
    ', '.join(versions),
    f'{machine["cpu"]["cores"]} CPU cores ({speed}), GPUs: '
    f'{", ".join(map(shown, machine["gpus"])) or "none"}, '
    f'{machine["free_bytes"] / 1e9:.1f} GB free',
  ]
