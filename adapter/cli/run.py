"""run: the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from adapter.cli import output
from adapter.cli.app import OK, Shared
from adapter.cli.opening import opened

if TYPE_CHECKING:
    from adapter.assembly import Adapter
    from adapter.web.receive import Receiver


@click.command()
@click.option("--once", is_flag=True, help="One round of everything, then stop: for cron and for tests.")
@click.pass_obj
def run(shared: Shared, once: bool) -> int:
    """Send what is queued, poll the inboxes, answer, follow up. Stops cleanly on SIGTERM or Ctrl-C within 10 s.

    With [receive] in the settings it also listens for partners that post to us (not with --once).

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

        run_service(adapter.parts, _endpoint(adapter))
    return OK


def _endpoint(adapter: Adapter) -> Receiver | None:
    if adapter.parts.settings.receive is None:
        return None
    from adapter.web.receive import Receiver

    return Receiver(adapter)
