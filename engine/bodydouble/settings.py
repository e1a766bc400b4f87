"""Settings of the engine's verbs: one frozen dataclass per owner, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bodydouble.errors import UsageError


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


@dataclass(frozen=True)
class AlignSettings:
    """How `align` finds and steadies faces.

    `beta`: shift of the face box in the nine-fold average, in box widths. `detect_size`: longer side of the picture
    that the detector sees, in pixels, before it is doubled `upsample` times (once more
    where it finds no face); faces narrower than about 80 / 2^upsample pixels of it are not found. `threshold`: added to
    the detector's own; below 0 more faces and more false ones. `bridge`: longest gap in a person's frames, in frames,
    that is filled in; longer ones stay without a face. `smoothing`: strength of the shot solve's smoother, 0 for none.
    """

    beta: float = 0.05
    detect_size: int = 1280
    upsample: int = 0
    threshold: float = -0.4
    bridge: int = 5
    smoothing: float = 1.0
    stills: bool = False

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


@dataclass(frozen=True)
class ExtractSettings:
    """How training crops are cut.

    Attributes:
        size: pixels across the unit crop; the default is what a 256-pixel comb needs with some to spare.
        pad: pixels beyond the unit crop on each side, so that training may shift and turn crops.
        forehead: reach of the matte over the forehead, 0 at the brows, 1 about the hairline.
        min_confidence: faces below it are left out.
    """

    size: int = 320
    pad: int = 32
    forehead: float = 0.7
    min_confidence: float = 0.4

    def __post_init__(self) -> None:
        _require(8 <= self.size <= 4096, f"crop size is 8..4096 pixels, not {self.size}")
        _require(0 <= self.pad <= self.size // 2, f"padding is 0..{self.size // 2} pixels, not {self.pad}")
        _require(0 <= self.forehead <= 1.5, f"forehead is 0..1.5, not {self.forehead}")
        _require(0 <= self.min_confidence <= 1, f"confidence is 0..1, not {self.min_confidence}")


@dataclass(frozen=True)
class TrainSettings:
    """How a comb is trained.

    Attributes:
        resolution: pixels of the finished network, 4·2^level.
        width: channel counts as a factor of the full network (1, 0.5, 0.25 are the presets).
        iterations: per level; an iteration is one update per persona. Ignored under a time budget.
        time_budget_s: train so many seconds in all, the levels sharing them by their cost. None: by iterations.
        batch: crops per persona and update.
        learning_rate, settle_learning_rate: Adam's, and after the last level.
        settle: share of the training after the last level, at the lower rate.
        loss: "masked" leaves the background of a swap free, "target-masked" wants it black.
        l1_weight: weight of an additional mean absolute difference; 0 is the published loss.
        jitter_degrees, jitter_scale, jitter_shift: crops are turned, scaled (factor) and shifted (sides) by up to this.
        jitter_exposure, jitter_balance: stops of exposure, of each channel, in scene-linear light.
        forehead: reach of the facesets' mattes; stored in the model, the swap uses the same.
        precision: "bf16" autocast or "fp32".
        device: "auto", "cpu", "cuda", "cuda:1", …
        seed: of everything random.
        checkpoint_every_s, report_every_s: seconds between two saves, two reports.
    """

    resolution: int = 256
    width: float = 1.0
    iterations: int = 100_000
    time_budget_s: float | None = None
    batch: int = 16
    learning_rate: float = 1e-4
    settle_learning_rate: float = 1e-5
    settle: float = 0.1
    loss: Literal["masked", "target-masked"] = "masked"
    l1_weight: float = 0.0
    jitter_degrees: float = 4.0
    jitter_scale: float = 0.04
    jitter_shift: float = 0.02
    jitter_exposure: float = 0.4
    jitter_balance: float = 0.06
    forehead: float = 0.7
    precision: Literal["bf16", "fp32"] = "bf16"
    device: str = "auto"
    seed: int = 0
    checkpoint_every_s: float = 300.0
    report_every_s: float = 5.0

    def __post_init__(self) -> None:
        sizes = [4 * 2**level for level in range(9)]
        _require(self.resolution in sizes, f"resolution is one of {sizes}, not {self.resolution}")
        _require(1 / 64 <= self.width <= 2, f"width is a factor between 1/64 and 2, not {self.width}")
        _require(self.iterations >= 1 and self.batch >= 1, "iterations and batch are at least 1")
        _require(self.time_budget_s is None or self.time_budget_s > 0, "a time budget is longer than nothing")
        _require(0 <= self.settle < 1, f"settle is a share below 1, not {self.settle}")
        _require(self.loss in ("masked", "target-masked"), f"loss is masked or target-masked, not {self.loss}")
        _require(self.precision in ("bf16", "fp32"), f"precision is bf16 or fp32, not {self.precision}")
        _require(self.learning_rate > 0 and self.settle_learning_rate > 0, "learning rates are above 0")


@dataclass(frozen=True)
class SwapSettings:
    """How a swap is put into the plate. Lengths are in hundredths of the unit crop's side, so they scale with the face.

    Attributes:
        forehead: reach of the matte over the forehead, 0 at the brows, 1 about the hairline.
        edge: width of the ramp inside the matte's outline over which pixels pass from the plate to the blend.
        sigma: inward smoothing of the mask in every band of the blend, in pixels of that band.
        plate_levels: how many bands, from the coarsest, are wholly the plate's: its light and tone.
        blend_size: side of the crop the blend works on, in pixels; None for the power of two that holds the largest
            face of the shot, or the network's size where that is smaller: nothing of the swap is lost.
        min_confidence: faces below it count as no face.
        on_no_face: a frame without a face fails ("fail"), or becomes a copy of the plate ("plate") or black ("black"),
            which is reported.
        layers: add what comp asks for to every frame as channels, see `bodydouble.swaplayers`.
        precision: of the network, "fp32" or "bf16" autocast.
    """

    forehead: float = 0.6
    edge: float = 3.0
    sigma: float = 1.0
    plate_levels: int = 2
    blend_size: int | None = None
    min_confidence: float = 0.1
    on_no_face: Literal["fail", "plate", "black"] = "fail"
    layers: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        _require(0 <= self.forehead <= 1.5, f"forehead is 0..1.5, not {self.forehead}")
        _require(0 <= self.edge <= 20, f"edge is 0..20 hundredths of the crop, not {self.edge}")
        _require(self.sigma >= 0, f"sigma is not negative, not {self.sigma}")
        _require(self.plate_levels >= 0, f"plate levels are not negative, not {self.plate_levels}")
        size = self.blend_size
        _require(size is None or 16 <= size <= 8192, f"blend size is 16..8192 pixels, not {size}")
        _require(0 <= self.min_confidence <= 1, f"confidence is 0..1, not {self.min_confidence}")
        _require(
            self.on_no_face in ("fail", "plate", "black"), f"on_no_face is fail, plate or black, not {self.on_no_face}"
        )
        _require(self.precision in ("bf16", "fp32"), f"precision is bf16 or fp32, not {self.precision}")


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
