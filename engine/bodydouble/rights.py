"""Usage rights of a persona: who allowed what, until when, and whom to ask.

A record travels inside the model and is checked before a persona is used. It documents a permission; it does not
replace the contract it names. `scope` and `territory` are words for people and are shown, not enforced; expiry and
productions are enforced.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

from bodydouble.errors import InputError, RightsError

SCHEMA = "bodydouble.rights"
VERSION = 1
SEAL = "rights_sha256"
"""Key of the record's digest in the header of a persona's weights."""


@dataclass(frozen=True)
class RightsRecord:
    """One permission to show one person's face. Dates are calendar days; empty `productions` means any production."""

    performer: str
    granted_by: str
    granted_on: date
    contact: str
    scope: str = ""
    productions: tuple[str, ...] = ()
    territory: str = ""
    expires: date | None = None
    document_sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("performer", "granted_by", "contact"):
            if not getattr(self, name).strip():
                raise InputError(f"A rights record needs {name!r}.")
        if self.document_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.document_sha256):
            raise InputError(f"document_sha256 must be 64 hex digits, got {self.document_sha256!r}.")
        if self.expires is not None and self.expires < self.granted_on:
            raise InputError(f"The rights of {self.performer} expire ({self.expires}) before they begin.")

    def check(self, today: date, production: str | None) -> None:
        """Returns if `production` may show this persona on `today` (the last day counts); else raises `RightsError`."""
        ask = f"Ask {self.granted_by} ({self.contact})."
        if today < self.granted_on:
            raise RightsError(f"The rights to show {self.performer} begin on {self.granted_on}. {ask}")
        if self.expires is not None and today > self.expires:
            raise RightsError(f"The rights to show {self.performer} ended on {self.expires}. {ask}")
        if not self.productions:
            return
        allowed = ", ".join(self.productions)
        if production is None:
            raise RightsError(
                f"{self.performer} may be shown only in: {allowed}. Name the production with --production. {ask}"
            )
        if _key(production) not in {_key(item) for item in self.productions}:
            raise RightsError(f"{self.performer} may be shown only in: {allowed}; not in {production!r}. {ask}")

    def summary(self) -> str:
        """One sentence for logs and the review page."""
        where = ", ".join(self.productions) or "any production"
        until = f"until {self.expires}" if self.expires else "without an end date"
        terms = "; ".join(item for item in (self.scope, self.territory) if item)
        return f"{self.performer}: granted by {self.granted_by} on {self.granted_on} for {where}, {until}" + (
            f" ({terms})." if terms else "."
        )


def check_rights(record: RightsRecord | None, persona: str, today: date, production: str | None) -> str | None:
    """Checks `record` as `RightsRecord.check` does; without a record returns the notice to show."""
    if record is None:
        return f"Persona {persona!r} carries no rights record: make sure you may show this face."
    record.check(today, production)
    return None


def check_seal(record: Mapping[str, object] | None, seal: str | None, persona: str, where: str) -> None:
    """Errors: RightsError if the record in a model is not the one that its persona was saved with.

    record: as it stands in the model; seal: the digest in the persona's weights, "" for no record, None for a model
    that was saved before there were seals, which passes.
    """
    if seal is None or seal == ("" if record is None else rights_digest(record)):
        return
    what = "was taken away" if record is None else "was put there" if not seal else "was changed"
    contact = record.get("contact") if isinstance(record, Mapping) else None
    named = f", or {contact}, whom the record names" if contact else ""
    raise RightsError(
        f"The rights record of {persona!r} in {where} {what} after training. Copy the model again, or ask whoever "
        f"trained it{named}; a renewed permission is set with train --rights."
    )


def rights_state(
    document: Mapping[str, object] | None, seal: str | None, persona: str, today: date, where: str = "rights record"
) -> str:
    """One sentence for people: in force, over, limited to productions, changed, or not there."""
    try:
        check_seal(document, seal, persona, where)
        if document is None:
            return "no record: make sure you may show this face"
        record = rights_from_document(document, where)
        record.check(today, next(iter(record.productions), None))
    except (RightsError, InputError) as problem:
        return str(problem)
    return f"in force; {record.summary()}"


def rights_to_document(record: RightsRecord) -> dict[str, object]:
    """JSON-ready form of `record`, as stored in a model's `comb.json` and in files of their own."""
    document = asdict(record) | {
        "granted_on": record.granted_on.isoformat(),
        "expires": record.expires.isoformat() if record.expires else None,
        "productions": list(record.productions),
    }
    return {"schema": SCHEMA, "version": VERSION, **document}


def rights_from_document(document: Mapping[str, object], where: str = "rights record") -> RightsRecord:
    """The inverse of `rights_to_document`. An unknown or misspelt key is an `InputError`: a limit must not get lost."""
    if not isinstance(document, Mapping):
        raise InputError(f"{where}: not a rights record.")
    if document.get("schema") != SCHEMA:
        raise InputError(f"{where}: not a rights record (schema is {document.get('schema')!r}, not {SCHEMA!r}).")
    version = document.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise InputError(f"{where}: version {version!r}; this Bodydouble reads up to {VERSION}.")
    values = {key: value for key, value in document.items() if key not in ("schema", "version")}
    unknown = sorted(set(values) - {item.name for item in fields(RightsRecord)})
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}.")
    productions = values.pop("productions", ())
    if not isinstance(productions, list | tuple) or not all(isinstance(item, str) for item in productions):
        raise InputError(f"{where}: 'productions' must be a list of names.")
    granted_on = _day(values.pop("granted_on", None), "granted_on", where)
    expires = values.pop("expires", None)
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    wrong = sorted(set(values) - set(texts))
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} must be text.")
    try:
        return RightsRecord(
            granted_on=granted_on,
            expires=None if expires is None else _day(expires, "expires", where),
            productions=tuple(productions),
            **texts,
        )
    except TypeError as problem:
        missing = [name for name in ("performer", "granted_by", "contact") if name not in texts]
        raise InputError(f"{where}: {missing[0]!r} is missing.") from problem
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from problem


def rights_digest(document: Mapping[str, object]) -> str:
    """SHA-256 of a record's document: of what it says, not of how the file is laid out."""
    plain = dict(document) if isinstance(document, Mapping) else document  # whatever an editor left there
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_rights(path: str | Path) -> RightsRecord:
    """Reads a rights record file; `InputError` names the file and what is wrong with it."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}).") from problem
    except ValueError as problem:
        raise InputError(f"{path}: not JSON ({problem}).") from problem
    return rights_from_document(document, str(path))


def write_rights(path: str | Path, record: RightsRecord) -> None:
    """Writes `record` as JSON."""
    text = json.dumps(rights_to_document(record), indent=2, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _day(value: object, name: str, where: str) -> date:
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as problem:
        raise InputError(f"{where}: {name!r} must be a day like 2026-01-31, got {value!r}.") from problem
