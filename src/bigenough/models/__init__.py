# SPDX-License-Identifier: Apache-2.0
"""Where pre-trained weights come from, and how they become sentence vectors.

This package decides which folder a model's name stands for, checks its files against known hashes, and runs BERT-type
encoders in onnxruntime without torch. It refuses anything unverified: pickles, remote code, architectures it does not
know exactly, a file that differs from its pinned or recorded hash.
"""

from bigenough.models.resolve import DEFAULT_ENCODER, Weights, resolve

__all__ = ["DEFAULT_ENCODER", "Weights", "resolve"]
