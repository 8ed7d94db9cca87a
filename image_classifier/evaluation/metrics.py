"""What a set of predictions is worth: accuracy, recall at k, loss, per-class figures, confusions.

Plain NumPy, so that every figure can be checked by hand. A tie between scores goes to the lower
class number, as in argmax.
"""

import math

import numpy as np

# Half-width of a 95 % interval of the normal distribution, in standard deviations.
Z_95 = 1.959964
# Beyond, a matrix of all pairs of classes would fill gigabytes, most of them with 0.
MOST_CLASSES_OF_A_MATRIX = 2000


def probabilities(logits):
  """Returns the softmax of `logits` (float [n, classes]) as float64 [n, classes] in [0, 1]."""
  return np.exp(log_softmax(logits))


def ranking(logits, k):
  """Returns the `k` best classes of each row, best first: int64 [n, k]."""
  return np.argsort(-logits, axis=1, kind='stable')[:, :k]


def compute(labels, logits, class_names, top_k=(1, 5)):
  """Returns the figures of a classifier on labelled examples.

  Args:
    labels: int [n], each in [0, classes), n > 0.
    logits: float [n, classes], finite.
    class_names: the `classes` names.
    top_k: the k of recall at k; a k that is not below the number of classes is left out, because
      its recall is 1 whatever the network does.

  Returns:
    A dict that JSON can hold: num_examples, correct, accuracy, accuracy_interval (95 %, Wilson),
    loss (mean cross entropy in nats), recall_at_k {k: recall}, recall_at_k_interval, per_class
    (list of dicts, with intervals too), macro_average, confusion_matrix (rows truth, columns
    prediction; None beyond MOST_CLASSES_OF_A_MATRIX), worst_confusions and only_prediction (the
    class predicted for everything, or None).
  """
  labels = np.asarray(labels)
  logits = np.asarray(logits)
  number, classes = logits.shape
  ranks = _ranks(labels, logits)
  predicted = logits.argmax(axis=1)
  correct = int((labels == predicted).sum())
  per_class = _per_class(labels, predicted, class_names)
  hits_at_k = {k: int((ranks < k).sum()) for k in top_k if k < classes}
  return {
    'num_examples': number,
    'correct': correct,
    'accuracy': correct / number,
    'accuracy_interval': interval(correct, number),
    'loss': cross_entropy(log_softmax(logits), labels),
    'recall_at_k': {k: hits / number for k, hits in hits_at_k.items()},
    'recall_at_k_interval': {k: interval(hits, number) for k, hits in hits_at_k.items()},
    'per_class': per_class,
    'macro_average': _macro_average(per_class),
    'confusion_matrix': _confusion_matrix(labels, predicted, classes),
    'worst_confusions': _worst_confusions(labels, predicted, class_names),
    'only_prediction': _only_prediction(labels, predicted, class_names),
  }


def interval(correct, number):
  """Returns the 95 % interval [low, high] of the rate that `correct` of `number` estimates.

  Wilson's score interval, which stays inside [0, 1] and is usable for a few dozen examples:
  https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval
  """
  rate, z2 = correct / number, Z_95**2
  centre = (rate + z2 / (2 * number)) / (1 + z2 / number)
  spread = math.sqrt(rate * (1 - rate) / number + z2 / (4 * number**2))
  half = Z_95 * spread / (1 + z2 / number)
  return [max(0.0, centre - half), min(1.0, centre + half)]


def log_softmax(logits):
  """Returns the logarithms of `probabilities(logits)`, in nats."""
  logits = np.asarray(logits, np.float64)
  shifted = logits - logits.max(axis=1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(log_shares, labels):
  """Returns the mean cross entropy in nats, a float that is 0.0 rather than -0.0.

  Args:
    log_shares: float [n, classes], as `log_softmax` returns it.
    labels: int [n], each in [0, classes).
  """
  return float(abs(log_shares[np.arange(len(labels)), labels].mean()))


def _ranks(labels, logits):
  """Returns how many classes come before the true one in each row's ranking: int64 [n]."""
  of_truth = logits[np.arange(len(labels)), labels][:, None]
  before = np.arange(logits.shape[1]) < labels[:, None]
  return ((logits > of_truth) | ((logits == of_truth) & before)).sum(axis=1)


def _confusion_matrix(labels, predicted, classes):
  if classes > MOST_CLASSES_OF_A_MATRIX:
    return None
  matrix = np.zeros((classes, classes), np.int64)
  np.add.at(matrix, (labels, predicted), 1)
  return matrix.tolist()


def _per_class(labels, predicted, class_names):
  """Returns precision, recall and F1 of each class; None where there is nothing to divide by.

  Recall, the accuracy on the examples of a class, and precision come with 95 % intervals.
  """
  rows = []
  of_each = (
    np.bincount(found, minlength=len(class_names)).tolist()
    for found in (labels, predicted, labels[labels == predicted])
  )
  for label, (name, count, guesses, hits) in enumerate(zip(class_names, *of_each, strict=True)):
    rows.append(
      {
        'label': label,
        'name': name,
        'count': count,
        'predicted': guesses,
        'correct': hits,
        'precision': hits / guesses if guesses else (0.0 if count else None),
        'precision_interval': interval(hits, guesses) if guesses else None,
        'recall': hits / count if count else None,
        'recall_interval': interval(hits, count) if count else None,
        'f1': 2 * hits / (count + guesses) if count else None,
      }
    )
  return rows


def _macro_average(per_class):
  """Returns the plain means over the classes that have examples."""
  present = [row for row in per_class if row['count']]
  return {
    figure: sum(row[figure] for row in present) / len(present)
    for figure in ('precision', 'recall', 'f1')
  }


def _worst_confusions(labels, predicted, class_names, limit=10):
  """Returns the most frequent (truth, prediction) mistakes, the most frequent first."""
  pairs = np.stack([labels, predicted], axis=1)[labels != predicted]
  pairs, counts = np.unique(pairs, axis=0, return_counts=True)
  return [
    {
      'truth': class_names[pairs[i, 0]],
      'prediction': class_names[pairs[i, 1]],
      'count': int(counts[i]),
      'count_of_truth': int((labels == pairs[i, 0]).sum()),
    }
    for i in np.argsort(-counts, kind='stable')[:limit]
  ]


def _only_prediction(labels, predicted, class_names):
  """Returns the name of the one class predicted for examples of several, or None."""
  is_one = len(np.unique(predicted)) == 1 and len(np.unique(labels)) > 1
  return class_names[predicted[0]] if is_one else None


def confident_mistakes(labels, logits, class_names, files, limit=20):
  """Returns the mistakes the network is surest of, the surest first, as a list of dicts."""
  shares = probabilities(logits)
  predicted = shares.argmax(axis=1)
  sureness = np.where(predicted == labels, -1.0, shares.max(axis=1))
  return [
    {
      'file': files[i],
      'truth': class_names[labels[i]],
      'prediction': class_names[predicted[i]],
      'probability': float(sureness[i]),
    }
    for i in np.argsort(-sureness, kind='stable')[:limit]
    if sureness[i] >= 0
  ]
