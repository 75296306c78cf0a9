"""adapter cpa: agreements shown, checked and compared."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.cli.doctor_agreements import agreement_rows
from adapter.cli.doctor_checks import examine
from adapter.config import load_settings
from adapter.security.demo_ca import DemoCa, Validity, key_usage, new_key, write_pkcs12
from adapter.security.keys import SigningKey
from tests.cli.conftest import Cli
from tests.ebxml.agreed import START, Cpa, Side

US, THEM = 8091301, 8091101
REAL = Path(__file__).parents[3] / "shared" / "corpus" / "ebxml" / "cpa" / "nav-qass-35065.xml"
TEMPLATES = Path(__file__).parents[3] / "shared" / "corpus" / "ebxml" / "official" / "CPPA-maler" / "CPP-mal"
needs_corpus = pytest.mark.skipif(not REAL.exists(), reason="the shared corpus is not here")


@lru_cache(maxsize=1)
def root() -> DemoCa:
    return DemoCa.create()


@lru_cache(maxsize=16)
def key(number: int) -> rsa.RSAPrivateKey:
    """The keys of every world, in order: making one takes a tenth of a second."""
    del number
    return new_key()


class World:
    """Keys of both sides, an agreement between them, and settings that fit it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self._keys = folder, root(), count()
        self.ours, self.opening = self.company("Oss"), self.company("Oss", seals=True)
        self.theirs, self.sealed = self.company("Dem"), self.company("Dem", seals=True)
        one = Side(her_id=US, role="A", sends=["X"], signing=der(self.ours), encryption=der(self.opening))
        other = Side(her_id=THEM, role="B", receives=["X"], signing=der(self.theirs), encryption=der(self.sealed))
        start, end = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=300)
        self.cpa = Cpa(one=one, other=other, service="S-X", start=start, end=end)

    def company(self, name: str, *, seals: bool = False, days: int = 300) -> SigningKey:
        usage = None
        if seals:
            signs = key_usage()
            names = ("digital_signature", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
            bits = {one: getattr(signs, one) for one in names}
            off = {"content_commitment": False, "encipher_only": False, "decipher_only": False}
            usage = x509.KeyUsage(**bits, **off, key_encipherment=True)
        now = datetime.now(UTC)
        validity = Validity(begin=now - timedelta(days=9), end=now + timedelta(days=days))
        own = key(next(self._keys))
        return self.root.issue_company(name, "310045101", key=own, usage=usage, validity=validity)

    def write(self, cpa: Cpa, name: str = "a.xml") -> Path:
        file = self.folder / name
        file.write_bytes(cpa.text())
        return file

    def settings(self, **agreement: Any) -> Path:
        """A settings file with address book and keys beside it."""
        write_pkcs12(self.ours, self.folder / "company.p12")
        write_pkcs12(self.opening, self.folder / "opening.p12")
        party = {
            "herId": THEM,
            "type": "Organization",
            "name": "Dem",
            "displayName": "Dem",
            "organizationDetails": {"organizationNumber": "312045303"},
            "ediAddress": "party@example.invalid",
            "_certificates": {"signing": registered(self.theirs), "encryption": registered(self.sealed)},
            "_agreement": {"road": "ebxml-mail", **agreement},
        }
        book = {"environment": "test", "parties": [party]}
        (self.folder / "addressbook.json").write_text(json.dumps(book))
        (self.folder / "cpa").mkdir(exist_ok=True)
        file = self.folder / "adapter.toml"
        file.write_text(
            'environment = "test"\n[software]\nfagsystem="E"\nfagsystem_version="1"\nmellomvare="a"\n'
            'mellomvare_version="1"\nmsh="m"\nmsh_version="1"\n'
            f'[[tenant]]\nname="oss"\norganisation_number="310045101"\nher_ids=[{US}]\n'
            'sign_with="company"\ndecrypt_with=["opening"]\n'
            '[keys.company]\npkcs12="company.p12"\n[keys.opening]\npkcs12="opening.p12"\n'
            '[agreements]\ndirectory="cpa"\n'
        )
        return file


def der(key: SigningKey) -> bytes:
    return key.certificate.public_bytes(Encoding.DER)


def registered(key: SigningKey) -> dict[str, str]:
    octets = der(key)
    thumbprint = hashlib.sha1(octets, usedforsecurity=False).hexdigest().upper()
    return {"thumbprint": thumbprint, "certificateValue": base64.b64encode(octets).decode()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- show -------------------------------------------------------------------------------------------------------------


@needs_corpus
def test_a_real_agreement_is_shown_with_its_parties_addresses_and_days(cli: Cli) -> None:
    (line,) = cli("cpa", "show", "--json", REAL).rows
    assert (line["readable"], line["id"], line["end"]) == (True, "nav:qass:35065", "2028-01-02T22:59:00Z")
    nav = line["parties"][1]
    assert nav["certificates"]["NAV_default_sign_cert"]["uses"] == ["sign"]
    assert nav["channels"]["NAV_asyncSMTPChannelA1"]["retry_interval_s"] == 43_200
    shown = cli("cpa", "show", REAL)
    assert shown.code == 0
    assert "4 resends 12 h apart" in shown.out


def test_a_file_that_is_no_agreement_is_told_and_the_others_are_shown(cli: Cli, world: World) -> None:
    bad = world.folder / "bad.xml"
    bad.write_bytes(b"<x/>")
    ran = cli("cpa", "show", "--json", bad, world.write(world.cpa))
    assert ran.code == 1
    assert [row["readable"] for row in ran.rows] == [False, True]
    assert "CPA.KIND" in ran.rows[0]["error"]
    assert "unreadable" in cli("cpa", "show", bad).out


@needs_corpus
def test_a_template_without_certificates_is_shown_as_a_profile(cli: Cli) -> None:
    (line,) = cli("cpa", "show", "--json", TEMPLATES / "CPP-NHN-PartyA-Rubbelogbit_v6.xml").rows
    assert (line["profile"], line["parties"][0]["certificates"]) == (True, {})


# --- check ------------------------------------------------------------------------------------------------------------


def found(cli: Cli, file: Path, *more: str) -> tuple[int, dict[str, str]]:
    ran = cli("cpa", "check", "--json", *more, file)
    return ran.code, {one["rule"]: one["severity"] for one in ran.rows[0]["findings"]}


@needs_corpus
def test_the_traps_of_a_real_agreement_are_infos_and_it_is_sound(cli: Cli) -> None:
    code, rules = found(cli, REAL, "--at", "2026-11-21T08:00:00Z")
    assert code == 0
    assert rules == {"CPA10": "info", "CPA11": "info", "CPA17": "info", "CPA18": "info"}


@needs_corpus
def test_an_agreement_is_judged_at_the_time_that_is_asked_for(cli: Cli) -> None:
    code, rules = found(cli, REAL, "--at", "2029-01-01T08:00:00Z")
    assert code == 1
    assert (rules["CPA3"], rules["CPA21"]) == ("error", "error")


def test_a_sound_agreement_of_ours_has_no_errors(cli: Cli, world: World) -> None:
    code, rules = found(cli, world.write(world.cpa))
    assert code == 0
    assert set(rules) == {"CPA10"}


SHA1 = b"<t:HashFunction>http://www.w3.org/2000/09/xmldsig#sha1</t:HashFunction>"
MONTHS = b'<t:BusinessTransactionCharacteristics t:timeToPerform="P180M"/>'


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ((b'certId="a_sign"><d', b'certId="b_sign"><d'), "CPA12"),
        ((b't:transportId="a_mail_t" t:doc', b't:transportId="nowhere" t:doc'), "CPA13"),
        ((b"<t:ChannelId>a_mail<", b"<t:ChannelId> a_mail <"), "CPA14"),
        ((b"</t:SenderNonRep", SHA1 + b"</t:SenderNonRep"), "CPA15"),
        ((b"</t:CollaborationProtocolAgreement", b"<d:Signature/></t:CollaborationProtocolAgreement"), "CPA16"),
        ((b"</t:PartyId>", b'</t:PartyId><t:PartyId t:type="ENH">974760673</t:PartyId>'), "CPA18"),
        ((b"</t:ThisPartyActionBinding>", MONTHS + b"</t:ThisPartyActionBinding>"), "CPA11"),
    ],
)  # fmt: skip
def test_each_trap_is_found(cli: Cli, world: World, change: tuple[bytes, bytes], rule: str) -> None:
    text = world.cpa.text()
    assert change[0] in text
    file = world.folder / "trap.xml"
    file.write_bytes(text.replace(*change, 1))
    assert rule in found(cli, file)[1]


def test_certificates_that_run_out_or_are_for_something_else_are_found(cli: Cli, world: World) -> None:
    soon, over = world.company("Dem", days=9), world.company("Dem", days=-1)
    one = replace(world.cpa.one, signing=der(soon), encryption=der(world.ours))
    other = replace(world.cpa.other, signing=der(world.sealed), encryption=der(over))
    code, rules = found(cli, world.write(replace(world.cpa, one=one, other=other)))
    assert code == 1
    assert (rules["CPA22"], rules["CPA21"]) == ("warning", "error")
    assert (rules["CPA23"], rules["CPA24"]) == ("warning", "error")


def test_an_unreadable_file_is_a_finding_and_p21_quotes_nothing_of_it(cli: Cli, world: World) -> None:
    file = world.folder / "bad.xml"
    file.write_bytes(b"<hemmelig>11111111111</oops>")
    ran = cli("cpa", "check", file)
    assert ran.code == 1
    assert "faulty" in ran.out
    assert "11111111111" not in ran.out + ran.err
    assert "hemmelig" not in ran.out + ran.err


# --- diff -------------------------------------------------------------------------------------------------------------


def test_two_editions_differ_in_keys_endpoints_periods_resends_and_processes(cli: Cli, world: World) -> None:
    before = world.write(world.cpa)
    other = replace(world.cpa.other, signing=der(world.company("Dem")), mail="mailto:new@example.invalid")
    one = replace(world.cpa.one, sends=["X", "Y"])
    after = replace(world.cpa, one=one, other=other, retries=2, end=world.cpa.end + timedelta(days=9))
    ran = cli("cpa", "diff", "--json", before, world.write(after, "b.xml"))
    assert ran.code == 1
    assert {row["what"] for row in ran.rows} == {"key rolls", "endpoint", "period", "resends", "processes"}
    assert cli("cpa", "diff", before, before).out == "nothing differs\n"
    assert cli("cpa", "diff", before, before).code == 0


def test_against_settings_that_fit_nothing_differs(cli: Cli, world: World) -> None:
    ran = cli("--config", world.settings(), "cpa", "diff", world.write(world.cpa))
    assert (ran.code, ran.out, ran.err) == (0, "nothing differs\n", "")


def whats(cli: Cli, world: World, cpa: Cpa, **agreement: Any) -> set[str]:
    ran = cli("--config", world.settings(**agreement), "cpa", "diff", "--json", world.write(cpa))
    assert ran.code == (1 if ran.rows else 0), ran.err
    return {row["what"] for row in ran.rows}


def test_against_the_settings_each_side_of_the_keys_is_compared(cli: Cli, world: World) -> None:
    new, sealing = world.company("Ny"), world.company("Ny", seals=True)
    one, other = world.cpa.one, world.cpa.other
    assert whats(cli, world, replace(world.cpa, one=replace(one, signing=der(new)))) == {"our signing key"}
    assert whats(cli, world, replace(world.cpa, one=replace(one, encryption=der(sealing)))) == {"our encryption key"}
    changed = replace(world.cpa, other=replace(other, signing=der(new), encryption=der(sealing)))
    assert whats(cli, world, changed) == {"partner's signing certificate", "partner's encryption certificate"}


def test_against_the_settings_the_endpoint_and_the_road_are_compared(cli: Cli, world: World) -> None:
    moved = replace(world.cpa, other=replace(world.cpa.other, mail="mailto://elsewhere@example.invalid"))
    assert whats(cli, world, moved) == {"endpoint"}
    http = {"road": "ebxml-http", "endpoint": "https://dem.example.invalid/ebxml"}
    assert whats(cli, world, world.cpa, **http) == {"road"}
    both = replace(world.cpa, other=replace(world.cpa.other, url="https://dem.example.invalid/new"))
    assert whats(cli, world, both, **http) == {"endpoint"}


def test_against_the_settings_the_file_in_force_with_the_same_id_is_compared(cli: Cli, world: World) -> None:
    world.settings()
    world.write(world.cpa, "cpa/old.xml")
    assert whats(cli, world, replace(world.cpa, retries=2)) == {"resends"}


def test_an_agreement_of_strangers_is_refused_with_a_cure(cli: Cli, world: World) -> None:
    cpa = replace(world.cpa, one=replace(world.cpa.one, her_id=8099999))
    ran = cli("--config", world.settings(), "cpa", "diff", world.write(cpa))
    assert ran.code == 2
    assert "CPA.STRANGER" in ran.err
    assert "her_ids" in ran.err


def test_without_settings_a_lone_file_cannot_be_compared(cli: Cli, world: World) -> None:
    ran = cli("cpa", "diff", world.write(world.cpa))
    assert ran.code == 2
    assert "--config" in ran.err


def test_a_broken_file_cannot_be_compared(cli: Cli, world: World) -> None:
    bad = world.folder / "bad.xml"
    bad.write_bytes(b"<x/>")
    ran = cli("cpa", "diff", bad, world.write(world.cpa))
    assert ran.code == 1
    assert "CPA.KIND" in ran.err


@pytest.mark.parametrize("words", [[], ["nonsense"], ["show"], ["show", "/nowhere.xml"]])
def test_wrong_use_is_told_with_exit_code_2(cli: Cli, words: list[str]) -> None:
    assert cli("cpa", *words).code == 2


# --- doctor -----------------------------------------------------------------------------------------------------------


def told(world: World) -> list[tuple[str | None, str | None]]:
    """What doctor says of the agreements: status and text."""
    settings = load_settings(world.settings())
    rows = list(agreement_rows(settings, datetime.now(UTC)))
    return [(row["status"], row["text"]) for row in rows]


def test_doctor_counts_agreements_and_names_files_that_cannot_be_used(world: World) -> None:
    world.settings()
    world.write(world.cpa, "cpa/a.xml")
    (world.folder / "cpa" / "b.xml").write_bytes(b"<x/>")
    assert told(world) == [("error", "it cannot be used: CPA.KIND"), ("ok", "1 agreement")]


def test_p27_doctor_counts_down_and_compares_keys_with_agreements(world: World) -> None:
    world.settings()
    soon = replace(world.cpa, end=datetime.now(UTC) + timedelta(days=9, hours=1))
    world.write(soon, "cpa/a.xml")
    assert ("warning", "ends in 9 days") in told(world)
    other = replace(world.cpa.one, signing=der(world.company("Ny")))
    world.write(replace(world.cpa, one=other), "cpa/a.xml")
    assert ("warning", "differs from settings and address book: our signing key") in told(world)
    world.write(replace(world.cpa, start=START, end=START + timedelta(days=1)), "cpa/a.xml")
    assert ("warning", "not in force: nothing is sent under it") in told(world)


def test_doctor_says_nothing_of_agreements_where_no_folder_is_set(world: World) -> None:
    file = world.settings()
    file.write_text(file.read_text().replace('[agreements]\ndirectory="cpa"\n', ""))
    assert list(agreement_rows(load_settings(file), datetime.now(UTC))) == []


def test_doctor_asks_no_signing_certificate_of_a_key_that_only_opens_what_partners_encrypt(world: World) -> None:
    settings = load_settings(world.settings())
    keys = [row for row in examine(settings) if str(row["check"]).startswith("key ")]
    assert [(row["check"], row["status"]) for row in keys] == [("key company", "ok"), ("key opening", "ok")]
