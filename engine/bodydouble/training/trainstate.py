"""The state of a training: what it is, how it is kept, and how it comes back.

``training/state-ITERATION.safetensors`` holds everything: float32 weights, the optimiser's moments, counters, and in
its header which network they belong to. One file, renamed when complete: a process killed at any moment leaves the
states before it untouched. The last few are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bodydouble.errors import ModelError
from bodydouble.network.checkpoint import load_tensors, read_header, save_tensors, with_latents
from bodydouble.network.comb import Comb
from bodydouble.training.optimisers import Muon, is_hidden

SCHEMA = "bodydouble.training"
VERSION = 2


@dataclass
class TrainState:
    """All that changes while training.

    Attributes:
        comb, optimiser: weights and moments.
        iteration, images, seconds: done so far, all runs together.
        batch, batch_level: the automatic batch and the level it was chosen for; -1 for none yet.
        rollbacks: how often a training that diverged went back; each halves the learning rate.
    """

    comb: Comb
    optimiser: torch.optim.Optimizer
    iteration: int = 0
    images: int = 0
    seconds: float = 0.0
    batch: int = 0
    batch_level: int = -1
    rollbacks: int = 0
    restored_from: Path | None = field(default=None, compare=False)

    def model(self) -> dict[str, Any]:
        """Which network the state belongs to."""
        dims = self.comb.dims
        return {"level": dims.level, "width": dims.width, "personas": list(self.comb.personas)}

    def finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(torch.isfinite(one).all()) for one in self.comb.parameters())


def save_state(folder: Path, state: TrainState, keep: int) -> Path:
    """Write the state to ``folder``, then remove all but the last `keep`.

    Raises:
        OutputError: it cannot be written.
    """
    tensors = {f"comb.{name}": value for name, value in state.comb.state_dict().items()}
    for name, parameter in state.comb.named_parameters():
        for moment, value in state.optimiser.state.get(parameter, {}).items():
            tensors[f"{moment}.{name}"] = value.reshape(1)[0].clone() if moment == "step" else value
    counters = (state.iteration, state.images, state.seconds, state.batch, state.batch_level, state.rollbacks)
    tensors["progress"] = torch.tensor(counters, dtype=torch.float64)
    path = folder / f"state-{state.iteration:09d}.safetensors"
    header = {"schema": SCHEMA, "version": str(VERSION), "model": json.dumps(state.model())}
    save_tensors(path, tensors, header)
    for old in _states(folder)[keep:]:
        with suppress(OSError):
            old.unlink()
    _forget_version_1(folder)
    return path


def has_state(folder: Path) -> bool:
    """Whether there is anything to go on with."""
    return bool(_states(folder))


def restore_state(folder: Path, state: TrainState) -> list[str]:
    """Put the newest readable state of ``folder`` into `state`; returns what had to be passed over.

    Raises:
        ModelError: it belongs to another network, was written by a newer version, or none is readable.
    """
    problems: list[str] = []
    wanted: Mapping[str, Any] = state.model()
    for path in _states(folder):
        try:
            model = _model_of(path)
            if model == wanted:
                _fill(state, path)
                return problems
        except ModelError as error:
            problems.append(str(error))
            continue
        raise ModelError(f"{folder} was trained as {model}, now asked for {wanted}; train into another folder.")
    raise ModelError(f"no training state in {folder} can be read: {' '.join(problems)} Remove it to begin anew.")


def _states(folder: Path) -> list[Path]:
    """State files, newest first; the one of version 1 last."""
    old = folder / "state.safetensors"
    found = sorted(folder.glob("state-*.safetensors"), reverse=True)
    return [*found, old] if old.exists() or (folder / "state.json").exists() else found


def _model_of(path: Path) -> Mapping[str, Any]:
    try:
        if path.name == "state.safetensors":  # version 1 had a file beside it
            document = json.loads((path.parent / "state.json").read_text(encoding="utf-8"))
            version, model = document["version"], document["model"]
        else:
            header = read_header(path)
            version, model = int(header["version"]), json.loads(header["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}).") from error
    if version > VERSION:
        raise ModelError(f"{path} was written by a newer bodydouble (training state {version}); update it.")
    if not isinstance(model, Mapping) or not isinstance(model.get("personas"), list):
        raise ModelError(f"{path} is damaged (it does not say what it is of).")
    return model


def _fill(state: TrainState, path: Path) -> None:
    try:
        tensors = load_tensors(path)
        counters = _version_2(tensors["progress"].tolist())
        weights = {name[5:]: value for name, value in tensors.items() if name.startswith("comb.")}
        state.comb.load_state_dict(with_latents(weights, state.comb))
        state.optimiser.state.clear()
        for name, parameter in state.comb.named_parameters():
            if moments := _moments(tensors, name, parameter, state.optimiser):
                state.optimiser.state[parameter] = moments
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {str(error).splitlines()[0]}).") from error
    state.iteration, state.images, state.batch, state.batch_level, state.rollbacks = (
        int(counters[index]) for index in (0, 1, 3, 4, 5)
    )
    state.seconds = counters[2]
    state.restored_from = path


_MOMENTS = {
    "step": ("step",),
    "exp_avg": ("exp_avg", "mean"),
    "exp_avg_sq": ("exp_avg_sq", "square"),
    "momentum": ("momentum", "exp_avg", "mean"),
}
"""What optimisers keep, and under which names a state may have it: version 1 had its own, Adam's mean is a momentum."""


def _moments(
    tensors: Mapping[str, Tensor], name: str, parameter: Tensor, optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """What `optimiser` keeps of a parameter; empty where the state does not have all of it."""
    hidden = isinstance(optimiser, Muon) and is_hidden(parameter)
    moments: dict[str, Tensor] = {}
    for moment in ("momentum",) if hidden else ("step", "exp_avg", "exp_avg_sq"):
        found = [tensors[key] for old in _MOMENTS[moment] if (key := f"{old}.{name}") in tensors]
        if not found:
            return {}
        if moment == "step":
            moments[moment] = found[0].to(parameter.device, torch.float32)
        else:
            # The fused Adam walks through memory: moments in another layout than their weights would be mixed up.
            moments[moment] = torch.empty_like(parameter, requires_grad=False).copy_(found[0])
    return moments


def _version_2(counters: Sequence[float]) -> Sequence[float]:
    if len(counters) == 3:
        iteration, seconds, images = counters
        return (iteration, images, seconds, 0, -1, 0)
    return counters


def _forget_version_1(folder: Path) -> None:
    for name in ("state.json", "state.safetensors"):
        with suppress(OSError):
            (folder / name).unlink()
