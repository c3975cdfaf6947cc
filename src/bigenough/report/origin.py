# SPDX-License-Identifier: Apache-2.0
"""The last section: how to get these figures again, and where they come from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from bigenough.report.again import fit_command, key_told, unnamed_inputs
from bigenough.report.markup import Html, element, facts, join, shorten, table
from bigenough.report.numbers import count, size
from bigenough.report.view import View

__all__ = ["reproduce"]


def reproduce(view: View) -> Html:
    """Commands, seeds, machine, versions and hashes."""
    study = view.files.study
    return join(
        [
            element("pre", element("code", _commands(view))),
            *(element("p", told) for told in (unnamed_inputs(study), key_told(study)) if told),
            facts(_facts(study)),
            _decisions(view),
            _listing("All options", study.get("options")),
            _listing("Package versions", study.get("packages")),
            _hashes(view),
            element("p", "As recorded in verdict.json: ", element("q", str(view.verdict["sentence"])), class_="note"),
        ]
    )


def _commands(view: View) -> str:
    folder = shlex.quote(view.files.folder)
    chosen = view.winner or view.safe
    packed = [
        "# put the packed model to work",
        f"bigenough predict {folder}/specialist new.csv",
    ]
    return "\n".join(
        [
            "# recompute every statistic from the stored predictions",
            f"bigenough verify {folder}",
            *(packed if chosen is not None and not chosen.remote else ()),
            "# make the study again",
            fit_command(view.files.study),
        ]
    )


def _facts(study: Mapping[str, Any]) -> list[tuple[str, Html | str]]:
    source, machine = study.get("source", {}), study.get("machine", {})
    options = study.get("options") or {}
    cpu = ", ".join(
        str(part)
        for part in (
            machine.get("cpu", "unknown"),
            f"{machine['cores']} cores" if machine.get("cores") else None,
            f"{machine['memory_gb']:.0f} GB" if machine.get("memory_gb") else None,
            machine.get("os"),
            machine.get("python"),
        )
        if part
    )
    flags = ", ".join(map(str, machine.get("flags") or ())) or "unknown"
    rows = f", {count(source['rows'])} rows" if source.get("rows") is not None else ""
    return [
        ("Data", f"{source.get('path', 'unknown')}{rows}"),
        ("SHA-256 of the data", element("code", str(source.get("sha256", "unknown")))),
        *_other_hashes(study),
        ("Seed", str(options.get("seed", "unknown"))),
        ("Made", f"{study.get('created', 'unknown')} with bigenough {study.get('bigenough', 'unknown')}"),
        ("Machine", cpu),
        ("CPU features", shorten(flags, 400)),
    ]


def _other_hashes(study: Mapping[str, Any]) -> list[tuple[str, Html]]:
    """By what a reader knows the other inputs again."""
    identity = study.get("identity") or {}
    named = {
        "test": "SHA-256 of the test set",
        "unlabelled": "Hash of the unlabelled texts",
        "descriptions": "Hash of the descriptions",
    }
    return [(told, element("code", str(identity[key]))) for key, told in named.items() if identity.get(key) is not None]


def _decisions(view: View) -> Html | None:
    found = [
        *view.files.study.get("source", {}).get("decisions", ()),
        *((view.files.audit or {}).get("splits") or {}).get("decisions", ()),
        *((view.files.audit or {}).get("decisions") or ()),
    ]
    if not found:
        return None
    listed = element("ul", *(element("li", str(one)) for one in dict.fromkeys(found)))
    return element("details", element("summary", "Decisions made while reading and splitting"), listed)


def _listing(name: str, values: Mapping[str, Any] | None) -> Html | None:
    if not values:
        return None
    pairs = [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in values.items()
    ]
    return element(
        "details", element("summary", name), facts((key, element("code", shorten(value, 300))) for key, value in pairs)
    )


def _hashes(view: View) -> Html | None:
    rows = [
        [f"{one.name}/{path}", size(found["bytes"]), element("code", str(found["sha256"]))]
        for one in view.contenders
        for path, found in (one.files.candidate.get("files") or {}).items()
    ]
    weights = [
        (f"{one.name}: weights", "; ".join(f"{key} {value}" for key, value in one.files.candidate["weights"].items()))
        for one in view.contenders
        if one.files.candidate.get("weights")
    ]
    if not rows and not weights:
        return None
    found = (
        table("Files of the judged models", ["File", "Size", "SHA-256"], rows, kind="dense", words={2})
        if rows
        else None
    )
    return element(
        "details", element("summary", "Files, hashes and weights"), found, facts(weights) if weights else None
    )
