"""What the doctor finds in an image folder: names, classes, label.txt, and every picture."""

import collections
import os
import unicodedata

from datasets import image_folder, labels
from image_classifier.doctor import picture_facts
from image_classifier.doctor.findings import Place
from slim_errors import UserError

# Largest class against the smallest.
IMBALANCE = 10
# A class of fewer has nothing for one of the splits.
_FEW = 2
# What is left out of a folder on purpose.
_HARMLESS = ('hidden or system file', 'hidden or system folder')


def is_image_folder(path, recursive):
  """Whether two folders in PATH, or in PATH/train, hold files that are called pictures.

  Args:
    path: the folder.
    recursive: whether pictures in folders inside a class folder count.
  """
  try:
    found = image_folder.list_folder(path, recursive)
  except UserError:
    return os.path.isdir(os.path.join(path, 'validation'))
  extensions = picture_facts.extensions()
  images = (image for split in found.splits.values() for image in split)
  with_pictures = {
    image.class_name for image in images if os.path.splitext(image.path)[1].lower() in extensions
  }
  return len(with_pictures) > 1


def examine(report, path, settings):
  """Adds what is wrong with an image folder to the report.

  Args:
    report: findings.Report.
    path: the folder.
    settings: examination.Settings.
  """
  facts_of_folder = report.facts['image folder'] = {}
  try:
    folder = image_folder.list_folder(path, settings.recursive)
  except UserError as error:
    report.add('layout', str(error).partition('. What is there')[0])
    return
  _check_names(report, path, folder)
  jobs = [
    (image, split, Place(os.path.relpath(image.path, path), image.path))
    for split, images in folder.splits.items()
    for image in images
  ]
  examined = settings.examine_all([place for _, _, place in jobs], len(jobs), 'pictures')
  pictures = []
  for (image, split, place), facts in zip(jobs, examined, strict=True):
    picture = picture_facts.Picture(place, image.class_name, split, facts)
    pictures.append(picture)
    report.findings += picture_facts.findings(picture, settings.min_side)
  picture_facts.forgive_tiny(report, pictures)
  settings.copies(report, pictures)
  count_classes(report, facts_of_folder, pictures, [split or 'all' for split in folder.splits])
  facts_of_folder['ignored'] = {why: count for why, count in folder.ignored.items() if count}
  notes = (note for picture in pictures for note in picture.facts.notes)
  facts_of_folder['repaired_by_conversion'] = dict(collections.Counter(notes).most_common())


def count_classes(report, facts, pictures, splits):
  """Adds the counts of readable pictures to the facts, and what is wrong with them.

  Args:
    report: findings.Report.
    facts: dict of it to add to.
    pictures: list of picture_facts.Picture.
    splits: names of the splits, whether or not they hold pictures.
  """
  counts = collections.Counter(
    (picture.class_name, picture.split or 'all')
    for picture in pictures
    if not picture.facts.problem
  )
  names = sorted({picture.class_name for picture in pictures})
  table = {name: {split: counts[name, split] for split in splits} for name in names}
  facts['pictures'] = len(pictures)
  facts['readable'] = counts.total()
  facts['classes'] = table
  for name, row in table.items():
    for split, count in row.items():
      if not count:
        report.add('not_in_split', f'{name} has no readable pictures in {split}')
    if 0 < sum(row.values()) < _FEW:
      report.add('few_images', f'{name} has {sum(row.values())}')
  for split in splits:
    sizes = sorted((row[split], name) for name, row in table.items() if row[split])
    if sizes and sizes[-1][0] > IMBALANCE * sizes[0][0]:
      (least, small), (most, large) = sizes[0], sizes[-1]
      report.add('imbalance', f'{split}: {large} has {most}, {small} has {least}')


def _check_names(report, path, folder):
  for problem in image_folder.class_name_problems(folder.class_folders):
    report.add('class_name', problem)
  try:
    image_folder.check_two_classes(path, folder.class_names)
  except UserError as error:
    report.add('layout', str(error).partition('. What is there')[0])
  for name in image_folder.empty_classes(folder):
    report.add('empty_class', name)
  for reason, count in folder.ignored.items():
    if count and reason not in _HARMLESS:
      report.add('ignored', f'{reason}: {count}')
  _check_labels(report, path, folder.class_names)
  alike = collections.defaultdict(list)
  for image in (image for images in folder.splits.values() for image in images):
    real = os.path.relpath(image.path, path)
    folder_name, name = os.path.split(real)
    alike[folder_name, labels.normalized(name).casefold()].append(Place(real, image.path))
    if any(unicodedata.category(character) in ('Cc', 'Cs') for character in real):
      report.add('odd_name', 'rename it', Place(real, image.path))
  for places in alike.values():
    if len(places) > 1:
      forms = {labels.normalized(place.name) for place in places}
      report.add('alike_names', 'case' if len(forms) > 1 else 'Unicode form', *places)


def _check_labels(report, path, class_names):
  """Compares label.txt, which conversion follows, with the folders."""
  label_path = os.path.join(path, labels.LABEL_FILE)
  if not os.path.lexists(label_path):
    return
  try:
    listed = labels.read_class_names(label_path)
  except UserError as error:
    report.add('label_file', str(error))
    return
  for name in listed:
    if name not in class_names:
      report.add('label_file', f'label.txt lists {name!r}, which has no pictures')
  for name in class_names:
    if name not in listed:
      report.add('new_class', name)
