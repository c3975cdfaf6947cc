# SPDX-License-Identifier: Apache-2.0
"""A random BERT of a few thousand numbers, as a folder and as an independent forward pass in plain numpy."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

# fmt: off
WORDS = [
    "the", "card", "lost", "stolen", "pay", "money", "account", "open", "close", "please", "help", "what",
    "is", "my", "how", "to", "for", "and", "not", "good", "bad", "great", "awful", "film",
    "plot", "transfer", "top", "up", "balance", "refund", "##s", "##ed", "##ing",
]
# fmt: on
VOCABULARY = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz.,!?", *WORDS]
WIDTH, HEADS, LAYERS, INNER, POSITIONS = 32, 4, 2, 64, 40


def tiny_tokenizer():
    tokenizer = Tokenizer(WordPiece({token: i for i, token in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", VOCABULARY.index("[CLS]")), ("[SEP]", VOCABULARY.index("[SEP]"))],
    )
    return tokenizer


def tiny_config(**changes):
    return {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        **changes,
    }


def tiny_arrays(seed=0, scale=0.3):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    arrays = {
        "embeddings.word_embeddings.weight": draw(len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": draw(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": draw(2, WIDTH),
        "embeddings.LayerNorm.weight": 1 + draw(WIDTH),
        "embeddings.LayerNorm.bias": draw(WIDTH),
    }
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        shapes = {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }
        for name, shape in shapes.items():
            arrays |= {f"{at}{name}.weight": draw(*shape), f"{at}{name}.bias": draw(shape[0])}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            arrays |= {f"{at}{name}.weight": 1 + draw(WIDTH), f"{at}{name}.bias": draw(WIDTH)}
    return arrays


def as_distilbert(arrays):
    """The same numbers under DistilBERT's names; it has no segments."""
    names = {
        "encoder.layer.": "transformer.layer.",
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    renamed = {}
    for name, array in arrays.items():
        for old, new in names.items():
            name = name.replace(old, new)
        renamed[f"distilbert.{name}"] = array
    del renamed["distilbert.embeddings.token_type_embeddings.weight"]
    return renamed


DISTILBERT_CONFIG = {
    "model_type": "distilbert",
    "dim": WIDTH,
    "n_heads": HEADS,
    "n_layers": LAYERS,
    "hidden_dim": INNER,
    "activation": "gelu",
    "max_position_embeddings": POSITIONS,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": 0,
}


def write_model(folder: Path, config=None, arrays=None, *, pooling="mean", normalise=True, card="license: apache-2.0"):
    """A sentence-transformers folder."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config or tiny_config()))
    save_file(tiny_arrays() if arrays is None else arrays, folder / "model.safetensors")
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] if normalise else [])]
    modules = [
        {"idx": i, "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    ways = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({way: name == pooling for name, way in ways.items()}))
    (folder / "README.md").write_text(f"---\n{card}\n---\n# A tiny BERT\n")
    return folder


def _norm(x, scale, shift, epsilon):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + epsilon) * scale + shift


_erf = np.vectorize(math.erf)
ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def forward(arrays, ids, *, activation="gelu", epsilon=1e-12, first_position=0, pooling="mean", normalise=True):
    """The vector of one text, head by head, in float64, from BERT's equations (Devlin et al. 2019)."""
    get = {name: array.astype(np.float64) for name, array in arrays.items()}

    def dense(x, name):
        return x @ get[f"{name}.weight"].T + get[f"{name}.bias"]

    positions = np.arange(len(ids)) + first_position
    x = get["embeddings.word_embeddings.weight"][ids] + get["embeddings.position_embeddings.weight"][positions]
    if "embeddings.token_type_embeddings.weight" in get:
        x = x + get["embeddings.token_type_embeddings.weight"][0]
    x = _norm(x, get["embeddings.LayerNorm.weight"], get["embeddings.LayerNorm.bias"], epsilon)
    for i in range(LAYERS):
        at = f"encoder.layer.{i}."
        query, key, value = (dense(x, f"{at}attention.self.{part}") for part in ("query", "key", "value"))
        size = WIDTH // HEADS
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ value[:, part])
        attended = dense(np.concatenate(heads, axis=1), f"{at}attention.output.dense")
        norm = f"{at}attention.output.LayerNorm"
        x = _norm(attended + x, get[f"{norm}.weight"], get[f"{norm}.bias"], epsilon)
        wide = ACTIVATIONS[activation](dense(x, f"{at}intermediate.dense"))
        norm = f"{at}output.LayerNorm"
        x = _norm(dense(wide, f"{at}output.dense") + x, get[f"{norm}.weight"], get[f"{norm}.bias"], epsilon)
    vector = x[0] if pooling == "cls" else x.mean(0)
    return vector / np.linalg.norm(vector) if normalise else vector
