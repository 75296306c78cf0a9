"""All cases. ``python -m tests.validation.cases`` writes those that can be shown as a file to ``samples/bad``."""

from __future__ import annotations

from tests.validation import cases_head, cases_partner, cases_profile
from tests.validation.cases_base import SAMPLES, Case

CASES: tuple[Case, ...] = (*cases_head.CASES, *cases_profile.CASES, *cases_partner.CASES)


def file_bytes(case: Case) -> bytes:
    """The case as a file, in the encoding that it declares."""
    document = case.document()
    return document.encode("latin-1" if "ISO-8859-1" in document[:60] else "utf-8")


def main() -> None:
    """Write every case with a file name to samples/bad."""
    for case in CASES:
        if case.file:
            (SAMPLES / "bad" / f"{case.file}.xml").write_bytes(file_bytes(case))


if __name__ == "__main__":
    main()
