# SPDX-License-Identifier: Apache-2.0
"""What is asked, and what the user's data can bear.

This package reads tables, guesses columns and says why, audits the data, fixes the splits and defines the scores. It
never drops or mends a row silently: each decision is a sentence in the report. It refuses to guess labels.
"""

from bigenough.task.task import Examples, Limits, MetricName, Task

__all__ = ["Examples", "Limits", "MetricName", "Task"]
