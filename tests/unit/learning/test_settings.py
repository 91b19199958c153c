"""Which policy the settings ask for."""

from partsong.learning.judged import PolicyFigures
from partsong.learning.settings import Settings, advised


def test_a_policy_of_unknown_price_is_not_advised_for_being_free():
    unpriced, priced = (
        PolicyFigures(p, 100, a, a - 0.1, a + 0.1, usd, 0.0, 1.0) for p, a, usd in (("vote", 0.8, float("nan")), ("best", 0.8, 2))
    )
    assert advised([unpriced, priced], None, Settings(value_of_correct_usd=0.01)) == "best"
    assert advised([unpriced, priced], None, Settings(budget_usd=5.0)) == "best"
