from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from adapter.ebxml.agreement import Agreement, Channel, Endpoint
from adapter.ebxml.agreement_report import agreement_json, check_agreement, compare
from adapter.ebxml.cpa import check_against, read_agreement, route_of
from adapter.ebxml.decide import FAULTS
from adapter.ebxml.words import Envelope, Participant, PartyId
from adapter.errors import NotFoundError, UnreadableError, UnsupportedError
from tests.ebxml.corpus import needs_corpus, octets
from tests.ebxml.making import MESSAGE_ID, NOW, SOFTWARE, payload

TP = "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd"
DER = b"\x30\x82" + b"x" * 200


def certificate(name: str, der: bytes = DER) -> str:
    text = base64.b64encode(der).decode()
    return (
        f'<t:Certificate t:certId="{name}"><d:KeyInfo><d:X509Data><d:X509Certificate>\n {text}\n'
        "</d:X509Certificate></d:X509Data></d:KeyInfo></t:Certificate>"
    )


def party(name: str, her: str, sends: bool, *, mail: str) -> str:
    can, other = ("CanSend", "CanReceive") if sends else ("CanReceive", "CanSend")
    return f"""
 <t:PartyInfo t:partyName="{name}, with a comma" t:defaultMshChannelId="{name}_smtp">
  <t:PartyId t:type="HER"> {her} </t:PartyId><t:PartyId t:type="orgnummer">889640782</t:PartyId>
  <t:CollaborationRole>
   <t:ProcessSpecification t:name="Sykmelde" t:version="2.0" t:uuid="u"/>
   <t:Role t:name="{"Sykmelder" if sends else "Saksbehandler"}"/>
   <t:ApplicationCertificateRef t:certId="{name}_crypt"/>
   <t:ServiceBinding><t:Service t:type="string">Sykmelding
     </t:Service>
    <t:{can}><t:ThisPartyActionBinding t:action="Registrering" t:packageId="{name}_pkg">
      <t:BusinessTransactionCharacteristics t:timeToPerform="P180M"/>
      <t:ChannelId>{name}_http</t:ChannelId><t:ChannelId>{name}_smtp</t:ChannelId></t:ThisPartyActionBinding></t:{can}>
    <t:{other}><t:ThisPartyActionBinding t:action="Svar" t:packageId="{name}_pkg">
      <t:ChannelId>{name}_smtp</t:ChannelId></t:ThisPartyActionBinding></t:{other}>
   </t:ServiceBinding>
  </t:CollaborationRole>
  {certificate(f"{name}_sign", DER + name.encode())}{certificate(f"{name}_crypt")}
  <t:DeliveryChannel t:channelId="{name}_smtp" t:transportId="{name}_t" t:docExchangeId="{name}_d">
   <t:MessagingCharacteristics t:syncReplyMode="none" t:ackRequested="always" t:duplicateElimination="often"/>
  </t:DeliveryChannel>
  <t:DeliveryChannel t:channelId="{name}_odd" t:transportId="nowhere" t:docExchangeId="nowhere"/>
  <t:Transport t:transportId="{name}_t"><t:TransportReceiver><t:TransportProtocol>SMTP</t:TransportProtocol>
   <t:Endpoint t:uri="{mail}" t:type="allPurpose"/><t:Endpoint t:uri="mailto:err@x" t:type="error"/>
   <t:Endpoint/></t:TransportReceiver></t:Transport>
  <t:DocExchange t:docExchangeId="{name}_d"><t:ebXMLSenderBinding>
   <t:ReliableMessaging><t:Retries>4</t:Retries><t:RetryInterval>PT720M</t:RetryInterval></t:ReliableMessaging>
   <t:PersistDuration>P4D</t:PersistDuration>
   <t:SenderNonRepudiation><t:HashFunction>sha256</t:HashFunction>
    <t:SignatureAlgorithm t:oid="1.2.840.113549.1.1.5" t:w3c="urn:rsa-sha256">RSA</t:SignatureAlgorithm>
    <t:SigningCertificateRef t:certId="{name}_sign"/></t:SenderNonRepudiation>
  </t:ebXMLSenderBinding></t:DocExchange>
 </t:PartyInfo>"""


def text() -> str:
    return f"""<?xml version="1.0"?><?made by="hand"?>
<t:CollaborationProtocolAgreement xmlns:t="{TP}" xmlns:d="http://www.w3.org/2000/09/xmldsig#" t:cpaid="nav:qass:1">
 <t:Status t:value="proposed"/><t:Start>2026-01-01T00:00:00</t:Start><t:End>2027-01-01T00:00:00.000Z</t:End>
 {party("P", "80225", True, mail="mailto://p@edi.nhn.no")}{party("N", "79768", False, mail="mailto://n@edi.nhn.no")}
 <t:SimplePart t:id="doc">
  <t:NamespaceSupported t:location="a.xsd" t:version="1.0">urn:a</t:NamespaceSupported></t:SimplePart>
 <t:Packaging t:id="P_pkg"><t:CompositeList>
  <t:Encapsulation t:id="z" t:mimetype="application/x-gzip"><t:Constituent t:idref="doc"/></t:Encapsulation>
  <t:Encapsulation t:id="e" t:mimetype="application/pkcs7-mime"><t:Constituent t:idref="z"/></t:Encapsulation>
  <t:Composite t:mimetype="multipart/related"><t:Constituent t:idref="e"/></t:Composite>
 </t:CompositeList></t:Packaging>
</t:CollaborationProtocolAgreement>"""


CPA = read_agreement(text().encode())
CLINIC, NAV = (PartyId("80225"),), (PartyId("79768"),)


def message(**changes: object) -> Envelope:
    words = replace(
        payload(),
        sender=Participant(CLINIC, "Sykmelder"),
        receiver=Participant(NAV, "Saksbehandler"),
        service="Sykmelding",
        action="Registrering",
    )
    return replace(words, **changes)  # type: ignore[arg-type]


def test_the_facts_that_we_act_on_are_read() -> None:
    assert (CPA.id, CPA.status, CPA.profile) == ("nav:qass:1", "proposed", False)
    assert (CPA.start, CPA.end) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert CPA.parties[0].ids == (PartyId("80225"), PartyId("889640782", "orgnummer"))
    channel = CPA.parties[0].channels["P_smtp"]
    assert (channel.retries, channel.retry_interval_s, channel.persist_s) == (4, 43_200, 345_600)
    assert (channel.acknowledge, channel.sign_receipt, channel.eliminate_duplicates) == (
        "always",
        "perMessage",
        "perMessage",
    )
    assert channel.signature_algorithm == "urn:rsa-sha256", "@w3c is right where text and @oid are not"
    assert CPA.packages["P_pkg"].compressed
    assert CPA.packages["P_pkg"].encrypted
    assert CPA.packages["P_pkg"].documents == (("urn:a", "a.xsd", "1.0"),)


def test_a_route_takes_each_certificate_from_its_own_place() -> None:
    route = CPA.route(CLINIC, NAV, service="Sykmelding", action="Registrering", from_role="Sykmelder")
    assert route.signing_certificate == DER + b"P", "the sender's channel"
    assert route.encryption_certificate == CPA.parties[1].certificates["N_crypt"], "the receiver's role"
    assert (route.from_role, route.to_role) == ("Sykmelder", "Saksbehandler")
    assert route.receiver_channel.endpoint() == Endpoint("mailto://n@edi.nhn.no")
    assert route.receiver_channel.endpoint("error") == Endpoint("mailto:err@x", "error")
    assert route.package is CPA.packages["P_pkg"]
    assert route.sender_channel.by_mail


def test_a_party_is_found_by_any_of_its_ids() -> None:
    assert CPA.party((PartyId("x", "DN"), PartyId("79768"))) is CPA.parties[1]
    assert CPA.party((PartyId("79768", "ENH"),)) is None
    assert CPA.other(CPA.parties[0]) is CPA.parties[1]


@pytest.mark.parametrize(
    ("sender", "receiver", "service", "action", "role", "code"),
    [
        ((PartyId("1"),), NAV, "Sykmelding", "Registrering", None, "CPA.SENDER"),
        (CLINIC, (PartyId("1"),), "Sykmelding", "Registrering", None, "CPA.RECEIVER"),
        (CLINIC, CLINIC, "Sykmelding", "Registrering", None, "CPA.RECEIVER"),
        (CLINIC, NAV, "Sykmelding", "Svar", None, "CPA.PROCESS"),
        (NAV, CLINIC, "Sykmelding", "Registrering", None, "CPA.PROCESS"),
        (CLINIC, NAV, "Legemelding", "Registrering", None, "CPA.PROCESS"),
        (CLINIC, NAV, "Sykmelding", "Registrering", "Lege", "CPA.PROCESS"),
    ],
)
def test_what_is_not_agreed_has_no_route(
    sender: tuple[PartyId, ...], receiver: tuple[PartyId, ...], service: str, action: str, role: str | None, code: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        CPA.route(sender, receiver, service=service, action=action, from_role=role)
    assert caught.value.code == code


def test_signals_take_the_default_channel_whatever_the_roles() -> None:
    route = CPA.signal_route(NAV, CLINIC, "Acknowledgment")
    assert route.signing_certificate == DER + b"N"
    assert route.receiver_channel.id == "P_smtp"
    assert route_of(CPA, replace(message(), kind=None, sender=Participant(NAV), receiver=Participant(CLINIC))) == route
    override = text().replace(
        '<t:Transport t:transportId="N_t">',
        '<t:OverrideMshActionBinding t:action="MessageError" t:channelId="N_odd"/><t:Transport t:transportId="N_t">',
    )
    other = read_agreement(override.encode())
    assert other.signal_route(NAV, CLINIC, "MessageError").sender_channel.id == "N_odd"
    assert other.signal_route(NAV, CLINIC, "Acknowledgment").sender_channel.id == "N_smtp"
    without = read_agreement(text().replace('t:defaultMshChannelId="N_smtp"', "").encode())
    with pytest.raises(NotFoundError):
        without.signal_route(NAV, CLINIC, "Acknowledgment")


def test_validity_is_judged_by_the_time_of_receipt() -> None:
    assert CPA.valid_at(NOW)
    assert not CPA.valid_at(NOW + timedelta(days=365))
    assert not CPA.valid_at(NOW - timedelta(days=365))
    assert replace(CPA, start=None, end=None).valid_at(NOW)


def test_a_received_message_is_held_against_the_agreement() -> None:
    assert check_against(CPA, message(), NOW) == ([], None)
    stranger = Participant((PartyId("1"),))
    for words, rule, fault in (
        (message(sender=stranger), "111", "sender_not_in_cpa"),
        (message(receiver=stranger), "112", "receiver_not_in_cpa"),
    ):
        hits, found = check_against(CPA, words, NOW)
        assert ([hit.rule for hit in hits], found) == ([rule], fault)
    assert check_against(CPA, message(action="Svar"), NOW) == ([], "process_not_agreed")
    assert {"sender_not_in_cpa", "receiver_not_in_cpa", "process_not_agreed", "cpa_not_in_force"} <= set(FAULTS)


def test_the_senders_clock_is_a_finding_and_our_clock_decides() -> None:
    year = timedelta(days=365)
    hits, fault = check_against(CPA, message(timestamp=NOW - year), NOW)
    assert ([hit.rule for hit in hits], fault) == (["113"], None)
    hits, fault = check_against(CPA, message(timestamp=NOW + year), NOW)
    assert ([hit.rule for hit in hits], fault) == (["114"], None)
    assert check_against(CPA, message(), NOW + year)[1] == "cpa_not_in_force"


def test_a_receipt_still_counts_after_the_agreement_has_ended() -> None:
    from adapter.ebxml.compose import acknowledgment

    receipt = acknowledgment(message(), (), message_id=MESSAGE_ID, now=NOW, software=SOFTWARE)
    assert check_against(CPA, receipt, NOW + timedelta(days=365))[1] is None


def test_channels_of_one_protocol_are_paired_and_missing_ones_are_an_error() -> None:
    web = Channel(id="P_http", protocol="HTTP")
    mixed = replace(CPA.parties[0], channels={"P_http": web, **CPA.parties[0].channels})
    both = replace(CPA, parties=(mixed, CPA.parties[1]))
    assert both.route(CLINIC, NAV, service="Sykmelding", action="Registrering").sender_channel.id == "P_smtp"
    only_web = replace(CPA, parties=(replace(mixed, channels={"P_http": web}), CPA.parties[1]))
    assert only_web.route(CLINIC, NAV, service="Sykmelding", action="Registrering").sender_channel.id == "P_http"
    none = replace(CPA, parties=(replace(mixed, channels={}), CPA.parties[1]))
    with pytest.raises(NotFoundError) as caught:
        none.route(CLINIC, NAV, service="Sykmelding", action="Registrering")
    assert caught.value.code == "CPA.CHANNEL"


def test_an_endpoint_of_no_matching_use_is_better_than_none() -> None:
    assert Channel(id="a", endpoints=(Endpoint("x", "login"),)).endpoint() == Endpoint("x", "login")
    assert Channel(id="a").endpoint() is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<a/>", "CPA.KIND"),
        (text().replace('t:cpaid="nav:qass:1"', "").encode(), "CPA.ID"),
        (text().replace("t:PartyInfo", "t:Party").encode(), "CPA.PARTIES"),
    ],
)  # fmt: skip
def test_what_is_no_agreement_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read_agreement(data)
    assert caught.value.code == code


def test_hostile_xml_is_refused_by_the_parser() -> None:
    with pytest.raises(UnreadableError):
        read_agreement(b'<!DOCTYPE a [<!ENTITY x "y">]>' + text().split("?>", 2)[2].encode())


def test_an_operator_is_told_what_is_wrong_with_an_agreement() -> None:
    def rules(agreement: Agreement, now: datetime = NOW) -> set[str]:
        return {one.rule for one in check_agreement(agreement, now)}

    assert rules(CPA) == {"CPA5", "CPA6", "CPA7"}, "the channel that leads nowhere"
    assert "CPA3" in rules(CPA, NOW + timedelta(days=365))
    assert {"CPA1", "CPA2"} <= rules(replace(CPA, parties=CPA.parties[:1], end=None))
    bare = replace(CPA.parties[0], ids=(), certificates={}, default_channel=None)
    assert {"CPA4", "CPA7", "CPA8", "CPA9"} <= rules(replace(CPA, parties=(bare, CPA.parties[1])))


def test_two_versions_of_an_agreement_are_compared_fact_by_fact() -> None:
    changed = read_agreement(text().replace("mailto://n@edi.nhn.no", "mailto://new@edi.nhn.no").encode())
    assert compare(CPA, CPA) == []
    ((path, before, after),) = compare(CPA, changed)
    assert path.endswith("/N_smtp/endpoints[1]/uri")
    assert (before, after) == ("mailto://n@edi.nhn.no", "mailto://new@edi.nhn.no")
    assert json.loads(json.dumps(agreement_json(CPA)))["parties"][0]["roles"][0]["sends"] == ["Registrering"]


@pytest.mark.cost
@needs_corpus
def test_the_real_agreement_with_nav_gives_routes_for_its_ten_processes() -> None:
    started = time.process_time()
    agreement = read_agreement(octets("cpa/nav-qass-35065.xml"))
    assert time.process_time() - started < 0.5
    assert (agreement.id, agreement.status) == ("nav:qass:35065", "proposed")
    assert check_agreement(agreement, NOW) == []
    clinic, nav = (PartyId("8141253"),), (PartyId("79768"),)
    routes = 0
    for one in agreement.parties:
        there, back = (clinic, nav) if one.her_id == 8141253 else (nav, clinic)
        for role in one.roles:
            for action in role.sends:
                route = agreement.route(there, back, service=role.service, action=action.name, from_role=role.role)
                assert route.signing_certificate
                assert route.encryption_certificate
                assert route.signing_certificate != route.encryption_certificate
                assert route.package is not None
                assert route.package.encrypted
                routes += 1
    assert len(agreement.parties[0].roles) == 10
    assert routes >= 25
    assert agreement.route(clinic, nav, service="BehandlerKrav", action="OppgjorsMelding").package.compressed  # type: ignore[union-attr]
    frikort = agreement.route(clinic, nav, service="HarBorgerFrikort", action="EgenandelForesporsel")
    assert frikort.receiver_channel.sync_reply == "signalsAndResponse"
    assert frikort.receiver_channel.retries is None


@needs_corpus
@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("CPP-mal/CPP-NHN-PartyA-Rubbelogbit_v6.xml", 164),
        ("CPP-mal/CPP-NHN-PartyB-Rubbelogbit_v6.xml", 164),
        ("CPP-mal/CppTemplate.xml", 322),
        ("Digital-dialog-mal/AMQP-mal-sender.xml", 43),
        ("Digital-dialog-mal/AMQP-mal-reciever.xml", 43),
    ],
)
def test_the_official_templates_are_read_whatever_they_lack(name: str, roles: int) -> None:
    agreement = read_agreement(octets(f"official/CPPA-maler/{name}"))
    assert agreement.profile
    assert len(agreement.parties[0].roles) == roles
    assert agreement.parties[0].certificates == {}, "placeholders are no certificates"
