"""Arrays that are used again once nobody holds them."""

from __future__ import annotations

from ducklane.machine.buffers import Buffers


def test_what_somebody_holds_is_not_given_again() -> None:
    buffers = Buffers((4, 1000))
    held = [buffers.take() for _ in range(6)]
    assert len({array.ctypes.data for array in held}) == 6
    part = buffers.take()[2, 10:20]
    part[:] = 7
    for _ in range(6):
        buffers.take()[:] = 0
    assert (part == 7).all()


def test_what_nobody_holds_is_given_again() -> None:
    buffers = Buffers((4, 1000))
    assert len({buffers.take().ctypes.data for _ in range(10)}) == 1
