"""The comb against the table of its design: shapes, parameter counts, growth, what is shared and what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bodydouble.network.comb import TOP_LEVEL, Comb, CombDims, level_size, size_level
from bodydouble.settings import WIDTH_PRESETS

SMALL = CombDims(level=3, width=1 / 64)
NAMES = ("anna", "ben", "carl")
# Level → features after it at full width: the encoder's "out" column, then the decoder's.
ENCODED = {
    8: (32, 512),
    7: (64, 256),
    6: (128, 128),
    5: (256, 64),
    4: (512, 32),
    3: (512, 16),
    2: (512, 8),
    1: (512, 4),
}
DECODED = {
    0: (512, 4),
    1: (512, 8),
    2: (512, 16),
    3: (512, 32),
    4: (256, 64),
    5: (128, 128),
    6: (64, 256),
    7: (32, 512),
    8: (16, 1024),
}


@pytest.fixture
def comb() -> Comb:
    torch.manual_seed(0)
    return Comb(SMALL, NAMES).eval().requires_grad_(False)


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.rand(2, 3, SMALL.size, SMALL.size, generator=torch.Generator().manual_seed(1))


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.fixture
def shapes_only() -> Iterator[None]:
    """Tensors have shapes but no memory: the full network costs nothing."""
    with FakeTensorMode():
        yield


def test_the_full_comb_has_the_published_parameters(shapes_only):
    comb = Comb(CombDims(level=8), NAMES[:1])
    encoder = count(comb.encoder.from_rgb[8], comb.encoder.levels, comb.encoder.to_latent)
    decoder = comb.personas["anna"]
    tied = count(comb.trunk.from_latent, comb.trunk.levels)
    own = count(decoder.levels, decoder.to_rgb["8"])
    assert round(encoder / 1e6, 2) == 23.07
    assert round((tied + own) / 1e6, 2) == 23.07


def test_every_level_has_the_shape_of_the_table(shapes_only):
    comb, found = Comb(CombDims(level=8), NAMES[:1]), {}
    for level in range(1, 9):
        comb.encoder.levels[level].register_forward_hook(
            lambda _, __, out, level=level: found.update({("encoder", level): tuple(out.shape[1:])})
        )
    tied = {0: comb.trunk.levels[0], 1: comb.trunk.levels[1]}
    own = {level: comb.personas["anna"].levels[str(level)] for level in range(2, 9)}
    for level, module in (tied | own).items():
        module.register_forward_hook(
            lambda _, __, out, level=level: found.update({("decoder", level): tuple(out.shape[1:])})
        )
    crop = torch.empty(1, 3, 1024, 1024)
    latent = comb.encode(crop)
    picture = comb.decode(latent, "anna")
    assert latent.shape == (1, 512, 1, 1) and picture.shape == crop.shape
    for level, (channels, side) in ENCODED.items():
        assert found["encoder", level] == (channels, 2 * side, 2 * side)  # "down" comes after it
    for level, (channels, side) in DECODED.items():
        assert found["decoder", level] == (channels, side, side)


def test_the_first_encoder_level_keeps_its_channels_and_the_second_convolution_changes_them(shapes_only):
    comb = Comb(CombDims(level=8), NAMES[:1])
    shapes = [tuple(part.weight.shape) for part in comb.encoder.modules() if isinstance(part, nn.Conv2d)]
    assert (16, 3, 1, 1) in shapes and (16, 16, 3, 3) in shapes and (32, 16, 3, 3) in shapes
    assert tuple(comb.personas["anna"].to_rgb["8"].weight.shape) == (3, 16, 1, 1)


@pytest.mark.parametrize("level", range(TOP_LEVEL + 1))
def test_a_comb_of_any_level_returns_pictures_of_its_size(level, shapes_only):
    comb = Comb(CombDims(level, 1 / 64), NAMES[:1])
    for shown in range(level + 1):
        crop = torch.empty(1, 3, level_size(shown), level_size(shown))
        for alpha in (0.0, 0.5, 1.0):
            assert comb(crop, "anna", shown, alpha).shape == crop.shape


@pytest.mark.parametrize("width", [*WIDTH_PRESETS.values(), 1 / 8, 2.0])
def test_width_is_a_factor_of_the_channels(width, shapes_only):
    dims = CombDims(8, width)
    assert dims.channels(0) == dims.channels(3) == 512 * width
    assert dims.channels(8) == max(4, 16 * width)
    parts = count(Comb(dims, NAMES)) / count(Comb(CombDims(8), NAMES))
    assert parts == pytest.approx(width**2, rel=0.05)


@pytest.mark.parametrize("wrong", [(-1, 1.0), (9, 1.0), (3, 0.01), (3, 2.5)])
def test_dims_that_no_network_has_are_refused(wrong):
    with pytest.raises(ValueError):
        CombDims(*wrong)


def test_sizes_and_levels_belong_together():
    assert [level_size(level) for level in range(9)] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert [size_level(level_size(level)) for level in range(9)] == list(range(9))
    for wrong in (-4, 0, 1, 2, 3, 5, 100, 2048):
        with pytest.raises(ValueError, match=str(wrong)):
            size_level(wrong)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_at_no_gain_a_new_level_shows_the_level_below_enlarged(level, comb):
    crop = torch.rand(2, 3, level_size(level), level_size(level))
    below = comb(nn.functional.avg_pool2d(crop, 2), "ben", level - 1)
    enlarged = nn.functional.interpolate(below, scale_factor=2, mode="nearest")
    torch.testing.assert_close(comb(crop, "ben", level, alpha=0.0), enlarged, rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_at_full_gain_the_old_path_does_not_matter(level, comb):
    crop = torch.rand(2, 3, level_size(level), level_size(level))
    before = comb(crop, "ben", level)
    broken = comb.trunk.to_rgb[level - 1] if level - 1 <= 1 else comb.personas["ben"].to_rgb[str(level - 1)]
    for part in (broken, comb.encoder.from_rgb[level - 1][0]):
        part.weight.fill_(float("nan"))
    assert torch.equal(comb(crop, "ben", level), before)
    assert torch.isnan(comb(crop, "ben", level, alpha=0.99)).any()


def test_gain_moves_a_picture_steadily_from_the_old_path_to_the_new(comb, crops):
    latent = comb.encode(crops)
    pictures = [comb.decode(latent, "anna", alpha=alpha) for alpha in (0.0, 0.25, 1.0)]
    torch.testing.assert_close(pictures[1], torch.lerp(pictures[0], pictures[2], 0.25))


def test_three_personas_give_nine_paths_that_all_differ(comb, crops):
    people = {name: torch.rand(1, 3, SMALL.size, SMALL.size) for name in NAMES}
    pictures = [comb(crop, shown) for crop in people.values() for shown in NAMES]
    assert len(pictures) == 9
    for first in range(9):
        for second in range(first):
            assert not torch.allclose(pictures[first], pictures[second])


def test_another_personas_weights_never_change_the_picture_of_a_persona(comb, crops):
    before = comb(crops, "ben")
    for name in ("anna", "carl"):
        for parameter in comb.personas[name].parameters():
            parameter.fill_(float("nan"))
    assert torch.equal(comb(crops, "ben"), before)


def test_levels_0_and_1_are_the_same_for_every_persona(comb):
    for level in (0, 1):
        crop = torch.rand(1, 3, level_size(level), level_size(level))
        pictures = [comb(crop, name, level) for name in NAMES]
        assert torch.equal(pictures[0], pictures[1]) and torch.equal(pictures[0], pictures[2])
    own = {name for name, _ in comb.personas["anna"].named_parameters()}
    assert own and not any(name.split(".")[1] in ("0", "1") for name in own)


def test_an_update_of_one_persona_reaches_the_encoder_the_trunk_and_its_own_decoder_only(comb, crops):
    comb.requires_grad_(True)
    comb(crops, "anna").mean().backward()

    def touched(module: nn.Module) -> bool:
        return any(parameter.grad is not None for parameter in module.parameters())

    assert touched(comb.encoder) and touched(comb.trunk) and touched(comb.personas["anna"])
    assert not touched(comb.personas["ben"]) and not touched(comb.personas["carl"])


def test_a_crop_gives_the_same_swap_alone_and_in_a_batch(comb, crops):
    together = comb(crops, "carl")
    alone = torch.cat([comb(crop[None], "carl") for crop in crops])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_pictures_are_float32_between_0_and_1_under_autocast_too(comb, crops):
    exact = comb(crops, "anna")
    for alpha in (1.0, 0.5):
        with torch.autocast("cpu", torch.bfloat16):
            picture = comb(crops, "anna", alpha=alpha)
        assert picture.dtype == torch.float32
        assert ((picture >= 0) & (picture <= 1)).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert float((comb(crops, "anna") - exact).abs().max()) < 0.05


def test_the_latent_may_be_negative_so_nothing_acts_after_the_last_convolution_of_the_encoder(comb, crops):
    latent = comb.encode(crops)
    assert latent.shape == (2, SMALL.channels(0), 1, 1) and float(latent.min()) < 0
    halved = nn.Conv2d(8, 8, 4)
    halved.weight.data = comb.encoder.to_latent.weight / 2
    halved.bias.data = comb.encoder.to_latent.bias / 2
    comb.encoder.to_latent = halved
    torch.testing.assert_close(comb.encode(crops), latent / 2)


def test_a_comb_makes_room_for_a_hundred_personas_or_none(shapes_only):
    assert len(Comb(SMALL, tuple(f"p{number}" for number in range(100))).personas) == 100
    assert len(Comb(SMALL, ()).personas) == 0


def test_a_persona_that_is_not_loaded_is_a_key_error(comb, crops):
    with pytest.raises(KeyError):
        comb(crops, "dora")
