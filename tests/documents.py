"""The project's Markdown pages: their examples, links and headings."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)\s*$")
_EXIT_CODE = re.compile(r"#.*\bexit code (\d+)\b")
_COMMENT = re.compile(r"\s+#\s.*$|^#.*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Example:
    """A fenced block: where it stands, its language, its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class CommandLine:
    """One command of a `bash` block, joined over its continuation lines, and the exit code the page promises."""

    text: str
    exit_code: int


def pages() -> list[Path]:
    """Every Markdown page of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def is_manual(page: Path) -> bool:
    """Whether its examples are promised to work: README and everything below docs/."""
    return page == ROOT / "README.md" or ROOT / "docs" in page.parents


def examples(page: Path) -> Iterator[Example]:
    """The fenced blocks of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        indent = len(opening["indent"])
        end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == "```")
        text = "\n".join(line[indent:] for line in lines[number + 1 : end])
        yield Example(page, number + 1, opening["language"], text)
        number = end + 1


def command_lines(text: str) -> list[CommandLine]:
    """The commands of a `bash` block. A comment may promise an exit code: `# exit code 5: not permitted`."""
    commands, words, promised = [], "", 0
    for line in text.splitlines():
        found = _EXIT_CODE.search(line)
        promised = int(found[1]) if found else promised
        bare = _COMMENT.sub("", line).rstrip()
        words += bare.removesuffix("\\").strip() + " "
        if not bare.endswith("\\") and words.strip():
            commands.append(CommandLine(words.strip(), promised))
            words, promised = "", 0
    return commands


def without_code(text: str) -> str:
    """A page without its fenced blocks and inline code, where brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "", _without_blocks(text))


def inline_code(page: Path) -> list[str]:
    """What stands between single backquotes in the running text."""
    return re.findall(r"`([^`\n]+)`", _without_blocks(page.read_text(encoding="utf-8")))


def links(page: Path) -> list[str]:
    """Every address that a page links to or shows."""
    return _LINK.findall(without_code(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The names under which the page's headings can be linked to, as Markdown viewers make them."""
    headings = re.findall(r"^#+ +(.*?)\s*$", _without_blocks(page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
