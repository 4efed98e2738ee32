"""Train a Duckiebot to drive in its lane; make every run a reproducible, comparable, shippable experiment."""

import sys

# Here, before all else of the project: on other systems the imports themselves fail, and in many lines.
if sys.platform != "linux":
    _system = {"darwin": "macOS", "win32": "Windows", "cygwin": "Windows"}.get(sys.platform, sys.platform)
    _cure = "WSL2" if _system == "Windows" else "a machine, a virtual machine or a container with Linux"
    sys.exit(f"ducklane: runs on Linux only, and this is {_system}; use {_cure}")

from ducklane.envs import registration

registration.when_gymnasium_is_imported()
