# SPDX-License-Identifier: Apache-2.0
"""How fast a model answers: a roofline of memory and arithmetic, with what real runtimes reach of it.

Williams, Waterman & Patterson 2009 for the roofline; Pope et al. 2022 (arXiv:2211.05102, section 2) for its use on
decoding: each step reads every active weight and the cache of every sequence once. Bounds are bounds: small models on
wide memory are held up by launching kernels, not by bytes, so a step has a floor for every layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from bigenough.atlas.checks import positive
from bigenough.atlas.shape import Shape, parameters
from bigenough.errors import BadOption
from bigenough.quantity.range import Range, between, exact, larger, total

__all__ = [
    "REACHED_BANDWIDTH",
    "Decode",
    "Device",
    "bandwidth_bound",
    "decode",
    "encoding",
    "prefill",
    "speedup",
    "unbatched_latency",
]

# share of data-sheet bandwidth that decoding reaches, over runtimes and devices; a calibrated device says its own
REACHED_BANDWIDTH = (0.45, 0.65, 0.9)
_REACHED_READING = (0.1, 0.3, 0.9)
_REACHED_PEAK = (0.2, 0.4, 0.65)
_LAUNCH = (2e-6, 1.5e-5, 1e-4)


@dataclass(frozen=True)
class Device:
    """What of a device decides speed.

    Attributes:
        name: as users call it.
        bandwidth: bytes per second of its memory, in GB/s.
        peak: dense operations per second at the model's precision, in TFLOP/s; ``None`` when unknown.
        measured: whether both were measured here.
        devices: how many share the model; their bandwidths and peaks add, less 10 to 40 % for talking when there are
            several.
    """

    name: str
    bandwidth: Range
    peak: Range | None
    measured: bool = False
    devices: int = 1

    def reached_bandwidth(self) -> Range:
        """Bytes per second that decoding gets.

        Of a calibrated processor 0.1 to 0.9 of what it reads: there unpacking weights often takes longer than reading
        them, and how long depends on how the runtime was compiled. ``probe`` measures that.
        """
        share = _REACHED_READING if self.measured else REACHED_BANDWIDTH
        source = (
            "0.1 to 0.9 of what was measured: a runtime's kernels, not known without a probe"
            if self.measured
            else "0.45 to 0.9 of data sheets, usual of llama.cpp, vLLM and TensorRT-LLM at batch 1; ours"
        )
        reached = Range(*share, "", name="share of bandwidth reached", source=source)
        return (self.bandwidth * reached * self._together()).named(
            "bandwidth reached", "bandwidth × share × devices", source, unit="GB/s"
        )

    def reached_peak(self) -> Range:
        """Operations per second that reading a prompt gets; raises ``BadOption`` when the peak is not known."""
        if self.peak is None:
            raise BadOption(
                f"The arithmetic of {self.name} is not known, so the time to read a prompt cannot be planned."
            )
        share = (1.0, 1.0, 1.0) if self.measured else _REACHED_PEAK
        source = (
            "measured here"
            if self.measured
            else "0.2 to 0.65 of peak in prefill: Pope et al. 2022, arXiv:2211.05102 table 2"
        )
        reached = Range(*share, "", name="share of peak reached", source=source, provenance="published")
        return (self.peak * reached * self._together()).named(
            "arithmetic reached", "peak × share × devices", source, unit="TFLOP/s"
        )

    def _together(self) -> Range:
        if self.devices == 1:
            return exact(1, "", "devices", "given")
        source = "tensor parallelism loses 10 to 40 % to talking: Pope et al. 2022, arXiv:2211.05102 section 3"
        return between(
            0.6 * self.devices, 0.9 * self.devices, "", "devices, less talking", source, mid=0.75 * self.devices
        )


@dataclass(frozen=True)
class Decode:
    """The speed of writing.

    Attributes:
        step: time of one token of every sequence.
        each: tokens per second of one sequence.
        together: tokens per second of all.
        bound_by: memory, arithmetic or launching, whichever is slowest at the middle.
    """

    step: Range
    each: Range
    together: Range
    bound_by: str


def bandwidth_bound(size: Range, bandwidth: Range) -> Range:
    """The most tokens per second that one sequence can get: bandwidth / bytes. A bound, not an estimate.

    >>> size, bandwidth = exact(6.67, "GiB", "size", "an example"), exact(800, "GB/s", "bandwidth", "an example")
    >>> round(bandwidth_bound(size, bandwidth).mid, 1)
    111.7
    """
    read = size / exact(1, "token", "tokens", "one step")
    return (bandwidth / read).named(
        "bandwidth bound", "bandwidth / bytes read", "arXiv:2211.05102 section 2", unit="token/s"
    )


def decode(
    device: Device,
    weights: Range,
    operations: Range,
    *,
    cache: Range | None = None,
    sequences: float = 1,
    layers: int = 32,
) -> Decode:
    """The speed of writing one token after another.

    A step takes the longer of reading (active weights + cache) and computing (operations × sequences), plus the
    launching of some eight kernels a layer.

    Args:
        device: what it runs on.
        weights: bytes of the weights that one step reads; of experts, those that the sequences meet.
        operations: for one token, see ``inference_flops``.
        cache: bytes of keys and values of all sequences.
        sequences: written side by side.
        layers: of the model.
    """
    positive("sequences", sequences)
    read = (
        weights
        if cache is None
        else total(weights, cache.to(weights.unit)).named("bytes read in a step", "weights + cache", "arithmetic")
    )
    reading = (read / device.reached_bandwidth()).named("reading", "bytes / bandwidth", "roofline", unit="ms")
    step_tokens = exact(sequences, "token", "tokens in a step", "one for each sequence")
    computing = (
        reading * 0.0
        if device.peak is None
        else (operations * step_tokens / device.reached_peak()).named(
            "computing", "operations / arithmetic", "roofline", unit="ms"
        )
    )
    launching = _launching(device, layers)
    slowest = larger(reading, computing)
    step = total(slowest, launching.to("ms")).named(
        "one step", "max(reading, computing) + launching", "roofline", unit="ms"
    )
    each = (exact(1, "token", "a token", "one step") / step).named(
        "tokens per second of one user", "1 / step", "roofline", unit="token/s"
    )
    together = (each * exact(sequences, "", "sequences", "given")).named(
        "tokens per second in all", "each × sequences", "roofline"
    )
    parts = {"memory": reading.mid, "arithmetic": computing.mid, "launching": launching.to("ms").mid}
    return Decode(step, each, together, max(parts, key=lambda name: parts[name]))


def _launching(device: Device, layers: int) -> Range:
    """The part of launching a step's kernels that is not hidden."""
    if device.measured:
        return exact(layers * 8 * 1e-6, "s", "launching", "8 calls a layer, 1 µs each on a CPU").to("ms")
    low, mid, high = (layers * 8 * one for one in _LAUNCH)
    launching = Range(
        low, mid, high, "s", name="launching", source="8 kernels a layer, 2 to 100 µs each: arXiv:2302.06117"
    ).to("ms")
    # captured graphs hide most of the launching behind the reading; eager frameworks do not
    return launching * exact(
        0.25,
        "",
        "share of launching that is not hidden",
        "captured graphs and asynchronous queues; ours",
        provenance="modelled",
    )


def prefill(device: Device, weights: Range, operations: Range, tokens: float) -> Range:
    """The time to read a prompt: the longer of computing its tokens and reading the weights once."""
    length = exact(positive("prompt tokens", tokens), "token", "tokens of the prompt", "given")
    computing = (operations * length / device.reached_peak()).to("s")
    reading = (weights / device.reached_bandwidth()).to("s")
    return larger(computing, reading).named(
        "time to the first token", "max(operations / arithmetic, bytes / bandwidth)", "roofline"
    )


def encoding(arithmetic: Range, shape: Shape, tokens: float) -> Range:
    """Rows per second of an encoder in batches: arithmetic × share / operations of a row.

    A row of t tokens takes 2 t operations for every parameter outside the tables, and 4 t² heads × head size a layer
    for attention. Matrix products take 50 to 90 % of the time; the rest is softmax, norms, activation and tokenising.
    """
    count = parameters(shape)
    length = positive("tokens of a row", tokens)
    inside = count.active - count.embedding
    work = 2 * inside * length + 4 * shape.layers * shape.heads * shape.head_dim * length**2
    row = exact(
        work / 1e12,
        "TFLOP/row",
        "operations of a row",
        "2 N t + 4 t² heads × head size × layers",
        provenance="modelled",
    )
    share = between(
        0.5, 0.9, "", "share of time in matrix products", "profiles of BERT: arXiv:2007.00072 table 1", mid=0.7
    )
    return (arithmetic * share / row).named(
        "rows per second", "arithmetic × share / operations of a row", "roofline", unit="row/s"
    )


def speedup(size: Range, than: Range) -> Range:
    """How much faster decoding gets when a file shrinks, less than the ratio of sizes.

    Reading is 60 to 100 % of a step at batch 1; unpacking blocks, attention and launching do not shrink with the file.
    """
    share = between(0.6, 1.0, "", "share of a step that is reading", "profiles of llama.cpp at batch 1", mid=0.85)
    ratio = (size / than).to("")
    rest = exact(1, "", "", "whole") - share
    return (exact(1, "", "", "whole") / (share * ratio + rest)).named(
        "speed-up", "1 / (share × sizes + rest)", "Amdahl 1967", unit="x"
    )


def unbatched_latency(layers: int) -> Range:
    """Time of one small request in an eager framework, where launching rules: 0.5 to 2 ms a layer.

    Fernandez et al. 2023 (arXiv:2302.06117): below some 30 rows the time of an encoder does not depend on the rows,
    nor much on its width, only on how many kernels its layers launch.
    """
    low, high = 0.5 * positive("layers", layers), 2.0 * layers
    return between(
        low,
        high,
        "ms",
        "unbatched latency",
        "0.5 to 2 ms a layer in an eager framework: arXiv:2302.06117",
        provenance="modelled",
    )
