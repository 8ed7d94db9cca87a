"""Images whose label a classifier that never saw them disagrees with, the worst first.

What counts as likely wrong is confident learning's: Northcutt, Jiang, Chuang, Confident Learning,
https://arxiv.org/abs/1911.00068
"""

import collections
import typing

import numpy as np

from image_classifier.evaluation import metrics
from image_classifier.suspects import linear_probe
from slim_text import shown

# Below it classifiers are wrong about more images than labels may be.
_LEAST_ACCURACY = 0.6
_SHOWN = 10
_CSV_HEADER = (
  *('rank', 'file', 'label', 'looks_like', 'probability_of_label', 'probability_of_looks_like'),
  'likely_wrong',
)


class Suspect(typing.NamedTuple):
  """An image whose out-of-fold prediction disagrees with its label."""

  index: int  # of its record in the split
  file: str
  label: str
  looks_like: str
  of_label: float  # probability, 0 to 1
  of_looks_like: float
  is_likely_wrong: bool


class Findings(typing.NamedTuple):
  """What `find` found."""

  suspects: list  # of Suspect, by falling margin of probability
  num_images: int
  num_correct: int  # out of fold
  alone: list  # names of classes of a single image, which nothing can judge


def find(records, features, class_names, num_folds):
  """Ranks the images that a linear classifier, fitted to the other folds, takes for another class.

  Args:
    records: cache.Records.
    features: float32 [n, numbers].
    class_names: list of the classes' names.
    num_folds: at least 2.

  Returns:
    Findings.
  """
  labels = records.labels
  fold_of = linear_probe.folds(records.images, labels, num_folds)
  shares = linear_probe.out_of_fold(features, labels, fold_of, len(class_names))
  contents = collections.Counter(
    label for _, label in set(zip(records.images, labels.tolist(), strict=True))
  )
  alone = {label for label, count in contents.items() if count == 1}
  predicted, of_label = shares.argmax(axis=1), shares[np.arange(len(labels)), labels]
  margins = shares.max(axis=1) - of_label
  thresholds = _thresholds(labels, of_label, len(class_names))
  suspects = []
  for i in np.argsort(-margins, kind='stable'):
    label, guess = int(labels[i]), int(predicted[i])
    if label == guess or label in alone:
      continue
    name = records.filenames[i].decode('utf-8', 'replace') or f'record {i}'
    chances = float(of_label[i]), float(shares[i, guess])
    is_likely_wrong = bool(chances[1] >= thresholds[guess])
    suspects.append(
      Suspect(int(i), name, class_names[label], class_names[guess], *chances, is_likely_wrong)
    )
  correct = int((predicted == labels).sum())
  return Findings(suspects, len(labels), correct, [class_names[i] for i in sorted(alone)])


def _thresholds(labels, of_label, num_classes):
  """Returns how sure the classifier is of a class, on average, where it is the label: [classes]."""
  counts = np.bincount(labels, minlength=num_classes)
  sums = np.bincount(labels, of_label, minlength=num_classes)
  return np.divide(sums, counts, out=np.full(num_classes, np.inf), where=counts > 0)


def rows(findings):
  """Returns the rows of suspects.csv, header first."""
  return [
    _CSV_HEADER,
    *(
      (rank, s.file, s.label, s.looks_like, f'{s.of_label:.6f}', f'{s.of_looks_like:.6f}')
      + ('yes' if s.is_likely_wrong else 'no',)
      for rank, s in enumerate(findings.suspects, 1)
    ),
  ]


def accuracy_line(findings):
  """Returns how often the classifiers agree with the labels of images new to them, in words."""
  low, high = metrics.interval(findings.num_correct, findings.num_images)
  rate = findings.num_correct / findings.num_images
  sentence = (
    f'Out-of-fold accuracy {100 * rate:.1f} % of {findings.num_images} images '
    f'(95 % interval {100 * low:.1f} to {100 * high:.1f} %).'
  )
  if rate >= _LEAST_ACCURACY:
    return sentence
  return (
    f'{sentence} The features tell these classes apart so poorly that many suspects will be right: '
    'another checkpoint will say more.'
  )


def count_line(findings):
  """Returns a sentence: how many images are suspect."""
  likely = sum(s.is_likely_wrong for s in findings.suspects)
  return f'{len(findings.suspects)} images look like another class, {likely} are likely wrong.'


def summary(findings):
  """Returns what was found as text of several lines, harmless on a terminal."""
  lines = [accuracy_line(findings), count_line(findings)]
  if findings.alone:
    names = ', '.join(map(shown, findings.alone))
    lines.append(f'Not judged, because it is the only image of its class: {names}.')
  pairs = collections.Counter((s.label, s.looks_like) for s in findings.suspects)
  sure = collections.Counter(
    (s.label, s.looks_like) for s in findings.suspects if s.is_likely_wrong
  )
  for (label, guess), count in pairs.most_common(_SHOWN):
    pair = f'labelled {shown(label)}, looks like {shown(guess)}'
    lines.append(f'  {count:5d}  {pair} ({sure[label, guess]} likely wrong)')
  if findings.suspects:
    lines.append('By p(looks like) - p(label):')
  lines += [f'  {line(s)}' for s in findings.suspects[:_SHOWN]]
  return '\n'.join(lines)


def line(suspect):
  """Returns a suspect as one harmless line."""
  return (
    f'{shown(suspect.file)}: labelled {shown(suspect.label)} ({suspect.of_label:.3f}), looks like '
    f'{shown(suspect.looks_like)} ({suspect.of_looks_like:.3f})'
  )
