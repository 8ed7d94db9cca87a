"""What the doctor finds in a data set: its files, every record, and the pictures in them."""

import collections
import os

import slim_files
from datasets import dataset_factory, labels, manifest, output_folder, records, shard_names
from image_classifier.doctor import folder, picture_facts
from image_classifier.doctor.findings import Place
from slim_compat import tf
from slim_errors import UserError

# What TensorFlow decodes and training takes.
_FORMATS = ('JPEG', 'PNG')
_UNREADABLE_CODINGS = {'unusual JPEG coding', 'PNG without its end'}
_ROTATED = 'EXIF rotation'


def examine(report, path, settings):
  """Adds what is wrong with a data set to the report.

  Args:
    report: findings.Report.
    path: the folder.
    settings: examination.Settings.
  """
  facts = report.facts['data set'] = {}
  if os.path.isdir(os.path.join(path, output_folder.PARTIAL_FOLDER)):
    report.add('leftover', output_folder.PARTIAL_FOLDER)
  if os.path.isdir(os.path.join(path, manifest.READY_FOLDER)):
    report.add('unfinished', manifest.READY_FOLDER)
    return  # files of two data sets lie there
  try:
    listed = manifest.read_manifest(path)
  except UserError as error:
    report.add('manifest', str(error))
    return
  families = shard_names.families(path)
  if listed:
    _check_listed(report, path, listed, families)
    sets = {listed['name']: {name: _files(split) for name, split in listed['splits'].items()}}
  else:
    sets = families
  facts['name'] = sorted(sets)
  pictures = []
  for name, splits in sets.items():
    classes = _Classes(listed, *_class_names(report, path, name, splits, listed))
    pictures += _examine_splits(report, path, splits, classes, settings)
  picture_facts.forgive_tiny(report, pictures)
  settings.copies(report, pictures)
  all_splits = sorted({split for splits in sets.values() for split in splits})
  folder.count_classes(report, facts, pictures, all_splits)


class _Classes:
  """The classes that records may have, and how many of each there are."""

  def __init__(self, listed, names, has_texts):
    self.listed = listed
    self.names = names  # {label: class name}, None when it is not known
    self.has_texts = has_texts  # whether image/class/text has to be the class's name
    self.counts = collections.Counter()  # of (split, label)
    self.in_shards = collections.Counter()  # of file


def _files(split):
  return [shard['file'] for shard in split['shards']]


def _check_listed(report, path, listed, families):
  """Compares the files with dataset.json."""
  known = set()
  for split in listed['splits'].values():
    for shard in split['shards']:
      known.add(shard['file'])
      place, shard_path = Place(shard['file']), os.path.join(path, shard['file'])
      try:
        manifest.check_shard(path, shard)
        if slim_files.sha256(shard_path) != shard['sha256']:
          report.add('shard', 'its SHA-256 is another than dataset.json says', place)
      except UserError as error:
        report.add('shard', str(error), place)
      except OSError as error:
        report.add('unreadable', f'cannot be read: {error.strerror}', place)
  for splits in families.values():
    for files in splits.values():
      for file in sorted(set(files) - known):
        report.add('extra_shard', 'not in dataset.json', Place(file))
  label_path = labels.find_labels(path)
  if label_path:
    try:
      names = labels.read_labels(label_path)
    except UserError as error:
      report.add('label_file', str(error))
      return
    classes = dict(enumerate(listed['classes']))
    if classes not in (names, labels.behind_background(names.values())):
      label = next(
        label for label in sorted(names | classes) if names.get(label) != classes.get(label)
      )
      report.add(
        'label_file',
        f'label {label} is {names.get(label)!r} in {os.path.basename(label_path)}, '
        f'{classes.get(label)!r} in dataset.json',
      )


def _class_names(report, path, name, splits, listed):
  """Returns ({label: class name} or None, whether the records' class names have to agree).

  Without dataset.json it is as training would have it.
  """
  if listed:
    return dict(enumerate(listed['classes'])), True
  registered = dataset_factory.datasets_map.get(name)
  has_texts = not (registered and registered.FACTS.has_stand_in_names)
  names, refused = None, []
  for split, files in splits.items():
    try:
      shard_names.check_complete(files, path)
    except UserError as error:
      report.add('shard', str(error))
    try:
      names = names or dataset_factory.get_dataset(name, split, path).labels_to_names
    except UserError as error:
      refused.append(str(error))
  if names is None:
    report.add('refused', refused[0])
  return names, has_texts


def _examine_splits(report, path, splits, classes, settings):
  """Adds what is wrong with the records of a data set; returns its picture_facts.Pictures."""
  found = []

  def places():
    for split, files in splits.items():
      for file in files:
        for place, size, label in _records(report, path, file, split, classes):
          found.append((place, size, label, split))
          yield place

  pictures = []
  for index, facts in enumerate(settings.examine_all(places(), None, 'records')):
    place, size, label, split = found[index]
    name = str((classes.names or {}).get(label, label))
    picture = picture_facts.Picture(place, name, split, facts)
    pictures.append(picture)
    _check_picture(report, picture, size, settings)
  _check_counts(report, splits, classes)
  return pictures


def _records(report, path, file, split, classes):
  """Yields (Place of its picture, its (height, width) or None, label) of the records of a shard."""
  shard_path = os.path.join(path, file)
  if not os.path.isfile(shard_path):
    return  # which _check_listed has said
  if not classes.listed and not os.path.getsize(shard_path):
    report.add('shard', 'is empty', Place(file))
    return
  try:
    for index, (start, data) in enumerate(records.checked_records(shard_path)):
      classes.in_shards[file] += 1
      place = Place(f'{file} record {index}')
      example = _example(report, place, data)
      if example is None:
        continue
      try:
        label, text = records.example_label(example, f'record {index}')
      except UserError as error:
        report.add('record_keys', str(error), place)
        continue
      classes.counts[split, label] += 1
      _check_label(report, place, label, text, classes)
      feature = example.features.feature
      encoded = feature['image/encoded'].bytes_list.value[0]
      name = b''.join(feature['image/filename'].bytes_list.value[:1]).decode('utf-8', 'replace')
      sizes = [feature[f'image/{side}'].int64_list.value for side in ('height', 'width')]
      yield (
        Place(
          f'{place.name} ({name})' if name else place.name,
          shard_path,
          (start + data.find(encoded), len(encoded)),
        ),
        tuple(size[0] for size in sizes) if all(sizes) else None,
        label,
      )
  except UserError as error:
    report.add('record', str(error), Place(file))
  except (OSError, tf.errors.OpError) as error:
    why = getattr(error, 'strerror', None) or error.message
    report.add('unreadable', f'cannot be read: {why}', Place(file))


def _example(report, place, data):
  """Returns the tf.train.Example of a record's data, None when it is damaged."""
  if data is None:
    report.add('record', 'its checksum is wrong', place)
    return None
  try:
    return tf.train.Example.FromString(data)
  except Exception:  # protobuf's implementations do not share the error's class
    report.add('record', 'it is no tf.train.Example', place)
    return None


def _check_label(report, place, label, text, classes):
  if classes.names is None:
    return
  if label not in classes.names:
    report.add('record_label', f'label {label}, of {len(classes.names)} classes', place)
  elif classes.has_texts and text is not None and labels.normalized(text) != classes.names[label]:
    report.add('record_label', f'label {label} is {classes.names[label]!r}, not {text!r}', place)


def _check_picture(report, picture, size, settings):
  """Adds what is wrong with the picture of a record."""
  place, facts = picture.place, picture.facts
  if facts.problem:
    report.add('record_picture', facts.problem, place)
    return
  if facts.kind not in _FORMATS or _UNREADABLE_CODINGS & set(facts.notes):
    report.add('record_picture', f'{facts.kind} {", ".join(facts.notes)}', place)
    return
  if _ROTATED in facts.notes:
    report.add('exif_rotation', 'training does not turn it', place)
  elif size and size != (facts.height, facts.width):
    report.add(
      'record_size', f'{size[1]}x{size[0]}, and is {facts.width}x{facts.height} pixels', place
    )
  report.findings += picture_facts.looks(picture, settings.min_side)


def _check_counts(report, splits, classes):
  """Compares what the records hold with the counts of dataset.json."""
  if not classes.listed:
    return
  for split in splits:
    listed = classes.listed['splits'][split]
    for shard in listed['shards']:
      there = classes.in_shards[shard['file']]
      if there != shard['num_images']:
        report.add('counts', f'{shard["file"]} holds {there} records, not {shard["num_images"]}')
    for label, name in enumerate(classes.listed['classes']):
      there, wanted = classes.counts[split, label], listed['images_per_class'].get(name, 0)
      if there != wanted:
        report.add('counts', f'{split} holds {there} records of {name}, not {wanted}')
