"""The `ducklane` command, also as `python -m ducklane`."""

from __future__ import annotations

from ducklane.errors import exits_cleanly


@exits_cleanly
def main() -> None:
    """Run the command line."""
    # imported here: without the extra that the commands need, the import fails
    from ducklane.cli import app

    app()


if __name__ == "__main__":
    main()
