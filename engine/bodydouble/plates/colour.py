"""Colour spaces: the only module that imports OpenColorIO.

Spaces are named by the config in use: an explicit one, else `$OCIO`, else OpenColorIO's newest built-in ACES studio
config. A plate says its space by the `colorInteropID` attribute (ASWF Color Interop Forum), by what OpenImageIO made
of its format, by its `chromaticities`, or by the config's file rules, in that order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PyOpenColorIO as ocio

from bodydouble.errors import InputError, OutOfMemoryError, UnknownColourSpaceError, is_out_of_memory, near_names

Converter = Callable[[np.ndarray], np.ndarray]

# The second is no subclass of the first.
OCIO_ERRORS = (ocio.Exception, ocio.ExceptionMissingFile)
BUILT_IN_CONFIG = "ocio://studio-config-latest"
WORKING_SPACE = "ACEScg"
LUMINANCE = (0.2722287, 0.6740818, 0.0536895)
"""Y of its R, G and B (AP1, S-2014-004)."""
SRGB_NAMES = ("srgb_rec709_scene", "srgb_texture", "srgb_tx", "Utility - sRGB - Texture", "sRGB")
NAME_IT = "Name it with --colorspace."
NO_WORKING_SPACE = (
    f"does not say where {WORKING_SPACE} lies, in which the network works; give it a role aces_interchange, or name "
    "another config with --ocio."
)
LOG_SUFFIXES = frozenset({".dpx", ".cin"})
ENCODED_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".tga", ".webp"})
# Linear spaces by the CIE xy of red, green, blue and white, as `chromaticities` in EXR stores them.
# SMPTE ST 2065-1 and ACES S-2014-004 (AP0, AP1), ITU-R BT.709, BT.2020, SMPTE EG 432-1 (P3), Adobe RGB (1998).
LINEAR_SPACES = (
    (("lin_rec709_scene", "lin_rec709", "lin_srgb"), (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)),
    (("lin_ap1_scene", "lin_ap1", "ACEScg"), (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)),
    (("lin_ap0_scene", "lin_ap0", "ACES2065-1"), (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)),
    (("lin_rec2020_scene", "lin_rec2020"), (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)),
    (("lin_p3d65_scene", "lin_p3d65", "lin_displayp3"), (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)),
    (("lin_adobergb_scene", "lin_adobergb"), (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)),
)
CHROMATICITY_TOLERANCE = 0.002
SAYS_NOTHING = frozenset({"", "unknown", "data"})


@dataclass(frozen=True)
class FoundSpace:
    """The colour space of a file: its name in the config, what says so, and whether that is only an assumption."""

    name: str
    reason: str
    assumed: bool = False


class Colour:
    """One OpenColorIO config. Immutable; safe to share between threads and cheap to send to another process."""

    def __init__(self, config: str | Path | None = None) -> None:
        """config: a file, an archive or "ocio://…"; default `$OCIO`, else the built-in one. Errors: InputError."""
        # A Path folds the two slashes of ocio://NAME into one.
        self.source = re.sub("^ocio:/+", "ocio://", str(config or os.environ.get("OCIO") or BUILT_IN_CONFIG))
        try:
            self._config = ocio.Config.CreateFromFile(self.source)
        except OCIO_ERRORS as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"{self.source}: out of memory while the colour config was loaded.") from error
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self.source}: no usable OpenColorIO config ({reason}). Check --ocio or $OCIO."
            ) from error
        if self._find(WORKING_SPACE) is None:
            _add_working_space(self._config)

    def __repr__(self) -> str:
        return f"Colour({self.source!r})"

    def __reduce__(self) -> tuple[type[Colour], tuple[str]]:
        return Colour, (self.source,)

    @property
    def name(self) -> str:
        """The config's own name, or where it came from when it has none."""
        return self._config.getName() or self.source

    def spaces(self) -> tuple[str, ...]:
        """The names of all active colour spaces."""
        return tuple(self._config.getColorSpaceNames())

    def resolve(self, name: str) -> str:
        """The config's name of a space given by name, alias or role, in any case. Errors: UnknownColourSpaceError."""
        found = self._find(name)
        if found is None:
            if name == WORKING_SPACE:
                raise UnknownColourSpaceError(f"{self.name} {NO_WORKING_SPACE}")
            known = [
                alias for space in self._config.getColorSpaces() for alias in (space.getName(), *space.getAliases())
            ]
            raise UnknownColourSpaceError(
                f'"{name}" is no colour space of {self.name}. {near_names(name, dict.fromkeys(known))}'
            )
        return found

    def space_of(self, attributes: Mapping[str, Any], path: str | Path) -> str:
        """The space a file's pixels are in, by its attributes, then by the config's file rules.

        Errors: UnknownColourSpaceError for primaries that no known space has: a guess would shift every colour.
        """
        return self.find_space(attributes, path).name

    def find_space(self, attributes: Mapping[str, Any], path: str | Path) -> FoundSpace:
        """As `space_of`, with what says so. Where neither the file nor a rule made for such files does, the config's
        default is taken, and sRGB for encoded pictures; `assumed` is then true.

        Errors: UnknownColourSpaceError, also for DPX, whose encoding cannot be guessed.
        """
        declared = self._declared(attributes)
        if declared is not None:
            return declared
        space, rule = self._config.getColorSpaceFromFilepath(str(path))
        suffix = Path(path).suffix.lower()
        rules = self._config.getFileRules()
        if rule != rules.getNumEntries() - 1:
            # A show's own rules are a decision; those of a built-in config only say what is usual.
            built_in = self.source.startswith("ocio://")
            reason = f"the file rule {rules.getName(rule)!r} of {self.name}"
            return FoundSpace(self.resolve(space), f"assumed: {reason}" if built_in else reason, built_in)
        if suffix in LOG_SUFFIXES:
            kind = suffix[1:].upper()
            raise UnknownColourSpaceError(f"{path}: a {kind} file does not say its colour space. {NAME_IT}")
        encoded = self._first_known(SRGB_NAMES) if suffix in ENCODED_SUFFIXES else None
        if encoded is not None:
            return FoundSpace(encoded, f"assumed, as {suffix} files mostly are", True)
        return FoundSpace(self.resolve(space), f"assumed: the default rule of {self.name}", True)

    def converter(self, source: str, destination: str) -> Converter:
        """A function from H×W×3 float32 in one space to a new array in the other.

        NaN and Inf stay in the very channel they were in and do not reach others.
        Errors: UnknownColourSpaceError; InputError when the config cannot build the transform.
        """
        return self._converter(
            ocio.ColorSpaceTransform(src=self.resolve(source), dst=self.resolve(destination)), exact=True
        )

    def is_linear(self, name: str) -> bool:
        """Whether a space's values are proportional to light in the scene. Errors: UnknownColourSpaceError."""
        return bool(self._config.isColorSpaceLinear(self.resolve(name), ocio.REFERENCE_SPACE_SCENE))

    def display(
        self, source: str, view: str | None = None, display: str | None = None, look: str | None = None
    ) -> Converter:
        """A function from H×W×3 float32 in a space to what a screen shows, nominally in [0, 1].

        look: applied before the view; several with commas, as OpenColorIO writes them ("+grade, -neutral").
        Errors: UnknownColourSpaceError for a space, view, display or look that the config does not have.
        """
        display = self._known_display(display or self._config.getDefaultDisplay())
        views = tuple(self._config.getViews(display))
        view = view or self._config.getDefaultView(display)
        if view not in views:
            raise UnknownColourSpaceError(f'"{view}" is no view of {display}. {near_names(view, views)}')
        source = self.resolve(source)
        shown = ocio.DisplayViewTransform(src=source, display=display, view=view)
        if look is None:
            return self._converter(shown, exact=False)
        self._check_look(look)
        graded = ocio.LookTransform(src=source, dst=source, looks=look)
        return self._converter(ocio.GroupTransform([graded, shown]), exact=False)

    def _check_look(self, look: str) -> None:
        known = [item.getName() for item in self._config.getLooks()]
        for name in re.split("[,|:]", look):
            if name.strip().lstrip("+-").strip() not in known:
                raise UnknownColourSpaceError(f'"{name.strip()}" is no look of {self.name}. {near_names(name, known)}')

    def default_display(self) -> tuple[str, str]:
        """The display and view that `display` uses unless told otherwise."""
        display = self._config.getDefaultDisplay()
        return display, self._config.getDefaultView(display)

    def default_view(self, display: str) -> str:
        """The view that `display` uses on a display unless told otherwise. Errors: UnknownColourSpaceError."""
        return str(self._config.getDefaultView(self._known_display(display)))

    def _known_display(self, display: str) -> str:
        displays = tuple(self._config.getDisplays())
        if display not in displays:
            raise UnknownColourSpaceError(f'"{display}" is no display of {self.name}. {near_names(display, displays)}')
        return display

    def _find(self, name: str) -> str | None:
        space = self._config.getColorSpace(name)
        if space is None:
            return None
        return str(space.getName())

    def _first_known(self, names: Sequence[str]) -> str | None:
        return next((found for name in names if (found := self._find(name))), None)

    def _declared(self, attributes: Mapping[str, Any]) -> FoundSpace | None:
        # The first is what a swap took the plate for, the last what OpenImageIO made of a format's own header.
        for key in ("bodydouble/colorspace", "colorInteropID", "oiio:ColorSpace"):
            name = str(attributes.get(key) or "")
            found = None if name.lower() in SAYS_NOTHING else self._find(name)
            if found is not None:
                says = "the file's own header" if key == "oiio:ColorSpace" else f"the attribute {key}"
                return FoundSpace(found, f"{says}: {name}")
        primaries = attributes.get("chromaticities")
        return None if primaries is None else FoundSpace(self._by_primaries(primaries), "the attribute chromaticities")

    def _by_primaries(self, primaries: Sequence[float]) -> str:
        for names, known in LINEAR_SPACES:
            if np.allclose(primaries, known, rtol=0, atol=CHROMATICITY_TOLERANCE):
                found = self._first_known(names)
                if found is not None:
                    return found
        written = ", ".join(f"{value:.4g}" for value in primaries)
        raise UnknownColourSpaceError(
            f"No colour space of {self.name} has the file's chromaticities ({written}). {NAME_IT}"
        )

    def _converter(self, transform: ocio.Transform, exact: bool) -> Converter:
        # The default optimisation replaces logarithms and powers by quick approximations: fine to look at, but a
        # plate in a log space would not come back as it was.
        flags = ocio.OPTIMIZATION_LOSSLESS if exact else ocio.OPTIMIZATION_DEFAULT
        try:
            cpu = self._config.getProcessor(transform).getOptimizedCPUProcessor(flags)
        except OCIO_ERRORS as error:
            raise InputError(
                f"{self.source}: the transform cannot be built ({error}). Check --ocio or $OCIO."
            ) from error
        if cpu.isNoOp():
            return lambda pixels: np.array(pixels, np.float32, order="C")

        def convert(pixels: np.ndarray) -> np.ndarray:
            result = np.array(pixels, np.float32, order="C")
            broken = ~np.isfinite(result)
            if not broken.any():
                cpu.applyRGB(result)
                return result
            kept = result[broken]
            result[broken] = 0
            cpu.applyRGB(result)
            result[broken] = kept
            return result

        return convert


def _add_working_space(config: ocio.Config) -> None:
    """ACEScg for a config that has it under another name or not at all, where it says how it relates to ACES.

    That is the role `aces_interchange` or, as in OpenColorIO's own tools, a space that behaves like a known one.
    """
    built_in = ocio.Config.CreateFromBuiltinConfig(BUILT_IN_CONFIG.removeprefix("ocio://"))
    try:
        ours, theirs = ocio.Config.IdentifyInterchangeSpace(
            config, config.getRoleColorSpace(ocio.ROLE_SCENE_LINEAR), built_in, WORKING_SPACE
        )
        to_theirs = built_in.getProcessor(WORKING_SPACE, theirs).createGroupTransform()
    except OCIO_ERRORS:
        return
    known = config.getColorSpace(ours)
    to_reference = known.getTransform(ocio.COLORSPACE_DIR_TO_REFERENCE)
    if to_reference is None and (away := known.getTransform(ocio.COLORSPACE_DIR_FROM_REFERENCE)) is not None:
        to_reference = ocio.GroupTransform([away], ocio.TRANSFORM_DIR_INVERSE)
    steps = [to_theirs] if to_reference is None else [to_theirs, to_reference]
    config.addColorSpace(ocio.ColorSpace(name=WORKING_SPACE, toReference=ocio.GroupTransform(steps)))
