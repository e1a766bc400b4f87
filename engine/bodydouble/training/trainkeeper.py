"""What a training writes while it runs: states, the model, curves, previews, and the report at its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from bodydouble.network.checkpoint import CombCard, save_comb, save_persona
from bodydouble.network.comb import CombDims, level_size
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.curves import CurvePoint, Curves, read_curve
from bodydouble.training.previews import write_preview
from bodydouble.training.schedule import Phase
from bodydouble.training.trainjob import TrainJob, TrainProgress
from bodydouble.training.trainreport import write_report
from bodydouble.training.trainstate import TrainState, save_state
from bodydouble.training.validating import CropReader, note_latents, reconstruct, validate

KEPT_PREVIEWS = 100


class TrainKeeper:
    """Rank 0's hands: called after every checked iteration, it saves and reports when it is time; a context manager.

    Leaving it saves what is not saved yet, unless weights are no numbers or an update was cut off half-way.
    """

    def __init__(self, job: TrainJob, state: TrainState, reader: CropReader) -> None:
        self._job, self._state, self._reader = job, state, reader
        self._settings = job.settings
        self._curves = Curves(job.state_folder, state.iteration, job.settings.tensorboard)
        self._crops: Mapping[str, PersonaCrops] = {}
        self._phase = job.plan.at(job.progress(state))
        self._started = state.iteration
        self._saved = self._reported = self._previewed = time.monotonic()
        self._losses: list[Tensor] = []
        self._since = (state.iteration, state.images, state.seconds)
        self.unsaved = False

    def begin_level(self, crops: Mapping[str, PersonaCrops]) -> None:
        """From now on these crops are trained."""
        self._crops = crops

    def after(self, phase: Phase, losses: Tensor) -> TrainProgress | None:
        """Saves, previews and reports if it is time. `losses`: iterations × personas, CPU."""
        self._losses.append(losses)
        self._phase = phase
        now = time.monotonic()
        message, validation = "", {}
        grows = self._job.plan.at(self._job.progress(self._state)).level != phase.level
        saves = now - self._saved >= self._settings.checkpoint_every_s
        if grows or saves:
            validation = validate(self._state.comb, self._crops, phase, self._reader)
        if saves and self._state.finite():
            self.save()
            message = "saved"
        every = self._settings.preview_every_s
        if every and now - self._previewed >= every:
            self._preview(phase)
        if message or validation or now - self._reported >= self._settings.report_every_s:
            return self._report(phase, validation, message)
        return None

    def told(self, message: str) -> TrainProgress:
        """Notes what was found at the start."""
        return self._report(self._job.plan.at(self._job.progress(self._state)), {}, message)

    def rolled_back(self, phase: Phase, message: str) -> TrainProgress:
        """Notes that the state has gone back."""
        self._losses, self.unsaved = [], False
        self._since = (self._state.iteration, self._state.images, self._state.seconds)
        self._curves.rewind(self._state.iteration)
        return self._report(phase, {}, message)

    def finish(self) -> TrainProgress:
        """The end of the schedule: the last save, preview and report."""
        phase = self._phase = self._job.plan.at(1.0)
        crops = self._crops or {name: self._job.store.crops(name, phase.level) for name in self._job.personas}
        note_latents(self._state.comb, crops, phase, self._reader)
        validation = validate(self._state.comb, self._crops, phase, self._reader) if self._crops else {}
        last = self._report(phase, validation, "done")
        card = self.save()
        if self._crops:
            if self._settings.preview_every_s:
                self._preview(phase)
            figures = reconstruct(self._state.comb, self._crops, phase, self._reader)
            write_report(self._job.out, card, read_curve(self._job.state_folder), figures)
        return last

    def save(self) -> CombCard:
        """Write the state, then the model, with the levels trained by now and the gain of the last."""
        job, state = self._job, self._state
        save_state(job.state_folder, state, self._settings.keep)
        phase = self._phase
        card = self._card()
        if job.adds is not None:
            card = save_persona(job.out, state.comb, card, card.persona(job.adds))
        else:
            dims = CombDims(phase.level, state.comb.dims.width)
            card = save_comb(job.out, state.comb, replace(card, dims=dims, alpha=phase.alpha))
        self._saved, self.unsaved = time.monotonic(), False
        return card

    def __enter__(self) -> TrainKeeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._curves:
            if self.unsaved and self._state.finite():
                self.save()

    def _card(self) -> CombCard:
        """The card with an entry for this run, unless nothing was trained in it."""
        job, state = self._job, self._state
        if job.card.history and state.iteration == self._started:
            return job.card
        entry: dict[str, Any] = {
            "settings": asdict(job.settings),
            "crops": [job.store.size, job.store.pad],
            "iterations": state.iteration,
            "images": state.images,
            "seconds": round(state.seconds, 1),
            "progress": round(job.progress(state), 6),
            "rollbacks": state.rollbacks,
            "torch": torch.__version__,
        }
        if job.adds is not None:
            entry["added"] = job.adds
        return replace(job.card, history=(*job.card.history, entry))

    def _preview(self, phase: Phase) -> None:
        folder = self._job.state_folder / "previews"
        path = folder / f"{self._state.iteration:09d}.png"
        write_preview(path, self._state.comb, self._crops, phase, self._reader)
        for old in sorted(folder.glob("*.png"))[:-KEPT_PREVIEWS]:
            with suppress(OSError):
                old.unlink()
        self._previewed = time.monotonic()

    def _report(self, phase: Phase, validation: Mapping[str, float], message: str) -> TrainProgress:
        job, state = self._job, self._state
        means = torch.cat(self._losses).mean(dim=0).tolist() if self._losses else []
        losses = dict(zip(job.personas, means, strict=False))
        done = (state.iteration, state.images, state.seconds)
        iterations, images, seconds = (now - before for now, before in zip(done, self._since, strict=True))
        level_left, left = job.seconds_left(state, phase, seconds / max(1, iterations))
        if losses or validation or message not in ("", "saved", "done"):
            event = "" if message in ("saved", "done") else message
            rate = phase.learning_rate * 0.5**state.rollbacks
            where = (state.iteration, phase.level, phase.alpha, rate, state.images, state.seconds)
            self._curves.add(CurvePoint(*where, losses, validation, event))
        self._losses, self._reported = [], time.monotonic()
        self._since = done
        return TrainProgress(
            level=phase.level,
            size=level_size(phase.level),
            alpha=phase.alpha,
            iteration=state.iteration,
            progress=job.progress(state),
            loss=sum(losses.values()) / len(losses) if losses else float("nan"),
            images_per_s=images / seconds if seconds else 0.0,
            seconds=state.seconds,
            seconds_left=left,
            message=message,
            level_seconds_left=level_left,
            losses=losses,
            validation=validation,
            batch=state.batch,
        )
