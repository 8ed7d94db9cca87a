"""Where the data sets lie that are published as archives, and fetching them. No TensorFlow here."""

import os
from typing import NamedTuple

from image_classifier.downloads import fetching
from slim_errors import RunError, UserError, unknown


class Archive(NamedTuple):
  """A published file. Size and checksum are those of TensorFlow Datasets' and Keras' lists."""

  url: str
  size: int  # bytes
  sha256: str

  def file(self):
    return self.url.rpartition('/')[2]


class Source(NamedTuple):
  """How a data set is published."""

  title: str  # as research/slim prints it
  # Tuples of files that are needed together, any of which will do; the first is downloaded.
  alternatives: tuple


def _mnist_archive(file, size, sha256):
  return Archive(f'https://storage.googleapis.com/cvdf-datasets/mnist/{file}', size, sha256)


SOURCES = {
  'cifar10': Source(
    'Cifar10',
    (
      (  # The binary version first: it holds no pickles.
        Archive(
          'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
          170_052_171,
          'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd',
        ),
      ),
      (
        Archive(
          'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
          170_498_071,
          '6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce',
        ),
      ),
    ),
  ),
  'mnist': Source(
    'MNIST',
    (
      (  # The copy of CVDF, the Common Visual Data Foundation: LeCun's own page is closed.
        _mnist_archive(
          'train-images-idx3-ubyte.gz',
          9_912_422,
          '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
        ),
        _mnist_archive(
          'train-labels-idx1-ubyte.gz',
          28_881,
          '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
        ),
        _mnist_archive(
          't10k-images-idx3-ubyte.gz',
          1_648_877,
          '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
        ),
        _mnist_archive(
          't10k-labels-idx1-ubyte.gz',
          4542,
          'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
        ),
      ),
    ),
  ),
  'flowers': Source(
    'Flowers',
    (
      (
        Archive(
          'http://download.tensorflow.org/example_images/flower_photos.tgz',
          228_813_984,
          '4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c',
        ),
      ),
    ),
  ),
}


def source(dataset_name):
  """Returns the Source of a data set, or raises UserError for one that has none."""
  if dataset_name not in SOURCES:
    raise UserError(
      f'dataset_name [{dataset_name}] was not recognized. '
      f'{unknown("data set", dataset_name, SOURCES)}'
    )
  return SOURCES[dataset_name]


def fetch(dataset_name, folder):
  """Downloads what is missing of a data set, and checks what is there.

  Args:
    dataset_name: key of SOURCES.
    folder: where the files go; it is made.

  Returns:
    The path of the archive; of a data set of several files, the folder.

  Raises:
    RunError: a file cannot be fetched, or is not the published one.
  """
  alternatives = source(dataset_name).alternatives

  def is_there(files):
    return all(os.path.exists(os.path.join(folder, each.file())) for each in files)

  files = next(filter(is_there, alternatives), alternatives[0])
  for index, each in enumerate(files):
    path = os.path.join(folder, each.file())
    try:
      fetching.fetch(each.url, path, size=each.size, sha256=each.sha256)
    except RunError as error:
      rest = [other.url for other in files[index + 1 :]]
      also = f' The same goes for {", ".join(rest)}.' if rest else ''
      raise RunError(f'{error}{also}') from None
  return os.path.join(folder, files[0].file()) if len(files) == 1 else folder


def check_archive(dataset_name, archive):
  """Raises UserError when the file or folder that is to hold a data set cannot."""
  if not os.path.exists(archive):
    raise UserError(f'--archive={archive} does not exist.')
  files = source(dataset_name).alternatives[0]
  if len(files) > 1 and not os.path.isdir(archive):
    names = ', '.join(each.file() for each in files)
    raise UserError(f'--archive={archive} is a file: give the folder that holds {names}.')
