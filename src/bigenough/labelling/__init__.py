# SPDX-License-Identifier: Apache-2.0
"""The road from no labels: a generalist labels, people check a random sample, the ladder is judged by what they said.

This package decides which rows people check (drawn before anybody has labelled anything), what the generalist's labels
are worth by those rows, and which rows train and which certify. It refuses to call agreement quality, to let a row
certify twice, and to certify by a label that no person gave.
"""
