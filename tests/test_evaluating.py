"""The protocol of `evaluate`: deliberately damaged results come out worse on the figure that is meant for it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.knownfaces import known_face
from bodydouble.alignment.shotfaces import Face, ShotFaces, read_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.errors import UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate, write_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews import evaluationtable
from bodydouble.reviews.evaluating import Entry, Evaluation, evaluate
from bodydouble.reviews.evaluationtable import FIGURES, Row, as_csv, as_document, as_text, rows_of
from bodydouble.reviews.scoring import Scores, Setting
from bodydouble.settings import SwapSettings
from bodydouble.swap.swapframe import SwapModel, load_swap_model, swap_frame
from bodydouble.swap.swaplayers import FACE, MATTE
from bodydouble_cli.main import run

DATA = Path(__file__).parent / "data" / "evaluate"
FRAMES = tuple(range(1015, 1020))
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Evaluated:
    """A good result and three damaged ones of the bundled shot, evaluated together."""

    folder: Path
    evaluations: tuple[Evaluation, ...]
    rows: Mapping[str, Row]
    with_truth: bool

    def rank(self, name: str, figure: str) -> int:
        rank = self.rows[name].ranks[figure]
        assert rank is not None
        return rank


def shaken(face: Face, random: np.random.Generator) -> Face:
    """The face moved by about 3 % of the distance of the eyes."""
    width = np.linalg.norm(face.landmarks_px[45] - face.landmarks_px[36])
    away = random.normal(0, 0.03 * width, 2)
    back = np.array([[1, 0, -away[0]], [0, 1, -away[1]], [0, 0, 1.0]])
    return replace(face, landmarks_px=face.landmarks_px + away, unit_from_plate=np.asarray(face.unit_from_plate) @ back)


def swap_into(folder: Path, plate: PlateSequence, shot: ShotFaces, model: SwapModel) -> None:
    for frame in FRAMES:
        (face,) = shot.frames[frame]
        swapped = swap_frame(read_plate(plate.path(frame)), face, model, Colour(), None, SwapSettings(layers=True))
        write_plate(folder / plate.path(frame).name, swapped.plate)


def without_low_bands(good: Path, folder: Path, plate: PlateSequence) -> None:
    """The decoder's face laid over the plate by the matte: none of the plate's low bands, of its light, is kept."""
    for frame in FRAMES:
        name = plate.path(frame).name
        done, before = read_plate(good / name), read_plate(plate.path(frame)).rgb()
        matte = done.main.channel(MATTE).astype(np.float32)[..., None]
        face = np.stack([done.main.channel(channel).astype(np.float32) for channel in FACE], axis=2)
        region = (0, 0, done.width, done.height)
        write_plate(folder / name, done.with_rgb(region, before * (1 - matte) + face * matte, matte[..., 0] > 0))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluate")
    plate, colour, finder = PlateSequence.find(BUNDLED / "sh010"), Colour(), FaceFinder()
    shot, random = read_shot_faces(DATA / "sh010.faces.json"), np.random.default_rng(1)
    jittered = replace(shot, frames={n: tuple(shaken(face, random) for face in shot.frames[n]) for n in FRAMES})
    right, wrong = (load_swap_model(BUNDLED / "rendered.comb", persona, "cpu") for persona in "AC")
    swap_into(folder / "good", plate, shot, right)
    swap_into(folder / "jittered", plate, jittered, right)
    swap_into(folder / "wrong persona", plate, shot, wrong)
    without_low_bands(folder / "good", folder / "no low bands", plate)
    people = {name: known_face(DATA / f"{name}_####.jpg", finder, colour) for name in "ABC"}
    shared = Path(os.environ.get("BODYDOUBLE_SHARED", ROOT.parent / "shared")) / "synth" / "shots" / "sh010" / "A_on_B"
    truth = PlateSequence.find(shared) if shared.is_dir() else None
    names = ("good", "jittered", "wrong persona", "no low bands")
    entries = [Entry(name, PlateSequence.find(folder / name), "A", truth) for name in names]
    evaluations = evaluate(entries, Setting(plate, shot, None, colour, None, people), FRAMES, finder)
    rows = {row.name: row for row in rows_of(evaluations)}
    return Evaluated(folder, evaluations, rows, truth is not None)


# ---------------------------------------------------------------- the ranking


def test_every_frame_of_every_result_is_measured(evaluated: Evaluated):
    assert {row.done for row in evaluated.rows.values()} == {len(FRAMES)}
    assert all(row.values["outside"] == row.values["far"] == 0 for row in evaluated.rows.values())


@pytest.mark.parametrize(
    ("damaged", "figure"),
    [
        ("jittered", "jitter"),
        ("jittered", "wobble"),
        ("jittered", "flicker"),
        ("wrong persona", "reads_as"),
        ("wrong persona", "to_persona"),
        ("wrong persona", "margin"),
        ("no low bands", "colour_step"),
        ("no low bands", "seam"),
    ],
)
def test_a_damaged_result_is_ranked_below_the_good_one_without_the_truth(evaluated: Evaluated, damaged, figure):
    assert evaluated.rank(damaged, figure) > evaluated.rank("good", figure)


# Of the jitter it is boiling, not shaking: over five frames dlib shakes as much on a wrong and softer persona.
@pytest.mark.parametrize(
    ("damaged", "figure"), [("jittered", "wobble"), ("wrong persona", "margin"), ("no low bands", "colour_step")]
)
def test_each_damage_has_a_figure_on_which_it_is_the_worst_of_all(evaluated: Evaluated, damaged, figure):
    assert all(evaluated.rank(damaged, figure) > evaluated.rank(o, figure) for o in set(evaluated.rows) - {damaged})


@pytest.mark.parametrize(
    ("damaged", "figure"),
    [
        ("jittered", "truth_flicker"),
        ("wrong persona", "psnr"),
        ("wrong persona", "ssim"),
        ("wrong persona", "truth_landmarks"),
        ("no low bands", "tone"),
        ("no low bands", "psnr"),
    ],
)
def test_a_damaged_result_is_ranked_below_the_good_one_with_the_truth(evaluated: Evaluated, damaged, figure):
    if not evaluated.with_truth:
        pytest.skip("the true picture is in the shared test data; name its folder in $BODYDOUBLE_SHARED")
    assert evaluated.rank(damaged, figure) > evaluated.rank("good", figure)


def test_the_good_result_reads_as_the_persona_and_the_wrong_one_never(evaluated: Evaluated):
    good, wrong = evaluated.rows["good"].values["reads_as"], evaluated.rows["wrong persona"].values["reads_as"]
    assert good is not None and good >= 60
    assert wrong == 0


def test_the_contrast_rises_to_the_plates_with_the_setting(evaluated: Evaluated, tmp_path):
    plate, shot = PlateSequence.find(BUNDLED / "sh010"), read_shot_faces(DATA / "sh010.faces.json")
    model, frame = load_swap_model(BUNDLED / "rendered.comb", "A", "cpu"), FRAMES[0]
    (face,) = shot.frames[frame]
    rich = swap_frame(read_plate(plate.path(frame)), face, model, Colour(), None, SwapSettings(contrast=1.0))
    write_plate(tmp_path / plate.path(frame).name, rich.plate)
    entries = [Entry("as it is", PlateSequence.find(evaluated.folder / "good")), Entry("plate", plate)]
    entries.insert(1, Entry("rich", PlateSequence.find(tmp_path)))
    done = evaluate(entries, Setting(plate, shot, None, Colour(), None, {}), [frame], FaceFinder())
    plain, rich_share, own = (row.values["contrast"] for row in rows_of(done))
    assert own == pytest.approx(100)
    assert plain is not None and rich_share is not None
    assert abs(rich_share - 100) < 0.6 * abs(plain - 100)


# ---------------------------------------------------------------- the table


def test_the_table_is_the_same_as_text_csv_and_json(evaluated: Evaluated):
    rows = tuple(evaluated.rows.values())
    document = json.loads(json.dumps(as_document(evaluated.evaluations, rows), allow_nan=False))
    assert [result["name"] for result in document["results"]] == list(evaluated.rows)
    assert {figure["field"] for figure in document["figures"]} == {figure.field for figure in FIGURES}
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [line["name"] for line in lines] == list(evaluated.rows)
    for line, result in zip(lines, document["results"], strict=True):
        assert float(line["colour_step"]) == pytest.approx(result["values"]["colour_step"])
        assert int(line["rank_jitter"]) == result["ranks"]["jitter"]
        assert len(result["frames"]) == len(FRAMES)
    text = as_text(rows)
    assert "wrong persona" in text.splitlines()[0]
    assert "reads as the persona" in text and "*" in text


def made_up(name: str, **figures: float) -> Evaluation:
    entry = Entry(name, PlateSequence("x.####.exr", (1,)), "A")
    return Evaluation(entry, (Scores(1, "done", nearest="A", **figures), Scores(2, "missing", "no file")))


def test_equal_values_share_a_rank_and_what_was_not_measured_has_none():
    rows = rows_of([made_up("a", seam=2.0, wobble=1.0), made_up("b", seam=2.0), made_up("c", seam=3.0, wobble=0.5)])
    assert [row.ranks["seam"] for row in rows] == [1, 1, 3]
    assert [row.ranks["wobble"] for row in rows] == [2, None, 1]
    assert [row.ranks["highlights"] for row in rows] == [None, None, None]
    assert rows[0].failed == ("2 missing: no file",)
    assert "c: 2 missing: no file" in as_text(rows)
    assert evaluationtable.as_csv(rows).splitlines()[2].startswith("b,A,1,1,,")


# ---------------------------------------------------------------- the command


def test_the_plate_itself_and_a_result_with_a_hole_from_the_command_line(evaluated: Evaluated, capsys, tmp_path):
    for frame in FRAMES[:2]:
        name = f"sh010_B.{frame}.exr"
        write_plate(tmp_path / "good" / name, read_plate(evaluated.folder / "good" / name))
    plate = str(BUNDLED / "sh010")
    arguments = ["--faces", str(DATA / "sh010.faces.json"), "--frames", "1015-1017"]
    results = ["--result", f"plate={plate}", "--result", f"hole={tmp_path / 'good'}"]
    assert run(["evaluate", plate, *arguments, *results, "--truth", plate, "--json"]) == 4
    out, err = capsys.readouterr()
    unchanged, hole = json.loads(out)["results"]
    assert unchanged["values"]["psnr"] == 100 and unchanged["ranks"]["psnr"] == 1
    assert unchanged["values"]["far"] == unchanged["values"]["jitter"] == unchanged["values"]["pose"] == 0
    assert unchanged["values"]["reads_as"] is None
    assert hole["done"] == 2 and hole["failed"] == ["1017 missing: no file sh010_B.1017.exr"]
    assert "1 frames could not be measured" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to evaluate"),
        (["--result", "nameless"], "NAME=PATH"),
        (["--result", "a=x", "--persona", "A"], "--persona and --people go together"),
        (["--result", "a=x", "--model", "m.comb"], "--model and --performer go together"),
        (["--result", "a=x", "--csv", "--json"], "--csv and --json"),
    ],
)
def test_a_request_that_cannot_be_meant_is_2_and_says_why(capsys, arguments, says):
    assert run(["evaluate", str(BUNDLED / "sh010"), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_two_results_of_one_name_are_refused(tmp_path: Path):
    plate = PlateSequence.find(BUNDLED / "sh010")
    setting = Setting(plate, read_shot_faces(DATA / "sh010.faces.json"), None, Colour(), None, {})
    with pytest.raises(UsageError, match="called 'a'"):
        evaluate([Entry("a", plate), Entry("a", plate)], setting, FRAMES, FaceFinder())
    with pytest.raises(UsageError, match="'D' looks like"):
        strangers = replace(setting, people={"A": np.zeros((1, 128), np.float32)})
        evaluate([Entry("a", plate, "D")], strangers, FRAMES, FaceFinder())
