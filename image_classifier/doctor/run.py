"""What the doctor finds in a train_dir: every checkpoint, and whether it is of run.json's run."""

import glob
import os

import numpy as np

from image_classifier import checkpoints, recognition, run_record, saving
from image_classifier.doctor.findings import Place
from nets.net_info import NET_INFO
from slim_compat import tf
from slim_errors import UserError


def examine(report, path):
  """Adds what is wrong with a train_dir to the report, and names its newest good checkpoint.

  Args:
    report: findings.Report.
    path: the folder.
  """
  record = _record(report, path)
  prefixes = _prefixes(path)
  good = [prefix for prefix in prefixes if _examine_checkpoint(report, prefix, record)]
  if not prefixes:
    report.add('no_checkpoint', 'there is none')
  elif not good:
    report.add('no_checkpoint', f'none of {len(prefixes)} is good')
  if os.path.exists(os.path.join(path, saving.STAGING_FOLDER)):
    report.add('unsaved', saving.STAGING_FOLDER)
  keys = ('model_name', 'num_classes', 'class_names')
  report.facts['train_dir'] = {key: record[key] for key in keys if key in record} | {
    'checkpoints': len(prefixes),
    'good_checkpoints': len(good),
    'newest_good_checkpoint': good[0] if good else None,
  }


def _record(report, path):
  """Returns run.json, {} when it cannot be used."""
  try:
    record = run_record.read(path)
  except UserError as error:
    report.add('run_record', str(error))
    return {}
  if record is None:
    report.notes.append(f'There is no {run_record.FILE_NAME}: net and classes are not compared.')
    return {}
  missing = [key for key in run_record.IDENTITY if key not in record]
  if missing:
    report.add('run_record', f'{run_record.FILE_NAME} lacks {", ".join(missing)}')
  name = record.get('model_name')
  if name is not None and name not in NET_INFO:
    report.add('run_record', f'model_name is {name!r}, and no net is called so')
  return record


def _prefixes(path):
  """Returns the checkpoints of a folder, newest first, and last those that lack their index."""
  known = list(reversed(checkpoints.oldest_first(path)))
  files = glob.glob(f'{glob.escape(path)}/*.data-?????-of-?????')
  return known + sorted({file.rpartition('.')[0] for file in files} - set(known))


def _examine_checkpoint(report, prefix, record):
  """Adds what is wrong with a checkpoint; returns whether it is good."""
  place = Place(os.path.basename(prefix))
  problem = checkpoints.problem(prefix)
  if problem:
    report.add('checkpoint', problem, place)
    return False
  names = _not_finite(prefix)
  if names:
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    report.add('not_finite', f'{names[0]}{more}', place)
    return False
  difference = _difference(checkpoints.variables(prefix), record)
  if difference:
    report.add('other_run', difference, place)
  return not difference


def _not_finite(prefix):
  """Returns the sorted names of variables that hold NaN or infinity."""
  reader = tf.train.load_checkpoint(prefix)
  return [
    name
    for name, kind in sorted(reader.get_variable_to_dtype_map().items())
    if kind.is_floating and not np.isfinite(reader.get_tensor(name).astype(np.float32)).all()
  ]


def _difference(shapes, record):
  """Returns in words what a checkpoint has other than run.json, '' for nothing."""
  model_name = record.get('model_name')
  if model_name not in NET_INFO:
    return ''
  nets = recognition.nets_of(shapes)
  if nets and model_name not in nets:
    return f'it is of {" or ".join(nets)}, {run_record.FILE_NAME} says {model_name}'
  if not any(name.startswith(NET_INFO[model_name].head_prefixes) for name in shapes):
    return f'it has no head of {model_name}, which {run_record.FILE_NAME} names'
  classes = recognition.num_classes(shapes, NET_INFO[model_name])
  wanted = record.get('num_classes')
  if None not in (classes, wanted) and classes != wanted:
    return f'it has {classes} classes, {run_record.FILE_NAME} says {wanted}'
  return ''
