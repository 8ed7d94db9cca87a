"""The rows of the table: what is compared with what."""

from typing import NamedTuple

from nets import net_info

# Of the blocks of a net, those from here on are the partial training: from:Mixed_7a of
# inception_v3, which has 16.
_PARTIAL_FROM = 13 / 16
_START_MODELS = ('mobilenet_v2', 'inception_v3')
_QUICK_START_MODELS = ('cifarnet',)
_INPUT_SIZES = (299, 128)  # pixels


class Case(NamedTuple):
  """One side of a row: a function of benchmarks, and its arguments after the material."""

  function: str  # MODULE.FUNCTION
  arguments: tuple = ()  # ((name, value), ...)


class Row(NamedTuple):
  """A comparison. The cases of a family of rows are measured in turn, each once a turn."""

  name: str
  family: str
  ours: Case
  reference: Case
  figure: str = 'images_per_second'  # or seconds, or peak_bytes: a key of what both return
  work: tuple | None = None  # for the limit: how often the whole and the trained part are computed
  finetune: str = 'all'  # which part is trained
  figure_of_ours: str | None = None  # where it bears another name


def _case(function, **arguments):
  return Case(function, tuple(sorted(arguments.items())))


def started(table):
  """Returns the nets whose start is measured."""
  arguments = [dict(row.ours.arguments) for row in table]
  return [given['model_name'] for given in arguments if 'model_name' in given]


def table(model_name, quick):
  """Returns all rows, in the order of their families, for a net."""
  blocks = net_info.net_info(model_name).blocks
  partial = 'from:' + blocks[int(len(blocks) * _PARTIAL_FROM)].rsplit('/', 1)[-1]
  evaluation = _case('ours.evaluation')
  return [
    _training_row('full_training', 'all'),
    _training_row('peak_memory', 'all')._replace(figure='peak_bytes', work=None),
    *_frozen_rows('partial', partial),
    *_frozen_rows('head', 'head'),
    Row('evaluation', 'evaluation', evaluation, _case('reference.evaluation'), work=(1, 0)),
    Row('classification', 'evaluation', _case('ours.classification'), evaluation, work=(1, 0)),
    Row('conversion', 'conversion', _case('ours.conversion'), _case('bare.files')),
    *(
      Row(
        f'input_{size}',
        'input',
        _case('ours.batches', image_size=size),
        _case('bare.crops'),
      )
      for size in _INPUT_SIZES
    ),
    *(
      Row(
        f'start_{name}',
        f'start_{name}',
        _case('starts.first_step', model_name=name),
        _case('starts.reference_first_step', model_name=name),
        'seconds',
      )
      for name in (_QUICK_START_MODELS if quick else _START_MODELS)
    ),
    Row('help', 'help', _case('starts.help_page'), _case('starts.reference_help_page'), 'seconds'),
  ]


def _frozen_rows(name, finetune):
  """Without the cache; with it, when it is filled; and then, when only the rest is computed."""
  row = _training_row(name, finetune)
  cached = row._replace(ours=_case('ours.cached_training', finetune=finetune))
  first = cached._replace(name=f'{name}_first_epoch', figure_of_ours='first_epoch')
  later = cached._replace(name=f'{name}_later_epochs', figure_of_ours='later_epochs', work=(0, 3))
  return row, first, later


def _training_row(name, finetune):
  """Forward through everything; backward, which is twice as much, through the trained part."""
  return Row(
    name,
    f'training {finetune}',
    _case('ours.training', finetune=finetune),
    _case('reference.training', finetune=finetune),
    work=(1, 2),
    finetune=finetune,
  )
