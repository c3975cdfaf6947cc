# SPDX-License-Identifier: Apache-2.0
"""``python -m bigenough``: the command line."""

from bigenough.cli.app import main

if __name__ == "__main__":
    main()
