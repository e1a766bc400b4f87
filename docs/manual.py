"""MkDocs hooks: pages that lie outside docs/, and the reference of the public names, made from their docstrings."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
# Where a page of the repository lies in the manual; those of docs/ keep their names.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "nuke_plugin/README.md": "nuke_plugin.md",
    "engine/bodydouble/bundled/README.md": "bundled.md",
}
REFERENCE = "reference.md"
SECTIONS = {
    "Guides": [
        *("persona.md", "artist.md", "nuke.md", "nuke_td.md", "td.md", "cli.md"),
        *("farm.md", "farm_openjd.md", "farm_opencue.md", "farm_deadline.md"),
        *("rights.md", "provenance.md", "troubleshooting.md"),
    ],
    "Project": ["architecture.md", "contributing.md", "benchmarks.md", "changelog.md", "licences.md", "patents.md"],
}
"""What stands where in the manual's list; pages that nobody put there are "How it works"."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
_BLOCK = re.compile(r"(^ *```.*?^ *```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The list of pages: new ones need not be entered anywhere."""
    here = {path.name for path in (ROOT / "docs").glob("*.md")} | set(OUTSIDE.values())
    placed = {name for names in SECTIONS.values() for name in names}
    sections = {title: [name for name in names if name in here] for title, names in SECTIONS.items()}
    rest = sorted(here - placed - {"index.md"})
    config.nav = [
        {"Bodydouble": "index.md"},
        {"Guides": sections["Guides"]},
        {"How it works": rest},
        {"Reference": REFERENCE},
        {"Project": sections["Project"]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, REFERENCE, content=reference()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the repository has them, to the places that the pages have in the manual."""
    name = page.file.src_uri
    source = next((outside for outside, inside in OUTSIDE.items() if inside == name), f"docs/{name}")
    parts = _BLOCK.split(markdown)
    parts[::2] = [_LINK.sub(lambda found: _moved(found, posixpath.dirname(source), files), part) for part in parts[::2]]
    return "".join(parts)


def _moved(link: re.Match[str], folder: str, files: Files) -> str:
    mark, text, address, anchor = link[1], link[2], link[3], link[4] or ""
    if not address or re.match("[a-z]+:", address):
        return link[0]
    target = posixpath.normpath(posixpath.join(folder, address))
    place = OUTSIDE.get(target, target.removeprefix("docs/"))
    if files.get_file_from_path(place) is not None:
        return f"{mark}[{text}]({place}{anchor})"  # every page of the manual is in one folder
    if not (ROOT / target).exists():
        return link[0]  # MkDocs tells of it
    return f"{text} (`{target}`)"  # in the repository, but no page of the manual


def reference() -> str:
    """One heading per module, one entry per public name, in the words of the docstrings."""
    tree = ast.parse((ROOT / "engine" / "bodydouble" / "__init__.py").read_text(encoding="utf-8"))
    table = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_MODULE_OF"
    )
    lines = ["# Reference", "", "The public names of `bodydouble`, by the module that they live in.", ""]
    for module in sorted(set(table.values())):
        lines += [f"## {module}", ""]
        lines += [f"::: bodydouble.{module}.{name}\n" for name in sorted(table) if table[name] == module]
    return "\n".join(lines)
