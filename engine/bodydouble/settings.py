"""Settings of the engine's verbs: one frozen dataclass per owner, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bodydouble.errors import UsageError

WIDTH_PRESETS = {"full": 1.0, "half": 0.5, "quarter": 0.25}
"""Channels of a comb as a factor of the published network."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True)
class AlignSettings:
    """How `align` finds and steadies faces.

    `beta`: shift of the face box in the nine-fold average, in box widths. `detect_size`: longer side of the picture
    that the detector sees, in pixels, before it is doubled `upsample` times (once more
    where it finds no face); faces narrower than about 80 / 2^upsample pixels of it are not found. `threshold`: added to
    the detector's own; below 0 more faces and more false ones. `landmarker`: "dlib", or "mesh" for MediaPipe's network,
    whose model file is the user's own. `bridge`: longest gap in a person's frames, in frames,
    that is filled in; longer ones stay without a face. `smoothing`: strength of the shot solve's smoother, 0 for none.
    `handles`: frames of the plate before the first and after the last that are measured, too, so that a part of a shot
    gets what it would get in the whole.
    """

    beta: float = 0.05
    detect_size: int = 1280
    upsample: int = 0
    threshold: float = -0.4
    bridge: int = 5
    smoothing: float = 1.0
    stills: bool = False
    handles: int = 48
    landmarker: Literal["dlib", "mesh"] = "dlib"

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 0.5:
            raise UsageError(f"beta must be in 0..0.5, got {self.beta}.")
        if self.detect_size < 80:
            raise UsageError(f"detect_size must be 80 or more, got {self.detect_size}.")
        if not 0 <= self.upsample <= 3:
            raise UsageError(f"upsample must be in 0..3, got {self.upsample}.")
        if not -1 <= self.threshold <= 2:
            raise UsageError(f"threshold must be in -1..2, got {self.threshold}.")
        if self.bridge < 0:
            raise UsageError(f"bridge must not be negative, got {self.bridge}.")
        if self.smoothing < 0:
            raise UsageError(f"smoothing must not be negative, got {self.smoothing}.")
        _require(self.handles >= 0, f"handles must not be negative, got {self.handles}.")
        _require(self.landmarker in ("dlib", "mesh"), f"landmarker must be dlib or mesh, got {self.landmarker}.")


@dataclass(frozen=True)
class ExtractSettings:
    """How training crops are cut.

    Attributes:
        size: pixels across the unit crop; the default is what a 256-pixel comb needs with some to spare.
        pad: pixels beyond the unit crop on each side, so that training may shift and turn crops.
        forehead: reach of the matte over the forehead, 0 at the brows, 1 about the hairline.
        grow: how far the matte's outline is moved outwards, inwards below 0, in hundredths of the unit crop's side.
        min_confidence: faces below it are left out.
        min_sharpness: crops below this share of the sharpness usual in their plate are left out; 0 for none.
        min_difference: crops that differ less from one that stays are left out, in model space; 0 for none.
        format: of the crops, half-float EXR or 16-bit PNG in model space.
    """

    size: int = 320
    pad: int = 32
    forehead: float = 0.7
    grow: float = 0.0
    min_confidence: float = 0.02
    min_sharpness: float = 0.8
    min_difference: float = 0.02
    format: Literal["exr", "png"] = "exr"

    def __post_init__(self) -> None:
        _require(8 <= self.size <= 4096, f"crop size is 8..4096 pixels, not {self.size}")
        _require(0 <= self.pad <= self.size // 2, f"padding is 0..{self.size // 2} pixels, not {self.pad}")
        _require(0 <= self.forehead <= 1.5, f"forehead is 0..1.5, not {self.forehead}")
        _require(-10 <= self.grow <= 10, f"grow is -10..10 hundredths of the crop, not {self.grow}")
        _require(0 <= self.min_confidence <= 1, f"confidence is 0..1, not {self.min_confidence}")
        _require(0 <= self.min_sharpness <= 1, f"least sharpness is a share of 0..1, not {self.min_sharpness}")
        _require(0 <= self.min_difference <= 1, f"least difference is 0..1, not {self.min_difference}")
        _require(self.format in ("exr", "png"), f"format is exr or png, not {self.format}")


@dataclass(frozen=True)
class TrainSettings:
    """How a comb is trained.

    Attributes:
        resolution: pixels of the finished network, 4·2^level.
        width: channel counts as a factor of the full network (1, 0.5, 0.25 are the presets).
        iterations: per level, one number for all or one for each; 0 skips a level. An iteration is a batch of every
            persona. Ignored under a time budget.
        time_budget_s: train so many seconds in all, the levels sharing them by their cost. None: by iterations.
        batch: crops per persona and iteration; None for 16, by iterations more below 32 px (1024 at 4 px), if they
            fit into memory.
        update: "in-turn" is one gradient update per persona, as published; "joint" one for all of them together.
        optimiser: "muon", see `bodydouble.training.optimisers`, or "adam", as published.
        learning_rate, settle_learning_rate: its rate, and that at the end; None for 1e-3 and 1e-5 (muon), the published
            1e-4 and 1e-5 (adam).
        settle: share of the training after the last level, for the lower rate.
        settle_form: "ramp" falls to it exponentially, "step" begins with it, as published.
        loss: "masked" leaves the background of a swap free, "target-masked" wants it black.
        loss_span: range of model space that SSIM's constants belong to; a face fills a third, 1 is the published loss.
        detail_weight: weight of an additional loss of the finest structure; 0 is the published loss.
        texture_weight: weight of an additional loss of how strong the finest structure is, wherever it lies; 0 is the
            published loss.
        l1_weight: weight of an additional mean absolute difference, for colour; 0 is the published loss.
        eyes_mouth_weight: how many times as much eyes and mouth count as the rest of the face, from 32 px on; 1 is the
            published loss.
        jitter_degrees, jitter_scale, jitter_shift: crops are turned, scaled (factor) and shifted (sides) by up to this.
        jitter_exposure, jitter_balance: stops of exposure, of each channel, in scene-linear light.
        jitter_light: smooth random light over the crop, of this deviation in stops.
        jitter_shape: faces are bent by a smooth random field of this deviation, in crop sides; input and goal alike.
        jitter_warp: inputs alone are bent so: what a persona looks like is left to its decoder.
        mirror: half the crops are shown mirrored; not for faces whose two sides differ.
        jitter_blur: half the inputs are blurred by a Gaussian of up to this sigma, in crop sides; their goal is not.
        jitter_grain: half the inputs get grain of up to this deviation at scene-linear 1.0; their goal has none.
        held_out: share of every faceset's crops, the last ones, that is never trained on but validated with.
        precision: "bf16" autocast or "fp32".
        device: "auto", "cpu", "cuda", "cuda:1", …
        seed: of everything random.
        checkpoint_every_s, report_every_s, preview_every_s: seconds between two saves, reports, preview pictures;
            0 previews are none.
        keep: how many of the last states are kept.
        tensorboard: write curves for TensorBoard.
    """

    resolution: int = 256
    width: float = 1.0
    iterations: int | tuple[int, ...] = 100_000
    time_budget_s: float | None = None
    batch: int | None = None
    update: Literal["in-turn", "joint"] = "in-turn"
    optimiser: Literal["muon", "adam"] = "muon"
    learning_rate: float | None = None
    settle_learning_rate: float | None = None
    settle: float = 0.1
    settle_form: Literal["ramp", "step"] = "ramp"
    loss: Literal["masked", "target-masked"] = "masked"
    loss_span: float = 0.3
    detail_weight: float = 0.2
    texture_weight: float = 0.0
    l1_weight: float = 0.5
    eyes_mouth_weight: float = 6.0
    jitter_degrees: float = 6.0
    jitter_scale: float = 0.06
    jitter_shift: float = 0.03
    jitter_exposure: float = 0.6
    jitter_balance: float = 0.06
    jitter_light: float = 0.3
    jitter_shape: float = 0.0
    jitter_warp: float = 0.0
    mirror: bool = False
    jitter_blur: float = 0.0
    jitter_grain: float = 0.0
    held_out: float = 0.05
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "auto"
    seed: int = 0
    checkpoint_every_s: float = 300.0
    report_every_s: float = 5.0
    preview_every_s: float = 600.0
    keep: int = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.iterations, int):
            object.__setattr__(self, "iterations", tuple(self.iterations))  # JSON has lists
        sizes = [4 * 2**level for level in range(9)]
        _require(self.resolution in sizes, f"resolution is one of {sizes}, not {self.resolution}")
        _require(1 / 64 <= self.width <= 2, f"width is a factor between 1/64 and 2, not {self.width}")
        counts, levels = self.level_iterations, sizes.index(self.resolution) + 1
        _require(len(counts) == levels, f"{self.resolution} px has {levels} levels, not {len(counts)}")
        _require(min(counts) >= 0 and counts[-1] >= 1, "iterations are at least 1 at the last level, 0 skips another")
        _require(self.batch is None or self.batch >= 1, "a batch is at least 1")
        _require(self.keep >= 1, "at least one state is kept")
        _require(self.update in ("in-turn", "joint"), f"update is in-turn or joint, not {self.update}")
        _require(0 <= self.held_out <= 0.5, f"held out is a share up to a half, not {self.held_out}")
        _require(min(self.jitters) >= 0, "jitters are not negative")
        _require(self.time_budget_s is None or self.time_budget_s > 0, "a time budget is longer than nothing")
        _require(0 <= self.settle < 1, f"settle is a share below 1, not {self.settle}")
        _require(self.loss in ("masked", "target-masked"), f"loss is masked or target-masked, not {self.loss}")
        _require(self.loss_span > 0, f"the loss's span is above 0, not {self.loss_span}")
        _require(
            min(self.detail_weight, self.texture_weight, self.l1_weight) >= 0, "weights of the loss are not negative"
        )
        _require(self.eyes_mouth_weight > 0, f"eyes and mouth count above 0 times, not {self.eyes_mouth_weight}")
        _require(self.precision in ("bf16", "fp32"), f"precision is bf16 or fp32, not {self.precision}")
        _require(self.optimiser in ("muon", "adam"), f"optimiser is muon or adam, not {self.optimiser}")
        _require(self.settle_form in ("ramp", "step"), f"settle form is ramp or step, not {self.settle_form}")
        _require(min(self.rates) > 0, "learning rates are above 0")

    @property
    def rates(self) -> tuple[float, float]:
        """The learning rate, and that at the end."""
        usual = (1e-3, 1e-5) if self.optimiser == "muon" else (1e-4, 1e-5)
        given = (self.learning_rate, self.settle_learning_rate)
        rate, settled = (own if asked is None else asked for own, asked in zip(usual, given, strict=True))
        return rate, settled

    @property
    def level_iterations(self) -> tuple[int, ...]:
        """Iterations of each level, 0 first."""
        if isinstance(self.iterations, tuple):
            return self.iterations
        return (self.iterations,) * (self.resolution.bit_length() - 2)

    @property
    def jitters(self) -> tuple[float, ...]:
        """Every strength of the augmentation."""
        similarity = (self.jitter_degrees, self.jitter_scale, self.jitter_shift)
        bends = (self.jitter_shape, self.jitter_warp)
        light = (self.jitter_exposure, self.jitter_balance, self.jitter_light)
        return (*similarity, *bends, *light, self.jitter_blur, self.jitter_grain)


@dataclass(frozen=True)
class SwapSettings:
    """How a swap is put into the plate. Lengths are in hundredths of the unit crop's side, so they scale with the face.

    Attributes:
        forehead: reach of the matte over the forehead, 0 at the brows, 1 about the hairline.
        grow: how far the matte's outline is moved outwards, inwards below 0.
        edge: width of the ramp inside the matte's outline over which pixels pass from the plate to the blend.
        sigma: inward smoothing of the mask in every band of the blend, in pixels of that band.
        plate_levels: how many bands, from the coarsest, hold light and tone.
        colour_match: whose those are: "low" the plate's, wholly; "ring" the swap's, with the plate's mean and deviation
            in a ring inside the outline; "none" the swap's as they are.
        contrast: share of the plate's local contrast that the new face is given, 0 for its own.
        blend_size: side of the crop the blend works on, in pixels; None for the power of two that holds the largest
            face of the shot, or the network's size where that is smaller: nothing of the swap is lost.
        min_confidence: faces below it count as no face.
        on_no_face: a frame without a face fails ("fail"), or becomes a copy of the plate ("plate") or black ("black"),
            which is reported.
        layers: add what comp asks for to every frame as channels, see `bodydouble.swap.swaplayers`.
        precision: of the network, "fp32" or "bf16" autocast.
        performer: who plays the face in the plate, where the model knows them as a persona; None leaves the latent as
            the encoder gives it.
        likeness: share of what tells the performer from the persona that is taken out of the latent; without a
            performer nothing is.
        grain: strength of the plate's grain on the new face, as far as the shot's measures know it; 0 for none.
        defocus, motion_blur: share of the blur that the plate has and the swap lacks, as far as the shot's measures
            know it; 0 for none.
    """

    forehead: float = 0.6
    grow: float = 0.0
    edge: float = 4.0
    sigma: float = 1.0
    plate_levels: int = 2
    colour_match: Literal["low", "ring", "none"] = "low"
    contrast: float = 0.0
    blend_size: int | None = None
    min_confidence: float = 0.1
    on_no_face: Literal["fail", "plate", "black"] = "fail"
    layers: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    performer: str | None = None
    likeness: float = 1.0
    grain: float = 1.0
    defocus: float = 1.0
    motion_blur: float = 1.0

    def __post_init__(self) -> None:
        _require(0 <= self.forehead <= 1.5, f"forehead is 0..1.5, not {self.forehead}")
        _require(-10 <= self.grow <= 10, f"grow is -10..10 hundredths of the crop, not {self.grow}")
        _require(0 <= self.edge <= 20, f"edge is 0..20 hundredths of the crop, not {self.edge}")
        _require(self.sigma >= 0, f"sigma is not negative, not {self.sigma}")
        _require(self.plate_levels >= 0, f"plate levels are not negative, not {self.plate_levels}")
        matches = ("low", "ring", "none")
        _require(self.colour_match in matches, f"colour match is low, ring or none, not {self.colour_match}")
        _require(0 <= self.contrast <= 1, f"contrast is a share of the plate's, 0..1, not {self.contrast}")
        size = self.blend_size
        _require(size is None or 16 <= size <= 8192, f"blend size is 16..8192 pixels, not {size}")
        _require(0 <= self.min_confidence <= 1, f"confidence is 0..1, not {self.min_confidence}")
        _require(
            self.on_no_face in ("fail", "plate", "black"), f"on_no_face is fail, plate or black, not {self.on_no_face}"
        )
        _require(self.precision in ("bf16", "fp32"), f"precision is bf16 or fp32, not {self.precision}")
        _require(0 <= self.likeness <= 2, f"likeness is a share of 0..2, not {self.likeness}")
        _require(0 <= self.grain <= 4, f"grain is 0..4 times the plate's, not {self.grain}")
        _require(0 <= self.defocus <= 4, f"defocus is 0..4 times the plate's, not {self.defocus}")
        _require(0 <= self.motion_blur <= 4, f"motion blur is 0..4 times the plate's, not {self.motion_blur}")


@dataclass(frozen=True)
class RunSettings:
    """How a run over many frames behaves. Nothing here changes a pixel of a frame that is swapped.

    Attributes:
        on_missing: a frame that the plate does not have fails ("fail"), is left out ("skip"), or becomes black like the
            frame nearest to it ("black").
        on_error: after a frame that failed the others are done all the same ("continue") or not begun ("stop").
        threads: processor cores to use; None for as many as torch finds it may.
        max_memory: bytes of the host's memory to stay below, as well as that can be done; None for no limit.
        batch: frames that go through the network together; None for one on the CPU and four on a GPU.
    """

    on_missing: Literal["fail", "skip", "black"] = "fail"
    on_error: Literal["continue", "stop"] = "continue"
    threads: int | None = None
    max_memory: int | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        rules = ("fail", "skip", "black")
        _require(self.on_missing in rules, f"on_missing is fail, skip or black, not {self.on_missing}")
        _require(self.on_error in ("continue", "stop"), f"on_error is continue or stop, not {self.on_error}")
        _require(self.threads is None or self.threads >= 1, f"threads are at least 1, not {self.threads}")
        _require(self.max_memory is None or self.max_memory > 0, f"memory is more than nothing, not {self.max_memory}")
        _require(self.batch is None or 1 <= self.batch <= 64, f"a batch is 1..64 frames, not {self.batch}")
