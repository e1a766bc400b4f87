"""A performer whom the model knows: trainings note where latents lie, and swaps move them to the persona's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from bodydouble import events
from bodydouble.alignment.shotfaces import ShotFaces, read_shot_faces
from bodydouble.errors import ModelError, UnknownPersonaError, UsageError
from bodydouble.network.checkpoint import (
    load_comb,
    load_tensors,
    notes_latents,
    read_card,
    read_latent_mean,
    save_tensors,
    write_json,
)
from bodydouble.network.comb import LATENT_CROPS, CombDims, PersonaDecoder
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings
from bodydouble.swap.lookfile import ShotLook, look_from_document, look_to_document
from bodydouble.swap.swapframe import SwapModel, load_swap_model, prepare_frame, swap_faces, swap_frame
from bodydouble.swap.swapping import swap_sequence
from bodydouble.swap.swapstages import decode, encode, move_latent
from bodydouble.training.cropstore import CropStore, by_persona
from bodydouble.training.facesets import Faceset
from bodydouble.training.training import train
from bodydouble.training.validating import CropReader
from bodydouble_cli.main import run
from tiny import TINY_TRAINING, tiny_comb, tiny_faceset, tiny_shot

PLAIN = {"jitter_degrees": 0.0, "jitter_scale": 0.0, "jitter_shift": 0.0, "jitter_exposure": 0.0,
         "jitter_balance": 0.0, "jitter_light": 0.0}  # fmt: skip
KNOWN = ("anna", "ben", "cleo")


def knowing(folder: Path, noted: tuple[str, ...] = KNOWN) -> Path:
    """An untrained model of three people, with latents that lie apart."""
    return tiny_comb(folder, personas=KNOWN, noted=noted, dtype=torch.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SwapModel:
    return load_swap_model(knowing(tmp_path_factory.mktemp("knowing") / "cast.comb"), "anna", "cpu")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The swap command for a shot of a model that knows three people."""
    folder = tmp_path_factory.mktemp("shot")
    command = tiny_shot(folder)
    knowing(folder / "cast.comb")
    return command


@pytest.fixture(scope="module")
def shot(words: list[str]) -> tuple[PlateSequence, ShotFaces]:
    return PlateSequence.find(words[1]), read_shot_faces(words[words.index("--faces") + 1])


def test_a_persona_knows_the_mean_of_its_last_latents() -> None:
    decoder, latents = PersonaDecoder(CombDims(2, 1 / 64)), torch.randn(5000, 8)
    for batch in latents.split(10)[:100]:
        decoder.add_latents(batch.mean(dim=0), 10)
    torch.testing.assert_close(decoder.latent_mean, latents[:1000].mean(dim=0), atol=1e-5, rtol=0)
    decoder.add_latents(torch.full((8,), 3.0), 10 * LATENT_CROPS)
    assert float(decoder.latent_crops) == LATENT_CROPS
    assert float((decoder.latent_mean - 3).abs().max()) < 0.1, "what was long ago is forgotten"


@pytest.mark.parametrize("update", ["in-turn", "joint"])
def test_a_training_notes_where_the_latents_of_each_persona_lie(update: str, tmp_path: Path) -> None:
    folders = [tiny_faceset(tmp_path / name, name, crops=1) for name in ("anna", "ben")]
    settings = replace(
        TINY_TRAINING, **PLAIN, iterations=(0, 0, 3), learning_rate=1e-12, settle_learning_rate=1e-12, update=update
    )
    list(train(folders, tmp_path / "cast.comb", settings))
    comb, card = load_comb(tmp_path / "cast.comb", ["anna", "ben"])
    store = CropStore(tmp_path / "crops", by_persona([Faceset.load(folder) for folder in folders]), 2, 0.0)
    reader = CropReader(settings, card.model_space, store.reach, torch.device("cpu"))
    for name in ("anna", "ben"):
        assert notes_latents(card, name)
        shown = reader.read(store.crops(name, 2), torch.tensor([0]), 2).shown
        expected = comb.encode(shown).flatten()
        torch.testing.assert_close(read_latent_mean(card, name), expected, atol=3e-4, rtol=3e-3)
    assert not torch.allclose(*(read_latent_mean(card, name) for name in ("anna", "ben")))


def test_a_level_that_is_new_begins_to_note_anew_and_the_end_takes_the_crops_as_they_are(tmp_path: Path) -> None:
    folders, out = [tiny_faceset(tmp_path / name, name) for name in ("anna", "ben")], tmp_path / "cast.comb"
    settings = replace(TINY_TRAINING, iterations=(9, 8, 5), settle=0.0)

    def noted() -> list[float]:
        comb, _ = load_comb(out, ["anna", "ben"])
        return [float(one.latent_crops) for one in comb.personas.values()]  # type: ignore[arg-type]

    for told in (going := train(folders, out, settings)):
        if told.iteration == 20:
            going.close()
            break
    assert noted() == [2 * 3, 2 * 3], "batches of two in the last three iterations"
    list(train(folders, out, settings))
    assert noted() == [4, 4]


def test_a_training_that_goes_on_keeps_what_it_noted(tmp_path: Path) -> None:
    folders = [tiny_faceset(tmp_path / name, name) for name in ("anna", "ben")]
    straight, halting = tmp_path / "straight.comb", tmp_path / "halting.comb"
    list(train(folders, straight, TINY_TRAINING))
    for number, _ in enumerate(going := train(folders, halting, replace(TINY_TRAINING, checkpoint_every_s=0.0))):
        if number == 5:
            going.close()
            break
    list(train(folders, halting, TINY_TRAINING))
    for name in ("anna", "ben"):
        one, other = (read_latent_mean(read_card(model), name) for model in (straight, halting))
        assert torch.equal(one, other)


def test_a_state_and_a_model_of_an_earlier_version_know_of_no_latents_and_learn_of_them(tmp_path: Path) -> None:
    folders, model = [tiny_faceset(tmp_path / name, name) for name in ("anna", "ben")], tmp_path / "cast.comb"
    list(train(folders, model, TINY_TRAINING))
    for path in (model / "training").glob("state-*.safetensors"):
        strip(path)
    as_before(model)
    card = read_card(model)
    assert not notes_latents(card, "anna")
    with pytest.raises(ModelError, match=r"cast\.comb: nobody noted where the latents of 'anna' lie"):
        read_latent_mean(card, "anna")
    list(train(folders, model, TINY_TRAINING))
    assert read_latent_mean(read_card(model), "anna").norm() > 0, "it is done, and has noted them all the same"


def strip(path: Path) -> str:
    """A file as an earlier version wrote it; its digest."""
    with safe_open(str(path), "pt") as file:
        header = file.metadata()
    return save_tensors(
        path, {name: value for name, value in load_tensors(path).items() if "latent_" not in name}, header
    )


def as_before(model: Path) -> None:
    """A model as an earlier version wrote it."""
    document = json.loads((model / "comb.json").read_text()) | {"version": 1}
    for name, entry in document["personas"].items():
        entry["sha256"] = strip(model / "personas" / f"{name}.safetensors")
    write_json(model / "comb.json", document)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda tensors: tensors["latent_mean"].fill_(float("nan")), "mean latent is no number"),
        (lambda tensors: tensors.update(latent_mean=torch.zeros(3)), "does not fit comb.json: latent_mean"),
    ],
)
def test_a_mean_latent_that_cannot_be_is_refused(
    spoil: Callable[[dict[str, Tensor]], object], said: str, tmp_path: Path
) -> None:
    folder = knowing(tmp_path / "cast.comb")
    path = folder / "personas" / "ben.safetensors"
    tensors = load_tensors(path)
    spoil(tensors)
    document = json.loads((folder / "comb.json").read_text())
    document["personas"]["ben"]["sha256"] = save_tensors(path, tensors)
    write_json(folder / "comb.json", document)
    with pytest.raises(ModelError, match=said) as caught:
        read_latent_mean(read_card(folder), "ben")
    assert "ben.safetensors" in str(caught.value)


def test_a_file_that_is_not_the_one_of_the_card_is_refused(tmp_path: Path) -> None:
    folder = knowing(tmp_path / "cast.comb")
    card = read_card(folder)
    path = folder / "personas" / "ben.safetensors"
    save_tensors(path, {name: value + 1 for name, value in load_tensors(path).items()})
    with pytest.raises(ModelError, match="digest differs"):
        read_latent_mean(card, "ben")


def swapped(model: SwapModel, shot: tuple[PlateSequence, ShotFaces], settings: SwapSettings) -> Tensor:
    plate, faces = shot
    face = faces.face(1001)
    assert face is not None
    prepared = prepare_frame(read_plate(plate.path(1001)), face, model, Colour(), None)
    ((swap,), _) = swap_faces([prepared], model, settings)
    return swap


def test_a_latent_of_the_performer_is_moved_to_where_the_personas_lie(
    model: SwapModel, shot: tuple[PlateSequence, ShotFaces]
) -> None:
    plate, faces = shot
    face = faces.face(1001)
    assert face is not None
    prepared = prepare_frame(read_plate(plate.path(1001)), face, model, Colour(), None)
    latent = encode(model.comb, prepared.crop)
    ben, anna = (read_latent_mean(model.card, name) for name in ("ben", "anna"))
    moved = latent + 0.5 * (anna - ben).view(1, -1, 1, 1)
    torch.testing.assert_close(move_latent(latent, ben, anna, 0.5), moved)
    expected = decode(model.comb, moved, "anna")
    assert torch.equal(swapped(model, shot, SwapSettings(performer="ben", likeness=0.5)), expected)
    plain = swapped(model, shot, SwapSettings())
    assert float((expected - plain).abs().max()) > 1e-3
    for unmoved in (SwapSettings(performer="ben", likeness=0.0), SwapSettings(performer="anna")):
        assert torch.equal(swapped(model, shot, unmoved), plain)


def test_swap_frame_moves_it_too(model: SwapModel, shot: tuple[PlateSequence, ShotFaces]) -> None:
    plate, faces = shot
    face = faces.face(1001)
    assert face is not None
    settings = SwapSettings(performer="cleo")
    done = swap_frame(read_plate(plate.path(1001)), face, model, Colour(), None, settings)
    assert done.swap is not None and torch.equal(done.swap, swapped(model, shot, settings))


def sequence(words: list[str], out: Path, look: SwapSettings | ShotLook) -> list[str]:
    plate = PlateSequence.find(words[1])
    faces = read_shot_faces(words[words.index("--faces") + 1])
    target = PlateSequence.output(out, like=plate)
    model = Path(words[words.index("--model") + 1])
    results = swap_sequence(plate, target, model, "anna", faces, plate.frames, Colour(), None, look, device="cpu")
    return [result.status for result in results]


def test_another_performer_or_likeness_makes_another_frame_and_the_frame_says_so(
    words: list[str], tmp_path: Path
) -> None:
    looks = [
        SwapSettings(),
        SwapSettings(performer="ben"),
        SwapSettings(performer="cleo"),
        SwapSettings(performer="cleo", likeness=1.5),
    ]
    seen, jobs = [], set()
    for number, look in enumerate(looks):
        assert sequence(words, tmp_path / str(number), look) == ["done"] * 4
        frame = read_plate(tmp_path / str(number) / "plate.1001.exr")
        seen.append(frame.rgb())
        jobs.add(frame.attributes["bodydouble/job"])
        told = json.loads(str(frame.attributes["bodydouble/settings"]))
        assert (told["performer"], told["likeness"]) == (look.performer, look.likeness)
    assert len(jobs) == len(looks)
    for one, other in pairwise(seen):
        assert not np.array_equal(one, other)


def test_a_performer_whom_the_model_does_not_know_is_told_before_the_first_frame(
    words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UnknownPersonaError, match="no persona 'bob'"):
        sequence(words, tmp_path / "out", SwapSettings(performer="bob"))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.exr"))
    assert run([*words, "-o", str(tmp_path / "out"), "--performer", "bob"]) == 2


def test_a_model_that_noted_nothing_says_so_before_the_first_frame(tmp_path: Path) -> None:
    command = tiny_shot(tmp_path)
    knowing(tmp_path / "cast.comb", noted=("anna",))
    with pytest.raises(ModelError, match="nobody noted where the latents of 'ben' lie"):
        sequence(command, tmp_path / "out", SwapSettings(performer="ben"))


@pytest.mark.parametrize(("given", "told"), [([], True), (["--performer", "ben"], False)])
def test_swap_tells_that_the_model_may_know_the_performer(
    given: list[str], told: bool, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "-o", str(tmp_path / "out"), "--json", *given]) == 0
    said = [events.event_from_line(line) for line in capsys.readouterr().out.splitlines()]
    notices = [event.message for event in said if isinstance(event, events.Notice)]
    assert any("does ben or cleo play the face?" in notice for notice in notices) == told


def test_a_look_keeps_the_performer_and_knows_one_for_the_whole_shot() -> None:
    look = ShotLook(SwapSettings(performer="ben", likeness=0.8))
    document = look_to_document(look)
    assert document["settings"] == {"performer": "ben", "likeness": 0.8}
    assert look_from_document(document) == look
    assert look_from_document({"settings": {"performer": None}}) == ShotLook()
    for name, value in (("performer", "ben"), ("likeness", 0.5)):
        with pytest.raises(UsageError, match="one for the whole shot"):
            ShotLook(SwapSettings(), {name: {1001: value}})
    with pytest.raises(UsageError, match="likeness is a share"):
        SwapSettings(likeness=2.5)
