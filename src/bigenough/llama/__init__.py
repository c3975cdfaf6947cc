# SPDX-License-Identifier: Apache-2.0
"""Small language models on this machine: a GGUF file in llama.cpp, and what one reading of it is asked.

This package decides how llama.cpp is reached (through the C functions that the package ``xllamacpp`` carries), how the
log-probabilities of many labels come from one reading of a text, and how an answer is held to a grammar. It refuses any
build whose structures it does not know, and any file that cannot be read whole. What is said to a model, and what its
scores mean for a task, is decided above.
"""

from bigenough.llama.model import LlamaModel, load_model
from bigenough.llama.weights import DEFAULT_LLM, GgufWeights, resolve_gguf

__all__ = ["DEFAULT_LLM", "GgufWeights", "LlamaModel", "load_model", "resolve_gguf"]
