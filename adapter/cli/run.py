"""run: the service."""

from __future__ import annotations

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import opened


@click.command()
@click.option("--once", is_flag=True, help="One round of everything, then stop: for cron and for tests.")
@click.pass_obj
def run(shared: Shared, once: bool) -> int:
    """Send what is queued, poll the inboxes, answer, follow up. Stops cleanly on SIGTERM or Ctrl-C within 10 s.

    \b
    Examples:
      adapter --config /etc/adapter/adapter.toml run
      adapter run --once
    """
    with opened(shared) as adapter:
        if once:
            output.json_line(adapter.run_once())
            return OK
        from adapter.worker import run as run_service

        run_service(adapter.parts)
    return OK
