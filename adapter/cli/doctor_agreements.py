"""What ``adapter doctor`` says of agreements: files that cannot be used, ends that come, keys not as agreed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from adapter.cli.doctor_row import Row, row
from adapter.config import Settings
from adapter.errors import AdapterError

CHECK = "agreements"
ENDS_SOON_DAYS = 30  # a renewed agreement takes the partner its time


def agreement_rows(settings: Settings, at: datetime) -> Iterator[Row]:
    """Rows of the checks, for the files of ``agreements.directory``; the register's service is not asked."""
    from adapter.flow.agreements import Agreements

    directory = settings.agreements.directory
    if directory is None:
        return
    port = Agreements(settings.path(directory), clock=lambda: at)
    held = port.all()
    for name, code in port.problems().items():
        yield row(name, "error", f"it cannot be used: {code}", "adapter cpa check FILE tells what is wrong")
    number = len(held)
    yield row(CHECK, "ok", f"{number} agreement{'s' * (number != 1)}")
    for one in held:
        agreement, place = one.agreement, f"agreement {one.name}"
        if not agreement.valid_at(at):
            yield row(place, "warning", "not in force: nothing is sent under it", "get the renewed one")
        elif agreement.end is not None and (agreement.end - at).days <= ENDS_SOON_DAYS:
            yield row(place, "warning", f"ends in {(agreement.end - at).days} days", "get the renewed one")
        yield from _differences(settings, settings.path(directory) / one.name, place, at)


def _differences(settings: Settings, file: Path, place: str, at: datetime) -> Iterator[Row]:
    from adapter.flow.agreement_check import diff_settings

    try:
        found = diff_settings(file.read_bytes(), settings, at)
    except (AdapterError, OSError) as error:
        yield row(place, "warning", str(getattr(error, "text", "it cannot be read")), getattr(error, "cure", None))
        return
    for what in dict.fromkeys(one.what for one in found if one.what != "period"):
        yield row(place, "warning", f"differs from settings and address book: {what}", "adapter cpa diff FILE")
