# SPDX-License-Identifier: Apache-2.0
"""A language model from a GGUF file as torch trains it: low-rank updates, and one reading of the common prefix a batch.

Only what a row's label hangs on is computed: no logits but those of the answers, and those at the last token alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bigenough.errors import MissingExtra, UnsupportedModel
from bigenough.models.gguf_weights import GgufModel
from bigenough.rungs.training.decoder_recipe import DecoderRecipe
from bigenough.rungs.training.machine import Machine
from bigenough.rungs.training.network import Network
from bigenough.rungs.training.rows import Batch

__all__ = ["KEPT_BYTES", "DecoderNetwork", "built_decoder", "decoder_body", "decoder_optimiser", "folded_updates"]

KEPT_BYTES = 1 << 30
"""Memory for what the frozen layers make of the rows, so that they are passed once."""
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_ALL = (*_ATTENTION, "gate_proj", "up_proj", "down_proj")


class DecoderNetwork(Network):
    """Scores of the answers at the last token of each row of a batch.

    Args:
        body: transformers' model without its output matrix; its upper layers hold low-rank updates.
        answers: (k, d) rows of the output matrix that stand for the classes.
        prefix: (p,) ids with which every prompt begins; batches hold what follows.
        frozen: layers from the bottom that never change; what they make of a row is kept.
    """

    def __init__(self, body: Any, answers: torch.Tensor, prefix: Sequence[int], frozen: int) -> None:
        head = nn.Linear(answers.shape[1], answers.shape[0], bias=False)
        head.weight = nn.Parameter(answers, requires_grad=False)
        super().__init__(body, head, "last")
        self.prefix, self.frozen = torch.tensor([list(prefix)], dtype=torch.int64), frozen
        self._kept: dict[bytes, torch.Tensor] = {}
        self._free = KEPT_BYTES

    def forward(self, batch: Batch) -> torch.Tensor:
        """The (rows, classes) scores."""
        ids, device = batch.ids, batch.ids.device
        rows, length = ids.shape
        lengths = torch.full((rows,), length, device=device) if batch.mask is None else batch.mask.sum(dim=1)
        past = _Past(device)
        if self.prefix.shape[1]:
            whole = self._frozen_pass(self.prefix.to(device), None, past)
            self._layers(whole, self.frozen, None, past)
        states = self._lower(ids, lengths, past)
        states = self._layers(states, self.frozen, past, None)
        last = states[torch.arange(rows, device=device), lengths - 1]
        with torch.autocast(device.type, enabled=False):
            return cast(torch.Tensor, self.head(self.body.norm(last.float())))

    def _lower(self, ids: torch.Tensor, lengths: torch.Tensor, past: _Past) -> torch.Tensor:
        """What the frozen layers make of the rows, from memory where it is kept."""
        if not self.frozen:
            return self._frozen_pass(ids, past, None)
        keys = [row[:length].tobytes() for row, length in zip(ids.cpu().numpy(), lengths.tolist(), strict=True)]
        if not all(key in self._kept for key in keys):
            states = self._frozen_pass(ids, past, None)
            for key, row, length in zip(keys, states, lengths.tolist(), strict=True):
                self._keep(key, row[:length])
            return states
        states = torch.zeros((*ids.shape, self.head.in_features), device=ids.device)
        for row, key in enumerate(keys):
            states[row, : len(self._kept[key])] = self._kept[key]
        return states

    def _keep(self, key: bytes, states: torch.Tensor) -> None:
        kept = states.detach().clone()
        size = kept.numel() * kept.element_size()
        if key not in self._kept and size <= self._free:
            self._free -= size
            self._kept[key] = kept

    def _frozen_pass(self, ids: torch.Tensor, past: _Past | None, kept: _Past | None) -> torch.Tensor:
        with torch.no_grad():
            states = self.body.embed_tokens(ids).float()
            return self._layers(states, 0, past, kept, end=self.frozen) if self.frozen else states

    def _layers(
        self, states: torch.Tensor, start: int, past: _Past | None, kept: _Past | None, *, end: int | None = None
    ) -> torch.Tensor:
        """Pass layers; ``past`` is what was kept of the prefix, ``kept`` is where to keep."""
        length, before = states.shape[1], 0 if past is None else self.prefix.shape[1]
        places = torch.arange(before, before + length, device=states.device)
        turned = self.body.rotary_emb(states, position_ids=places[None])
        hidden = torch.arange(before + length, device=states.device)[None, :] > places[:, None]
        mask = torch.zeros(hidden.shape, device=states.device).masked_fill(hidden, torch.finfo(torch.bfloat16).min)
        for layer in self.body.layers[start:end]:
            states = layer(
                states, attention_mask=mask[None, None], position_ids=places[None], position_embeddings=turned,
                past_key_values=past if kept is None else kept.keeping(), use_cache=True,
            )  # fmt: skip
        return states


class _Past:
    """Keys and values of the prefix by layer, in the one shape in which transformers' layers ask for them."""

    def __init__(self, device: torch.device, found: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = None) -> None:
        self.device, self.keeps, self.found = device, found is not None, {} if found is None else found

    def keeping(self) -> _Past:
        """The same memory, to be filled."""
        return _Past(self.device, self.found)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The keys and values of prefix and rows together."""
        if self.keeps:
            self.found[layer] = keys, values
            return keys, values
        if layer not in self.found:
            return keys, values
        before = (each.to(keys.dtype).expand(len(keys), -1, -1, -1) for each in self.found[layer])
        first_keys, first_values = before
        return torch.cat([first_keys, keys], dim=2), torch.cat([first_values, values], dim=2)


def decoder_body(source: GgufModel, attention: str, dtype: torch.dtype) -> Any:
    """The model as transformers has it, with the file's weights: matrices in ``dtype``, all else in 32 bits.

    Raises:
        UnsupportedModel: the file's model is of a kind that is not known here.
    """
    from transformers import AutoModel

    config, made_of = _config(source), cast(Any, AutoModel.from_config)
    with torch.device("meta"):
        body = made_of(config, attn_implementation=attention)
    state = {}
    for name, array in source.arrays():
        if name != "lm_head.weight":
            # What lies in the file as it is cannot be written to.
            value = torch.from_numpy(array if array.flags.writeable else array.copy())
            state[name.removeprefix("model.")] = value.to(dtype) if value.ndim > 1 else value
    try:
        body.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise UnsupportedModel(
            f"{source.path} is not laid out as {config.model_type} models are ({' '.join(str(error).split())[:300]}). "
            "Name another GGUF file."
        ) from error
    body.rotary_emb = type(body.rotary_emb)(config=config)
    return body.requires_grad_(False)


def _config(source: GgufModel) -> Any:
    from transformers import AutoConfig

    width, heads = int(source.fact("embedding_length")), int(source.fact("attention.head_count"))
    size = int(source.fact("attention.key_length", width // heads))
    stretched = source.fact("rope.scaling.type", "none")
    if stretched != "none" or int(source.fact("rope.dimension_count", size)) != size:
        raise UnsupportedModel(
            f"{source.path} turns positions in a way that training does not know (rope scaling {stretched!r}). "
            "Name a GGUF file of a plain model."
        )
    names = source.names
    return AutoConfig.for_model(
        source.architecture,
        vocab_size=len(source.tensors["token_embd.weight"].data),
        hidden_size=width,
        intermediate_size=int(source.fact("feed_forward_length")),
        num_hidden_layers=int(source.fact("block_count")),
        num_attention_heads=heads,
        num_key_value_heads=int(source.fact("attention.head_count_kv", heads)),
        head_dim=size,
        max_position_embeddings=int(source.fact("context_length")),
        rms_norm_eps=float(source.fact("attention.layer_norm_rms_epsilon")),
        rope_parameters={"rope_type": "default", "rope_theta": float(source.fact("rope.freq_base", 10000.0))},
        attention_bias="model.layers.0.self_attn.q_proj.bias" in names,
        pad_token_id=None, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip


def built_decoder(
    source: GgufModel, answers: NDArray[np.int64], prefix: Sequence[int], recipe: DecoderRecipe, machine: Machine
) -> DecoderNetwork:
    """The network at its start: the file's own model, with updates of zero.

    Args:
        source: the file.
        answers: (k,) the token that stands for each class.
        prefix: ids with which every prompt begins.
        recipe: rank, targets and frozen layers are read.
        machine: where it will live; where it multiplies in bf16, the frozen matrices are kept so.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtra("Training by LoRA", "peft", "pip install 'bigenough[tune]'") from error
    dtype = torch.bfloat16 if machine.precision == "bf16" else torch.float32
    body = decoder_body(source, machine.attention, dtype)
    layers = len(body.layers)
    frozen = recipe.frozen_layers(layers)
    config = LoraConfig(
        r=recipe.lora_rank, lora_alpha=2 * recipe.lora_rank, lora_dropout=0.0,
        target_modules=list(_ALL if recipe.targets == "all" else _ATTENTION),
        layers_to_transform=list(range(frozen, layers)), layers_pattern="layers",
    )  # fmt: skip
    inject_adapter_in_model(config, body)
    for module in body.modules():
        if hasattr(module, "lora_A"):
            # Autocast sees to it; peft would go to 32 bits and back again.
            module.cast_input_dtype_enabled = False
    for name, parameter in body.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
    output = "lm_head.weight" if "lm_head.weight" in source.names else "model.embed_tokens.weight"
    rows = torch.from_numpy(np.ascontiguousarray(source.array(output)[answers]))
    return DecoderNetwork(body, rows, prefix, frozen).to(machine.device)


def decoder_optimiser(network: Network, recipe: DecoderRecipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) on the updates; ``highest`` is the learning rate at the top of the schedule."""
    group = {
        "params": list(network.learned().values()), "lr": recipe.learning_rate, "highest": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
    }  # fmt: skip
    return torch.optim.AdamW([group], fused=True)


def folded_updates(network: Network, source: GgufModel) -> dict[str, NDArray[np.float32]]:
    """The matrices that learned, with their updates added in 32 bits, by their names in transformers."""
    changed: Mapping[str, Any] = {
        f"model.{name}.weight": module.get_delta_weight("default")
        for name, module in network.body.named_modules()
        if hasattr(module, "get_delta_weight") and "default" in getattr(module, "lora_A", {})
    }
    return {name: source.array(name) + delta.detach().float().cpu().numpy() for name, delta in changed.items()}
