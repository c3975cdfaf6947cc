# SPDX-License-Identifier: Apache-2.0
"""The verdict's statistics a second time: numpy and the standard library, and nothing else of bigenough.

It shares no line with the code that made the verdict, so that an error in one of them shows as a disagreement. It does
not decide anything.
"""

from .check import Arrays, Check, recompute

__all__ = ["Arrays", "Check", "recompute"]
