"""The code hierarchies that consent decisions rest on, and closures over them.

Implements docs "consent.md" 2.4, 2.5 and 2.12.  The tables are the is-a hierarchies of the HL7 code
systems v3-ActReason (below PurposeOfUse), v3-ActCode (below _InformationSensitivityPolicy,
RefrainPolicy, and the policies that label a record without making it sensitive) and
v3-Confidentiality, version 2018-08-12, as published in the package hl7.fhir.r4.core 4.0.1 (CC0).
They were derived by walking ``CodeSystem.concept`` and keeping parent and children.  Not here: any
other code system; a code outside these tables covers itself only.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PARTICIPATION_TYPE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CONSENT_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
URI = "urn:ietf:rfc:3986"
MIME = "urn:ietf:bcp:13"

BREAK_GLASS = "BTG"
EMERGENCY_PURPOSES = frozenset({"BTG", "ETREAT"})

# Lowest first: "U < L < M < N < R < V" (v3-Confidentiality, definitions of the six codes).
RANKS: Mapping[str, int] = {code: rank for rank, code in enumerate("ULMNRV")}
NORMAL, RESTRICTED, VERY_RESTRICTED = RANKS["N"], RANKS["R"], RANKS["V"]

_PURPOSES = {
    "PurposeOfUse": "HMARKT HOPERAT HPAYMT HRESCH PATRQT PUBHLTH TREAT",
    "HOPERAT": "CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS HPRGRP"
    " HQUALIMP HSYSADMIN MEMADMIN MILCDM PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV TRAIN",
    "HSYSADMIN": "LABELING METAMGT",
    "SYSDEV": "HTEST",
    "HPAYMT": "CLMATTCH COVAUTH COVERAGE REMITADV",
    "COVERAGE": "ELIGDTRM ELIGVER ENROLLM MILDCRG",
    "HRESCH": "BIORCH CLINTRCH DSRCH POARCH TRANSRCH",
    "CLINTRCH": "CLINTRCHNPC CLINTRCHPC PRECLINTRCH",
    "PATRQT": "FAMRQT PWATRNY SUPNWK",
    "PUBHLTH": "DISASTER THREAT",
    "TREAT": "CLINTRL COC ETREAT POPHLTH",
    "ETREAT": "BTG ERTREAT",
}
_SENSITIVITIES = {
    "_InformationSensitivityPolicy": "_ActInformationSensitivityPolicy _EntitySensitivityPolicyType"
    " _RoleInformationSensitivityPolicy ADOL CEL DIA DRGIS EMP PDS PHY PRS",
    "_ActInformationSensitivityPolicy": "ETH GDIS HIV MST SCA SDV SEX SPI STD TBOO VIO SICKLE",
    "_EntitySensitivityPolicyType": "DEMO DOB GENDER LIVARG MARST RACE REL",
    "_RoleInformationSensitivityPolicy": "B EMPL LOCIS SSP",
    "SPI": "BH MH PSY PSYTHPN SUD",
    "BH": "COGN DVD EMOTDIS",
    # ETH is a sibling of SPI in R4 although it means substance abuse: mapped to SUD both ways.
    "SUD": "ETHUD OPIOIDUD ETH",
    "ETH": "SUD",
}
_REFRAINS = (
    "NOAUTH NOCOLLECT NODSCLCD NODSCLCDS NOINTEGRATE NOLIST NOMOU NOORGPOL NOPAT NOPERSISTP"
    " NORDSCLCD NORDSCLCDS NORDSCLW NORELINK NOREUSE NOVIP ORCON"
)
_OTHER_POLICIES = (
    "SecurityPolicy AUTHPOL ACCESSCONSCHEME DELEPOL ObligationPolicy ANONY AOD AUDIT AUDTR CPLYCC"
    " CPLYCD CPLYJPP CPLYOPP CPLYOSP CPLYPOL DECLASSIFYLABEL DEID DELAU DOWNGRDLABEL DRIVLABEL"
    " ENCRYPT ENCRYPTR ENCRYPTT ENCRYPTU HUAPRV LABEL MASK MINEC PERSISTLABEL PRIVMARK PSEUD REDACT"
    " UPGRDLABEL PROCESSINLINELABEL RefrainPolicy 42CFRPart2 CommonRule HIPAANOPP HIPAAPsyNotes HIPAASelfPay"
    " Title38Section7332 EMRGONLY GRANTORCHOICE IMPLIED IMPLIEDD NOCONSENT NOPP OPTIN OPTINR OPTOUT"
    " OPTOUTE COMPT ACOCOMPT CTCOMPT FMCOMPT HRCOMPT LRCOMPT PACOMPT RESCOMPT RMGTCOMPT"
)


def _closures(children: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """Each code of the table with itself and all of its descendants."""
    direct = {parent: names.split() for parent, names in children.items()}
    codes = set(direct).union(*direct.values())
    return {code: _below(code, direct) for code in codes}


def _below(code: str, direct: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [code]
    while waiting:
        following = waiting.pop()
        if following not in found:
            found.add(following)
            waiting.extend(direct.get(following, ()))
    return frozenset(found)


_PURPOSES_BELOW = _closures(_PURPOSES)
_SENSITIVITIES_BELOW = _closures(_SENSITIVITIES)
_SENSITIVITIES_ABOVE = {
    code: frozenset(above for above, below in _SENSITIVITIES_BELOW.items() if code in below)
    for code in _SENSITIVITIES_BELOW
}
REFRAIN_CODES = frozenset(_REFRAINS.split())
SUBSTANCE_USE = frozenset((ACT_CODE, code) for code in _SENSITIVITIES_BELOW["SUD"])
_NOT_SENSITIVE = REFRAIN_CODES | frozenset(_OTHER_POLICIES.split())


@lru_cache(maxsize=1024)
def purposes_covered(system: str, code: str) -> frozenset[tuple[str, str]]:
    """The purpose itself and, in v3-ActReason, every purpose below it, as (system, code)."""
    if system != ACT_REASON:
        return frozenset({(system, code)})
    return frozenset((system, below) for below in _PURPOSES_BELOW.get(code, (code,)))


@lru_cache(maxsize=1024)
def labels_covered(system: str, code: str) -> frozenset[tuple[str, str]]:
    """What a permit for this label covers: the label and its descendants, as (system, code)."""
    if system != ACT_CODE:
        return frozenset({(system, code)})
    return frozenset((system, below) for below in _SENSITIVITIES_BELOW.get(code, (code,)))


@lru_cache(maxsize=1024)
def labels_touched(system: str, code: str) -> frozenset[tuple[str, str]]:
    """What a deny for this label touches: the label, its descendants and its ancestors."""
    if system != ACT_CODE:
        return frozenset({(system, code)})
    above = _SENSITIVITIES_ABOVE.get(code, frozenset({code}))
    return labels_covered(system, code) | frozenset((system, higher) for higher in above)


def is_known_sensitivity(code: str) -> bool:
    """Tell whether R4 knows this v3-ActCode code as a sensitivity."""
    return code in _SENSITIVITIES_BELOW and not code.startswith("_")


def is_sensitivity(system: str, code: str) -> bool:
    """Tell whether a record label is a sensitivity label.

    A v3-ActCode label that R4 does not know counts as one: a newer sensitivity code must not be
    overlooked.  Labels of other systems select a record only where a rule lists them exactly.
    """
    return system == ACT_CODE and code not in _NOT_SENSITIVE
