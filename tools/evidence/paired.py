"""Paired differences: Student's t, its intervals and p values, and Holm's correction, with the standard library
only."""
import dataclasses
import math
import statistics


def _continued_fraction(a, b, x):
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10000):
        for factor in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                       -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 + factor * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + factor / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def incomplete_beta(a, b, x):
    """The regularized incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _continued_fraction(a, b, x) / a


def two_sided_p(t, freedom):
    """The probability of |T| >= |t| under Student's distribution with `freedom` degrees."""
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(probability, freedom):
    """Student's quantile, by bisection; `probability` strictly between 0 and 1."""
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    tail, low, high = 2 * (1 - probability), 0.0, 1.0
    while two_sided_p(high, freedom) > tail:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if two_sided_p(middle, freedom) > tail else (low, middle)
    return middle


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Statistics of paired differences. A single pair has no deviation, interval or p."""
    count: int
    above: int  # differences greater than 0
    mean: float
    deviation: float | None
    interval: tuple | None  # 95 %, of the mean
    p: float | None  # of the two-sided paired t test


def compare(differences):
    """Returns None if there are no differences."""
    count = len(differences)
    if count == 0:
        return None
    mean, above = statistics.fmean(differences), sum(each > 0 for each in differences)
    if count == 1:
        return Comparison(1, above, mean, None, None, None)
    deviation = statistics.stdev(differences)
    error = deviation / math.sqrt(count)
    half = t_quantile(0.975, count - 1) * error
    # Equal differences have no t: p is 1 if all are zero, otherwise 0.
    p = two_sided_p(mean / error, count - 1) if error > 0 else float(mean == 0)
    return Comparison(count, above, mean, deviation, (mean - half, mean + half), p)


def holm(p_values):
    """Holm's adjusted p values. None, for a test not made yet, counts as 1 and stays None."""
    order = sorted(range(len(p_values)), key=lambda i: 1 if p_values[i] is None else p_values[i])
    adjusted, largest = [None] * len(p_values), 0.0
    for rank, i in enumerate(order):
        if p_values[i] is not None:
            largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
            adjusted[i] = largest
    return adjusted
