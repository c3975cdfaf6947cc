# SPDX-License-Identifier: Apache-2.0
"""A fitted model in, a smaller one out, which is a candidate like any other and has to earn the verdict itself.

Each step is a rung made from a parent. It decides how the parent is cut or coded, by looking at the select rows, and
refuses what went bad there: flips above those allowed for a step that keeps the weights, accuracy lost for one that
learns again. It refuses to say whether what is left is good enough; certify is not an argument of anything here.
"""
