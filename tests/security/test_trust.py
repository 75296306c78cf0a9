"""P14, P16, P17 and P18: whose signature counts, and what is said when it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from adapter import xmlio
from adapter.config import Revocation
from adapter.errors import SettingsError, Severity
from adapter.model.process import Signing
from adapter.security import xmldsig
from adapter.security.demo_ca import DemoCa, Validity, key_usage
from adapter.security.keys import SigningKey
from adapter.security.revocation import Standing
from adapter.security.trust import Expected, PersonMap, TrustPolicy, TrustVerdict, judge_absent, judge_signer

NOW = datetime.now(UTC).replace(microsecond=0)
OFF = TrustPolicy(revocation=Revocation.OFF)
COMPANY = Expected(signing=Signing.COMPANY, org_numbers=frozenset({"974760673"}))
PERSON = Expected(signing=Signing.PERSON)


class Says:
    """A revocation port with one answer for every certificate, which counts how often it was asked."""

    def __init__(self, *standings: Standing) -> None:
        self.standings = list(standings)
        self.asked = 0

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, when: datetime) -> Standing:
        self.asked += 1
        return self.standings[min(self.asked, len(self.standings)) - 1]


def signed_by(key: SigningKey) -> xmldsig.Verified:
    verified = xmldsig.verify(xmlio.parse(xmldsig.sign(xmlio.parse(b"<m/>"), key)))
    return xmldsig.Verified(
        root=verified.root, certificate=verified.certificate, chain=key.chain, covered=verified.covered
    )


def judged(
    key: SigningKey,
    ca: DemoCa,
    *,
    gen_date: datetime | None = NOW - timedelta(minutes=1),
    expected: Expected | None = None,
    policy: TrustPolicy = OFF,
    revocation: Says | None = None,
) -> TrustVerdict:
    return judge_signer(
        signed_by(key),
        gen_date=gen_date,
        fetched_at=NOW,
        roots=(ca.certificate,),
        revocation=revocation,
        policy=policy,
        expected=expected,
    )


def rules(verdict: TrustVerdict) -> dict[str, tuple[str, str | None]]:
    return {finding.rule: (finding.severity.value, finding.apprec) for finding in verdict.findings}


def test_p16_a_company_that_is_the_sender_is_trusted(ca: DemoCa, company: SigningKey) -> None:
    verdict = judged(company, ca, expected=COMPANY)
    assert (verdict.status, verdict.findings) == ("valid", ())
    assert verdict.org_number == "974760673"
    assert verdict.not_after == company.certificate.not_valid_after_utc
    assert not verdict.is_person
    assert not verdict.must_wait
    assert not verdict.spoof_suspected
    assert verdict.standing is None


def test_p16_the_register_owner_may_sign_for_the_sender(ca: DemoCa, company: SigningKey) -> None:
    either = Expected(signing=Signing.COMPANY, org_numbers=frozenset({"991825827", "974760673"}))
    assert judged(company, ca, expected=either).status == "valid"


def test_p18_a_company_that_may_not_speak_for_the_sender_is_a_suspected_spoof(ca: DemoCa, company: SigningKey) -> None:
    verdict = judged(company, ca, expected=Expected(signing=Signing.COMPANY, org_numbers=frozenset({"991825827"})))
    assert verdict.status == "untrusted"
    assert verdict.spoof_suspected
    assert rules(verdict) == {"P16.SENDER": ("error", None)}


def test_p16_where_no_signature_is_required_a_stranger_is_a_warning(ca: DemoCa, company: SigningKey) -> None:
    verdict = judged(company, ca, expected=Expected(org_numbers=frozenset({"991825827"})))
    assert rules(verdict) == {"P16.SENDER": ("warning", None)}
    assert not verdict.spoof_suspected


def test_p16_without_a_known_sender_the_owner_is_not_judged(ca: DemoCa, company: SigningKey) -> None:
    assert judged(company, ca, expected=Expected(signing=Signing.COMPANY)).status == "valid"


def test_p16_a_person_is_found_by_issuer_and_serial(ca: DemoCa, person: SigningKey) -> None:
    key = f"{person.certificate.issuer.rfc4514_string()}|{person.certificate.serial_number:X}"
    policy = TrustPolicy(revocation=Revocation.OFF, persons=PersonMap({key: "13116900216"}))
    verdict = judged(person, ca, expected=PERSON, policy=policy)
    assert (verdict.status, verdict.findings, verdict.is_person) == ("valid", (), True)
    assert verdict.person_number == "13116900216"
    assert "13116900216" not in repr(verdict)


def test_p16_an_unresolved_person_is_a_finding_of_its_own(ca: DemoCa, person: SigningKey) -> None:
    verdict = judged(person, ca, expected=PERSON)
    assert verdict.status == "valid"
    assert rules(verdict) == {"P16.UNRESOLVED": ("warning", None)}
    assert verdict.person_number is None


@pytest.mark.parametrize("key", ["CN=x", "CN=x|", "CN=x|GG"])
def test_p16_a_person_without_a_serial_number_in_the_settings_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="serial"):
        PersonMap({key: "13116900216"})


def test_p14_a_company_cannot_sign_where_a_person_must(ca: DemoCa, company: SigningKey) -> None:
    verdict = judged(company, ca, expected=PERSON)
    assert verdict.status == "untrusted"
    assert rules(verdict) == {"P14.PERSON": ("error", "S02")}


def test_p14_a_person_where_a_company_signs_is_a_warning(ca: DemoCa, person: SigningKey) -> None:
    verdict = judged(person, ca, expected=COMPANY)
    assert rules(verdict)["P14.COMPANY"] == ("warning", None)


def issued(
    ca: DemoCa, leaf_key: rsa.RSAPrivateKey, begin: datetime, end: datetime, *, person: bool = True
) -> SigningKey:
    validity = Validity(begin=begin, end=end)
    if person:
        return ca.issue_person("P", "P", "1", key=leaf_key, validity=validity)
    return ca.issue_company("P", "974760673", key=leaf_key, validity=validity)


LONG_AGO, LATER = NOW - timedelta(days=700), NOW + timedelta(days=700)


@pytest.mark.parametrize(("person", "grade"), [(True, "error"), (False, "warning")])
def test_p17_an_expired_certificate_is_s02_only_where_a_person_must_sign(
    person: bool, grade: str, ca: DemoCa, leaf_key: rsa.RSAPrivateKey
) -> None:
    key = issued(ca, leaf_key, LONG_AGO, NOW - timedelta(days=1), person=person)
    verdict = judged(key, ca, expected=PERSON if person else Expected())
    assert verdict.status == "untrusted"
    assert rules(verdict)["P17.EXPIRED"] == (grade, "S02")


def test_p17_a_certificate_that_was_not_valid_yet_is_s02(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    verdict = judged(issued(ca, leaf_key, NOW + timedelta(days=1), LATER), ca, expected=PERSON)
    assert rules(verdict)["P17.NOT_YET"] == ("error", "S02")


def test_p17_validity_is_judged_at_gen_date_and_reported_at_receipt(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    key = issued(ca, leaf_key, LONG_AGO, NOW - timedelta(days=3), person=False)
    verdict = judged(key, ca, gen_date=NOW - timedelta(days=4), expected=COMPANY)
    assert verdict.status == "valid"
    assert rules(verdict) == {"P17.EXPIRED_SINCE": ("warning", None)}


def test_p17_gen_date_counts_for_fourteen_days_back_at_most(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    key = issued(ca, leaf_key, LONG_AGO, NOW - timedelta(days=15))
    verdict = judged(key, ca, gen_date=NOW - timedelta(days=100), expected=PERSON)
    assert verdict.status == "untrusted"
    assert {"P17.GENDATE", "P17.EXPIRED"} <= set(rules(verdict))
    key = issued(ca, leaf_key, LONG_AGO, NOW - timedelta(days=13))
    assert judged(key, ca, gen_date=NOW - timedelta(days=100), expected=PERSON).status == "valid"


def test_p17_a_gen_date_in_the_future_is_judged_at_the_fetch(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    key = issued(ca, leaf_key, NOW + timedelta(days=1), LATER)
    verdict = judged(key, ca, gen_date=NOW + timedelta(days=2), expected=PERSON)
    assert {"P17.GENDATE", "P17.NOT_YET"} <= set(rules(verdict))
    assert "P17.GENDATE" not in rules(judged(key, ca, gen_date=NOW + timedelta(minutes=1)))


def test_p17_a_gen_date_without_a_zone_is_norwegian(leaf_key: rsa.RSAPrivateKey) -> None:
    noon = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    winter = DemoCa.create(clock=lambda: noon)
    verified = signed_by(issued(winter, leaf_key, noon, noon + timedelta(days=9), person=False))
    for minute, status in ((datetime(2026, 11, 20, 13, 0), "valid"), (datetime(2026, 11, 20, 12, 59), "untrusted")):
        verdict = judge_signer(
            verified, gen_date=minute, fetched_at=noon + timedelta(hours=1), roots=(winter.certificate,), policy=OFF
        )
        assert verdict.status == status


def test_p17_without_a_gen_date_the_fetch_counts(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    assert judged(issued(ca, leaf_key, LONG_AGO, LATER), ca, gen_date=None).status == "valid"
    assert judged(issued(ca, leaf_key, LONG_AGO, NOW - timedelta(seconds=1)), ca, gen_date=None).status == "untrusted"


@pytest.mark.parametrize(("expected", "grade"), [(PERSON, "error"), (Expected(), "warning")])
def test_p17_a_stranger_is_s02_only_where_a_person_must_sign(
    expected: Expected, grade: str, person: SigningKey
) -> None:
    verdict = judged(person, DemoCa.create("Other"), expected=expected)
    assert verdict.status == "untrusted"
    assert rules(verdict)["P17.UNTRUSTED"] == (grade, "S02")


def test_p17_without_roots_nobody_is_trusted_and_no_partner_is_told(person: SigningKey) -> None:
    verdict = judge_signer(signed_by(person), gen_date=NOW, fetched_at=NOW, roots=(), expected=PERSON)
    assert verdict.status == "untrusted"
    assert rules(verdict)["P17.NO_ROOTS"] == ("warning", None)


def test_p17_a_certificate_for_another_use_is_s02(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    key = ca.issue_person("P", "P", "1", key=leaf_key, usage=key_usage(digital_signature=True))
    assert rules(judged(key, ca, expected=PERSON))["P17.USAGE"] == ("error", "S02")


REQUIRED, REACHABLE = (TrustPolicy(revocation=mode) for mode in (Revocation.REQUIRED, Revocation.WHEN_REACHABLE))


@pytest.mark.parametrize(("expected", "grade"), [(PERSON, "error"), (Expected(), "warning")])
def test_p17_a_revoked_certificate_is_s03_only_where_a_person_must_sign(
    expected: Expected, grade: str, ca: DemoCa, person: SigningKey
) -> None:
    verdict = judged(person, ca, expected=expected, policy=REQUIRED, revocation=Says(Standing.REVOKED))
    assert (verdict.status, verdict.standing, verdict.must_wait) == ("untrusted", Standing.REVOKED, False)
    assert rules(verdict)["P17.REVOKED"] == (grade, "S03")


def test_p17_revocation_that_could_not_be_asked_is_an_outcome_of_its_own(ca: DemoCa, company: SigningKey) -> None:
    for port in (Says(Standing.UNCHECKED), None):
        verdict = judged(company, ca, expected=COMPANY, policy=REQUIRED, revocation=port)
        assert (verdict.status, verdict.must_wait, verdict.standing) == ("untrusted", True, Standing.UNCHECKED)
        assert rules(verdict) == {"P17.UNCHECKED": ("warning", None)}
        verdict = judged(company, ca, expected=COMPANY, policy=REACHABLE, revocation=port)
        assert (verdict.status, verdict.must_wait) == ("valid", False)
        assert rules(verdict) == {"P17.UNCHECKED": ("warning", None)}


def test_p17_a_certificate_in_good_standing_is_valid(ca: DemoCa, company: SigningKey) -> None:
    verdict = judged(company, ca, expected=COMPANY, policy=REQUIRED, revocation=Says(Standing.GOOD))
    assert (verdict.status, verdict.standing, verdict.findings) == ("valid", Standing.GOOD, ())


@pytest.mark.parametrize(
    ("answers", "standing"),
    [
        ((Standing.GOOD, Standing.REVOKED), Standing.REVOKED),
        ((Standing.UNCHECKED, Standing.REVOKED), Standing.REVOKED),
        ((Standing.GOOD, Standing.UNCHECKED), Standing.UNCHECKED),
        ((Standing.GOOD, Standing.GOOD), Standing.GOOD),
    ],
)
def test_p17_every_link_below_the_root_is_asked_about(
    answers: tuple[Standing, ...], standing: Standing, ca: DemoCa, leaf_key: rsa.RSAPrivateKey
) -> None:
    key = ca.create_below().issue_company("X", "974760673", key=leaf_key)
    port = Says(*answers)
    verdict = judge_signer(
        signed_by(key), gen_date=NOW, fetched_at=NOW, roots=(ca.certificate,), revocation=port, policy=REACHABLE
    )
    assert verdict.standing is standing
    assert port.asked == 2


def test_p20_revocation_is_not_asked_before_the_chain_has_reached_our_root(company: SigningKey) -> None:
    port = Says(Standing.GOOD)
    verdict = judged(company, DemoCa.create("Other"), policy=REQUIRED, revocation=port)
    assert port.asked == 0
    assert verdict.standing is None


def test_p17_off_means_that_nobody_is_asked(ca: DemoCa, company: SigningKey) -> None:
    port = Says(Standing.REVOKED)
    assert judged(company, ca, revocation=port).status == "valid"
    assert port.asked == 0


def test_p17_an_absent_signature_matters_where_one_is_required() -> None:
    assert judge_absent(Expected()) == ()
    (finding,) = judge_absent(COMPANY)
    assert (finding.rule, finding.severity, finding.apprec) == ("P17.ABSENT", Severity.ERROR, None)


def test_p21_no_finding_names_a_person(ca: DemoCa, leaf_key: rsa.RSAPrivateKey) -> None:
    canary = ca.issue_person("Kanarifugl", "Kanarifugl", "1", key=leaf_key)
    verdict = judged(canary, DemoCa.create("Other"), expected=PERSON)
    assert "Kanarifugl" not in repr(verdict)


def test_sha1_warnings_stay_in_the_verdict(ca: DemoCa, company: SigningKey) -> None:
    from tests.security.handmade import parsed

    verified = xmldsig.verify(parsed(company, hash_name="sha1"), allow_sha1=True)
    verdict = judge_signer(verified, gen_date=NOW, fetched_at=NOW, roots=(ca.certificate,), policy=OFF)
    assert rules(verdict) == {"S01.SHA1": ("warning", None)}
    assert verdict.status == "valid"
