# SPDX-License-Identifier: Apache-2.0
"""Where a team stands between its data and its machines, and the route that this recommends.

The map is that of an essay of 2022: data across, infrastructure up. The borders are judgements, stated in one place:
below ``NO_LABELS`` labelled rows nothing can be fitted and checked; from ``ENOUGH_LABELS`` a margin of about two points
can be proved; a machine with an accelerator of ``LARGE_MEMORY_GB`` or more tunes encoders and serves a few billion
parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bigenough.atlas.cards import compact
from bigenough.atlas.facts import find_accelerator
from bigenough.atlas.records import Model
from bigenough.errors import BadOption
from bigenough.quantity import Quantity, modelled

__all__ = [
    "ENOUGH_LABELS",
    "LARGE_MEMORY_GB",
    "NO_LABELS",
    "Advice",
    "Player",
    "Standing",
    "players",
    "route",
    "standing_of",
]

NO_LABELS = 50
ENOUGH_LABELS = 2000
LARGE_MEMORY_GB = 16.0


@dataclass(frozen=True)
class Standing:
    """A team's data and machine.

    Attributes:
        labelled: examples with gold labels.
        memory_gb: that a model may take; of all accelerators together where there are some, else of the computer.
        accelerators: how many; 0 for a computer without.
        unlabelled: texts without labels.
        tokens_per_text: about a quarter of the characters.
        raced: whether a study of these rows was made already.
    """

    labelled: int
    memory_gb: float
    accelerators: int = 0
    unlabelled: int = 0
    tokens_per_text: float = 60.0
    raced: bool = False

    def __post_init__(self) -> None:
        for name in ("labelled", "unlabelled", "accelerators"):
            if getattr(self, name) < 0:
                raise BadOption(f"{name}={getattr(self, name)}: expected zero or more.")
        for name in ("memory_gb", "tokens_per_text"):
            if not 0 < getattr(self, name) < 1e9:
                raise BadOption(f"{name}={getattr(self, name)}: expected more than zero and less than 10^9.")

    @property
    def tokens(self) -> float:
        """Tokens of text at hand, labelled or not."""
        return (self.labelled + self.unlabelled) * self.tokens_per_text

    @property
    def is_large(self) -> bool:
        """Whether the machine tunes encoders and serves a few billion parameters."""
        return self.accelerators > 0 and self.memory_gb >= LARGE_MEMORY_GB


@dataclass(frozen=True)
class Advice:
    """The recommended route.

    Attributes:
        corner: where on the map: the data, then the machine.
        counted: the data and the machine that it rests on.
        headline: what to do, in a sentence.
        reason: why.
        steps: what to do next, in order.
        serves, serves_small: largest model that the memory serves at 16 bits, and at 4.
        tunes: largest model of which all weights can be tuned.
        pretrains: largest model that the text would train well from nothing.
    """

    corner: str
    counted: str
    headline: str
    reason: str
    steps: tuple[str, ...]
    serves: Quantity
    serves_small: Quantity
    tunes: Quantity
    pretrains: Quantity

    def sizes(self) -> tuple[tuple[str, Quantity], ...]:
        """What the machine and the text allow, in words and parameters."""
        return (
            ("largest model served at 16 bits", self.serves),
            ("largest model served at 4 bits", self.serves_small),
            ("largest model tuned with all weights", self.tunes),
            ("largest model the text trains well from nothing", self.pretrains),
        )

    def text(self) -> str:
        """The advice for a terminal."""
        lines = [
            f"{self.corner}: {self.headline}",
            f"You have {self.counted}. {self.reason}",
            *(f"  {place}. {step}" for place, step in enumerate(self.steps, 1)),
        ]
        return "\n".join([*lines, *(f"{name}: {_few(size)}; {size.source}" for name, size in self.sizes())])

    def to_json(self) -> dict[str, Any]:
        """The advice as plain JSON values."""
        told = {
            "corner": self.corner,
            "counted": self.counted,
            "headline": self.headline,
            "reason": self.reason,
            "steps": list(self.steps),
        }
        return {**told, "sizes": {name: size.to_json() for name, size in self.sizes()}}


class Player(NamedTuple):
    """Who trained a model with how much text on how much memory: a dot of the map."""

    name: str
    tokens: float
    memory_gb: float


def standing_of(audit: object, *, memory_gb: float, accelerators: int = 0, unlabelled: int = 0) -> Standing:
    """The standing from a study's audit, as its JSON file holds it, and a machine.

    Raises:
        BadOption: the audit does not say how many rows were split.
    """
    splits = audit.get("splits") if isinstance(audit, Mapping) else None
    found = [splits.get(name) for name in ("fit", "select", "certify")] if isinstance(splits, Mapping) else []
    counts = [one for one in found if type(one) is int and one >= 0]
    if not isinstance(audit, Mapping) or len(counts) != 3:
        raise BadOption(
            "The study's audit.json does not say how many rows are in fit, select and certify: it is damaged, or of "
            "another version. Fit the study again, or say --rows N."
        )
    length = audit.get("length")
    characters = length.get("median_chars") if isinstance(length, Mapping) else None
    tokens = max(1.0, characters / 4) if isinstance(characters, int | float) else Standing.tokens_per_text
    return Standing(sum(counts), memory_gb, accelerators, unlabelled, tokens_per_text=tokens, raced=True)


def route(standing: Standing) -> Advice:
    """The recommended route from where a team stands.

    >>> route(Standing(labelled=5000, memory_gb=16)).corner
    'enough labels, small machine'
    """
    some = (
        "no labels"
        if standing.labelled < NO_LABELS
        else "few labels"
        if standing.labelled < ENOUGH_LABELS
        else "enough labels"
    )
    machine = "large machine" if standing.is_large else "small machine"
    headline, reason, steps = _ROUTES[some, machine]
    if some == "no labels" and standing.unlabelled:
        steps = (
            f"Draw {min(300, standing.unlabelled)} of your {standing.unlabelled:,} texts at random and "
            "label them twice.",
            *steps,
        )
    if standing.raced:
        steps = tuple(_READ if step == _RACE else step for step in steps)
    spread = f" on {standing.accelerators} accelerators" if standing.accelerators else ""
    where = (
        f"{standing.labelled:,} labelled texts of about {standing.tokens_per_text:g} tokens, "
        f"and {standing.memory_gb:g} GB{spread}"
    )
    return Advice(f"{some}, {machine}", where, headline, reason, steps, *_sizes(standing))


def players(rows: Iterable[Model]) -> tuple[Player, ...]:
    """The makers of models whose training tokens and devices are published, as dots for the map."""
    found = []
    for row in rows:
        device = find_accelerator(row.hardware) if row.hardware else None
        if device is not None and row.accelerators and row.train_tokens:
            found.append(Player(row.name, float(row.train_tokens), row.accelerators * device.memory_gb))
    return tuple(found)


def _sizes(standing: Standing) -> tuple[Quantity, Quantity, Quantity, Quantity]:
    room = 0.8 * standing.memory_gb * 1e9
    served = "four fifths of the memory for weights, {} bytes a parameter"
    return (
        modelled(room / 2, "params", served.format(2)),
        modelled(room / (4.85 / 8), "params", served.format("4.85/8") + " (a Q4_K_M file)"),
        modelled(room / 16, "params", served.format(16) + ": weights, gradients, Adam (arXiv:1910.02054 section 3.1)"),
        modelled(
            standing.tokens / 20, "params", "a twentieth of the tokens (arXiv:2203.15556, about 20 tokens a parameter)"
        ),
    )


def _few(size: Quantity) -> str:
    return f"{compact(size.value)} {size.unit}" if size.value else "none"


_LABEL = "Say how many rows a proof needs: bigenough power --margin 2."
_READ = "Read the report of your study: bigenough report STUDY."
_RACE = "Race the ladder on your rows: bigenough fit TABLE --label COLUMN."
_ROUTES: Mapping[tuple[str, str], tuple[str, str, tuple[str, ...]]] = {
    ("no labels", "small machine"): (
        "label some rows first; meanwhile rules, or a hosted generalist",
        "Without gold nothing can be checked, and this machine serves only small models.",
        (
            _LABEL,
            "Try rules and a hosted generalist on what you labelled; keep its answers out of gold.",
            "Come back with a few hundred labels: a classical model may do.",
        ),
    ),
    ("no labels", "large machine"): (
        "run an open generalist in the house, and let people check its answers",
        "The machine serves a model that answers without examples; checked answers become labels, and no "
        "text leaves the house.",
        (
            "See which model fits: bigenough plan NAME --on DEVICE.",
            _LABEL,
            "Once a few hundred rows are checked, race the ladder: a small model may replace the large one.",
        ),
    ),
    ("few labels", "small machine"): (
        "frozen encoders and classical models now; label where they disagree",
        "Small models on shipped embeddings learn from tens of rows; a proof needs more.",
        (
            _RACE,
            "Read the learning curve: it says whether more labels would help.",
            "Label what the study names: --unlabelled POOL.",
        ),
    ),
    ("few labels", "large machine"): (
        "an open generalist with examples in its prompt, against frozen encoders",
        "With few labels either may win; the machine can run both, so measure both.",
        (
            _RACE,
            "See which generalist fits: bigenough plan NAME --on DEVICE.",
            "Label what the study names: --unlabelled POOL.",
        ),
    ),
    ("enough labels", "small machine"): (
        "race the ladder: the annotated-data model of the previous generation often wins here",
        "Enough labels to fit and to prove; everything up to a sentence encoder runs on this machine.",
        (_RACE, "Ship the smallest that is proved; send unsure cases to people or to a hosted generalist."),
    ),
    ("enough labels", "large machine"): (
        "race the whole ladder, tuned encoders included; keep the generalist as the opponent",
        "Data and machine allow every rung below a giant; the smallest that passes is the cheapest for years.",
        (
            _RACE,
            "Plan the larger rungs before tuning: bigenough plan NAME --on DEVICE.",
            "Training from nothing is for those far up the map.",
        ),
    ),
}
