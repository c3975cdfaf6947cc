# SPDX-License-Identifier: Apache-2.0
"""The data desk: what is wrong with the user's data, where, and what to do about it.

This package decides what counts as a fault (a leak between splits, a contradiction, a class too small to prove anything
about, a label that is probably wrong, likely personal data, ...), how grave it is and which rows show it. It refuses to
change, drop or mend a row, to let a model look at certify's labels, to print personal data, and to call a language, a
wrong label or a leak certain where it only sampled or guessed: then it says so.
"""

from bigenough.task.audit.audit import Audit, AuditJson, audit
from bigenough.task.audit.classes import ClassSize, wilson_half_width
from bigenough.task.audit.findings import ExampleRow, Finding, FindingJson, Severity
from bigenough.task.audit.label_errors import noise_ceiling
from bigenough.task.audit.lengths import Lengths
from bigenough.task.audit.out_of_fold import OutOfFold, out_of_fold
from bigenough.task.audit.parts import SplitPositions

__all__ = [
    "Audit",
    "AuditJson",
    "ClassSize",
    "ExampleRow",
    "Finding",
    "FindingJson",
    "Lengths",
    "OutOfFold",
    "Severity",
    "SplitPositions",
    "audit",
    "noise_ceiling",
    "out_of_fold",
    "wilson_half_width",
]
