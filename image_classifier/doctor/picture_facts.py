"""What the doctor learns of one picture, in a worker process, and what is wrong with it."""

import hashlib
import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets import image_files, pictures
from image_classifier.doctor.findings import Finding, Place

# The side, in pixels, of the gray thumbnail by which copies are compared.
THUMBNAIL = 32
# The longer side, in pixels, of what people are shown.
PREVIEW = 128
# A thumbnail whose gray values differ by less shows nothing.
_LEAST_RANGE = 3
# Pillow's names of formats that are one to a user.
_SAME_FORMAT = {'MPO': 'JPEG'}

# Of so many pictures most may be tiny on purpose.
_MANY = 20

# What conversion would repair, as image_files says it, to a key of CHECKS.
_CHECK_OF_NOTE = {
  'CMYK': 'cmyk',
  '16 bit': 'sixteen_bit',
  'first frame': 'animated',
  'EXIF rotation': 'exif_rotation',
  'stray bytes in the JPEG': 'odd_coding',
  'unusual JPEG coding': 'odd_coding',
  'PNG without its end': 'odd_coding',
  'PNG with other pixels than it needs': 'odd_coding',
  'reduced to 1/2': 'reduced',
  'reduced to 1/4': 'reduced',
}
# The beginnings of image_files.UnreadableImage, to a key of CHECKS.
_CHECK_OF_PROBLEM = {
  'cannot be read': 'unreadable',
  'truncated': 'truncated',
  'damaged': 'damaged',
  'more than': 'too_large',
  'larger than': 'too_large',
  'needs more memory': 'too_large',
  'made to exhaust': 'too_large',
  'decoding takes': 'decoder',
  'decoding stood still': 'decoder',
  'its decoder crashes': 'decoder',
}


class Facts(NamedTuple):
  """What is known of a picture. Without `kind` it could not be decoded, and `problem` says why.

  Attributes:
    problem: in words, '' for none.
    digest: SHA-256 of the bytes in hexadecimal, '' when they could not be read.
    kind: Pillow's name of the format.
    width, height: in pixels, as it is seen.
    notes: tuple of what conversion would repair.
    thumbnail: bytes of THUMBNAIL rows of as many gray values.
  """

  problem: str = ''
  digest: str = ''
  kind: str = ''
  width: int = 0
  height: int = 0
  notes: tuple[str, ...] = ()
  thumbnail: bytes = b''


class Picture(NamedTuple):
  """A picture of a folder or data set: where, of which class and split (None: no splits), what."""

  place: Place
  class_name: str
  split: str | None
  facts: Facts


def examine(path, start=None, length=None, *, max_pixels, jpeg_quality=None, when_decoded=None):
  """Returns the Facts of a picture; decodes all of it. A reader for datasets.decoders.Decoders.

  Args:
    path: of the file.
    start, length: the part of it that is the picture; None for all.
    max_pixels: as for image_files.readable_bytes.
    jpeg_quality: not used, nothing is encoded.
    when_decoded: as for pictures.read_picture.
  """
  digest = ''
  try:
    data = _read(path, start, length)
    digest = hashlib.sha256(data).hexdigest()
    picture = image_files.decoded(data, max_pixels)
    if when_decoded:
      when_decoded(picture.image)
    image = image_files.as_seen(picture, max_pixels)
  except image_files.UnreadableImage as error:
    return Facts(str(error), digest)
  gray = _reduced(image.convert('L'), (THUMBNAIL, THUMBNAIL))
  return Facts('', digest, picture.kind, *image.size, tuple(picture.notes), gray.tobytes())


def preview(path, start=None, length=None, *, max_pixels, jpeg_quality=None, when_decoded=None):
  """Returns a small JPEG of a picture for people, or b''. Arguments are those of `examine`."""
  try:
    picture = image_files.decoded(_read(path, start, length), max_pixels)
    if when_decoded:
      when_decoded(picture.image)
    image = image_files.as_seen(picture, max_pixels)
  except image_files.UnreadableImage:
    return b''
  scale = min(1, PREVIEW / max(image.size))
  image = _reduced(image, [max(1, round(side * scale)) for side in image.size])
  stream = io.BytesIO()
  image.save(stream, 'JPEG', quality=80)
  return stream.getvalue()


def _read(path, start, length):
  if start is None:
    return pictures.read_bytes(path)
  with open(path, 'rb') as file:
    return os.pread(file.fileno(), length, start)


def _reduced(image, size):
  return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def is_blank(facts):
  """Whether a picture shows one colour only."""
  values = np.frombuffer(facts.thumbnail, np.uint8)
  return int(values.max()) - int(values.min()) < _LEAST_RANGE


def findings(picture, min_side):
  """Yields what is wrong with a picture, copies apart.

  Args:
    picture: Picture of an image folder.
    min_side: pixels of the shorter side below which a picture is tiny.
  """
  place, facts = picture.place, picture.facts
  if facts.problem:
    yield Finding(check_of_problem(facts.problem), facts.problem, (place,))
    return
  extension = os.path.splitext(place.path)[1].lower()
  Image.init()
  named = Image.registered_extensions().get(extension)
  kind = _SAME_FORMAT.get(facts.kind, facts.kind)
  if named and kind != _SAME_FORMAT.get(named, named):
    yield Finding('wrong_type', f'{kind} by its content', (place,))
  for note in facts.notes:
    # The further pictures in a camera's JPEG are small copies of the first, or other views of it.
    if note in _CHECK_OF_NOTE and (note, facts.kind) != ('first frame', 'MPO'):
      yield Finding(_CHECK_OF_NOTE[note], note, (place,))
  yield from looks(picture, min_side)


def looks(picture, min_side):
  """Yields what is wrong with the picture that is seen, however it is stored."""
  facts = picture.facts
  if min(facts.width, facts.height) < min_side:
    yield Finding('tiny', f'{facts.width}x{facts.height} pixels', (picture.place,))
  if is_blank(facts):
    yield Finding('blank', 'one colour', (picture.place,))


def forgive_tiny(report, pictures):
  """Leaves out what was said of tiny pictures when most of them are: such is the data then."""
  tiny = [finding for finding in report.findings if finding.check == 'tiny']
  if len(pictures) >= _MANY and 2 * len(tiny) > len(pictures):
    report.findings = [finding for finding in report.findings if finding.check != 'tiny']
    report.notes.append(f'{len(tiny)} of {len(pictures)} pictures are below --min_side.')


def check_of_problem(problem):
  """Returns the key of CHECKS for the reason why a picture cannot be read."""
  for beginning, check in _CHECK_OF_PROBLEM.items():
    if problem.startswith(beginning):
      return check
  return 'no_picture'


def extensions():
  """Returns the extensions of files that Pillow takes for pictures, in lower case."""
  Image.init()
  return set(Image.registered_extensions())
