"""Looks for what is wrong with an image folder, a data set or a train_dir; changes nothing."""

import dataclasses
import functools
import os

from tqdm import tqdm

from datasets import decoders, image_files, manifest, shard_names
from image_classifier.doctor import copies, folder, near_copies, picture_facts
from image_classifier.doctor.findings import Report
from slim_errors import UserError

IMAGES, RECORDS, RUN = 'image folder', 'data set', 'train_dir'
_NO_HASHES = (
  'Nearly the same pictures were not looked for: install the package dhash, or this project with '
  'its extra doctor.'
)
# Files by which a train_dir is known, beside *.index.
_RUN_FILES = ('run.json', 'checkpoint')


@dataclasses.dataclass(frozen=True)
class Settings:
  """How to look; see the flags of scripts/doctor.py.

  Attributes:
    recursive: whether folders inside a class folder belong to the class.
    min_side: pixels of the shorter side below which a picture is tiny.
    max_pixels: limit of width times height.
    num_workers: processes that decode, None for one a core.
  """

  recursive: bool = False
  min_side: int = 32
  max_pixels: int = image_files.MAX_PIXELS
  num_workers: int | None = None

  def examine_all(self, places, count, what):
    """Yields the picture_facts.Facts of an iterable of Places, in order.

    Args:
      places: iterable of Place.
      count: how many there are, None when it is not known.
      what: name for the progress line on a terminal.
    """
    for _, facts in self._workers('examine', places, count, what):
      # A worker that crashed or hung left a reason.
      yield facts if isinstance(facts, picture_facts.Facts) else picture_facts.Facts(facts)

  def previews(self, places):
    """Returns {Place: small JPEG, b'' without one} of a list of Places."""
    found = self._workers('preview', places, len(places), 'previews')
    return {place: data if isinstance(data, bytes) else b'' for place, data in found}

  def _workers(self, function, places, count, what):
    workers = decoders.Decoders(
      self.num_workers or decoders.default_count(self.max_pixels),
      self.max_pixels,
      reader=f'{picture_facts.__name__}:{function}',
    )
    with workers:
      yield from tqdm(
        workers.in_order(places), what, count, unit=f' {what}', leave=False, disable=None
      )

  def copies(self, report, pictures):
    """Adds the groups of copies among Pictures to the report."""
    report.findings += copies.findings(pictures, self._near(report, len(pictures)))

  def _near(self, report, count):
    """Returns the function that finds nearly the same pictures, None and a note without it."""
    if count > near_copies.MOST_PICTURES:
      report.notes.append(
        f'Nearly the same pictures were not looked for: {count} are more than '
        f'{near_copies.MOST_PICTURES}, which takes too long.'
      )
      return None
    try:
      import dhash
    except ImportError:
      report.notes.append(_NO_HASHES)
      return None
    return functools.partial(near_copies.pairs, hash_of=dhash.dhash_row_col)


def examine(path, settings):
  """Looks at everything that a folder is.

  Args:
    path: an image folder, a data set, both in one, or a train_dir.
    settings: Settings.

  Returns:
    findings.Report.

  Raises:
    UserError: the path is no folder, or cannot be read.
  """
  report = Report(path, kinds_of(path, settings.recursive))
  if IMAGES in report.kinds:
    folder.examine(report, path, settings)
  if RECORDS in report.kinds:
    from image_classifier.doctor import records  # imports TensorFlow, as the next one does

    records.examine(report, path, settings)
  if RUN in report.kinds:
    from image_classifier.doctor import run

    run.examine(report, path)
  return report


def kinds_of(path, recursive):
  """Returns what a folder is, by what it holds: a list of IMAGES, RECORDS and RUN.

  A folder is for pictures when it is nothing else; a data set may lie among its own pictures.
  """
  try:
    names = set(os.listdir(path))
  except OSError as error:
    raise UserError(f'{path} cannot be looked at ({error.strerror}): name a folder.') from None
  run_files = (name for name in names if name in _RUN_FILES or name.endswith('.index'))
  if any(os.path.isfile(os.path.join(path, name)) for name in run_files):
    return [RUN]
  is_data_set = (
    manifest.MANIFEST_FILE in names
    or manifest.READY_FOLDER in names
    or bool(shard_names.families(path))
  )
  if not is_data_set:
    return [IMAGES]
  return [IMAGES, RECORDS] if folder.is_image_folder(path, recursive) else [RECORDS]
