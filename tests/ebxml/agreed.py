"""Agreements (CPA 2.0) made for a test: two parties, one role each, channels by mail and HTTP."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TP = "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One party. ``sends`` and ``receives`` are actions of ``service``; ``certificates`` are DER."""

    her_id: int
    role: str
    sends: Sequence[str] = ()
    receives: Sequence[str] = ()
    signing: bytes = b"\x30\x82" + b"s" * 200
    encryption: bytes = b"\x30\x82" + b"e" * 200
    mail: str | None = "mailto://party@example.invalid"
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cpa:
    """The agreement's words; ``text`` writes them. Times of the plan as xs:duration."""

    one: Side
    other: Side
    service: str
    cpa_id: str = "nav:test:1"
    service_type: str = "string"
    start: datetime = START
    end: datetime = END
    retries: int | None = 4
    interval: str = "PT720M"
    persist: str | None = "P4D"
    acknowledge: str = "always"
    compressed: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def text(self) -> bytes:
        zipped = (
            '<t:Encapsulation t:id="z" t:mimetype="application/x-gzip"><t:Constituent t:idref="doc"/></t:Encapsulation>'
        )
        return f"""<t:CollaborationProtocolAgreement xmlns:t="{TP}" xmlns:d="http://www.w3.org/2000/09/xmldsig#"
 t:cpaid="{self.cpa_id}" t:version="2_0b">
 <t:Status t:value="proposed"/><t:Start>{_time(self.start)}</t:Start><t:End>{_time(self.end)}</t:End>
 {self._party("a", self.one)}{self._party("b", self.other)}
 <t:SimplePart t:id="doc" t:mimetype="application/xml"/>
 <t:Packaging t:id="pkg"><t:CompositeList>{zipped if self.compressed else ""}
  <t:Encapsulation t:id="e" t:mimetype="application/pkcs7-mime"><t:Constituent t:idref="doc"/></t:Encapsulation>
  <t:Composite t:mimetype="multipart/related"><t:Constituent t:idref="e"/></t:Composite>
 </t:CompositeList></t:Packaging>
</t:CollaborationProtocolAgreement>""".encode()

    def _party(self, name: str, side: Side) -> str:
        channels = [kind for kind, address in (("http", side.url), ("mail", side.mail)) if address is not None]
        actions = [("CanSend", one) for one in side.sends] + [("CanReceive", one) for one in side.receives]
        ids = "".join(f"<t:ChannelId>{name}_{kind}</t:ChannelId>" for kind in channels)
        cans = "".join(
            f'<t:{can}><t:ThisPartyActionBinding t:action="{action}" t:packageId="pkg">{ids}'
            f"</t:ThisPartyActionBinding></t:{can}>"
            for can, action in actions
        )
        return f"""
 <t:PartyInfo t:partyName="Party {name}" t:defaultMshChannelId="{name}_{channels[0]}">
  <t:PartyId t:type="HER">{side.her_id}</t:PartyId>
  <t:CollaborationRole><t:ProcessSpecification t:name="p" t:version="1.0"/><t:Role t:name="{side.role}"/>
   <t:ApplicationCertificateRef t:certId="{name}_crypt"/>
   <t:ServiceBinding><t:Service t:type="{self.service_type}">{self.service}</t:Service>{cans}</t:ServiceBinding>
  </t:CollaborationRole>
  {_certificate(f"{name}_sign", side.signing)}{_certificate(f"{name}_crypt", side.encryption)}
  {"".join(self._channel(name, kind, side) for kind in channels)}
 </t:PartyInfo>"""

    def _channel(self, name: str, kind: str, side: Side) -> str:
        protocol, address = ("SMTP", side.mail) if kind == "mail" else ("HTTP", side.url)
        reliable = (
            f"<t:ReliableMessaging><t:Retries>{self.retries}</t:Retries>"
            f"<t:RetryInterval>{self.interval}</t:RetryInterval></t:ReliableMessaging>"
            if self.retries is not None
            else ""
        )
        persist = f"<t:PersistDuration>{self.persist}</t:PersistDuration>" if self.persist is not None else ""
        key = f"{name}_{kind}"
        return f"""
  <t:DeliveryChannel t:channelId="{key}" t:transportId="{key}_t" t:docExchangeId="{key}_d">
   <t:MessagingCharacteristics t:syncReplyMode="none" t:ackRequested="{self.acknowledge}"/></t:DeliveryChannel>
  <t:Transport t:transportId="{key}_t"><t:TransportReceiver><t:TransportProtocol>{protocol}</t:TransportProtocol>
   <t:Endpoint t:uri="{address}" t:type="allPurpose"/></t:TransportReceiver></t:Transport>
  <t:DocExchange t:docExchangeId="{key}_d"><t:ebXMLSenderBinding>{reliable}{persist}
   <t:SenderNonRepudiation><t:SigningCertificateRef t:certId="{name}_sign"/></t:SenderNonRepudiation>
  </t:ebXMLSenderBinding></t:DocExchange>"""


def _certificate(name: str, der: bytes) -> str:
    text = base64.b64encode(der).decode()
    return (
        f'<t:Certificate t:certId="{name}"><d:KeyInfo><d:X509Data><d:X509Certificate>{text}'
        "</d:X509Certificate></d:X509Data></d:KeyInfo></t:Certificate>"
    )


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
