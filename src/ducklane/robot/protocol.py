"""The protocol of the AI Driving Olympics (AIDO), imported silently and on today's Python."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from ducklane.simulator.stock.importing import importable, know_any, silence


class AIDO(NamedTuple):
    """The packages that AIDO's nodes speak with."""

    schemas: Any
    """aido_schemas: protocols, observations and commands"""
    nodes: Any
    """zuper_nodes: what can go wrong between two nodes"""
    wrapper: Any
    """zuper_nodes_wrapper: `wrap_direct` runs a node"""
    outside: Any
    """zuper_nodes_wrapper.wrapper_outside: `ComponentInterface` talks to a node"""


@cache
def aido() -> AIDO:
    """The packages, imported once; fifos and standard streams carry what they say."""
    with silence(), importable():
        packages = (
            "aido_schemas",
            "zuper_nodes",
            "zuper_nodes_wrapper",
            "zuper_nodes_wrapper.wrapper_outside",
        )
        imported = AIDO(*map(import_module, packages))
        import_module("zuper_nodes_wrapper.wrapper")  # so that it knows typing.Any too
    know_any()
    return imported
