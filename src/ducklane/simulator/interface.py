"""What all simulators here share: the robot's state, the map from above, and the errors they raise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ducklane.errors import UserError

Frame = NDArray[np.uint8]
"""(camera_height, camera_width, 3), RGB."""

Pose = tuple[float, float, float]
"""(x, z, angle): metres, metres, radians, in the frame of `State`."""

FRAMES_PER_SECOND = 30
STEP_SECONDS = 1.0 / FRAMES_PER_SECOND
"""Duration of a simulator's step, for which a command is held."""


class MapImage(NamedTuple):
    """A map seen from straight above."""

    pixels: Frame
    """[height, width, 3], x to the right and z down"""
    extent: tuple[float, float, float, float]
    """metres at the left (x), right (x), bottom (z) and top (z) edge: imshow's `extent` in matplotlib"""


class StartError(UserError):
    """No valid start pose was found. Exit code 2, as for any wrong setting.

    Args:
        max_angle_deg: largest angle allowed between a start and the lane.
        map_name: the map that was searched.
    """

    exit_code = 2

    def __init__(self, max_angle_deg: float, map_name: str) -> None:
        super().__init__(
            f"simulator.accept_start_angle_deg: no start within {max_angle_deg:g} degrees of the lane was "
            f"found on {map_name}; allow a larger angle"
        )


def only_option(options: dict[str, Any] | None, name: str) -> Any:
    """The value of `reset`'s only option, or None if it is not given.

    Raises:
        ValueError: another option is given.
    """
    options = options or {}
    if unknown := set(options) - {name}:
        raise ValueError(f"reset has the option {name!r} only, not {', '.join(sorted(map(repr, unknown)))}")
    return options.get(name)


class State(NamedTuple):
    """The true state of one robot; the lane fields are NaN while it is outside any lane.

    Frame: gym-duckietown's. On the map seen from above, x points right and z points down; the third axis, y,
    points up. A heading `angle` a is the direction (cos a, -sin a) in (x, z), so angles grow counterclockwise
    as seen from above. `lane_dist` and `lane_angle` are positive to the right of the lane.
    """

    x: float
    """metres"""
    z: float
    """metres"""
    angle: float
    """heading, radians, in (-pi, pi] after a step"""
    speed: float
    """metres per second, unsigned, over the last step"""
    forward_speed: float
    """metres per second along the heading, negative when driving backwards"""
    yaw_rate: float
    """radians per second, positive to the left"""
    lane_dist: float
    """metres from the centre of the right lane"""
    lane_angle: float
    """radians from the lane's direction"""
    lane_dot: float
    """cosine of lane_angle"""
    proximity: float
    """overlap of safety circles with objects, metres, 0 or negative"""
    valid: bool
    """on drivable ground and touching nothing"""


def final_infos(ended: NDArray[np.bool_], observations: NDArray[Any], info: dict[str, Any]) -> dict[str, Any]:
    """What gymnasium's SAME_STEP autoreset says of the episodes that ended in a step.

    Args:
        ended: [N] whose episode ended, at least one.
        observations: [N, ...] the last of those episodes; copied.
        info: of the step in which they ended, in the form of gymnasium's vector environments.

    Returns:
        "final_obs", an array of N objects, observations or None, and "final_info"; each with its mask.
    """
    final_obs = np.full(len(ended), None, dtype=object)
    for i in np.flatnonzero(ended):
        final_obs[i] = observations[i].copy()
    masks = {"_final_obs": ended.copy(), "_final_info": ended.copy()}
    return {"final_obs": final_obs, "final_info": info, **masks}
