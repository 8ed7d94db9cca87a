"""What the doctor can find: a table of checks, each with its weight, its title and what to do."""

import dataclasses
from typing import NamedTuple

ERROR, WARNING = 'error', 'warning'


class Place(NamedTuple):
  """Where a file or the bytes of a picture lie.

  Attributes:
    name: for people; may hold any character that a file name can hold.
    path: the file of a picture; '' for what is none.
    span: (start, length) of the picture's bytes in the file, None for all of it.
  """

  name: str
  path: str = ''
  span: tuple[int, int] | None = None


class Finding(NamedTuple):
  """One thing that is wrong: a key of CHECKS, what exactly, and the files that it is about."""

  check: str
  why: str
  places: tuple[Place, ...] = ()


class Check(NamedTuple):
  """A kind of finding. `severity` is ERROR where data is lost or figures mislead, else WARNING."""

  severity: str
  title: str
  fix: str


_CONVERT = 'convert the pictures again with data_convert.py, or copy the data set again'
_MEND = 'nothing to do, conversion repairs it; mend the files if other programs read them'
_REDUCE = 'save them smaller'
_KEEP_ONE = 'keep one of each group'
_NOT_READ = 'move them into class folders if they belong to the data, else leave them'

# In the order of the report.
CHECKS = {
  # An image folder as a whole.
  'layout': Check(
    ERROR, 'The folder is not laid out as classes', 'one folder of pictures a class, all readable'
  ),
  'class_name': Check(ERROR, 'Names of classes', 'rename or merge the folders'),
  'label_file': Check(ERROR, 'label file against the classes', 'correct the label file'),
  'new_class': Check(
    WARNING, 'classes that label.txt lacks', 'add them at its end, where conversion puts them'
  ),
  'empty_class': Check(WARNING, 'class folders without pictures', 'fill them or remove them'),
  'not_in_split': Check(WARNING, 'classes missing in a split', 'add pictures of them to it'),
  'few_images': Check(WARNING, 'classes of very few pictures', 'add pictures, or merge classes'),
  'imbalance': Check(
    WARNING,
    'classes of very different size',
    'add pictures of the small ones, read recall per class',
  ),
  'ignored': Check(WARNING, 'entries that conversion does not read', _NOT_READ),
  'alike_names': Check(WARNING, 'names that differ in case or Unicode form only', 'rename one'),
  'odd_name': Check(WARNING, 'names with control characters or no UTF-8', 'rename them'),
  # Pictures.
  'no_picture': Check(ERROR, 'files that are no pictures', 'move them out of the class folders'),
  'unreadable': Check(ERROR, 'files that cannot be read', 'give yourself the right to read them'),
  'truncated': Check(ERROR, 'truncated pictures', 'copy them again from their source'),
  'damaged': Check(ERROR, 'damaged pictures', 'copy them again from their source'),
  'decoder': Check(
    ERROR, 'pictures at which the decoder crashes or hangs', 'remove them or save them anew'
  ),
  'too_large': Check(
    ERROR, 'pictures beyond the limits, decompression bombs', f'{_REDUCE}, or remove them'
  ),
  'reduced': Check(WARNING, 'pictures so large that they are read at reduced size', _REDUCE),
  'wrong_type': Check(
    WARNING, 'files whose content is of another type than their name', 'rename them; content counts'
  ),
  'odd_coding': Check(WARNING, 'pictures with stray bytes or odd coding', _MEND),
  'cmyk': Check(WARNING, 'CMYK pictures', _MEND),
  'sixteen_bit': Check(WARNING, 'pictures of 16 bits', _MEND),
  'animated': Check(
    WARNING, 'animations, of which the first frame counts', 'check the first frame'
  ),
  'exif_rotation': Check(WARNING, 'pictures turned by EXIF', _MEND),
  'tiny': Check(WARNING, 'tiny pictures', 'take larger ones, or leave them out'),
  'blank': Check(WARNING, 'pictures of one colour', 'look at them, and leave them out'),
  # Copies.
  'same_in_classes': Check(
    ERROR, 'pictures that lie in several classes', 'decide on one class, remove the others'
  ),
  'same_in_splits': Check(
    ERROR, 'pictures to train and to validate with', f'{_KEEP_ONE}, or evaluation flatters'
  ),
  'same_in_class': Check(WARNING, 'copies within a class', _KEEP_ONE),
  'near_in_classes': Check(
    ERROR,
    'nearly the same picture in several classes',
    'look at them, decide on one class, remove the others',
  ),
  'near_in_splits': Check(
    ERROR,
    'nearly the same picture to train and to validate with',
    f'look at them, {_KEEP_ONE}, or evaluation flatters',
  ),
  'near_in_class': Check(
    WARNING, 'nearly the same picture within a class', f'look at them, {_KEEP_ONE}'
  ),
  # A data set.
  'manifest': Check(ERROR, 'dataset.json', _CONVERT),
  'unfinished': Check(
    ERROR,
    'a conversion that was stopped while its files were moved',
    'train or convert with the folder, which ends the move',
  ),
  'leftover': Check(
    WARNING, 'leftovers of a conversion', 'remove them when no conversion is running'
  ),
  'shard': Check(ERROR, 'shards against dataset.json or one another', _CONVERT),
  'refused': Check(ERROR, 'what training would refuse', 'as it says'),
  'extra_shard': Check(WARNING, 'shards that dataset.json does not list', 'move them away'),
  'record': Check(ERROR, 'damaged records', _CONVERT),
  'record_keys': Check(ERROR, 'records without what training reads', _CONVERT),
  'record_label': Check(ERROR, 'records whose label does not fit the classes', _CONVERT),
  'record_size': Check(WARNING, "records whose height or width is not the picture's", _CONVERT),
  'record_picture': Check(ERROR, 'records with a picture that training cannot read', _CONVERT),
  'counts': Check(ERROR, 'counts of records against dataset.json', _CONVERT),
  # A train_dir.
  'run_record': Check(ERROR, 'run.json', 'copy it again from where the run was made'),
  'no_checkpoint': Check(ERROR, 'no good checkpoint', 'train again with another --train_dir'),
  'checkpoint': Check(
    ERROR, 'checkpoints that cannot be used', 'move them away, or copy them again'
  ),
  'not_finite': Check(
    ERROR, 'checkpoints with values that are no numbers', 'use one before; lower --learning_rate'
  ),
  'other_run': Check(ERROR, 'checkpoints that are not of run.json', 'move them away'),
  'unsaved': Check(WARNING, 'leftovers of a save', 'remove them when no training is running'),
}


@dataclasses.dataclass
class Report:
  """What was looked at and what was found.

  Attributes:
    path: what the user named.
    kinds: of 'image folder', 'data set' and 'train_dir', what it is.
    facts: dict that JSON can hold: counts, classes, checkpoints.
    findings: list of Finding.
    notes: sentences on what was not looked at, and why.
  """

  path: str
  kinds: list = dataclasses.field(default_factory=list)
  facts: dict = dataclasses.field(default_factory=dict)
  findings: list = dataclasses.field(default_factory=list)
  notes: list = dataclasses.field(default_factory=list)

  def add(self, check, why, *places):
    """Adds a Finding."""
    self.findings.append(Finding(check, why, places))

  def grouped(self):
    """Returns {key of CHECKS: its findings, sorted by name}, errors first."""
    order = sorted(CHECKS, key=lambda key: CHECKS[key].severity != ERROR)
    found = {key: [] for key in order}
    for finding in self.findings:
      found[finding.check].append(finding)
    return {
      key: sorted(group, key=lambda finding: [place.name for place in finding.places])
      for key, group in found.items()
      if group
    }
