# SPDX-License-Identifier: Apache-2.0
"""What an endpoint's status means: whether to ask again, and whether it may have been paid for."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")

import httpx2 as httpx
import openai

from bigenough.chat.faults import Fault, fault_of


def fault(status: int, message: str = "trouble", **headers: str) -> Fault:
    answer = httpx.Response(status, headers=headers, request=httpx.Request("POST", "http://localhost/v1"))
    found = fault_of(openai.APIStatusError(message, response=answer, body={"error": {"message": message}}))
    assert found is not None
    return found


@pytest.mark.parametrize("status", [408, 504, 524])
def test_what_a_gateway_gave_up_may_have_been_paid_for(status: int) -> None:
    found = fault(status, **{"retry-after": "7"})
    assert (found.kind, found.perhaps_paid, found.again, found.tries(8), found.wait_s) == ("timeout", True, True, 3, 7)


@pytest.mark.parametrize("status", [409, 425, 500, 502, 503])
def test_what_failed_before_the_model_is_asked_again_for_nothing(status: int) -> None:
    found = fault(status)
    assert (found.kind, found.perhaps_paid, found.again, found.tries(8)) == ("server", False, True, 8)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "stopped by the content filter", "key"),
        (403, "this key may not", "key"),
        (403, "Your input was flagged by our moderation", "filtered"),
        (402, "Insufficient Balance", "quota"),
        (429, "You exceeded your current quota", "quota"),
        (429, "slow down", "limit"),
        (400, "content management policy", "filtered"),
        (400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy", "filtered"),
        (422, "Unsupported parameter", "refused"),
    ],
)
def test_a_status_is_read_with_its_words(status: int, message: str, kind: str) -> None:
    assert fault(status, message).kind == kind


def test_what_must_not_be_kept_is_struck_out_before_words_are_cut() -> None:
    key = "sk-" + 40 * "x"
    answer = httpx.Response(401, request=httpx.Request("POST", "http://localhost/v1"))
    body = {"error": {"message": f"{280 * '.'} {key}", "param": key}}
    found = fault_of(openai.APIStatusError("no", response=answer, body=body), lambda text: text.replace(key, "***"))
    assert found is not None
    assert "sk-" not in found.says + found.parameter
