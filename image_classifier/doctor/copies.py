"""Which pictures of a folder or data set are the same, or nearly: groups of copies."""

import collections

import numpy as np

from image_classifier.doctor import near_copies
from image_classifier.doctor.findings import Finding


def findings(pictures, near):
  """Yields a Finding for each group of copies.

  Args:
    pictures: list of picture_facts.Picture.
    near: function of uint8 thumbnails [n, side, side] that yields pairs of indices of those that
      show the same; None looks for exact copies only.
  """
  by_content = collections.defaultdict(list)
  for picture in pictures:
    if picture.facts.digest:
      by_content[picture.facts.digest].append(picture)
  contents = list(by_content.values())
  for group in contents:
    if len(group) > 1:
      yield _finding('same', group, 'the same bytes')
  if near is None:
    return
  readable = [group for group in contents if near_copies.is_comparable(group[0].facts)]
  if len(readable) < 2:
    return
  thumbnails = np.frombuffer(b''.join(group[0].facts.thumbnail for group in readable), np.uint8)
  for indices in _groups(near(thumbnails.reshape(len(readable), -1))):
    members = [readable[index] for index in indices]
    yield _finding('near', sum(members, []), f'{len(members)} versions')


def _finding(kind, group, why):
  classes = sorted({picture.class_name for picture in group})
  splits = {picture.split for picture in group}
  where = 'classes' if len(classes) > 1 else 'splits' if len(splits) > 1 else 'class'
  if len(classes) > 1:
    why = f'{why} in {", ".join(classes)}'
  places = sorted(picture.place for picture in group)
  return Finding(f'{kind}_in_{where}', why, tuple(places))


def _groups(pairs):
  """Returns the sorted lists of indices that pairs connect."""
  leader = {}

  def lead(index):
    while leader.setdefault(index, index) != index:
      leader[index] = leader[leader[index]]
      index = leader[index]
    return index

  for one, other in pairs:
    leader[lead(one)] = lead(other)
  groups = collections.defaultdict(list)
  for index in sorted(leader):
    groups[lead(index)].append(index)
  return list(groups.values())
