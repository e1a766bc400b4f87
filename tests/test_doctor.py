"""The doctor."""

from __future__ import annotations

import json
import sys

import pytest

from bodydouble.alignment.faces import MODELS_VARIABLE
from bodydouble.alignment.mesh import MODEL_VARIABLE
from bodydouble.doctor import Check, DoctorReport, examine, report_document, report_text


@pytest.fixture(scope="module")
def report() -> DoctorReport:
    return examine()


def by_name(report: DoctorReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def test_a_machine_that_runs_the_tests_is_ready(report):
    assert report.ready, report_text(report)


def test_the_landmark_model_comes_with_its_licence_warning(report):
    check = by_name(report)["landmark model"]
    assert check.status == "attention"
    assert "exclude commercial use" in check.remedy


def test_device_and_colour_config_are_named(report):
    checks = by_name(report)
    assert "cpu" in checks["device"].detail or "cuda" in checks["device"].detail
    assert "colour spaces" in checks["colour config"].detail


def test_the_text_has_a_line_for_every_check(report):
    text = report_text(report)
    assert all(check.name in text and check.detail in text for check in report.checks)
    assert text.endswith("Ready.")


def test_the_document_is_json_with_schema_and_version(report):
    document = json.loads(json.dumps(report_document(report)))
    assert (document["schema"], document["version"], document["ready"]) == ("bodydouble.doctor", 1, True)
    assert [check["name"] for check in document["checks"]] == [check.name for check in report.checks]


def test_a_missing_library_is_a_finding_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    report = examine()
    check = by_name(report)["safetensors"]
    assert (check.status, report.ready) == ("missing", False)
    assert "pip install" in check.remedy
    assert report_text(report).endswith("Not ready: see what is missing above.")


def test_an_unusable_colour_config_is_a_finding_that_names_it(tmp_path):
    check = by_name(examine(str(tmp_path / "none.ocio")))["colour config"]
    assert check.status == "missing"
    assert "none.ocio" in check.detail


def test_a_colour_config_without_the_working_space_is_a_finding_with_the_way_out(tmp_path):
    (tmp_path / "show.ocio").write_text(
        "ocio_profile_version: 2\nroles: {default: lin}\nfile_rules: [!<Rule> {name: Default, colorspace: lin}]\n"
        "displays: {d: [!<View> {name: v, colorspace: lin}]}\ncolorspaces: [!<ColorSpace> {name: lin}]\n"
    )
    check = by_name(examine(str(tmp_path / "show.ocio")))["colour config"]
    assert check.status == "missing" and "aces_interchange" in check.remedy


def test_missing_face_models_are_a_finding(monkeypatch, tmp_path):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    check = by_name(examine())["landmark model"]
    assert check.status == "missing"
    assert "shape_predictor_68_face_landmarks.dat" in check.detail


def test_the_second_detector_is_named_with_its_licence(report):
    check = by_name(report)["second detector"]
    assert check.status == "ok"
    assert "CC0" in check.remedy


def test_the_mesh_landmarker_is_optional_and_says_how_to_get_its_model(monkeypatch, tmp_path):
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    check = by_name(examine())["mesh landmarker"]
    assert check.status == "optional"
    assert "mesh" in check.remedy
    (tmp_path / "face_landmarker.task").touch()
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "face_landmarker.task"))
    found = by_name(examine())["mesh landmarker"]
    if found.status == "ok":  # LiteRT is there
        assert "Apache-2.0" in found.remedy
        assert "face_landmarker.task" in found.detail
