# SPDX-License-Identifier: Apache-2.0
"""Every failure that bigenough raises on purpose, in one tree.

::

    BigEnoughError                     catch this one to catch them all
    ├── InputError (ValueError)        your table or options; the command line exits with 2
    │   ├── UnreadableTable            the file or frame cannot be read as a table
    │   ├── ColumnNotFound (KeyError)  a named column is missing, doubled or cannot be guessed
    │   ├── NotEnoughLabels            too few rows or classes to fit or to prove anything
    │   ├── UnsupportedModel           weights of a kind that is not known here, or with parts missing
    │   └── BadOption                  an option has a value that makes no sense
    ├── MissingExtra (ImportError)     a rung needs a package that is not installed
    ├── WeightsNotFound                no folder, package, cache or hub has the named weights
    ├── RungFailed                     one rung could not be fitted; the study keeps the others
    │   ├── BudgetSpent                an endpoint's next request might cost more than the budget leaves
    │   ├── Refused                    all that a step made smaller was looked at and is not to be used
    │   └── RequestRefused             an endpoint does not take a request as it is
    ├── TamperedArtefact               a file is not the one that was judged
    ├── StudyMismatch                  the folder holds a study of other data or other options
    └── OutOfDisk (OSError)            nothing was lost: free space, run the same command again

Each message says what was found, where, what was expected and what to do next.
"""

__all__ = [
    "BadOption",
    "BigEnoughError",
    "BudgetSpent",
    "ColumnNotFound",
    "InputError",
    "MissingExtra",
    "NotEnoughLabels",
    "OutOfDisk",
    "Refused",
    "RequestRefused",
    "RungFailed",
    "StudyMismatch",
    "TamperedArtefact",
    "UnreadableTable",
    "UnsupportedModel",
    "WeightsNotFound",
]


class BigEnoughError(Exception):
    """Something that bigenough refuses to do, with the reason and the next step."""


class InputError(BigEnoughError, ValueError):
    """The table or the options cannot be used as they are."""


class UnreadableTable(InputError):
    """The file or frame cannot be read as a table of examples."""


class ColumnNotFound(InputError, KeyError):
    """A named column is missing or doubled, or the columns' roles cannot be guessed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotEnoughLabels(InputError):
    """There are too few labelled rows, or too few classes, to fit or to prove anything."""


class UnsupportedModel(InputError):
    """A folder or file holds a model of a kind that is not known here, or one with parts missing."""


class BadOption(InputError):
    """An option has a value that makes no sense."""


class MissingExtra(BigEnoughError, ImportError):
    """A feature needs a package that is not installed."""

    def __init__(self, feature: str, package: str, command: str) -> None:
        super().__init__(f"{feature} needs the package {package!r}, which is not installed. Install it: {command}")


class WeightsNotFound(BigEnoughError, FileNotFoundError):
    """No folder, installed package, Hugging Face cache or hub has the named weights."""


class RungFailed(BigEnoughError):
    """One rung could not be fitted; a study records the reason and goes on with the others."""


class Refused(RungFailed):
    """All that a step made smaller was looked at and is not to be used: the same rows give the same answer again."""


class BudgetSpent(RungFailed):
    """The next request might cost more than the budget leaves; every reply that was paid for is kept."""


class RequestRefused(RungFailed):
    """The endpoint does not take a request as it is.

    Attributes:
        parameter: what it complains of, in its own words.
    """

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class TamperedArtefact(BigEnoughError):
    """A file differs from the one that was judged, or is missing."""


class StudyMismatch(BigEnoughError):
    """The folder holds a study of other data or other options, and is left as it is."""


class OutOfDisk(BigEnoughError, OSError):
    """The disk is full; finished work is kept and the same command resumes it."""
