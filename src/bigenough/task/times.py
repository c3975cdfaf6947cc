# SPDX-License-Identifier: Apache-2.0
"""From a column of dates, timestamps or numbers to numbers that grow with time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigenough.errors import BadOption
from bigenough.task.table import count, few

if TYPE_CHECKING:
    import polars as pl

__all__ = ["read_times"]

_FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%a %b %d %H:%M:%S %z %Y",
)  # fmt: skip
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
_DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y")


def read_times(column: pl.Series, name: str, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], list[str]]:
    """The rows' times, and what was decided about them.

    Args:
        column: (n,) dates, times, numbers or text.
        name: the column's name, for messages.
        rows: (n,) data-row numbers, for messages.

    Returns:
        (n,) seconds since 1970, or the numbers themselves; −inf where there is none: such a row counts as early.

    Raises:
        BadOption: values are neither numbers nor dates in one known form, or days and months cannot be told apart.
    """
    import polars as pl

    if column.dtype in (pl.Date, pl.Datetime):
        values = _seconds(column)
    elif column.dtype == pl.String:
        text = column.str.strip_chars()
        text = text.set((text == "").fill_null(False), None)
        values = _parse(text, name, rows)
    else:
        values = column.cast(pl.Float64)
    times = values.fill_null(-np.inf).fill_nan(-np.inf).to_numpy().astype(np.float64, copy=True)
    missing = np.isneginf(times)
    if missing.all():
        raise BadOption(f"The time column {name!r} is empty. Dates, timestamps or numbers were expected.")
    said = [f"Time is read from {name!r}: the latest rows certify."]
    if missing.any():
        said.append(
            f"{count(int(missing.sum()), 'row')} without a time (rows {few(rows[missing])}) count as the earliest."
        )
    return times, said


def _seconds(column: pl.Series) -> pl.Series:
    import polars as pl

    return column.cast(pl.Datetime("us")).dt.timestamp("us").cast(pl.Float64) / 1e6


def _parse(text: pl.Series, name: str, rows: NDArray[np.int64]) -> pl.Series:
    import polars as pl

    n_known = len(text) - text.null_count()
    numbers = text.cast(pl.Float64, strict=False)
    as_days = _dates(text, "%Y%m%d")
    if len(numbers) - numbers.null_count() == n_known:
        return numbers if len(as_days) - as_days.null_count() < n_known else as_days
    fits = [form for form in (*_FORMATS, *_DAYS) if _fits(text, form, n_known)]
    if fits:
        return _dates(text, fits[0])
    day_first = [form for form in _DAY_FIRST if _fits(text, form, n_known)]
    month_first = [form for form in _MONTH_FIRST if _fits(text, form, n_known)]
    if day_first and month_first and not _dates(text, day_first[0]).equals(_dates(text, month_first[0])):
        raise BadOption(
            f"The time column {name!r} holds dates such as {text.drop_nulls()[0]!r}, whose day and month cannot be "
            "told apart. Write them as YYYY-MM-DD."
        )
    if day_first or month_first:
        return _dates(text, (day_first or month_first)[0])
    known = text.is_not_null().to_numpy()
    best = max((*_FORMATS, *_DAYS, *_DAY_FIRST, *_MONTH_FIRST), key=lambda form: -_dates(text, form).null_count())
    bad = np.flatnonzero(known & _dates(text, best).is_null().to_numpy())
    raise BadOption(
        f"The time column {name!r} has {count(len(bad), 'value')} that are no date in the form of the others, such as "
        f"{text[int(bad[0])]!r} in row {rows[bad[0]]}. Write all as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, or as numbers."
    )


def _fits(text: pl.Series, form: str, n_known: int) -> bool:
    head = text.drop_nulls().head(100)
    if _dates(head, form).null_count():
        return False
    return len(text) - _dates(text, form).null_count() == n_known


def _dates(text: pl.Series, form: str) -> pl.Series:
    if "%H" not in form:
        return _seconds(text.str.to_date(form, strict=False))
    if "%:z" in form or "%z" in form:
        return _seconds(text.str.to_datetime(form, strict=False, time_unit="us").dt.convert_time_zone("UTC"))
    return _seconds(text.str.to_datetime(form, strict=False, time_unit="us", time_zone=None))
