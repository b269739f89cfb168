"""What the rounds of a race come to."""

import numpy

RESAMPLES = 2000


def finite(value):
    """The same with None for numbers that are not finite: JSON has none."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not numpy.isfinite(value) else value


def fastest(rounds):
    """Of a peer's ways, whose times are {way: [ms per round]}, the one with the smallest median."""
    return min(rounds, key=lambda way: numpy.median(rounds[way]))


def summarise(times, peers, seed):
    """{case: {peer or best: {ratio, interval}}}, and the geometric means over the cases that a peer computes.

    `times` are {case: {side: [ms per round]}}, `ours` among the sides. A ratio is of medians. The interval holds the middle
    95% of ratios when rounds are drawn again, all sides of a case together: with few rounds it is rough."""
    rounds = len(next(iter(next(iter(times.values())).values())))
    chance = numpy.random.default_rng(seed)
    # The first sample is the rounds as they were.
    samples = numpy.vstack([
        numpy.arange(rounds), chance.integers(rounds, size=(RESAMPLES, rounds))])

    def figure(values):
        low, high = numpy.quantile(values[1:], [0.025, 0.975])
        return {"ratio": float(values[0]), "interval": [float(low), float(high)]}

    ratios = {}
    for name, sides in times.items():
        medians = {side: numpy.median(numpy.array(milliseconds)[samples], axis=1) for side, milliseconds in sides.items()}
        ours = medians.pop("ours")
        ratios[name] = {peer: median / ours for peer, median in medians.items()}
        if medians:
            ratios[name]["best"] = numpy.min(list(ratios[name].values()), axis=0)
    means = {}
    for peer in [*peers, "best"]:
        known = [ratios[name][peer] for name in ratios if peer in ratios[name]]
        if known:
            means[peer] = {**figure(numpy.exp(numpy.mean(numpy.log(known), axis=0))), "cases": len(known)}
    return {name: {peer: figure(values) for peer, values in row.items()} for name, row in ratios.items()}, means
