"""Progressive training of a comb on the facesets of its personas.

One iteration shuffles the personas; each in turn gives a batch of its own crops and one gradient update, so that
encoder and trunk get P updates and each decoder one. Everything random is drawn from (seed, iteration): the state of
a training is its weights, the optimiser's moments and a few counters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
from bodydouble.errors import ModelError, UsageError
from bodydouble.network.checkpoint import CombCard, PersonaCard, read_card
from bodydouble.network.comb import Comb, CombDims, size_level
from bodydouble.network.devices import keep_memory, pick_device
from bodydouble.network.parallel import Ranks, join_ranks, local_device
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.stopping import whole
from bodydouble.training.batchsize import automatic_batch
from bodydouble.training.cropstore import CropStore, by_persona
from bodydouble.training.facesets import Faceset
from bodydouble.training.features import require_landmarks
from bodydouble.training.iterating import Feeder, iteration_seed, update
from bodydouble.training.optimisers import Muon
from bodydouble.training.trainjob import TrainJob, TrainProgress, plan_of
from bodydouble.training.trainkeeper import TrainKeeper
from bodydouble.training.trainstate import TrainState, has_state, restore_state, save_state
from bodydouble.training.validating import CropReader

__all__ = ["TrainProgress", "load_facesets", "optimiser_of", "run_training", "train", "training_device"]

MOST_ROLLBACKS = 3
"""In a row, without a save between them."""
GPU_CHECK_EVERY = 20
"""Iterations between two looks at a GPU's losses: each look makes the CPU wait for it."""

Clock = Callable[[], float]


def train(
    folders: Sequence[Path],
    out: Path,
    settings: TrainSettings,
    rights: Mapping[str, Mapping[str, Any]] | None = None,
    cache: Path | None = None,
    clock: Clock = time.monotonic,
) -> Iterator[TrainProgress]:
    """Train a comb on one faceset per persona; yields a report every few seconds.

    A training that finds its own state in ``out/training`` goes on from there. The model in `out` can be used to swap
    after every "saved" report. Closing the iterator saves the state first. Started by torchrun, all processes train
    one comb together, on a storage that all of them see; only rank 0 yields reports.

    Args:
        folders: facesets, one or more folders per persona.
        out: the ``NAME.comb`` folder.
        settings: everything else.
        rights: persona → rights record as a document, in place of the one its faceset carries.
        cache: where decoded crops are kept; None for ``out/training/crops``.
        clock: seconds that count as training time, for a time budget and the rates.

    Raises:
        FacesetError: a faceset is unreadable, or they do not fit together.
        ModelError: `out` holds another model, or its training state is damaged.
        UsageError: the training diverged again and again; the last save is left as it was.
    """
    facesets = load_facesets(folders, settings, rights)
    with training_device(settings) as (device, ranks):
        out, top = Path(out), size_level(settings.resolution)
        state = start_state(settings, CombDims(top, settings.width), tuple(facesets), device)
        notices = _restore_or_start(out, state)
        job = job_of(out, out / "training", facesets, state, settings, cache)
        yield from run_training(job, state, device, ranks, clock, notices)


@contextmanager
def training_device(settings: TrainSettings) -> Iterator[tuple[torch.device, Ranks]]:
    """The device to train on, and this process among those torchrun started."""
    keep_memory()
    device = pick_device(local_device(settings.device))
    with join_ranks(device) as ranks:
        yield device, ranks


def load_facesets(
    folders: Sequence[Path], settings: TrainSettings, rights: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, list[Faceset]]:
    """The facesets of each persona, fit to be trained on. Errors: as `by_persona` and `require_landmarks`."""
    facesets = by_persona([Faceset.load(Path(folder)) for folder in folders], rights)
    require_landmarks(facesets, settings)
    return facesets


def start_state(settings: TrainSettings, dims: CombDims, personas: tuple[str, ...], device: torch.device) -> TrainState:
    """An untrained comb with its optimiser, the same for the same seed."""
    torch.manual_seed(settings.seed)
    comb = Comb(dims, personas).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TrainState(comb, optimiser_of(comb, settings))


def optimiser_of(comb: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimiser of those parameters that are trained; the schedule sets its rate."""
    parameters = [one for one in comb.parameters() if one.requires_grad]
    if settings.optimiser == "muon":
        return Muon(parameters, lr=settings.rates[0])
    return torch.optim.Adam(parameters, lr=settings.rates[0], fused=True)


def job_of(
    out: Path,
    state_folder: Path,
    facesets: Mapping[str, Sequence[Faceset]],
    state: TrainState,
    settings: TrainSettings,
    cache: Path | None,
) -> TrainJob:
    """The training of all personas."""
    first = next(iter(facesets.values()))[0]
    space = ModelSpace(primaries=first.primaries)
    top = size_level(settings.resolution)
    store = CropStore(cache or state_folder / "crops", facesets, top, settings.held_out)
    personas = tuple(
        PersonaCard(name, parts[0].rights, sum(len(one.crops) for one in parts)) for name, parts in facesets.items()
    )
    earlier = read_card(out).history if (out / "comb.json").exists() else ()
    card = CombCard(state.comb.dims, space, INTEROCULAR, EYE_LINE, first.forehead, personas, earlier)
    return TrainJob(out, state_folder, store, tuple(facesets), card, plan_of(settings), settings, space)


def run_training(
    job: TrainJob,
    state: TrainState,
    device: torch.device,
    ranks: Ranks,
    clock: Clock,
    notices: Sequence[str] = (),
) -> Iterator[TrainProgress]:
    """Train `state` to the end of the schedule, saving on the way and when closed. Only rank 0 reports and writes.

    Raises:
        UsageError: the training diverged again and again, or a batch has fewer crops than there are processes.
    """
    settings = job.settings
    check_every = 1 if device.type == "cpu" else GPU_CHECK_EVERY
    reader = CropReader(settings, job.space, job.store.reach, device)
    feeder: Feeder | None = None
    level, spent = -1, 0.0
    returns: list[int] = []
    unchecked: list[Tensor] = []
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        keeper = stack.enter_context(TrainKeeper(job, state, reader)) if ranks.leads else None
        if keeper is not None and not has_state(job.state_folder):
            save_state(job.state_folder, state, settings.keep)  # to go back to
        ranks.wait()
        ranks.share(state.comb.state_dict().values())
        if keeper is not None and notices:
            yield keeper.told(" ".join(notices))
        while (progress := job.progress(state)) < 1.0:
            phase = job.plan.at(progress)
            if feeder is None or phase.level != level:
                level = phase.level
                feeder = _feeder(job, state, level, device, ranks, pool, keeper)
            started = clock()
            seeds = [iteration_seed(settings, state.iteration + ahead, state.rollbacks) for ahead in (0, 1)]
            with whole(), _unsaved(keeper):
                # One iteration: the personas in shuffled order, a batch and an update each.
                losses = update(state, feeder.batches(*seeds), feeder.batch, phase, settings, device, ranks)
                if job.plan.at(job.progress(state)).level > phase.level:
                    state.comb.forget_latents()  # the next level is another way into the encoder
            unchecked.append(torch.stack([losses[name] for name in job.personas]))
            if state.iteration % check_every and job.progress(state) < 1.0:
                spent += clock() - started
                continue
            values = ranks.mean(torch.stack(unchecked)).cpu()
            unchecked = []
            (took,) = ranks.agree(spent + clock() - started)
            state.seconds, spent = state.seconds + took, 0.0
            if not bool(torch.isfinite(values).all()):
                message = _roll_back(job, state, returns)
                if keeper is not None:
                    yield keeper.rolled_back(job.plan.at(job.progress(state)), message)
                continue
            if keeper is not None:
                report = keeper.after(phase, values)
                if report is not None:
                    yield report
        if keeper is not None:
            yield keeper.finish()


def _restore_or_start(out: Path, state: TrainState) -> list[str]:
    """Go on with what lies in `out`, if anything; returns what is worth telling."""
    folder = out / "training"
    if not has_state(folder):
        if (out / "comb.json").exists():
            raise ModelError(
                f"{out} already holds a model without training state; train into another folder, or add to it (--to)."
            )
        return []
    problems = restore_state(folder, state)
    if (out / "comb.json").exists():
        added = [name for name in read_card(out).names if name not in state.comb.personas]
        if added:
            raise ModelError(
                f"{', '.join(added)} came to {out} after this training: going on with it would change the encoder "
                "under them. Train into another folder, or fine-tune all together (--to, --fine-tune)."
            )
    return problems


def _feeder(
    job: TrainJob,
    state: TrainState,
    level: int,
    device: torch.device,
    ranks: Ranks,
    pool: ThreadPoolExecutor,
    keeper: TrainKeeper | None,
) -> Feeder:
    """The batches of `level`. Rank 0 decodes the crops, the others then find them done."""
    settings, store = job.settings, job.store
    if not ranks.leads:
        ranks.wait()
    crops = {name: store.crops(name, level) for name in job.personas}
    if ranks.leads:
        ranks.wait()
    if settings.batch is not None:
        state.batch = settings.batch
    elif state.batch_level != level:
        state.batch, state.batch_level = automatic_batch(state.comb, level, settings, device) * ranks.world, level
    state.batch = int(ranks.agree(state.batch)[0])
    if state.batch < ranks.world:
        raise UsageError(f"a batch of {state.batch} cannot be shared by {ranks.world} processes; make it larger.")
    if keeper is not None:
        keeper.begin_level(crops)
    return Feeder(crops, level, state.batch, settings, job.space, store.reach, device, ranks, pool)


def _roll_back(job: TrainJob, state: TrainState, returns: list[int]) -> str:
    """Back to the last save, at half the learning rate and with other dice; returns what to tell.

    `returns`: iterations gone back to before, in this run.
    """
    diverged, seconds, rollbacks = state.iteration, state.seconds, state.rollbacks + 1
    if len(returns) >= MOST_ROLLBACKS and len(set(returns[-MOST_ROLLBACKS:])) == 1:
        raise UsageError(
            f"the training diverged at iteration {diverged} (the loss is not a number), also after going back to "
            f"iteration {returns[-1]} {MOST_ROLLBACKS} times; {job.out} stays as last saved. Start again with a lower "
            "learning rate, or with precision fp32."
        )
    restore_state(job.state_folder, state)
    # The clock goes on: a budget has an end.
    state.seconds, state.rollbacks = seconds, rollbacks
    returns.append(state.iteration)
    return (
        f"rolled back from iteration {diverged} to {state.iteration}: the loss was not a number; the learning rate "
        "is halved"
    )


@contextmanager
def _unsaved(keeper: TrainKeeper | None) -> Iterator[None]:
    """Around an update: what it leaves is to be saved, unless it was cut off."""
    if keeper is not None:
        keeper.unsaved = False
    yield
    if keeper is not None:
        keeper.unsaved = True
