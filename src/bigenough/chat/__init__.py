# SPDX-License-Identifier: Apache-2.0
"""Asking large language models for a label: what is said, what comes back, what it costs.

This package decides how a classification becomes chat messages, how a reply becomes a class or a named failure, and
that no reply is ever paid for twice. It refuses to guess: a reply that names no class, or two, is a failure and is
counted as one. It never writes down a key.
"""

from bigenough.chat.prompt import Prompt

__all__ = ["Prompt"]
