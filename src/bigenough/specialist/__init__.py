# SPDX-License-Identifier: Apache-2.0
"""The packaged winner: one folder, no pickle, that runs without torch and without the code that trained it.

This package decides what is in that folder, and refuses to predict with a file that is not the one that was judged. It
does not judge: scores, limits and the verdict's sentence are written down as they were found. Hashes show that nothing
was damaged or swapped by mistake; they are no signature, and whoever can write the folder can write them anew.
"""

from bigenough.specialist.specialist import SelfCheck, Specialist, load

__all__ = ["SelfCheck", "Specialist", "load"]
