"""The manual is built by one command, whole, with every public name, and fetches nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bodydouble
from conftest import ROOT, Command


@pytest.fixture(scope="module")
def site(python: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="MkDocs is the optional extra 'docs'")
    folder = tmp_path_factory.mktemp("manual")
    built = python("-m", "mkdocs", "build", "--strict", "-f", ROOT / "mkdocs.yml", "-d", folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_of_docs_and_the_readme_are_in_the_manual(site: Path):
    wanted = {"index.html", "contributing.html", *(f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md"))}
    assert wanted <= {page.name for page in site.glob("*.html")}


def test_the_reference_tells_of_every_public_name(site: Path):
    text = (site / "reference.html").read_text(encoding="utf-8")
    headed = set(re.findall(r'id="bodydouble\.[\w.]+\.(\w+)"', text))
    assert set(bodydouble.__all__) - {"__version__"} <= headed


def test_the_manual_fetches_nothing_from_elsewhere(site: Path):
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', text) == [], page.name
        assert re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', text) == [], page.name


def test_links_to_pages_outside_docs_lead_into_the_manual(site: Path):
    assert 'href="artist.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert 'href="index.html"' in (site / "td.html").read_text(encoding="utf-8")
