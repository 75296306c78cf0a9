"""Small documents of every kind that has a schema, made up here; each is valid, and the tests spoil copies of them."""

from __future__ import annotations

from adapter.validation import schema
from adapter.xmlio import Element, parse

FK1 = "http://www.kith.no/xmlstds/felleskomponent1"
PO_20 = "http://ehelse.no/xmlstds/po/poKomponent/2017-11-30"
PO_15 = "http://www.kith.no/xmlstds/po/poKomponent/2009-06-30"
OID = "2.16.578.1.12.4.1.1."


def ident(number: str, kind: str = "HER", prefix: str = "", code_list: str = "9051") -> str:
    return (
        f'<{prefix}Ident><{prefix}Id>{number}</{prefix}Id><{prefix}TypeId V="{kind}" S="{OID}{code_list}" DN="{kind}"/>'
        f"</{prefix}Ident>"
    )


def organisation(number: str, below: str = "") -> str:
    return f"<Organisation><OrganisationName>Unit {number}</OrganisationName>{ident(number)}{below}</Organisation>"


def party(first: str, second: str) -> str:
    return organisation(first, organisation(second))


def msghead(body: str, *, more: str = "", kind: str = "DIALOG_NOTAT", after: str = "") -> bytes:
    return f"""<MsgHead xmlns="{schema.MSGHEAD}"><MsgInfo>
<Type V="{kind}" DN="x"/><MIGversion>v1.2 2006-05-24</MIGversion><GenDate>2026-11-21T10:00:00</GenDate>
<MsgId>3f0c5a52-3f1e-4c7f-8b7a-2d5f6a0c9e11</MsgId>
<ConversationRef><RefToParent>a</RefToParent><RefToConversation>b</RefToConversation></ConversationRef>
<Sender>{party("1001", "1002")}</Sender><Receiver>{party("2001", "2002")}</Receiver>
<OtherReceiver><RoleReceiver V="COP" DN="Kopimottaker"/>{organisation("3001")}</OtherReceiver>
<Patient><FamilyName>Prove</FamilyName><GivenName>Person</GivenName><DateOfBirth>1990-01-02</DateOfBirth>
<Sex V="1" DN="Mann"/>{ident("15819012340", "FNR", code_list="8116")}
<Address><Type V="H"/><PostalCode>0001</PostalCode></Address>
<TeleCom><TypeTelecom V="HP"/><TeleAddress V="tel:99999999"/></TeleCom></Patient></MsgInfo>
<Document><RefDoc><IssueDate V="2026-11-21"/><MsgType V="XML" DN="XML-instans"/><MimeType>text/xml</MimeType>
<Content>{body}</Content></RefDoc></Document>{more}{after}</MsgHead>""".encode()


def attachment(base64: str = "JVBERi0xLjQK") -> str:
    return f"""<Document><RefDoc><IssueDate V="2026-11-21T10:00:00"/><MsgType V="A" DN="Vedlegg"/>
<MimeType>application/pdf</MimeType><Description>A paper</Description>
<Content><Base64Container xmlns="{schema.BASE64CONTAINER}">{base64}</Base64Container></Content></RefDoc></Document>"""


def professional(number: str) -> str:
    return (
        f'<fk1:TypeHealthcareProfessional V="LE"/><fk1:FamilyName>Lege</fk1:FamilyName>'
        f'{ident(number, "HPR", "fk1:", "8116")}<fk1:TeleCom><fk1:TeleAddress V="tel:88888888"/></fk1:TeleCom>'
    )


def dialogue(namespace: str) -> str:
    newer = namespace == schema.DIALOG_11
    subject = "<EmneSporsmal>Subject</EmneSporsmal>" if newer else ""
    question = (
        f'<Foresporsel><TypeForesp V="1" S="{OID}9152" DN="x"/>{subject}<Sporsmal>Why?</Sporsmal>'
        f'<Formål V="1" S="{OID}8332" DN="x"/><FraDato>2026-01-01</FraDato>'
        f'<TypeJournalinfo V="1" S="{OID}8334" DN="x"/>'
        "<DokIdForesp>d1</DokIdForesp></Foresporsel>"
    )
    unit = (
        '<TilknyttetEnhet><Kontaktenhet xmlns:fk1="http://www.kith.no/xmlstds/felleskomponent1">'
        f"<fk1:OrganisationName>Unit</fk1:OrganisationName>{ident('4001', prefix='fk1:')}"
        "</Kontaktenhet></TilknyttetEnhet>"
        if newer
        else ""
    )
    role = (
        f'<RollerRelatertNotat><RolleNotat V="1" S="{OID}9057" DN="Forfatter"/>{unit}<HealthcareProfessional>'
        f'<FamilyName>Lege</FamilyName><Ident><Id xmlns="{FK1}">1</Id><TypeId xmlns="{FK1}" V="HPR"/></Ident>'
        "</HealthcareProfessional></RollerRelatertNotat>"
    )
    return f"""<Dialogmelding xmlns="{namespace}"><Notat><TemaKodet V="1" S="{OID}9069" DN="x"/><Tema>Theme</Tema>
<TekstNotatInnhold><div xmlns="http://www.w3.org/1999/xhtml">Words</div></TekstNotatInnhold>
<DatoNotat>2026-11-20</DatoNotat>{question}{role}</Notat></Dialogmelding>"""


REFERRAL_20 = f"""<Henvisning xmlns="{schema.REFERRAL_20}" xmlns:po="{PO_20}" xmlns:fk1="{FK1}">
<ServType V="N" DN="Ny"/><IssueDate>2026-11-21T10:00:00</IssueDate><DocumentId>d-1</DocumentId>
<po:ParorendeForesatt><po:NarmesteParorende>true</po:NarmesteParorende>
<po:Referanseperson><fk1:FamilyName>Nar</fk1:FamilyName>
</po:Referanseperson></po:ParorendeForesatt>
<po:AnsvarForRapport><po:AnsvarligRapport>{professional("9144900")}</po:AnsvarligRapport>
<po:TypeRelasjon V="HHE" S="{OID}8254" DN="x"/></po:AnsvarForRapport>
<po:TypeInnholdIMelding><po:TypeInnhold V="99" S="{OID}8455" DN="x"/></po:TypeInnholdIMelding>
<PatientPrecaution><Precaution>Careful</Precaution></PatientPrecaution>
<InfItem><Medication><DrugId V="N02BE01" S="{OID}7180" DN="x"/><Status V="1"/><UnitDose V="1.5" U="g"/></Medication>
<Type V="MEDB" S="{OID}8233" DN="x"/></InfItem>
<InfItem><ResultItem><NumResult><NumResultValue V="3.1" U="mmol/l"/></NumResult>
<ClinInv><Id V="X" S="{OID}7280" DN="x"/></ClinInv>
</ResultItem><Type V="FUNN" S="{OID}8233" DN="x"/></InfItem>
<ReasonAsText><Heading V="PROB" S="{OID}8231" DN="x"/><TextResultValue>Reason</TextResultValue></ReasonAsText>
<Diagnosis><Concept V="P76" S="{OID}7170" DN="x"/></Diagnosis>
<ReqServ><ServType V="N"/><Priority V="N"/></ReqServ><Comment><TextResultValue>Words</TextResultValue></Comment>
<Consent><ConsentStatus V="1" S="{OID}9064" DN="x"/></Consent></Henvisning>"""


def hcp(number: str) -> str:
    return (
        f'<HCP><Inst><Name>Place</Name><Id>{number}</Id><TypeId V="HER"/>'
        '<Dept><Name>Ward</Name><Id>5</Id><TypeId V="HER"/></Dept></Inst><Address><Type V="PST"/></Address></HCP>'
    )


def message(namespace: str) -> bytes:
    newer = namespace == schema.REFERRAL_11
    extra = (
        f'<po:ParorendeForesatt xmlns:po="{PO_15}" xmlns:fk1="{FK1}"><po:Referanseperson>'
        "<fk1:GivenName>Nar</fk1:GivenName></po:Referanseperson></po:ParorendeForesatt>"
        if newer
        else '<NeedTranslator><IsDeaf V="true"/><Language V="se"/></NeedTranslator>'
    )
    content = (
        f'<Content><Base64Container xmlns="{schema.BASE64CONTAINER}">AAAA</Base64Container></Content>' if newer else ""
    )
    return f"""<Message xmlns="{namespace}"><Type V="H"/><MIGversion>v1</MIGversion><GenDate V="2026-11-21T10:00:00"/>
<MsgId>m-1</MsgId><ServReq><ServType V="N"/><IssueDate V="2026-11-21"/><MsgDescr V="10"/><Id>s-1</Id>
<Patient><Sex V="2"/><DateOfBirth V="1990-01-02"/><Name>Prove, Person</Name><OffId>15819012340</OffId>
<TypeOffId V="FNR"/>
<InfItem><Observation><Description>Seen</Description></Observation><Type V="ANAM"/></InfItem>
<PatRelHCP><Relation V="HHE"/>{hcp("7")}</PatRelHCP>{extra}</Patient>
<ServProvider><Role V="SPR"/>{hcp("1")}</ServProvider><Requester><Role V="REQ"/>{hcp("2")}</Requester>
<CopyDest><Role V="COP"/>{hcp("3")}</CopyDest>
<RefDoc><IssueDate V="2026-11-20"/><MsgType V="A"/><Id>r</Id>{content}</RefDoc>
<ReasonAsText><Heading V="PROB"/><TextResultValue>Reason</TextResultValue></ReasonAsText>
<Diagnosis><Concept V="P76" S="{OID}7170" DN="x"/><Modifier><Name V="B"/><Value V="1"/></Modifier></Diagnosis>
<ReqServ><ServType V="N"/><Priority V="N"/></ReqServ></ServReq></Message>""".encode()


def apprec(namespace: str) -> bytes:
    return f"""<AppRec xmlns="{namespace}"><MsgType V="APPREC" DN="x"/><MIGversion>v1.1 2012-02-15</MIGversion>
<GenDate>2026-11-21T10:00:00</GenDate><Id>a-1</Id><Sender><Role V="PRIM"/><HCP><Inst><Name>Place</Name><Id>1</Id>
<TypeId V="HER"/><Dept><Name>Ward</Name>
<Id>5</Id><TypeId V="HER"/></Dept><AdditionalId><Id>9</Id><Type V="ENH"/></AdditionalId>
<HCPerson><Name>Lege</Name></HCPerson></Inst></HCP></Sender>
<Receiver><HCP><HCProf><Name>Lege</Name><Id>2</Id><TypeId V="HPR"/></HCProf></HCP></Receiver>
<Status V="2" DN="Avvist"/>
<Error V="E10" S="{OID}8221" DN="x"/><OriginalMsgId>
<MsgType V="DIALOG_NOTAT"/><IssueDate>2026-11-20T10:00:00</IssueDate>
<Id>m-1</Id></OriginalMsgId></AppRec>""".encode()


def every_kind() -> dict[str, bytes]:
    """A valid document of each kind, by a name for the test's report."""
    return {
        "dialogue 1.0": msghead(dialogue(schema.DIALOG_10), more=attachment()),
        "dialogue 1.1": msghead(dialogue(schema.DIALOG_11), more=attachment()),
        "referral 2.0": msghead(REFERRAL_20, more=attachment()),
        "referral 1.1": message(schema.REFERRAL_11),
        "referral 1.0": message(schema.REFERRAL_10),
        "receipt 1.1": apprec(schema.APPREC_11),
        "receipt 1.0": apprec(schema.APPREC_10),
    }


def dialogue_root(namespace: str = schema.DIALOG_10) -> Element:
    return parse(msghead(dialogue(namespace), more=attachment()))
