"""The ``adapter`` command. Nothing is imported before a command needs it, so that a start costs little."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from adapter.cli.app import run

    sys.exit(run())
