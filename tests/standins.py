"""Stand-ins for programs of farms that cannot be had in a test: they refuse what the real ones refuse.

`python standins.py NAME …` is the program of that name. They are written from the makers' documents, not from memory:

- `deadlinecommand`: Deadline 10, User Manual, "Manual Job Submission", *Arbitrary Command Line Jobs*: the options, and
  the key words in the arguments. Jobs run at once, task by task, and the log is searched as the plug-in does.
- `deadline`: the command line of the package `deadline` 0.60.10 (AWS Deadline Cloud), `deadline bundle gui-submit`. The
  real one then opens a window; before that it reads the bundle, which is what is done here.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click

from bodydouble.errors import UsageError
from bodydouble.plates.frames import FrameRange

STANDINS = ("deadlinecommand", "deadline")


def deadlinecommand(words: list[str]) -> int:
    """`-SubmitCommandLineJob` and its options; exit code 1 for anything else, and for a job that fails."""
    command, *options = words
    if command.lstrip("-").lower() != "submitcommandlinejob":
        print(f"Error: '{command}' is not a command of this stand-in", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser("deadlinecommand", allow_abbrev=False)
    for needed in ("-executable", "-arguments", "-frames"):
        parser.add_argument(needed, required=True)
    for name in ("-startupdirectory", "-pool", "-group", "-name", "-department", "-initialstatus"):
        parser.add_argument(name)
    parser.add_argument("-chunksize", type=int, default=1)
    parser.add_argument("-priority", type=int, default=50, choices=range(101))
    parser.add_argument("-prop", action="append", type=_key_and_value)
    job = parser.parse_args(options)
    if job.startupdirectory is None or not Path(job.startupdirectory).is_absolute():
        print("Error: a farm's machine does not know where relative paths begin", file=sys.stderr)
        return 1
    frames = list(FrameRange.parse(job.frames))
    for first in range(0, len(frames), job.chunksize):
        if not _task(job, frames[first], frames[first : first + job.chunksize][-1]):
            return 1
    return 0


def _key_and_value(text: str) -> str:
    if "=" not in text:
        raise ValueError(text)
    return text


def _task(job: argparse.Namespace, first: int, last: int) -> bool:
    """Whether a task ended with exit code 0, progress that Deadline saw, and no line that it takes for an error."""
    text = job.arguments
    for word, frame in (("STARTFRAME", first), ("ENDFRAME", last)):
        text = re.sub(f"<{word}(?:%([0-9]+))?>", lambda m, frame=frame: f"{frame:0{m[1] or 0}d}", text)
    text = text.replace("<QUOTE>", '"')
    if left := re.findall("<[A-Z]+[^>]*>", text):
        print(f"Error: key words that Deadline does not know: {left}", file=sys.stderr)
        return False
    command = [job.executable, *shlex.split(text)]
    log = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=job.startupdirectory, check=False, **log)
    print(done.stdout)
    progress = [int(found) for found in re.findall(r".*Progress: (\d+)%.*", done.stdout)]
    return done.returncode == 0 and progress[-1:] == [100] and not re.search("(?i)^error", done.stdout, re.MULTILINE)


@click.group("deadline")
def deadline() -> None:
    """Deadline Cloud."""


@deadline.group()
def bundle() -> None:
    """Job bundles."""


@bundle.command("gui-submit")
@click.argument("job_bundle_dir", required=False)
@click.option("-p", "--parameter", multiple=True)
@click.option("--browse", is_flag=True)
@click.option("--install-gui", is_flag=True)
@click.option("--submitter-info", multiple=True)
@click.option("--output", type=click.Choice(["verbose", "json"], case_sensitive=False))
@click.option("--known-asset-path", multiple=True)
@click.option("--name")
def gui_submit(job_bundle_dir: str | None, **_: object) -> None:
    """Read the bundle: a template, values for its parameters only, files that are there."""
    from openjd.model import DocumentType, decode_job_template, document_string_to_object

    if not job_bundle_dir:
        raise UsageError("Specify a job bundle directory or run the bundle command with the --browse flag")
    folder = Path(job_bundle_dir)
    text = (folder / "template.json").read_text(encoding="utf-8")
    template = decode_job_template(
        template=document_string_to_object(document=text, document_type=DocumentType.JSON),
        supported_extensions=["TASK_CHUNKING"],
    )
    values = json.loads((folder / "parameter_values.json").read_text(encoding="utf-8"))["parameterValues"]
    assert {one["name"] for one in values} <= {one.name for one in template.parameterDefinitions or ()}
    assets = json.loads((folder / "asset_references.json").read_text(encoding="utf-8"))["assetReferences"]
    assert set(assets) <= {"inputs", "outputs", "referencedPaths"}
    for path in [*assets["inputs"].get("filenames", []), *assets["inputs"].get("directories", [])]:
        assert Path(path).exists(), path
    click.echo(f"{template.name}: {len(template.steps)} steps, {len(values)} parameters")


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    sys.exit(deadlinecommand(arguments) if name == "deadlinecommand" else deadline(arguments))
