# SPDX-License-Identifier: Apache-2.0
"""The server and the proxy, for all tests of this folder."""

from chat.servers import llama_url, proxy

__all__ = ["llama_url", "proxy"]
