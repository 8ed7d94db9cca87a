"""What data_convert.py prints at the end: counts, what was left out, and what to type next."""

import shlex

import slim_text
from datasets import conversion

_WARNINGS_SHOWN = 10


def summary(result, output_dir):
  """Returns the summary of a conversion.Result as text of several lines."""
  value = result.manifest
  lines = ['', *_table(value), '']
  for title, counts in (
    ('Repaired', value['repaired']),
    ('Skipped', value['skipped']),
    ('Ignored', value['ignored']),
  ):
    lines += [f'{title} {sum(counts.values())}' + (':' if counts else '')]
    lines += [f'  {count:6d}  {slim_text.shown(reason)}' for reason, count in _most_first(counts)]
  shown = result.warnings[:_WARNINGS_SHOWN]
  lines += [f'Warning: {slim_text.shown(warning)}' for warning in shown]
  if len(result.warnings) > _WARNINGS_SHOWN:
    lines.append(f'Warning: {len(result.warnings) - _WARNINGS_SHOWN} more like these.')
  shards = sum(len(split['shards']) for split in value['splits'].values())
  lines += [
    f'Wrote {shards} shards, label.txt, skipped.csv and dataset.json to {output_dir}',
    'Next:',
    '  python train_image_classifier.py --train_dir=train_dir '
    f'--dataset_dir={shlex.quote(output_dir)}',
  ]
  return slim_text.shown_lines('\n'.join(lines))


def skipped_fraction(result):
  """Returns the share of the files, 0 to 1, that could not be read."""
  skipped = sum(not why.startswith(conversion.COPY_REASON) for why in result.skipped.values())
  written = sum(split['num_images'] for split in result.manifest['splits'].values())
  return skipped / (skipped + written)


def _table(value):
  """Returns the lines of the table of classes against splits."""
  splits = value['splits']
  rows = [['label', 'class', *splits]]
  for label, name in enumerate(value['classes']):
    rows.append(
      [
        label,
        slim_text.shown(name),
        *(split['images_per_class'][name] for split in splits.values()),
      ]
    )
  rows.append(['', 'all', *(split['num_images'] for split in splits.values())])
  width = max(len(row[1]) for row in rows)
  return [
    f'{label!s:>5}  {name:<{width}}' + ''.join(f'  {count!s:>10}' for count in counts)
    for label, name, *counts in rows
  ]


def _most_first(counts):
  return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
