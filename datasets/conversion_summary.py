"""What data_convert.py prints at the end: counts, what was left out, and what to type next."""

import os


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
    lines += [f'  {count:6d}  {reason}' for reason, count in _most_first(counts)]
  lines += [f'Warning: {warning}' for warning in result.warnings[:10]]
  shards = sum(len(split['shards']) for split in value['splits'].values())
  lines += [
    f'Wrote {shards} shards, label.txt, skipped.csv and dataset.json to {output_dir}',
    'Next:',
    f'  python train_image_classifier.py --dataset_dir={_quoted(output_dir)} --train_dir=train_dir',
  ]
  return '\n'.join(lines)


def skipped_fraction(result):
  """Returns the share of the files, 0 to 1, that could not be used."""
  skipped = len(result.skipped)
  written = sum(split['num_images'] for split in result.manifest['splits'].values())
  return skipped / (skipped + written)


def _table(value):
  """Returns the lines of the table of classes against splits."""
  splits = value['splits']
  rows = [['label', 'class', *splits]]
  for label, name in enumerate(value['classes']):
    rows.append([label, name, *(split['images_per_class'][name] for split in splits.values())])
  rows.append(['', 'all', *(split['num_images'] for split in splits.values())])
  width = max(len(name) for name in (*value['classes'], 'class'))
  return [
    f'{label!s:>5}  {name:<{width}}' + ''.join(f'  {count!s:>10}' for count in counts)
    for label, name, *counts in rows
  ]


def _most_first(counts):
  return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _quoted(path):
  return f"'{path}'" if ' ' in path else os.path.normpath(path)
