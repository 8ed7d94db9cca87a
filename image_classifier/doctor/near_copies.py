"""Finds pictures that show the same: encoded anew, resized, or cropped by a few percent.

Two steps on small gray thumbnails. Difference hashes (the package `dhash`, of the extra `doctor`)
propose pairs. A pair is taken when, somewhere among a few crops of the one, the fine detail of both
agrees: what is left of a thumbnail without its blurred self, with its peaks cut. Large shapes or
one bright corner prove nothing, two tiles of open water may share these. Of 250 satellite tiles, 97
to 100 in 100 copies of quality 50, of half the size, or cropped by up to 5 % a side have a
correlation above 0.7; the most alike pair of different tiles among all 4,800 has 0.65, the next
0.56.
"""

import functools

import numpy as np

from image_classifier.doctor.picture_facts import THUMBNAIL

# Of 128 bits; 98 in 100 of those copies differ by less, and one in 400 pairs of different tiles.
_MOST_BITS = 30
_HASH_SIDE = 8  # 8 * 8 bits by rows and as many by columns
_LEAST_CORRELATION = 0.7
# Detail of less than half a gray value is noise.
_LEAST_DETAIL = 0.5
_BLUR = 5  # thumbnail pixels
# Detail is cut at so many gray values and so many times its median.
_PEAK, _PEAK_IN_MEDIANS = 2, 3
# Shares of the picture that are cut off at its two ends along one axis.
_CROPS = (
  *((0, 0), (0.02, 0.02), (0.04, 0.04), (0.06, 0.06)),
  *((0, 0.03), (0.03, 0), (0, 0.06), (0.06, 0)),
)
# A picture that resembles more than so many has no features; the nearest are compared.
_MOST_CANDIDATES = 300
_PAIRS_AT_ONCE = 1 << 22
# Smaller pictures have no detail to tell them apart by.
_LEAST_SIDE = 64
# Beyond, comparing all with all takes minutes.
MOST_PICTURES = 100_000


def is_comparable(facts):
  """Whether a picture can be compared: it was decoded and is no icon."""
  return bool(facts.thumbnail) and min(facts.width, facts.height) >= _LEAST_SIDE


def pairs(thumbnails, hash_of):
  """Yields (index, index) of thumbnails that show the same.

  Args:
    thumbnails: uint8 [n, THUMBNAIL * THUMBNAIL] of gray values.
    hash_of: function of a list of (_HASH_SIDE + 1) ** 2 gray values and _HASH_SIDE that returns two
      whole numbers of _HASH_SIDE ** 2 bits: dhash.dhash_row_col.
  """
  hashes = _hashes(thumbnails, hash_of)
  for index, others in _candidates(hashes):
    details = _detail(thumbnails[others].reshape(-1, THUMBNAIL, THUMBNAIL))
    crops = _cropped_details(thumbnails[index].reshape(THUMBNAIL, THUMBNAIL))
    best = _correlation(_cut(details), _cut(crops)).max(axis=1)
    for other in others[best >= _LEAST_CORRELATION]:
      yield index, int(other)


def _hashes(thumbnails, hash_of):
  """Returns uint64 [n, 2]."""
  side = _HASH_SIDE + 1
  weights = _resampling(0, 1, side)
  small = np.empty((len(thumbnails), side * side), np.uint8)
  for start in range(0, len(thumbnails), 1024):
    block = thumbnails[start : start + 1024].reshape(-1, THUMBNAIL, THUMBNAIL).astype(np.float32)
    small[start : start + 1024] = np.rint(weights @ block @ weights.T).reshape(len(block), -1)
  return np.array([hash_of(row, _HASH_SIDE) for row in map(np.ndarray.tolist, small)], np.uint64)


def _candidates(hashes):
  """Yields (index, int64 [m] of others whose hashes differ little) where m is not 0."""
  rows = max(1, _PAIRS_AT_ONCE // len(hashes))
  for start in range(0, len(hashes), rows):
    block = hashes[start : start + rows]
    distance = np.bitwise_count(block[:, None, 0] ^ hashes[None, :, 0])
    distance += np.bitwise_count(block[:, None, 1] ^ hashes[None, :, 1])
    for i, row in enumerate(distance):
      others = np.flatnonzero(row <= _MOST_BITS)
      others = others[others != start + i]
      if len(others) > _MOST_CANDIDATES:
        others = others[np.argsort(row[others], kind='stable')[:_MOST_CANDIDATES]]
      if len(others):
        yield start + i, others


def _resampling(low, high, size):
  """Returns float32 [size, THUMBNAIL], which makes `size` pixels of a part of an axis.

  Args:
    low, high: the part, 0 to 1.
    size: number of pixels.
  """
  scale = max(1, (high - low) * THUMBNAIL / size)
  centers = (low + (np.arange(size) + 0.5) / size * (high - low)) * THUMBNAIL - 0.5
  distance = np.abs(np.arange(THUMBNAIL)[None] - centers[:, None]) / scale
  weights = np.maximum(0, 1 - distance)
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def _blur():
  """Returns float32 [THUMBNAIL, THUMBNAIL], the mean over _BLUR pixels of an axis."""
  positions = np.arange(THUMBNAIL)
  near = np.abs(positions[:, None] - positions[None]) <= _BLUR // 2
  return (near / near.sum(axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def _crop_matrices():
  """Returns float32 [2, crops, THUMBNAIL, THUMBNAIL]: every crop of an axis, sharp and blurred."""
  sharp = np.array([_resampling(low, 1 - high, THUMBNAIL) for low, high in _CROPS])
  return np.array([sharp, _blur() @ sharp])


def _detail(images):
  """Returns float32 [n, pixels]: images [n, side, side] without their blurred selves."""
  images = images.astype(np.float32)
  return (images - _blur() @ images @ _blur().T).reshape(len(images), -1)


def _cropped_details(image):
  """Returns float32 [crops, pixels]: the detail in all crops of an image [side, side]."""
  # Products of small matrices, for which BLAS starts no threads.
  sharp, blurred = (
    (crops @ image.astype(np.float32))[:, None] @ crops.swapaxes(1, 2) for crops in _crop_matrices()
  )
  return (sharp - blurred).reshape(len(_CROPS) ** 2, -1)


def _cut(details):
  peaks = _PEAK + _PEAK_IN_MEDIANS * np.median(np.abs(details), axis=1, keepdims=True)
  return np.clip(details, -peaks, peaks)


def _correlation(ones, others):
  """Returns [n, m] of vectors [n, pixels] and [m, pixels], whose mean is about 0."""
  lengths = [np.sqrt(np.einsum('ij,ij->i', vectors, vectors)) for vectors in (ones, others)]
  # Without detail nothing is alike.
  lengths = [np.where(length < _LEAST_DETAIL * THUMBNAIL, np.inf, length) for length in lengths]
  return ones @ others.T / lengths[0][:, None] / lengths[1]
