"""One iteration of a training: crops gathered ahead, a batch of each persona, the gradient updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from bodydouble.network.comb import Comb, PersonaDecoder
from bodydouble.network.devices import free_memory, run_on
from bodydouble.network.parallel import Ranks
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.training.augmenting import Batch, Draw, augment, draw_iteration
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.features import feature_maps
from bodydouble.training.losses import level_loss
from bodydouble.training.schedule import Phase
from bodydouble.training.trainstate import TrainState

RESIDENT_SHARE = 0.25
"""Crops of a level that take less than this share of a GPU's free memory are kept there."""

_Gathered = list[tuple[str, Tensor, Tensor | None, Draw]]


class Feeder:
    """Gives the batches of a level; the crops of the next iteration are read while this one is trained."""

    def __init__(
        self,
        crops: Mapping[str, PersonaCrops],
        level: int,
        batch: int,
        settings: TrainSettings,
        space: ModelSpace,
        reach: float,
        device: torch.device,
        ranks: Ranks,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.batch = batch
        self._pixels = _placed({name: one.pixels for name, one in crops.items()}, device)
        self._features = {
            name: feature_maps(one.landmarks.to(device), settings, level, reach) for name, one in crops.items()
        }
        self._trained = {name: one.trained for name, one in crops.items()}
        self._level, self._settings, self._space, self._reach = level, settings, space, reach
        self._device, self._ranks, self._pool = device, ranks, pool
        self._ahead: tuple[int, Future[_Gathered]] | None = None

    def batches(self, seed: int, next_seed: int) -> list[tuple[str, Batch]]:
        """The personas in the order of iteration `seed`, each with this rank's share of its batch."""
        ahead, self._ahead = self._ahead, None
        gathered = ahead[1].result() if ahead is not None and ahead[0] == seed else self._gather(seed)
        self._ahead = (next_seed, self._pool.submit(self._gather, next_seed))
        return [
            (
                name,
                augment(
                    crops.to(self._device, non_blocking=True),
                    draw.numbers,
                    self._level,
                    self._settings,
                    self._space,
                    self._reach,
                    features,
                ),
            )
            for name, crops, features, draw in gathered
        ]

    def _gather(self, seed: int) -> _Gathered:
        draws = draw_iteration(self._trained, self.batch, seed)
        found: _Gathered = []
        for name, whole in draws.items():
            draw = whole.part(self._ranks.rank, self._ranks.world)
            pixels, features = self._pixels[name], self._features[name]
            shapes = None if features is None else features[draw.index.to(features.device)]
            found.append((name, pixels[draw.index.to(pixels.device)], shapes, draw))
        return found


def iteration_seed(settings: TrainSettings, iteration: int, rollbacks: int) -> int:
    """Seed of everything random in an iteration; after a roll-back the dice fall otherwise."""
    return settings.seed * 1_000_003 + iteration + rollbacks * 7_368_787_019


def update(
    state: TrainState,
    batches: Sequence[tuple[str, Batch]],
    batch: int,
    phase: Phase,
    settings: TrainSettings,
    device: torch.device,
    ranks: Ranks,
) -> dict[str, Tensor]:
    """Train on a batch of every persona, one after the other or all at once; returns this rank's loss of each.

    Args:
        batch: crops per persona over all ranks.
    """
    rate = phase.learning_rate * 0.5**state.rollbacks
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    losses: dict[str, Tensor] = {}
    latents: list[Tensor] = []
    if settings.update == "joint":
        with _stepping(state, ranks):
            losses, latents = _joint_losses(state, batches, phase, settings, device)
            # The ranks' slices differ in length when the batch does not divide.
            share = len(batches[0][1].shown) * ranks.world / batch
            (torch.stack(list(losses.values())).sum() * share).backward()
    else:
        for name, one in batches:
            with _stepping(state, ranks):
                with run_on(device, settings.precision):
                    latent = state.comb.encode(one.shown, phase.level, phase.alpha)
                    result = state.comb.decode(latent, name, phase.level, phase.alpha)
                latents.append(latent.detach())
                losses[name] = _loss(result, one, phase, settings)
                (losses[name] * (len(one.shown) * ranks.world / batch)).backward()
    _note_latents(state.comb, [name for name, _ in batches], latents, batch, ranks)
    state.images += batch * len(batches)
    state.iteration += 1
    return {name: loss.detach() for name, loss in losses.items()}


@contextmanager
def _stepping(state: TrainState, ranks: Ranks) -> Iterator[None]:
    """Around a backward pass: gradients are cleared before it; after it, averaged and applied."""
    state.optimiser.zero_grad(set_to_none=True)
    yield
    ranks.average_gradients(state.comb.parameters())
    state.optimiser.step()


def _note_latents(comb: Comb, names: Sequence[str], latents: Sequence[Tensor], batch: int, ranks: Ranks) -> None:
    """Where the latents of each persona lie. `latents`: this rank's share of each batch."""
    shares = torch.stack([one.float().flatten(1).sum(dim=0) * (ranks.world / batch) for one in latents])
    for name, mean in zip(names, ranks.mean(shares), strict=True):
        decoder: PersonaDecoder = comb.personas[name]  # type: ignore[assignment]
        decoder.add_latents(mean, batch)


def _joint_losses(
    state: TrainState,
    batches: Sequence[tuple[str, Batch]],
    phase: Phase,
    settings: TrainSettings,
    device: torch.device,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The loss of each persona, and its latents without gradients."""
    shown = torch.cat([one.shown for _, one in batches])
    with run_on(device, settings.precision):
        latents = state.comb.encode(shown, phase.level, phase.alpha).chunk(len(batches))
        results = [
            state.comb.decode(latent, name, phase.level, phase.alpha)
            for latent, (name, _) in zip(latents, batches, strict=True)
        ]
    losses = {name: _loss(result, one, phase, settings) for result, (name, one) in zip(results, batches, strict=True)}
    return losses, [latent.detach() for latent in latents]


def _loss(result: Tensor, batch: Batch, phase: Phase, settings: TrainSettings) -> Tensor:
    return level_loss(result.float(), batch.truth, batch.matte, phase.level, settings, batch.features)


def _placed(pixels: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The crops on the GPU if they take little of it, else where they are."""
    if device.type == "cpu":
        return pixels
    free = free_memory(device)
    total = sum(one.numel() * one.element_size() for one in pixels.values())
    if free is None or total > RESIDENT_SHARE * free:
        return pixels
    return {name: one.to(device) for name, one in pixels.items()}
