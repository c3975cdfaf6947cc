# SPDX-License-Identifier: Apache-2.0
"""What stopping early asks for: rows until an anytime-valid test has decided, beside the test of fixed size.

    python benchmarks/sequential.py            # prints the tables of docs/statistics.md, "Stopping early"

Rows are drawn from known truths, so nothing is read and nothing but this file's seed decides the figures.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MARGIN, ALPHA, BATCH = 0.02, 0.05, 50
DISCORDANCES = (0.05, 0.10, 0.20)
DIFFERENCES = (0.0, -MARGIN / 2, MARGIN, -2 * MARGIN)
TIMES = (1, 2, 4)
STUDIES = 2000


class Asked(NamedTuple):
    """What sequential studies of one truth asked for and found."""

    rows: float
    not_worse: float
    worse: float


def crossings(
    rng: np.random.Generator, n: int, difference: float, discordance: float, studies: int, *,
    expected: float, margin: float = MARGIN,
) -> np.ndarray:  # fmt: skip
    """(2, studies) rows after which each study first found "not worse", and "worse"; n + 1 if the other came first.

    The stakes are multiplied up row by row, where ``log_e_value`` takes logs of counts; a test holds the two equal.
    """
    from bigenough.verdict.anytime import bets

    only_candidate, only_reference = (discordance + difference) / 2, (discordance - difference) / 2
    outcomes = np.array([-1, 0, 1]) + margin
    factors, stakes = [], []
    for worse, sign in ((False, 1), (True, -1)):
        bet, share = bets(margin, expected, worse=worse)
        factors.append(1 + sign * bet[:, None] * outcomes)
        stakes.append(np.repeat(share[:, None], studies, axis=1))
    found, going = np.full((2, studies), n + 1), np.arange(studies)
    for row in range(1, n + 1):
        luck = rng.random(len(going))
        outcome = 1 + (luck < only_candidate) - (luck > 1 - only_reference)
        stakes = [stake * factor[:, outcome] for stake, factor in zip(stakes, factors, strict=True)]
        reached = [stake.sum(axis=0) >= 1 / ALPHA for stake in stakes]
        for side in (0, 1):
            found[side, going[reached[side]]] = row
        kept = ~(reached[0] | reached[1])
        if not kept.all():
            going, stakes = going[kept], [stake[:, kept] for stake in stakes]
        if not len(going):
            break
    return found


def asked(firsts: np.ndarray, n: int, batch: int = BATCH) -> Asked:
    """The mean of the rows asked, in whole batches of at most n rows in all, and the shares of what was found."""
    good, bad = firsts
    ended = np.minimum(np.ceil(np.minimum(good, bad) / batch) * batch, n)
    return Asked(
        float(ended.mean()), float(np.mean((good <= n) & (good < bad))), float(np.mean((bad <= n) & (bad < good)))
    )


def fixed(n: int, discordance: float, difference: float) -> tuple[float, float]:
    """The chances that the test of n rows finds "not worse" and "worse"."""
    from bigenough.verdict.exact import exact_level
    from bigenough.verdict.noninferiority import tango_upper
    from bigenough.verdict.power import power

    b, c = (discordance + difference) / 2, (discordance - difference) / 2
    draws = np.random.default_rng(0).multinomial(n, [b, c, 1 - b - c], size=4000)
    upper = tango_upper(draws[:, 0], draws[:, 1], n, exact_level(n, MARGIN, ALPHA, worse=True))
    return power(n, MARGIN, discordance, ALPHA, difference), float(np.mean(upper < -MARGIN))


def run(studies: int = STUDIES) -> list[dict[str, float]]:
    """For each truth and certify of the fixed size for power 0.8, twice and four times that: rows asked, findings."""
    from bigenough.verdict.power import rows_needed

    figures = []
    for discordance in DISCORDANCES:
        n = rows_needed(MARGIN, discordance, ALPHA)
        for difference in DIFFERENCES:
            rng = np.random.default_rng([7, round(1000 * discordance), round(1000 * (difference + 1))])
            firsts = crossings(rng, 4 * n, difference, discordance, studies, expected=discordance)
            for times in TIMES:
                power = fixed(times * n, discordance, difference)
                found = asked(firsts, times * n)
                figures.append(
                    {
                        "discordance": discordance, "difference": difference, "certify_rows": times * n,
                        "rows_asked": found.rows, "not_worse": found.not_worse, "worse": found.worse,
                        "fixed_not_worse": power[0], "fixed_worse": power[1],
                    }
                )  # fmt: skip
    return figures


def table(figures: list[dict[str, float]]) -> str:
    """The figures as Markdown: a line for each truth."""
    sizes = " | ".join(f"asked of {times}n" for times in TIMES)
    chances = " | ".join(f"decided within {times}n" for times in TIMES)
    lines = [f"| discordance | n | true difference | {sizes} | {chances} |", "|" + " --- |" * (3 + 2 * len(TIMES))]
    for start in range(0, len(figures), len(TIMES)):
        same = figures[start : start + len(TIMES)]
        one, side = same[0], "not_worse" if same[0]["difference"] > -MARGIN else "worse"
        rows = " | ".join(f"{each['rows_asked']:,.0f}" for each in same)
        found = " | ".join(f"{each[side]:.0%} ({each['fixed_' + side]:.0%})" for each in same)
        truth = f"{one['discordance']:.0%} | {one['certify_rows']:,} | {100 * one['difference']:+.0f}"
        lines.append(f"| {truth} | {rows} | {found} |")
    return "\n".join(lines)


def edge(studies: int = STUDIES) -> list[dict[str, float]]:
    """At the margin itself, where both findings are false: how often each was found, looking after every row of 4n."""
    from bigenough.verdict.power import rows_needed

    figures = []
    for discordance in DISCORDANCES:
        n = TIMES[-1] * rows_needed(MARGIN, discordance, ALPHA)
        rng = np.random.default_rng([8, round(1000 * discordance)])
        not_worse, worse = crossings(rng, n, -MARGIN, discordance, studies, expected=discordance)
        figures.append(
            {
                "discordance": discordance, "certify_rows": n, "studies": studies,
                "not_worse": float((not_worse <= n).mean()), "worse": float((worse <= n).mean()),
            }
        )  # fmt: skip
    return figures


def page(truths: list[dict[str, float]], at_edge: list[dict[str, float]]) -> str:
    """The part of the results' page."""
    false = "; ".join(
        f"discordance {each['discordance']:.0%}: {each['not_worse']:.1%} and {each['worse']:.1%}" for each in at_edge
    )
    return (
        f"Simulated studies, margin {100 * MARGIN:g} points, level {ALPHA:.0%}, batches of {BATCH}: how many certify "
        "rows a paid reference is asked about when asking stops as soon as a test that may be looked at any time has "
        "decided. n is what the test of fixed size needs; true differences are in points. *Decided*: the right "
        "finding, in brackets that of the test of fixed size. The same tables are in docs/statistics.md.\n\n"
        f"{table(truths)}\n\n"
        f"False findings at the margin itself, of {at_edge[0]['studies']:,} studies each looked at after every one of "
        f"{TIMES[-1]}n rows, *not worse* and *worse*, at most {ALPHA:.0%} each being promised: {false}."
    )


def plug_in(differences: np.ndarray, margin: float, alpha: float, kind: str, expected: float) -> np.ndarray:
    """(studies,) rows until "not worse" was found by Waudby-Smith & Ramdas's plug-in bets, aGRAPA or ONS.

    Their aGRAPA starts from one imagined row; here from 50 of the expected discordance, without which it fares worse.
    """
    n, studies = differences.shape
    most, wealth, found = 0.9 / (1 - margin), np.zeros(studies), np.full(studies, n + 1)
    bet, total, squares, curvature = np.zeros(studies), np.zeros(studies), np.zeros(studies), np.ones(studies)
    for row, d in enumerate(differences.astype(float)):
        if kind == "aGRAPA":
            mean = total / (row + 50)
            variance = (squares + 50 * expected) / (row + 50) - mean**2
            bet = np.clip((mean + margin) / (variance + (mean + margin) ** 2), 0, most)
        gain = d + margin
        wealth += np.log1p(bet * gain)
        if kind == "ONS":
            slope = -gain / (1 + bet * gain)
            curvature += slope**2
            bet = np.clip(bet - 2 / (2 - np.log(3)) * slope / curvature, 0, most)
        total, squares = total + d, squares + d**2
        found[(wealth >= -np.log(alpha)) & (found > n)] = row + 1
    return found


def rivals(studies: int = 500) -> str:
    """Rows until "not worse" was found, by how the bets are chosen, as Markdown; at most four times the fixed size."""
    from bigenough.verdict.power import rows_needed

    lines = [
        "| discordance | true difference | ours | ours, expecting 10 % | aGRAPA | ONS |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for discordance in DISCORDANCES:
        n = 4 * rows_needed(MARGIN, discordance, ALPHA)
        for difference in DIFFERENCES[:3]:
            luck = np.random.default_rng(11).random((n, studies))
            only_candidate, only_reference = (discordance + difference) / 2, (discordance - difference) / 2
            drawn = (luck < only_candidate).astype(np.int8) - (luck > 1 - only_reference)
            ours = [
                crossings(np.random.default_rng(12), n, difference, discordance, studies, expected=expected)[0]
                for expected in (discordance, 0.1)
            ]
            theirs = [plug_in(drawn, MARGIN, ALPHA, kind, discordance) for kind in ("aGRAPA", "ONS")]
            cells = " | ".join(f"{np.minimum(each, n).mean():,.0f}" for each in (*ours, *theirs))
            lines.append(f"| {discordance:.0%} | {100 * difference:+.0f} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
    print()
    print(rivals())
