"""Job documents."""

from __future__ import annotations

import json

import pytest

from bodydouble.errors import UsageError
from bodydouble.farm.jobs import COMMANDS, Job, job_from_line, job_id_of, job_to_line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_comes_back_from_its_line_equal(command):
    job = Job("é 7", command, {"plate": "a.####.exr", "layers": True, "person": 2, "faces": None})
    assert job_from_line(job_to_line(job)) == job


def test_a_line_is_one_json_object_with_schema_and_version():
    document = json.loads(job_to_line(Job("7", "doctor")))
    assert (document["schema"], document["version"], document["arguments"]) == ("bodydouble.job", 1, {})


def test_keys_that_this_version_does_not_know_are_left_out():
    document = json.loads(job_to_line(Job("7", "doctor"))) | {"priority": 5}
    assert job_from_line(json.dumps(document)) == Job("7", "doctor")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("swap it", "Not a job"),
        ("[1]", "no schema"),
        ('{"schema": "bodydouble.job", "version": 2, "id": "1", "command": "swap"}', "version 2"),
        ('{"schema": "bodydouble.job", "version": 1, "id": 1, "command": "swap"}', "an id and a command"),
        ('{"schema": "bodydouble.job", "version": 1, "id": "1", "command": "swop"}', "Did you mean: swap"),
        ('{"schema": "bodydouble.job", "version": 1, "id": "1", "command": "swap", "arguments": [1]}', "one object"),
    ],
)
def test_a_line_that_is_no_job_is_a_usage_error_that_says_why(line, says):
    with pytest.raises(UsageError, match=says):
        job_from_line(line)


@pytest.mark.parametrize(("line", "id"), [('{"id": "7"}', "7"), ('{"id": 7}', ""), ("[7]", ""), ("7 {", "")])
def test_the_id_of_a_bad_job_is_found_where_there_is_one(line, id):
    assert job_id_of(line) == id
