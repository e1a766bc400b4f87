"""Is this machine ready: what is installed, which device, which colour config, what is missing and how to get it.

Each check stands alone: a broken library is a finding, never a crash. Nothing is downloaded or changed.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

import bodydouble
from bodydouble.errors import InputError, UnknownColourSpaceError, how_to_install

Status = Literal["ok", "missing", "optional", "attention"]

INSTALL = "pip install -c requirements/constraints.txt {name}"

# Distribution, the module that proves it works, what it is for. Their order is that of the work.
REQUIRED = (
    ("numpy", "numpy", "arrays"),
    ("OpenImageIO", "OpenImageIO", "image files"),
    ("opencolorio", "PyOpenColorIO", "colour spaces"),
    ("dlib-bin", "dlib", "faces and landmarks"),
    ("torch", "torch", "the network"),
    ("pytorch-msssim", "pytorch_msssim", "training loss"),
    ("safetensors", "safetensors", "model files"),
    ("fileseq", "fileseq", "sequences"),
    ("click", "click", "this command"),
    ("rich", "rich", "progress bars"),
    ("Jinja2", "jinja2", "review page"),
    ("matplotlib", "matplotlib", "review page"),
)

FACE_MODELS = (
    (
        "landmark model",
        "shape_predictor_68_face_landmarks.dat",
        "attention",
        "Its packagers label it CC0, but it is trained on iBUG 300-W, whose terms exclude commercial use; dlib's "
        "author says to ask a lawyer or Imperial College London before commercial work. See docs/licences.md.",
    ),
    (
        "second detector",
        "mmod_human_face_detector.dat",
        "ok",
        "CC0 by its author, who drew the boxes on pictures of ImageNet, AFLW, Pascal VOC, VGG, WIDER and FaceScrub. It "
        "finds faces; nothing of it is in a picture.",
    ),
    (
        "identity model",
        "dlib_face_recognition_resnet_model_v1.dat",
        "ok",
        "Public domain by its author; trained on faces gathered from the internet. Used for tracking and review only.",
    ),
)


@dataclass(frozen=True)
class Check:
    """One finding. `detail` is what was found, `remedy` what to do about it (empty when nothing)."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """All findings of one machine, in the order to read them."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Nothing is missing that the main job needs."""
        return all(check.status != "missing" for check in self.checks)


def examine(ocio: str | None = None) -> DoctorReport:
    """Examines this machine. `ocio` is the config a run would be given, None for `$OCIO` or the built-in one.

    Loads torch, dlib and the other libraries, as a swap would.
    """
    system = f"bodydouble {bodydouble.__version__}, Python {platform.python_version()}, {platform.platform()}"
    checks = [Check("system", "ok", system)]
    checks += [_guarded(name, _library, name, module, use) for name, module, use in REQUIRED]
    checks.append(_guarded("device", _device))
    checks.append(_guarded("colour config", _colour_config, ocio))
    checks += [_guarded(name, _face_model, name, *rest) for name, *rest in FACE_MODELS]
    checks.append(_guarded("mesh landmarker", _mesh_landmarker))
    checks.append(_movies())
    checks.append(_credentials())
    return DoctorReport(tuple(checks))


def report_document(report: DoctorReport) -> Mapping[str, Any]:
    """`report` for programs: JSON-ready, with schema and version."""
    return {
        "schema": "bodydouble.doctor",
        "version": 1,
        "ready": report.ready,
        "checks": [asdict(check) for check in report.checks],
    }


def report_text(report: DoctorReport) -> str:
    """`report` for people, one finding per line, remedies below their finding."""
    width = max(len(check.name) for check in report.checks)
    lines = []
    for check in report.checks:
        lines.append(f"{check.status:<9}  {check.name:<{width}}  {check.detail}")
        if check.remedy:
            lines.append(f"{'':<9}  {'':<{width}}  → {check.remedy}")
    lines.append("Ready." if report.ready else "Not ready: see what is missing above.")
    return "\n".join(lines)


def _guarded(name: str, check: Callable[..., Check], *arguments: Any) -> Check:
    try:
        return check(*arguments)
    except Exception as problem:
        # A broken driver or library may raise anything at all while it loads; that is what the doctor is asked about.
        first = (str(problem).splitlines() or [""])[0]
        return Check(name, "missing", f"fails to work ({type(problem).__name__}: {first})", "Install it again.")


def _library(name: str, module: str, use: str) -> Check:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        return Check(name, "missing", f"not installed ({use})", INSTALL.format(name=name))
    return Check(name, "ok", f"{_version(name, module)} ({use})")


def _version(name: str, module: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        # Built from source or by a studio's own packaging: under another distribution name or none.
        return str(getattr(sys.modules[module], "__version__", "unknown version"))


def _device() -> Check:
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        return Check("device", "missing", "unknown without torch", INSTALL.format(name="torch"))
    if torch.cuda.is_available():
        names = []
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            names.append(f"cuda:{index} {found.name}, {found.total_memory / 2**30:.0f} GiB")
        return Check("device", "ok", "; ".join(names))
    if torch.backends.mps.is_available():
        return Check("device", "ok", "cpu; mps (Apple GPU) by --device mps")
    remedy = "" if torch.version.cuda is None else "torch is a CUDA build but finds no usable GPU: check the driver."
    return Check("device", "ok", f"cpu, {torch.get_num_threads()} threads", remedy)


def _colour_config(ocio: str | None) -> Check:
    from bodydouble.plates.colour import WORKING_SPACE, Colour

    colour = Colour(ocio)
    try:
        colour.resolve(WORKING_SPACE)
    except UnknownColourSpaceError as problem:
        return Check("colour config", "missing", colour.name, str(problem))
    return Check("colour config", "ok", f"{colour.name}, {len(colour.spaces())} colour spaces")


def _face_model(name: str, file: str, status: Status, note: str) -> Check:
    from bodydouble.alignment.faces import find_model

    try:
        return Check(name, status, str(find_model(file)), note)
    except InputError as problem:
        return Check(name, "missing", str(problem))


def _mesh_landmarker() -> Check:
    from bodydouble.alignment.mesh import INSTALL as MESH_INSTALL
    from bodydouble.alignment.mesh import find_mesh_model

    try:
        version = metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        return Check(
            "mesh landmarker", "optional", "LiteRT is not installed; needed for --landmarker mesh only", MESH_INSTALL
        )
    try:
        model = find_mesh_model()
    except InputError as problem:
        return Check("mesh landmarker", "optional", f"LiteRT {version}, no model file", str(problem))
    note = "MediaPipe Face Landmarker by Google, Apache-2.0; see docs/licences.md."
    return Check("mesh landmarker", "ok", f"LiteRT {version}, {model}", note)


def _movies() -> Check:
    program = shutil.which("ffmpeg")
    try:
        version = metadata.version("av")
    except metadata.PackageNotFoundError:
        version = ""
    found = [item for item in (f"av {version}" if version else "", f"ffmpeg at {program}" if program else "") if item]
    if found:
        return Check("movies", "ok", ", ".join(found))
    return Check("movies", "optional", "no av and no ffmpeg; needed for movie files only", how_to_install("movie"))


def _credentials() -> Check:
    try:
        return Check("content credentials", "ok", f"c2pa-python {metadata.version('c2pa-python')}")
    except metadata.PackageNotFoundError:
        detail = "no c2pa-python; needed to sign and verify review media only"
        return Check("content credentials", "optional", detail, how_to_install("c2pa"))
