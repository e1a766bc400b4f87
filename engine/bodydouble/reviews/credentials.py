"""Content Credentials (C2PA) in review media: the only module that imports c2pa, which is the optional extra `c2pa`.

A signed PNG, JPEG, MP4 or QuickTime says who signed it, that a trained model replaced a face in it, and by whose
permission; one changed byte makes it invalid. Nothing is fetched: only a time-stamp authority is asked, and only if one
is named.

Sources: C2PA Technical Specification 2.4 (actions, `c2pa.ai-disclosure`); IPTC digital source types; Regulation (EU)
2024/1689 (AI Act), Articles 3(60) and 50.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bodydouble.errors import InputError, OutputError, UsageError, how_to_install
from bodydouble.swap.provenance import COMPOSITE_WITH_TRAINED_MEDIA, NO_RECORD
from bodydouble.writing import atomic_path

MEDIA = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".mp4": "video/mp4", ".mov": "video/quicktime",
}  # fmt: skip
DISCLOSURE = "org.bodydouble.disclosure"
STATEMENT = (
    "The face of a performer in this picture was replaced by a trained model. It is a deep fake in the sense of "
    "Article 3(60) of Regulation (EU) 2024/1689 and is disclosed as Article 50 of that regulation asks."
)
MISSING = f"Content Credentials need c2pa-python. Install it with: {how_to_install('c2pa')}"
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNTRUSTED = "signingCredential.untrusted"
_NOT_TOLD = {"pixels", "stamp", "settings", "job", "earlier", "frame", "plate", "plate_sha256", "confidence", "person"}
"""Facts of a stamp that stay in the studio: they name shots, or are of one frame."""


@dataclass(frozen=True)
class StudioKey:
    """What a studio signs with.

    Attributes:
        certificate: PEM file of the signing certificate, followed by those that lead to its root.
        key: PEM file of its private key, without a password.
        timestamp_url: RFC 3161 authority to ask for a time stamp; None asks nobody.
    """

    certificate: Path
    key: Path
    timestamp_url: str | None = None


@dataclass(frozen=True)
class Credentials:
    """What a medium says of itself.

    Attributes:
        state: "trusted" (intact, and signed by somebody that one of the trusted roots vouches for), "valid" (intact,
            the signer is not known here), "invalid" or "none".
        problems: C2PA's codes of what is wrong, such as "assertion.dataHash.mismatch".
        signer: organisation and name on the certificate.
        disclosure: our disclosure, empty without one.
    """

    state: Literal["trusted", "valid", "invalid", "none"]
    problems: tuple[str, ...] = ()
    signer: str = ""
    disclosure: Mapping[str, Any] = field(default_factory=dict)


def manifest_of(title: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is signed. facts: of the stamp of the frames that the medium shows, without the prefix."""
    persona, version = str(facts.get("persona", "")), str(facts.get("version", ""))
    told = {name: value for name, value in facts.items() if name not in _NOT_TOLD}
    model = {"modelType": "c2pa.types.model.pytorch", "modelName": f"Bodydouble comb, persona {persona}"}
    if facts.get("persona_sha256"):
        model["modelIdentifier"] = f"sha256:{facts['persona_sha256']}"
    created = {
        "action": "c2pa.created",
        "digitalSourceType": COMPOSITE_WITH_TRAINED_MEDIA,
        "softwareAgent": {"name": "Bodydouble", "version": version},
        "description": STATEMENT,
    }
    disclosure = {"deep_fake": True, "statement": STATEMENT, "rights": facts.get("rights", NO_RECORD), "made_by": told}
    return {
        "title": title,
        "claim_generator_info": [{"name": "Bodydouble", "version": version}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            # A person chose plate, persona and look; whether somebody approved the result is not ours to say.
            {
                "label": "c2pa.ai-disclosure",
                "data": {**model, "contentProfile": {"humanOversightLevel": "prompt_guided"}},
            },
            {"label": DISCLOSURE, "data": disclosure},
        ],
    }


def sign_media(source: Path, out: Path, facts: Mapping[str, Any], key: StudioKey) -> None:
    """Write `source` with a signed manifest to `out`, whole or not at all; they may be the same file.

    facts: see `manifest_of`. Errors: UsageError for a kind of file that carries no manifest, a key or certificate that
    cannot sign; InputError for a file that is missing; OutputError.
    """
    c2pa = _library()
    kind = media_type(source)
    if media_type(out) != kind:
        raise UsageError(f"{out}: keep the suffix {source.suffix}; signing does not convert.")
    if not source.is_file():
        raise InputError(f"{source}: no such file.")
    certificate, private = _read(key.certificate), _read(key.key)
    try:
        info = c2pa.C2paSignerInfo(_algorithm(private, key.key), certificate, private, key.timestamp_url)
        context = c2pa.Context.from_dict({**_OFFLINE, "builder": {"thumbnail": {"enabled": False}}})
        with (
            atomic_path(out) as temporary,
            c2pa.Builder(manifest_of(out.name, facts), context) as builder,
            c2pa.Signer.from_info(info) as signer,
            source.open("rb") as read,
            temporary.open("w+b") as written,
        ):
            builder.sign(signer, kind, read, written)
    except c2pa.C2paError as error:
        raise OutputError(f"{source}: cannot be signed with {key.certificate.name} ({error}).") from error


def read_credentials(path: Path, trusted: Path | None = None) -> Credentials:
    """What a medium's manifest says, checked against its bytes.

    trusted: PEM file of the roots that are trusted; None trusts nobody in particular. Errors: InputError, UsageError
    for a kind of file that carries no manifest.
    """
    c2pa = _library()
    kind = media_type(path)
    settings: dict[str, Any] = dict(_OFFLINE)
    if trusted is not None:
        settings["trust"] = {"trust_anchors": _read(trusted).decode("ascii", "replace")}
        settings["verify"] = {**_OFFLINE["verify"], "verify_trust": True}
    try:
        with path.open("rb") as file, c2pa.Reader(kind, file, context=c2pa.Context.from_dict(settings)) as reader:
            state, document = str(reader.get_validation_state()), json.loads(reader.json())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except c2pa.C2paError as error:
        nothing = type(error).__name__.endswith("ManifestNotFound")
        return Credentials("none") if nothing else Credentials("invalid", (str(error),))
    problems = tuple(str(status["code"]) for status in document.get("validation_status", ()))
    manifest = document.get("manifests", {}).get(document.get("active_manifest"), {})
    signature = manifest.get("signature_info", {})
    signer = ", ".join(str(signature[name]) for name in ("issuer", "common_name") if signature.get(name))
    disclosures = [one["data"] for one in manifest.get("assertions", ()) if one.get("label") == DISCLOSURE]
    intact = state in ("Valid", "Trusted") and not set(problems) - {_UNTRUSTED}
    found: Literal["trusted", "valid", "invalid"] = "invalid"
    if intact:
        found = "trusted" if state == "Trusted" else "valid"
    return Credentials(found, problems, signer, disclosures[0] if disclosures else {})


def media_type(path: Path) -> str:
    """The media type of a file that can carry a manifest. Errors: UsageError."""
    try:
        return MEDIA[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"{path}: only {', '.join(MEDIA)} carry Content Credentials.") from None


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise UsageError(f"{MISSING}.") from error
    return c2pa


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({os.strerror(error.errno or 0)}).") from error


def _algorithm(pem: bytes, path: Path) -> str:
    """C2PA's name of the algorithm that a private key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: no private key in PEM without a password ({error}).") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise UsageError(f"{path}: C2PA signs with keys of P-256, P-384, P-521, Ed25519 or RSA, not with this one.")


_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
