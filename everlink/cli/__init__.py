"""The command `everlink`: connections seen and moved from a terminal."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command. The extra brings what it needs, which the client does without."""
    if not all(find_spec(needed) for needed in ("rich", "typer")):
        sys.exit("everlink: the command needs its extra: pip install 'everlink[cli]'")
    from everlink.cli.app import run

    run()
