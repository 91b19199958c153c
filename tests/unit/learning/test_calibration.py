import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partsong.learning.calibration import Isotonic, Platt, expected_calibration_error, logit, sigmoid


def sure_and_right(rows: int, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(1)
    truth = dice.uniform(0.05, 0.95, rows)
    return sigmoid(stretch * logit(truth)), (dice.random(rows) < truth).astype(np.float64)


def test_overconfidence_is_cured_by_a_line_and_by_steps():
    sure, right = sure_and_right(6000, 3.0)
    assert expected_calibration_error(sure, right) > 0.1
    for fit in (Platt, Isotonic):
        honest = fit.fit(sure[:4000], right[:4000])
        assert expected_calibration_error(honest(sure[4000:]), right[4000:]) < 0.03


def test_a_perfect_confidence_stays_as_it_is():
    sure, right = sure_and_right(20000, 1.0)
    line = Platt.fit(sure, right)
    assert abs(line.slope - 1) < 0.1
    assert abs(line.shift) < 0.1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_calibrated_confidences_never_fall_and_stay_probabilities(rows: list[tuple[float, bool]]):
    sure, right = np.array([s for s, _ in rows]), np.array([float(r) for _, r in rows])
    grid = np.linspace(0, 1, 50)
    for fit in (Platt, Isotonic):
        honest = fit.fit(sure, right)(grid)
        assert (np.diff(honest) >= -1e-12).all()
        assert ((honest >= 0) & (honest <= 1)).all()


def test_the_error_is_the_gap_weighed_by_rows():
    assert abs(expected_calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([1.0, 0.0, 0.0, 0.0])) - 0.25) < 1e-12
