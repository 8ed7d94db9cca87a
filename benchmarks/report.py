"""Figures of repetitions as lines: a table for people, JSON for programs."""

import statistics

# figure -> (unit, factor, whether more is better)
UNITS = {
  'images_per_second': ('images/s', 1.0, True),
  'seconds': ('s', 1.0, False),
  'peak_bytes': ('GB', 1e-9, False),
}
COLUMNS = ('row', 'ours', 'reference', 'unit', 'ratio', 'of the limit')
_WIDTHS = (20, 16, 16, 8, 22, 24)


def row_facts(row, ours, reference, limit=None):
  """Returns the facts of a row, for JSON.

  Args:
    row: rows.Row.
    ours, reference: lists of figures, one a repetition, in the order they were measured.
    limit: None, or dict with `operations` an image and `rates`, operations a second by dtype.

  Returns:
    dict. `ratio` is above 1 where ours is better: faster, shorter or smaller.
  """
  unit, factor, more_is_better = UNITS[row.figure]
  ours, reference = ([value * factor for value in values] for values in (ours, reference))
  pairs = zip(ours, reference, strict=True)
  ratios = [one / other if more_is_better else other / one for one, other in pairs]
  facts = {
    'name': row.name,
    'unit': unit,
    'ours': _spread(ours),
    'reference': _spread(reference),
    'ratio': _spread(ratios),
  }
  if limit:
    facts['limit'] = limit | {
      side: {
        dtype: round(facts[side]['median'] * limit['operations'] / rate, 4)
        for dtype, rate in limit['rates'].items()
      }
      for side in ('ours', 'reference')
    }
  return facts


def _spread(values):
  """Returns each repetition, the median and the spread: largest less smallest, of the median."""
  median = statistics.median(values)
  return {
    'each': [_rounded(value) for value in values],
    'median': _rounded(median),
    'spread': round((max(values) - min(values)) / median, 3),
  }


def _rounded(value):
  return float(f'{value:.4g}')


def heading():
  """Returns the first two lines of the table."""
  return [_line(COLUMNS), '|' + '|'.join('-' * (width + 2) for width in _WIDTHS) + '|']


def line(facts):
  """Returns a row's line of the table."""
  ratio = facts['ratio']
  lowest, highest = min(ratio['each']), max(ratio['each'])
  return _line(
    (
      facts['name'],
      _shown(facts['ours']),
      _shown(facts['reference']),
      facts['unit'],
      f'{_ratio(ratio["median"])} ({_ratio(lowest)} to {_ratio(highest)})',
      _limits(facts.get('limit')),
    )
  )


def _line(cells):
  return '| ' + ' | '.join(map(str.ljust, cells, _WIDTHS)) + ' |'


def _shown(spread):
  median = spread['median']
  text = f'{median:,.0f}' if median >= 1000 else f'{median:.4g}'
  return f'{text} ± {50 * spread["spread"]:.0f} %'


def _ratio(value):
  return f'{value:,.0f}' if value >= 100 else f'{value:.2f}'


def _limits(limit):
  """Share of the matrix rates that ours reaches: in bfloat16, and in float32."""
  if not limit:
    return ''
  return ', '.join(f'{share:.0%} {dtype}' for dtype, share in limit['ours'].items())


def machine_lines(machine, material, rates):
  """Returns the lines above the table: what was measured, where and when."""
  dtypes = ', '.join(f'{rate / 1e9:.0f} GFLOP/s in {dtype}' for dtype, rate in rates.items())
  return [
    f'{machine["cpu"]}, {machine["cores"]} cores, {", ".join(machine["bfloat16"]) or "float32"}; '
    f'TensorFlow {machine["tensorflow"]}, Python {machine["python"]}, commit {machine["commit"]}, '
    f'{machine["date"]}, load {machine["load_average"]}',
    f'{material.model_name} at {material.image_size} pixels, batch {material.batch_size}; '
    f'{material.description}',
    f'matrix products: {dtypes}',
  ]
