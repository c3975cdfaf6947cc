# SPDX-License-Identifier: Apache-2.0
"""The command line: one file a command, each a thin skin over the library.

This package decides what is typed and what is printed, and nothing else: a command reads options, calls one function
and shows its result, as a table for people or as JSON for scripts (``--json``). Exit codes: 0 proved, 3 none is good
enough, 4 cannot tell, 2 bad input, 1 anything else that went wrong.
"""
