"""Whether probabilities can be believed: temperature, calibration error, and answers withheld.

Plain NumPy in float64, so that every figure can be checked by hand.
"""

import numpy as np

from image_classifier.evaluation import metrics

# Bins of equal width between 0 and 1, as in Guo et al., On Calibration of Modern Neural Networks,
# https://arxiv.org/abs/1706.04599, where the temperature comes from as well.
NUM_BINS = 15
# Beyond, a network is right about everything, or its scores say nothing: no temperature fits then.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# Probabilities of the best class below which an answer may be withheld (--min_confidence).
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_MAX_ITERATIONS = 100  # halving alone needs about 40
_RELATIVE_TOLERANCE = 1e-10


def fit_temperature(labels, logits):
  """Returns the temperature T for which softmax(logits / T) is likeliest to give the labels.

  The mean cross entropy is convex in 1 / T, so that a Newton iteration between bounds finds it.

  Args:
    labels: int [n], each in [0, classes).
    logits: float [n, classes], finite.

  Returns:
    float from LOWEST_TEMPERATURE to HIGHEST_TEMPERATURE: above 1 for a network that is too sure.
  """
  logits = np.asarray(logits, np.float64)
  logits = logits - logits.max(axis=1, keepdims=True)
  of_truth = logits[np.arange(len(labels)), labels]
  low, high = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE
  if _slopes(logits, of_truth, low)[0] >= 0:
    return HIGHEST_TEMPERATURE
  if _slopes(logits, of_truth, high)[0] <= 0:
    return LOWEST_TEMPERATURE
  inverse = 1.0
  for _ in range(_MAX_ITERATIONS):
    slope, curvature = _slopes(logits, of_truth, inverse)
    low, high = (low, inverse) if slope > 0 else (inverse, high)
    following = inverse - slope / curvature if curvature > 0 else low
    if not low < following < high:
      following = (low + high) / 2
    if abs(following - inverse) <= _RELATIVE_TOLERANCE * inverse:
      break
    inverse = following
  return float(1 / following)


def _slopes(logits, of_truth, inverse):
  """Returns the first and second derivative of the mean cross entropy by 1 / T."""
  shares = metrics.probabilities(logits * inverse)
  means = (shares * logits).sum(axis=1)
  variances = (shares * logits**2).sum(axis=1) - means**2
  return (means - of_truth).mean(), variances.mean()


def reliability(labels, logits, temperature=1.0):
  """Compares how sure a network is with how often it is right.

  Args:
    labels: int [n], each in [0, classes).
    logits: float [n, classes], finite.
    temperature: what the logits are divided by.

  Returns:
    A dict that JSON can hold: temperature, loss (mean cross entropy in nats),
    expected_calibration_error (the mean over all examples of |accuracy - mean probability| of
    their bin) and bins, one dict for each of NUM_BINS. A bin holds the examples whose best class
    has a probability above its low and up to its high end.
  """
  log_shares = metrics.log_softmax(np.asarray(logits, np.float64) / temperature)
  sureness = np.exp(log_shares.max(axis=1))
  is_right = log_shares.argmax(axis=1) == labels
  numbers = np.clip(np.ceil(sureness * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
  bins = [_bin(k, sureness[numbers == k], is_right[numbers == k]) for k in range(NUM_BINS)]
  gaps = [row['count'] * abs(row['accuracy'] - row['confidence']) for row in bins if row['count']]
  return {
    'temperature': float(temperature),
    'loss': metrics.cross_entropy(log_shares, labels),
    'expected_calibration_error': float(sum(gaps) / len(is_right)),
    'bins': bins,
  }


def compute(labels, logits, stored=None, is_trained_on=False):
  """Returns the calibration of a network on a split.

  Args:
    labels, logits: as those of `reliability`.
    stored: a temperature that was fitted before, on other images or these, or None.
    is_trained_on: whether the network was trained on these very images, of which it is too sure for
      a temperature to be fitted on them.

  Returns:
    A dict that JSON can hold: num_bins, and what `reliability` returns at three temperatures:
    `as_it_is` at 1, `fitted` at the one that these images ask for, `stored`; None without one.
  """
  fitted = None if is_trained_on else fit_temperature(labels, logits)
  temperatures = {'as_it_is': 1.0, 'fitted': fitted, 'stored': stored}
  return {
    'num_bins': NUM_BINS,
    **{name: t and reliability(labels, logits, t) for name, t in temperatures.items()},
  }


def _bin(number, sureness, is_right):
  """Returns one bin; the means of an empty one are None."""
  return {
    'low': number / NUM_BINS,
    'high': (number + 1) / NUM_BINS,
    'confidence': float(sureness.mean()) if sureness.size else None,
    **_accuracy(is_right),
  }


def _accuracy(is_right):
  count, correct = len(is_right), int(is_right.sum())
  return {
    'count': count,
    'correct': correct,
    'accuracy': correct / count if count else None,
    'accuracy_interval': metrics.interval(correct, count) if count else None,
  }


def selective(labels, logits, temperature=1.0):
  """Says how many answers are left, and how good they are, when unsure ones are withheld.

  Args:
    labels, logits, temperature: as those of `reliability`.

  Returns:
    A list of dicts that JSON can hold, one for each of THRESHOLDS: min_confidence, coverage (share
    of examples whose best class reaches it), and count, correct, accuracy and accuracy_interval
    (95 %, Wilson) of these examples; the last two are None where there is none.
  """
  logits = np.asarray(logits)
  sureness = metrics.probabilities(logits / temperature).max(axis=1)
  is_right = logits.argmax(axis=1) == labels
  rows = []
  for threshold in THRESHOLDS:
    answered = is_right[sureness >= threshold]
    coverage = len(answered) / len(is_right)
    rows.append({'min_confidence': threshold, 'coverage': coverage, **_accuracy(answered)})
  return rows
