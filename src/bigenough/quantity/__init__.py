# SPDX-License-Identifier: Apache-2.0
"""Numbers that say where they come from.

This package decides how a figure is carried and printed: a value or a range, its unit, and whether it was *measured*
here, *modelled* by a named formula or *published* by somebody. It refuses to hold a number without a provenance, and it
never turns an unknown into zero.
"""

from bigenough.quantity.quantity import Provenance, Quantity, measured, modelled, published, unknown

__all__ = ["Provenance", "Quantity", "measured", "modelled", "published", "unknown"]
