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
    {'train': [...], 'validation': [...]}; a class with two or more different pictures is in both.
  """
  classes_of = collections.defaultdict(set)
  pictures_of = collections.defaultdict(set)
  for image in images:
    classes_of[hashes[image.name]].add(image.class_name)
    pictures_of[image.class_name].add(hashes[image.name])
  in_validation = {
    picture: int(picture[:16], 16) / 2**64 < validation_fraction for picture in classes_of
  }
  for class_name in sorted(pictures_of):
    _guarantee_both_sides(pictures_of[class_name], classes_of, in_validation)
  sides = {'train': [], 'validation': []}
  for image in images:
    sides['validation' if in_validation[hashes[image.name]] else 'train'].append(image)
  return sides


def _guarantee_both_sides(pictures, classes_of, in_validation):
  """Moves one picture of a class over when all of them are on one side."""
  sides = {in_validation[picture] for picture in pictures}
  if len(pictures) < 2 or len(sides) == 2:
    return
  all_in_validation = sides.pop()

  def rank(picture):
    # The nearest to the border; a picture of several classes last, for it moves in all of them.
    number = int(picture, 16)
    return len(classes_of[picture]), -number if all_in_validation else number

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
