"""The TorchScript of a persona: the engine's own pixels, in a process that has torch and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from bodydouble.errors import ModelError, UnknownPersonaError, UsageError
from bodydouble.exports.scripting import ScriptedPersona, export_torchscript
from bodydouble.network.checkpoint import load_comb, read_card, save_comb, write_json
from bodydouble.plates.modelspace import from_model, to_model
from bodydouble.swap.swapstages import decode, encode
from nukeread import nkparser_complaints, read_script, tclsh_says, unknown_links
from nukewords import EVERY_NODE, KNOBS
from tiny import tiny_comb

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

SIZE = 32

ALONE = """
import sys, torch
assert not any(name.split(".")[0].startswith("bodydouble") for name in sys.modules)
module = torch.jit.load(sys.argv[1])
light = torch.load(sys.argv[2])
torch.save([module(light), module.half()(light.half()), module.float()(light)], sys.argv[3])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_comb(tmp_path_factory.mktemp("models") / "tiny.comb")


@pytest.fixture(scope="module")
def written(model: Path, tmp_path_factory: pytest.TempPathFactory) -> ScriptedPersona:
    return export_torchscript(model, "anna", tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def light() -> torch.Tensor:
    """A crop with shadows, highlights above 1 and light below black."""
    torch.manual_seed(5)
    return torch.rand(1, 3, SIZE, SIZE) ** 3 * 9 - 0.02


def engine_swap(model: Path, light: torch.Tensor) -> torch.Tensor:
    comb, card = load_comb(model, ["anna"])
    crop = to_model(light, card.model_space)
    return from_model(decode(comb, encode(comb, crop), "anna"), card.model_space)


def test_the_module_gives_the_engines_swap_in_a_process_with_torch_alone(
    model: Path, written: ScriptedPersona, light: torch.Tensor, tmp_path: Path
):
    torch.save(light, tmp_path / "in.pt")
    # -I: neither this checkout nor the user's own packages are seen.
    alone = [sys.executable, "-I", "-W", "ignore", "-c", ALONE]
    arguments = [*alone, written.module, tmp_path / "in.pt", tmp_path / "out.pt"]
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    full, half, again = torch.load(tmp_path / "out.pt")
    expected = engine_swap(model, light)
    assert torch.allclose(full, expected, rtol=1e-4, atol=1e-5)
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), expected, rtol=0.02, atol=0.01)
    assert torch.allclose(again, expected, rtol=0.02, atol=0.01), "back from half the weights are rounded, not lost"


@pytest.fixture(scope="module")
def module(written: ScriptedPersona) -> torch.jit.ScriptModule:
    return torch.jit.load(str(written.module))


def test_a_module_for_a_performers_crops_moves_their_latents(tmp_path: Path, light: torch.Tensor):
    model = tiny_comb(tmp_path / "cast.comb", personas=("anna", "ben"))
    comb, card = load_comb(model, ["anna", "ben"])
    for name, mean in (("anna", 0.3), ("ben", -0.4)):
        comb.personas[name].add_latents(torch.full((card.dims.channels(0),), mean), 9)  # type: ignore[operator]
    save_comb(model, comb, card, torch.float32)
    module = torch.jit.load(str(export_torchscript(model, "anna", tmp_path / "cat", performer="ben").module))
    crop = to_model(light, card.model_space)
    expected = from_model(decode(comb, encode(comb, crop) + 0.7, "anna"), card.model_space)
    torch.testing.assert_close(module(light), expected, atol=1e-4, rtol=1e-3)


def test_any_size_goes_in_and_comes_out(module: torch.jit.ScriptModule):
    for height, width in ((16, 16), (48, 48), (100, 64)):
        assert module(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


def test_knobs_are_plain_attributes_of_the_module(module: torch.jit.ScriptModule, light: torch.Tensor):
    full = module(light)
    module.strength = 0.0
    assert torch.equal(module(light), light)
    module.strength, module.stops = 1.0, 2.0
    assert not torch.allclose(module(light), full)
    assert torch.allclose(module(light / 4), full / 4, rtol=1e-4)
    module.stops = 0.0


def test_what_is_not_finite_stays_where_it_is(module: torch.jit.ScriptModule, light: torch.Tensor):
    broken = light.clone()
    broken[0, 0, 3, 4], broken[0, 1, 5, 6] = float("nan"), float("inf")
    result = module(broken)
    assert torch.isnan(result[0, 0, 3, 4])
    assert torch.isinf(result[0, 1, 5, 6])
    assert torch.isfinite(result).sum() == result.numel() - 2


def test_the_module_was_scripted_and_uses_operators_that_old_torch_has(written: ScriptedPersona):
    with zipfile.ZipFile(written.module) as archive:
        names = archive.namelist()
        code = "\n".join(archive.read(name).decode() for name in names if name.endswith(".py"))
        version = int(archive.read(next(name for name in names if name.endswith("/version"))))
    assert re.search(r"^ +if ", code, re.MULTILINE), "a traced module has no branches"
    assert version <= 10, "Nuke 14 reads up to 10"
    # All of these are in torch 1.12, which Nuke 14 and 15 carry.
    known = """
        conv2d conv_transpose2d leaky_relu avg_pool2d adaptive_avg_pool2d upsample_bilinear2d expand reshape slice
        unsqueeze sigmoid where isfinite zeros_like clamp pow log1p expm1 mul add sub rsub div to gt lt ge eq ne size
        select __isnot__ __is__ len dtype float annotate
    """
    used = set(re.findall(r"torch\.(?:_C\._nn\.)?(\w+)\(", code))
    assert used <= set(known.split())


def test_the_module_carries_whose_face_it_makes(written: ScriptedPersona, model: Path):
    extra = {"bodydouble.json": ""}
    torch.jit.load(str(written.module), _extra_files=extra)
    about = json.loads(extra["bodydouble.json"])
    assert about["persona"] == "anna"
    assert about["persona_sha256"] == read_card(model).persona("anna").digest


def test_the_nuke_script_names_the_module_without_an_absolute_path(written: ScriptedPersona):
    script = read_script(written.script.read_text(encoding="utf-8"))
    creator = script.node("BD_make_cat")
    assert creator.kind == "CatFileCreator"
    assert creator.knobs["torchScriptFile"] == "[file dirname [value root.name]]/anna.pt"
    assert {words[1] for words in creator.user_knobs} == {"strength", "stops"}
    for node in script.nodes:
        assert set(node.knobs) <= KNOBS[node.kind] | EVERY_NODE | {"strength", "stops"}
    text = written.script.read_text(encoding="utf-8")
    assert "\\" not in text
    assert unknown_links(script.nodes) == set()
    assert nkparser_complaints(text) == []
    assert [line.split()[0] for line in tclsh_says(text)] == ["StickyNote", "CatFileCreator"]


def test_an_export_is_not_replaced_unasked(written: ScriptedPersona, model: Path):
    with pytest.raises(UsageError, match="--overwrite"):
        export_torchscript(model, "anna", written.module.parent)
    with pytest.raises(UnknownPersonaError):
        export_torchscript(model, "ben", written.module.parent, overwrite=True)


def test_a_model_that_still_fades_in_is_refused(model: Path, tmp_path: Path):
    growing = tiny_comb(tmp_path / "growing.comb")
    document = json.loads((growing / "comb.json").read_text(encoding="utf-8"))
    write_json(growing / "comb.json", {**document, "alpha": 0.5})
    with pytest.raises(ModelError, match="faded"):
        export_torchscript(growing, "anna", tmp_path / "out")
    assert not (tmp_path / "out").exists()
