"""Metrics against figures worked out by hand."""

import numpy as np
import pytest

from image_classifier.evaluation import metrics

NAMES = ['a', 'b', 'c']
# Truth:        a  a  a  b  b  c; predicted a  a  b  b  a  a (the last one by a tie of a and c).
LABELS = np.array([0, 0, 0, 1, 1, 2])
LOGITS = np.array(
  [[3, 1, 0], [2, 1, 0], [1, 2, 0], [0, 2, 1], [2, 0, 1], [1, 0, 1]], dtype=np.float32
)


@pytest.fixture(scope='module')
def figures():
  return metrics.compute(LABELS, LOGITS, NAMES, top_k=(1, 2, 3, 5))


def test_counts(figures):
  assert figures['num_examples'] == 6
  assert figures['correct'] == 3
  assert figures['accuracy'] == 0.5
  assert figures['confusion_matrix'] == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_recall_at_k_leaves_out_k_that_is_not_below_the_number_of_classes(figures):
  # Second best is the truth for examples 2 (a) and 5 (c); example 4 has b last.
  assert figures['recall_at_k'] == {1: 0.5, 2: pytest.approx(5 / 6)}
  assert figures['recall_at_k_interval'][2] == metrics.interval(5, 6)


def test_loss_is_the_mean_cross_entropy(figures):
  shares = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
  expected = np.mean([-np.log(shares[i, label]) for i, label in enumerate(LABELS)])
  assert figures['loss'] == pytest.approx(expected, rel=1e-6)


def test_per_class_figures(figures):
  a, b, c = figures['per_class']
  assert (a['count'], a['predicted'], a['correct']) == (3, 4, 2)
  assert (a['precision'], a['recall'], a['f1']) == (2 / 4, 2 / 3, 4 / 7)
  assert (b['precision'], b['recall'], b['f1']) == (1 / 2, 1 / 2, 2 / 4)
  assert (c['precision'], c['recall'], c['f1']) == (0.0, 0.0, 0.0)  # never predicted
  assert figures['macro_average']['recall'] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
  assert (a['precision_interval'], a['recall_interval']) == (
    metrics.interval(2, 4),
    metrics.interval(2, 3),
  )
  assert (c['precision_interval'], c['recall_interval']) == (None, metrics.interval(0, 1))


def test_a_class_without_examples_has_no_figures_and_no_say_in_the_average():
  figures = metrics.compute(LABELS[:5], LOGITS[:5], NAMES)
  absent = figures['per_class'][2]
  assert (absent['precision'], absent['recall'], absent['f1']) == (None, None, None)
  assert figures['macro_average']['precision'] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_worst_confusions_come_most_frequent_first():
  labels = np.array([0, 0, 0, 1, 2])
  logits = np.eye(3)[[1, 1, 0, 2, 2]]
  assert metrics.compute(labels, logits, NAMES)['worst_confusions'] == [
    {'truth': 'a', 'prediction': 'b', 'count': 2, 'count_of_truth': 3},
    {'truth': 'b', 'prediction': 'c', 'count': 1, 'count_of_truth': 1},
  ]


def test_very_many_classes_have_no_matrix():
  names = [str(label) for label in range(3000)]
  logits = np.zeros((3, 3000))
  logits[range(3), [5, 7, 7]] = 1
  figures = metrics.compute(np.array([5, 2999, 7]), logits, names)
  assert figures['confusion_matrix'] is None
  assert figures['worst_confusions'] == [
    {'truth': '2999', 'prediction': '7', 'count': 1, 'count_of_truth': 1}
  ]
  row = figures['per_class'][7]
  assert (row['count'], row['predicted'], row['correct']) == (1, 2, 1)


@pytest.mark.parametrize(
  ('labels', 'predicted', 'expected'),
  [([0, 1, 2], [1, 1, 1], 'b'), ([0, 1, 2], [1, 1, 0], None), ([1, 1], [1, 1], None)],
)
def test_only_prediction(labels, predicted, expected):
  figures = metrics.compute(np.array(labels), np.eye(3)[predicted], NAMES)
  assert figures['only_prediction'] == expected


def test_confident_mistakes_come_surest_first():
  files = [f'{i}.jpg' for i in range(6)]
  mistakes = metrics.confident_mistakes(LABELS, LOGITS, NAMES, files, limit=2)
  # Examples 2 and 4 give the wrong class e^2 of e^0 + e^1 + e^2; example 5 is less sure.
  assert [row['file'] for row in mistakes] == ['2.jpg', '4.jpg']
  assert mistakes[0]['probability'] == pytest.approx(np.e**2 / (1 + np.e + np.e**2))
  assert (mistakes[1]['truth'], mistakes[1]['prediction']) == ('b', 'a')


@pytest.mark.parametrize(
  ('correct', 'number', 'expected'),
  # Wilson's intervals as tabled for 95 %; 0 of n reaches up to z^2 / (n + z^2).
  [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662))],
)
def test_interval(correct, number, expected):
  assert metrics.interval(correct, number) == pytest.approx(expected, abs=1e-4)


def test_probabilities_survive_large_scores():
  assert metrics.probabilities([[1000.0, 0.0], [0.0, 0.0]]).tolist() == [[1, 0], [0.5, 0.5]]
