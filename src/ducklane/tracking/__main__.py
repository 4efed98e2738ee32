"""`python -m ducklane.tracking`: see page.py."""

from ducklane.errors import exits_cleanly
from ducklane.tracking.page import main

exits_cleanly(main)()
