"""The changes made to zuper_typing at run time: each one is still needed, and still fits.

Where one of these fails after an update of zuper-typing-z6, look again at
ducklane/simulator/stock/importing.py.
"""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import TypeVar

from ducklane.robot.protocol import aido
from ducklane.simulator.stock import importing


def test_type_variables_are_still_patched_upstream_and_stay_as_python_has_them() -> None:
    aido()
    patches = importlib.import_module("zuper_typing.monkey_patching_typing")
    assert '\nsetattr(TypeVar, "__repr__", typevar__repr__)\n' in inspect.getsource(patches)
    assert patches.setattr is importing._set_but_on_type_variables
    assert TypeVar.__repr__ is not patches.typevar__repr__
    # everything else is set as upstream has it
    assert importlib.import_module("mypy_extensions").NamedArg is patches.MyNamedArg


def test_upstream_still_does_not_know_any_and_all_that_speaks_the_protocol_is_told() -> None:
    alone = (
        "import typing; from ducklane.simulator.stock.importing import importable, silence\n"
        "with silence(), importable(): from zuper_typing.annotations_tricks import is_Any\n"
        "print(is_Any(typing.Any))"
    )
    assert subprocess.check_output([sys.executable, "-c", alone], text=True) == "False\n"
    aido()
    copies = [
        vars(module)["is_Any"]
        for name, module in list(sys.modules.items())
        if name.startswith(("zuper_", "aido_")) and "is_Any" in vars(module)
    ]
    assert len(copies) >= 9
    assert set(copies) == {importing.is_any}
