"""What callers hand to the batched simulator, checked and in the form that its kernels take."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import ArrayLike, NDArray

from ducklane.simulator.interface import only_option


def checked_autoreset(mode: AutoresetMode) -> AutoresetMode:
    """The mode itself.

    Raises:
        ValueError: it is not one of those that the environments here have.
    """
    if mode not in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        raise ValueError(f"autoreset_mode must be AutoresetMode.NEXT_STEP or SAME_STEP; got {mode!r}")
    return mode


def checked_seed(seed: int | list[int | None] | None, n: int) -> int | list[int | None] | None:
    """The seed of all N robots, or a list of their own, as Python's numbers.

    Raises:
        ValueError: they are not whole numbers >= 0 (or, in a list, None), one for all or one per robot.
    """
    plain = seed.tolist() if isinstance(seed, np.ndarray | np.integer) else seed
    seeds = plain if isinstance(plain, list | tuple) else [plain] * n
    valid = [one is None or (isinstance(one, int | np.integer) and one >= 0) for one in seeds]
    if len(valid) != n or not all(valid):
        raise ValueError(
            f"seed must be a whole number >= 0, or a list of {n} such numbers or None, one per robot; "
            f"got {reprlib.repr(plain)}"
        )
    return plain


def poses_of(options: dict[str, Any] | None, n: int) -> NDArray[np.float64] | None:
    """The poses [N, 3] in `reset`'s options, or None.

    Raises:
        ValueError: they are not numbers of this shape, or there are other options.
    """
    option = only_option(options, "poses")
    if option is None:
        return None
    poses = _for_kernels(option)
    if poses.shape != (n, 3) or not np.isfinite(poses).all():
        raise ValueError(f"poses must be finite (x, z, angle) of {n} robots; got {option!r}")
    return poses


def commands_of(actions: ArrayLike, n: int) -> NDArray[np.float64]:
    """Wheel duty [N, 2], float64.

    Raises:
        ValueError: the actions are not numbers of this shape.
    """
    commands = _for_kernels(actions)
    if commands.shape != (n, 2) or np.isnan(commands).any():
        raise ValueError(f"actions must be (left, right) wheel duty of {n} robots; got {actions!r}")
    return commands


def _for_kernels(numbers: ArrayLike) -> NDArray[np.float64]:
    # kernels would be compiled again for an array that is not C-contiguous, or that is read-only
    return np.array(numbers, dtype=np.float64, order="C")
