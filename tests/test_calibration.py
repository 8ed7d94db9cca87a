"""Temperature, calibration error and withheld answers against figures worked out by hand."""

import numpy as np
import pytest

from image_classifier.evaluation import calibration, metrics


def _two_classes(scale, num_right=80, number=100):
  """Logits that say class 0 with odds of e^scale, right in `num_right` of `number` cases."""
  labels = (np.arange(number) >= num_right).astype(int)
  return labels, np.tile([scale, 0.0], (number, 1))


@pytest.mark.parametrize('scale', [0.5, 3.0, 50.0])
def test_temperature_brings_the_probability_to_the_share_that_is_right(scale):
  # 80 of 100 right: odds of 4, so scale / T = log 4.
  labels, logits = _two_classes(scale)
  assert calibration.fit_temperature(labels, logits) == pytest.approx(
    min(scale / np.log(4), 20), rel=1e-8
  )


def test_temperature_is_where_the_loss_is_least():
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 4, (500, 6)).astype(np.float32)
  labels = np.array([rng.choice(6, p=row) for row in metrics.probabilities(logits / 2.5)])
  fitted = calibration.fit_temperature(labels, logits)
  assert fitted == pytest.approx(2.5, rel=0.15)  # what the labels were drawn with
  losses = [calibration.reliability(labels, logits, fitted * f)['loss'] for f in (0.999, 1, 1.001)]
  assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize('added', [1e6, -1e6])
def test_temperature_does_not_depend_on_what_all_scores_share(added):
  labels, logits = _two_classes(3.0)
  fitted = calibration.fit_temperature(labels, logits + added)
  assert fitted == pytest.approx(3 / np.log(4), rel=1e-8)


@pytest.mark.parametrize(
  ('num_right', 'expected'),
  [(100, calibration.LOWEST_TEMPERATURE), (50, calibration.HIGHEST_TEMPERATURE)],
)
def test_temperature_has_bounds_where_no_temperature_fits(num_right, expected):
  """Always right: the surer the better. No better than chance: the less sure the better."""
  assert calibration.fit_temperature(*_two_classes(3.0, num_right)) == expected


def test_expected_calibration_error():
  # Probabilities of the best class: 0.9 for ten examples of which six are right, and 0.62 for five
  # of which four are. (10 * |0.6 - 0.9| + 5 * |0.8 - 0.62|) / 15 = 0.26.
  shares = np.array([[0.9, 0.1]] * 10 + [[0.62, 0.38]] * 5)
  labels = np.array([0] * 6 + [1] * 4 + [0] * 4 + [1])
  figures = calibration.reliability(labels, np.log(shares))
  assert figures['expected_calibration_error'] == pytest.approx(0.26)
  # 0.9 * 15 = 13.5 and 0.62 * 15 = 9.3: bins 13 and 9 of 0 to 14.
  filled = {k: row for k, row in enumerate(figures['bins']) if row['count']}
  assert list(filled) == [9, 13]
  assert (filled[9]['count'], filled[9]['correct']) == (5, 4)
  assert (filled[13]['count'], filled[13]['correct']) == (10, 6)
  assert filled[13]['confidence'] == pytest.approx(0.9)
  assert filled[13]['accuracy_interval'] == metrics.interval(6, 10)
  assert (filled[13]['low'], filled[13]['high']) == (13 / 15, 14 / 15)
  empty = figures['bins'][0]
  assert (empty['count'], empty['accuracy'], empty['confidence']) == (0, None, None)


def test_a_probability_of_one_is_in_the_last_bin():
  bins = calibration.reliability(np.array([0]), np.array([[1000.0, 0.0]]))['bins']
  assert [row['count'] for row in bins] == [0] * 14 + [1]


def test_temperature_changes_the_error_and_no_ranking():
  labels, logits = _two_classes(3.0)
  figures = calibration.compute(labels, logits)
  sure = np.exp(3) / (1 + np.exp(3))
  assert figures['as_it_is']['expected_calibration_error'] == pytest.approx(sure - 0.8)
  assert figures['fitted']['expected_calibration_error'] == pytest.approx(0, abs=1e-8)
  accuracies = [
    sum(row['correct'] for row in figures[name]['bins']) for name in ('as_it_is', 'fitted')
  ]
  assert accuracies == [80, 80]
  assert figures['num_bins'] == 15 and figures['stored'] is None


def test_no_temperature_is_fitted_on_what_was_trained_on():
  figures = calibration.compute(*_two_classes(3.0), stored=2.0, is_trained_on=True)
  assert figures['fitted'] is None
  assert figures['stored']['temperature'] == 2.0


def test_selective_accuracy():
  # Sure of 0.97 and right, of 0.85 and right, of 0.85 and wrong, of 0.55 and wrong.
  shares = np.array([[0.97, 0.03], [0.85, 0.15], [0.85, 0.15], [0.55, 0.45]])
  rows = calibration.selective(np.array([0, 0, 1, 1]), np.log(shares))
  by_threshold = {row['min_confidence']: row for row in rows}
  half, most, sure, none = (by_threshold[t] for t in (0.5, 0.8, 0.95, 0.99))
  assert (half['coverage'], half['accuracy']) == (1, 0.5)
  assert (most['coverage'], most['accuracy']) == (3 / 4, 2 / 3)
  assert most['accuracy_interval'] == metrics.interval(2, 3)
  assert (sure['coverage'], sure['accuracy']) == (1 / 4, 1)
  assert (none['coverage'], none['accuracy'], none['accuracy_interval']) == (0, None, None)


def test_selective_accuracy_counts_calibrated_probabilities():
  # At T = 2 odds of e^4 become odds of e^2: 0.8808, no longer above 0.9.
  rows = calibration.selective(np.array([0]), np.array([[4.0, 0.0]]), temperature=2.0)
  assert {row['min_confidence']: row['count'] for row in rows}[0.8] == 1
  assert {row['min_confidence']: row['count'] for row in rows}[0.9] == 0
