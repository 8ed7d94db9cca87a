"""Splits images into training and validation by their content."""

import collections


def split_by_content(images, hashes, validation_fraction):
  """Splits images so that the same picture always lands on the same side.

  The side follows from the picture's hash alone: other pictures come and go without moving it.
  Only a class left without any picture on one side gets the one nearest to the border.

  Args:
    images: list of image_folder.ImageFile.
    hashes: {ImageFile.name: SHA-256 of the file's bytes as hexadecimal text}.
    validation_fraction: share of the pictures for validation, 0 to 1.

  Returns:
    {'train': [...], 'validation': [...]}. A class of two or more different pictures is in both,
    unless all of them are in other classes too; a class of one picture is in train.
  """
  classes_of = collections.defaultdict(set)
  pictures_of = collections.defaultdict(set)
  for image in images:
    classes_of[hashes[image.name]].add(image.class_name)
    pictures_of[image.class_name].add(hashes[image.name])
  in_validation = {
    picture: int(picture[:16], 16) / 2**64 < validation_fraction for picture in classes_of
  }

  def freedom(class_name):
    own = [picture for picture in pictures_of[class_name] if len(classes_of[picture]) == 1]
    return len(own), class_name

  # Pictures of one class move without touching others, so classes that have some come last.
  for class_name in sorted(pictures_of, key=freedom):
    _guarantee_both_sides(class_name, pictures_of, classes_of, in_validation)
  sides = {'train': [], 'validation': []}
  for image in images:
    sides['validation' if in_validation[hashes[image.name]] else 'train'].append(image)
  return sides


def _guarantee_both_sides(class_name, pictures_of, classes_of, in_validation):
  """Moves one picture of a class over when all are on one side; a single one goes to train."""
  pictures = pictures_of[class_name]
  sides = {in_validation[picture] for picture in pictures}
  if len(sides) == 2:
    return
  all_in_validation = sides.pop()
  if len(pictures) == 1:
    in_validation[next(iter(pictures))] = False
    return

  def rank(picture):
    """Moving it empties few classes' sides, it is in few classes, it is near the border."""
    emptied = [
      name
      for name in classes_of[picture] - {class_name}
      if not any(
        in_validation[other] == all_in_validation for other in pictures_of[name] - {picture}
      )
    ]
    number = int(picture, 16)
    return len(emptied), len(classes_of[picture]), -number if all_in_validation else number

  in_validation[min(pictures, key=rank)] = not all_in_validation


def validation_copies(splits, hashes):
  """Returns {name of a validation image: name of the same picture in train}."""
  in_train = {hashes[image.name]: image.name for image in splits['train']}
  return {
    image.name: in_train[hashes[image.name]]
    for image in splits['validation']
    if hashes[image.name] in in_train
  }


def shared_pictures(images, hashes):
  """Returns [[ImageFile, ...], ...]: the pictures that lie in more than one class, sorted."""
  groups = collections.defaultdict(list)
  for image in sorted(images):
    groups[hashes[image.name]].append(image)
  return sorted(
    group for group in groups.values() if len({image.class_name for image in group}) > 1
  )
