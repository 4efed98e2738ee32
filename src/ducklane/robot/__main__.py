"""The agent by itself, without what the `ducklane` command needs: `python -m ducklane.robot policy.onnx`."""

from __future__ import annotations

import sys
from pathlib import Path

from ducklane.errors import UserError, exits_cleanly


@exits_cleanly
def main() -> None:
    """Drive with the file that is named."""
    if len(sys.argv) != 2:
        raise UserError("usage: python -m ducklane.robot MODEL.onnx")
    # imported here: ONNX Runtime may be missing, which is told in one line
    from ducklane.robot.agent import run

    run(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
