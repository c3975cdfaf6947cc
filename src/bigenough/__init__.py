# SPDX-License-Identifier: Apache-2.0
"""How big is big enough? The smallest model that provably does your job as well as the big one.

>>> import bigenough
>>> study = bigenough.fit("tickets.csv", label="intent")       # doctest: +SKIP
>>> study.verdict.sentence                                     # doctest: +SKIP
>>> study.specialist.predict(["my card has not arrived"])      # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bigenough.specialist import Specialist, load
    from bigenough.study import Study, fit

__all__ = ["Specialist", "Study", "__version__", "fit", "load"]

__version__ = "0.1.0"

_HOMES = {
    "Specialist": "bigenough.specialist",
    "load": "bigenough.specialist",
    "Study": "bigenough.study",
    "fit": "bigenough.study",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import bigenough`` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bigenough' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
