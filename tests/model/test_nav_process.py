"""NAV's process table, held against NAV's own agreement."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.ebxml.cpa import read_agreement
from adapter.ebxml.opening import CLEAR_SERVICES
from adapter.model.nav_process import NAV_ROWS, nav_row
from adapter.model.process import nav_pairs

REAL = Path(__file__).parents[3] / "shared" / "corpus" / "ebxml" / "cpa" / "nav-qass-35065.xml"
needs_corpus = pytest.mark.skipif(not REAL.exists(), reason="the shared corpus is not here")


@needs_corpus
def test_every_action_that_nav_has_agreed_on_has_a_row_and_is_packed_as_agreed() -> None:
    agreement = read_agreement(REAL.read_bytes())
    seen = 0
    for party in agreement.parties:
        for role in party.roles:
            for action in role.sends:
                row = nav_row(role.role, role.service, action.name)
                assert row is not None, (role.role, role.service, action.name)
                package = agreement.packages[action.package or ""]
                assert row.compressed == package.compressed, (role.service, action.name)
                clear = role.service in CLEAR_SERVICES  # agreed as encrypted, and sent in the clear over HTTP
                assert row.encrypted == (package.encrypted and not clear), (role.service, action.name)
                seen += 1
    assert seen == 34


def test_the_rows_that_navs_configuration_has_turned_round_follow_the_agreement() -> None:
    sends = {(row.role, row.action) for row in NAV_ROWS.values() if row.service == "DialogmoteInnkalling"}
    assert sends == {
        ("Saksbehandler", "MoteInnkalling"),
        ("Saksbehandler", "Bekreftelse"),
        ("Sykmelder", "MoteRespons"),
        ("Sykmelder", "Kvittering"),
    }


def test_the_pairs_of_the_dialogue_are_among_them_and_must_be_signed() -> None:
    for service, action in nav_pairs():
        row = nav_row("Sykmelder", service, action)
        assert row is not None
        assert (row.encrypted, row.signed, row.error_action) == (True, True, "Bekreftelse")


@pytest.mark.parametrize(
    "names",
    [
        ("Sykmelder", "Sykmelding", "Svar"),
        ("Lege", "legemelding", "Legeerklaring"),
        ("Lege", "Legemelding", "Legeerklring"),
    ],
)
def test_names_are_letter_exact_and_belong_to_their_senders(names: tuple[str, str, str]) -> None:
    assert nav_row(*names) is None
