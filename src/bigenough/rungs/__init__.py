# SPDX-License-Identifier: Apache-2.0
"""The recipes, one file each, smallest first: majority, linear, static, frozen, and whatever plugins add.

A rung turns examples into a predictor and nothing else. This package decides how a model of a given size is made,
which settings are tried and how its probabilities are made honest; it never sees the certify split and never decides
who wins.
Importing it is cheap: each heavy library is imported in the one file that needs it, when it is needed.
"""
