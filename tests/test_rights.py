"""Rights records."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest

from bodydouble.errors import InputError, RightsError
from bodydouble.rights import (
    RightsRecord,
    check_rights,
    check_seal,
    read_rights,
    rights_digest,
    rights_from_document,
    rights_state,
    rights_to_document,
    write_rights,
)

RECORD = RightsRecord(
    performer="Anna Example",
    granted_by="Example Talent Agency",
    granted_on=date(2026, 1, 15),
    contact="rights@example.com",
    scope="face only",
    productions=("The Long Shot", "Reel 7"),
    territory="worldwide",
    expires=date(2027, 1, 14),
    document_sha256="ab" * 32,
)


def test_a_record_comes_back_from_its_file_equal(tmp_path):
    write_rights(tmp_path / "anna.rights.json", RECORD)
    assert read_rights(tmp_path / "anna.rights.json") == RECORD


def test_a_record_without_optional_terms_comes_back_equal():
    record = RightsRecord("Anna", "Anna", date(2026, 1, 1), "anna@example.com")
    assert rights_from_document(json.loads(json.dumps(rights_to_document(record)))) == record


@pytest.mark.parametrize("today", [date(2026, 1, 15), date(2027, 1, 14)])
def test_the_first_and_the_last_day_are_permitted(today):
    RECORD.check(today, "The Long Shot")


@pytest.mark.parametrize(
    ("today", "production", "says"),
    [
        (date(2026, 1, 14), "Reel 7", "begin on 2026-01-15"),
        (date(2027, 1, 15), "Reel 7", "ended on 2027-01-14"),
        (date(2026, 6, 1), "Another Film", "not in 'Another Film'"),
        (date(2026, 6, 1), None, "--production"),
    ],
)
def test_what_is_not_permitted_is_a_rights_error_that_names_whom_to_ask(today, production, says):
    with pytest.raises(RightsError, match=says) as caught:
        RECORD.check(today, production)
    assert "Example Talent Agency (rights@example.com)" in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_production_is_recognised_in_any_case_and_spacing():
    RECORD.check(date(2026, 6, 1), "the  long SHOT ")


def test_without_named_productions_any_is_permitted():
    open_record = replace(RECORD, productions=())
    open_record.check(date(2026, 6, 1), None)
    open_record.check(date(2026, 6, 1), "Another Film")


def test_without_an_end_a_record_stays_valid():
    replace(RECORD, expires=None).check(date(2199, 1, 1), "Reel 7")


def test_a_persona_without_a_record_gives_a_notice_that_names_it():
    assert "'anna'" in (check_rights(None, "anna", date(2026, 6, 1), None) or "")


def test_a_permitted_persona_gives_no_notice():
    assert check_rights(RECORD, "anna", date(2026, 6, 1), "Reel 7") is None


def test_the_summary_names_people_productions_and_end():
    summary = RECORD.summary()
    for part in ("Anna Example", "Example Talent Agency", "Reel 7", "2027-01-14", "face only", "worldwide"):
        assert part in summary


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema": "something"}, "not a rights record"),
        ({"version": 2}, "version 2"),
        ({"expire": "2027-01-01"}, "unknown key 'expire'"),
        ({"expires": "soon"}, "'expires' must be a day"),
        ({"granted_on": None}, "'granted_on' must be a day"),
        ({"productions": "Reel 7"}, "'productions' must be a list"),
        ({"performer": 7}, "'performer' must be text"),
        ({"contact": ""}, "'contact'"),
        ({"document_sha256": "abc"}, "64 hex digits"),
        ({"expires": "2025-01-01"}, "before they begin"),
    ],
)
def test_a_damaged_record_is_an_input_error_that_names_file_and_fault(tmp_path, change, says):
    path = tmp_path / "anna.rights.json"
    path.write_text(json.dumps({**rights_to_document(RECORD), **change}))
    with pytest.raises(InputError, match=says) as caught:
        read_rights(path)
    assert "anna.rights.json" in str(caught.value)


def test_a_record_without_its_performer_is_an_input_error():
    document = rights_to_document(RECORD)
    del document["performer"]
    with pytest.raises(InputError, match="'performer' is missing"):
        rights_from_document(document)


@pytest.mark.parametrize("content", [None, "not json", "[]"])
def test_a_missing_or_foreign_file_is_an_input_error(tmp_path, content):
    path = tmp_path / "anna.rights.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"anna\.rights\.json"):
        read_rights(path)


# ---------------------------------------------------------------- seals

DOCUMENT = rights_to_document(RECORD)
SEAL = rights_digest(DOCUMENT)


def test_the_digest_is_of_what_a_record_says_not_of_its_layout():
    assert rights_digest(json.loads(json.dumps(DOCUMENT, indent=3, sort_keys=True))) == SEAL
    assert rights_digest({**DOCUMENT, "expires": "2099-01-01"}) != SEAL


def test_a_record_as_it_was_sealed_passes_and_so_does_a_model_without_seals():
    check_seal(DOCUMENT, SEAL, "anna", "cast.comb")
    check_seal(None, "", "anna", "cast.comb")
    check_seal(DOCUMENT, None, "anna", "cast.comb")


@pytest.mark.parametrize(
    ("record", "seal", "says"),
    [
        ({**DOCUMENT, "expires": "2099-01-01"}, SEAL, "was changed"),
        (None, SEAL, "was taken away"),
        (DOCUMENT, "", "was put there"),
        ("anything", SEAL, "was changed"),
    ],
)
def test_a_tampered_record_is_a_rights_error_that_names_model_and_persona(record, seal, says):
    with pytest.raises(RightsError, match=says) as caught:
        check_seal(record, seal, "anna", "cast.comb")
    assert "'anna' in cast.comb" in str(caught.value)


@pytest.mark.parametrize(
    ("document", "seal", "today", "says"),
    [
        (DOCUMENT, SEAL, date(2026, 6, 1), "in force; Anna Example"),
        (DOCUMENT, SEAL, date(2028, 6, 1), "ended on 2027-01-14"),
        ({**DOCUMENT, "expires": None}, SEAL, date(2028, 6, 1), "was changed after training"),
        (None, None, date(2028, 6, 1), "no record"),
        ({"schema": "x"}, None, date(2028, 6, 1), "not a rights record"),
    ],
)
def test_the_state_of_a_record_is_one_sentence(document, seal, today, says):
    assert says in rights_state(document, seal, "anna", today)
