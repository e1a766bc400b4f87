"""The node classes and knobs of Nuke 14 to 17 that we write or read, and where each was seen.

`SEEN`: class → what was looked up → the knobs that stand there. A knob that is not here may not be written: it would
be an error when Nuke reads the script. Looked up on 2026-11-22 and 23 in stored copies:

* `scan:` what a running Nuke 17.0v3 says of its own nodes (class, knobs, defaults), in a public repository.
* `learn:` pages of Foundry's, under https://learn.foundry.com/nuke/; the reference guide names knobs in its column
  "Knob (Scripting)". A page without a version in its address is the current one.
* `github:` and `gist:` scripts that Nuke saved, or Python that sets the knobs, in public repositories: owner/repository
  and file.
* `other:` a page elsewhere that shows a script as Nuke saved it.

Every knob has a place of Nuke 14 or later (`is_late`); most have an earlier one too, so that they stand in all between.
"""

from __future__ import annotations

import re


def _scan(kind: str) -> str:
    return f"scan: kirkjr2/nuke-python-reference data/nodes/{kind}.json (Nuke 17.0v3)"


_SAMPLES = "github: aws-deadline/deadline-cloud-for-nuke test/squish/nuke-assets/nuke_test_samples"
_SHOT = f"{_SAMPLES}/intro_to_compositing_test_samples/scripts/Shot002.v01.001.nk (Nuke 16.0)"
_ACES = (
    f"{_SAMPLES}/nuke_submitter_v02_nuke_aces_custom_samples/scripts/nukeSubmitter_OCIO_v02_aces_custom.nk (Nuke 16.0)"
)
_AYON = "github: ynput/ayon-nuke client/ayon_nuke/api/plugin.py (of 2024 and later)"
_AYON_WRITE = "github: ynput/ayon-nuke server/settings/imageio.py (of 2024 and later)"
_GUIDE = "learn: content/reference_guide"
_KEYING = "github: hakeesh/.nuke python/KeyingTemplate.py (Nuke 12.2)"
_PRECOMP = "github: jedypod/nuke-config ToolSets/Write/PrecompWrite.nk"
_SQUELCHER = "github: SpinVFX/spin_nuke_gizmos gizmos/spin_tools/Utilities/NaN_Inf_Squelcher.gizmo"
_PINS = {f"{end}{pin}" for end in ("to", "from") for pin in range(1, 5)}

SEEN: dict[str, dict[str, set[str]]] = {
    "Blur": {
        _scan("Blur"): {"channels", "size", "filter"},
        f"{_GUIDE}/filter_nodes/blur.html": {"channels", "size", "filter"},
    },
    "CatFileCreator": {
        _scan("CatFileCreator"): {
            "torchScriptFile", "catFile", "channelsIn", "channelsOut", "modelId", "outputScale",
        },
        "github: pedroCabrera/CatteryNodes ModNet/ModNetNukeCatCreator.py": {
            "torchScriptFile", "catFile", "channelsIn", "channelsOut", "modelId", "outputScale",
        },
    },
    "Constant": {
        _scan("Constant"): {"channels", "color"},
        _KEYING: {"channels", "color"},
    },
    "Copy": {
        _scan("Copy"): {*(f"{end}{n}" for end in ("from", "to") for n in range(4))},
        f"{_GUIDE}/channel_nodes/copy.html": {*(f"{end}{n}" for end in ("from", "to") for n in range(4))},
    },
    "CornerPin2D": {
        _scan("CornerPin2D"): {*(f"enable{pin}" for pin in range(1, 5)), *_PINS, "invert"},
        "other: opticalenquiry.com/nuke/index.php?title=CornerPin (Nuke 9.0)": {*_PINS, "invert"},
        "gist: jedypod/a8cc97eb9915ace6a4826c35a2ccfa85": {*(f"enable{pin}" for pin in range(1, 5)), *_PINS},
    },
    "Expression": {
        _scan("Expression"): {f"expr{n}" for n in range(4)},
        f"{_GUIDE}/color_nodes/expression.html": set(),
        _SQUELCHER: {f"expr{n}" for n in range(4)},
    },
    "Gizmo": {"learn: developers/15.1/pythondevguide/_autosummary/nuke.Gizmo.html": set()},
    "Group": {
        _SHOT: set(),
        f"{_GUIDE}/other_nodes/group.html": set(),
    },
    "Input": {
        _scan("Input"): {"number"},
        _SHOT: {"number"},
        f"{_GUIDE}/other_nodes/other_nodes.html": set(),
        "github: MaximumFX/MaximumFX-Nuke-Gizmos RotoKit.gizmo (Nuke 12.2)": {"number"},
    },
    "Keymix": {
        _scan("Keymix"): {"channels", "maskChannel", "invertMask", "mix", "bbox"},
        "learn: 15.1v1/content/reference_guide/merge_nodes/keymix.html": {
            "channels", "maskChannel", "invertMask", "mix", "bbox",
        },
        "learn: developers/latest/ndkreference/examples/Keymix.cpp": set(),
    },
    "MergeExpression": {
        _scan("MergeExpression"): {f"expr{n}" for n in range(4)},
        f"{_GUIDE}/merge_nodes/mergeexpression.html": set(),
        _SQUELCHER: {f"expr{n}" for n in range(4)},
    },
    "Multiply": {
        _scan("Multiply"): {"channels", "value"},
        f"{_GUIDE}/color_nodes/multiply_color.html": {"channels", "value"},
    },
    "NoOp": {
        _scan("NoOp"): set(),
        f"{_GUIDE}/other_nodes/other_nodes.html": set(), _KEYING: set(),
    },
    "Output": {
        _scan("Output"): set(),
        f"{_GUIDE}/other_nodes/other_nodes.html": set(), _KEYING: set(),
    },
    "Read": {
        _scan("Read"): {
            "file", "file_type", "format", "first", "last", "origfirst", "origlast", "colorspace", "raw", "on_error",
            "frame", "reload",
        },
        _ACES: {"file", "file_type", "format", "first", "last", "origfirst", "origlast", "origset", "colorspace"},
        _AYON: {"file", "first", "last", "origfirst", "origlast", "colorspace", "raw", "on_error", "frame"},
        "github: shotgunsoftware/tk-multi-reviewsubmission hooks/nuke_batch_render_movie.py": {"on_error"},
        "learn: 12.2/content/reference_guide/image_nodes/read.html": {"file", "format", "first"},
        _KEYING: {"file", "file_type", "format", "first", "last", "origfirst", "origlast", "origset"},
        _PRECOMP: {"reload"},
        "github: franklinvfx/NUKE_ALL_USEFUL_TOOLS MM_Preset.py": {"colorspace"},
    },
    "Reformat": {
        _scan("Reformat"): {"type", "format", "resize", "center", "black_outside"},
        "learn: 13.1/content/reference_guide/transform_nodes/reformat.html": {"type", "format"},
        "github: GatiMedia/.nuke_public ToolSets/Gizmos/GM_WIP/GM_CopyReformat.nk": {
            "type", "resize", "center", "black_outside",
        },
    },
    "Roto": {
        _scan("Roto"): {"output", "format", "cliptype", "curves"},
        _ACES: {"output", "cliptype", "curves"},
        "learn: 14.1/content/reference_guide/draw_nodes/roto.html": {"output", "format", "cliptype"},
        "learn: developers/150/pythondevguide/rotopaint.html": {"curves"},
        "gist: jedypod/f175eb6c2db328949ed5db976522c865 (Nuke 12.1)": {"cliptype", "curves"},
    },
    "StickyNote": {
        _scan("StickyNote"): set(),
        f"{_GUIDE}/other_nodes/other_nodes.html": set(),
        "other: opticalenquiry.com/nuke/index.php?title=CornerPin (Nuke 9.0)": set(),
    },
    "Switch": {
        _scan("Switch"): {"which"},
        f"{_GUIDE}/merge_nodes/switch.html": {"which"},
    },
    "Tracker4": {
        _scan("Tracker4"): {"reference_frame", "tracks"},
        "github: marvspreng/nuke_msprengel Repository/Nuke/Marv/ReplaceTrackers.py": {"reference_frame"},
        "gist: BenMcEwan/fefe9d0cf856cdb6e2d7db7d53bca0d2": {"tracks"},
    },
    "Transform": {
        _scan("Transform"): {"translate", "rotate", "scale", "center", "invert_matrix"},
        "learn: 13.2/content/reference_guide/transform_nodes/transform.html": {
            "translate", "rotate", "scale", "center", "invert_matrix",
        },
    },
    "Write": {
        _scan("Write"): {"channels", "file", "file_type", "raw", "create_directories"},
        _AYON_WRITE: {"channels", "file_type", "datatype", "compression", "autocrop", "create_directories"},
        f"{_GUIDE}/image_nodes/write.html": {"channels", "file"},
        _PRECOMP: {"channels", "file", "file_type", "datatype", "autocrop"},
        "github: jedypod/nuke-config ToolSets/Write/ReadWrite.nk": {"file", "raw", "file_type", "compression"},
        "github: franklinvfx/NUKE_ALL_USEFUL_TOOLS MM_Preset.py": {"create_directories", "file_type", "channels"},
    },
}  # fmt: skip

EVERY_NODE_SEEN: dict[str, set[str]] = {
    _scan("Keymix"): {
        "name", "label", "xpos", "ypos", "disable", "tile_color", "selected", "note_font_size", "hide_input", "help",
        "onCreate", "knobChanged", "postage_stamp",
    },
    _KEYING: {
        "name", "label", "xpos", "ypos", "disable", "tile_color", "selected", "note_font_size", "hide_input", "help",
        "onCreate", "knobChanged",
    },
    _PRECOMP: {"postage_stamp"},
}  # fmt: skip
"""As `SEEN`, for the knobs that every node has."""

KNOBS: dict[str, set[str]] = {kind: set().union(*places.values()) for kind, places in SEEN.items()}
EVERY_NODE: set[str] = set().union(*EVERY_NODE_SEEN.values())

ROOT_SEEN: dict[str, set[str]] = {
    _ACES: {
        "name", "first_frame", "last_frame", "colorManagement", "OCIO_config", "customOCIOConfigPath",
        "workingSpaceLUT",
    },
}  # fmt: skip
"""As `SEEN`, for the script's own knobs, which are read."""

USER_KNOBS = {
    "1": "String_Knob", "2": "File_Knob", "3": "Int_Knob", "4": "Enumeration_Knob", "6": "Boolean_Knob",
    "7": "Double_Knob", "20": "Tab_Knob", "22": "PyScript_Knob", "26": "Text_Knob",
}  # fmt: skip
"""Types of `addUserKnob`."""

USER_KNOBS_SEEN: dict[str, set[str]] = {
    _SHOT: {"3", "4", "6", "20", "22", "26"},
    "github: MrLasagnas/digitalgarden-pro src/site/notes/Nuke_KB/10_Nodes/CornerPin Helper.md (Nuke 14.0)": {"7"},
    _KEYING: {"1", "3", "4", "6", "20", "22", "26"},
    _PRECOMP: {"2"},
    _SQUELCHER: {"7"},
}
"""As `SEEN`. Text (1) and file (2) were seen in no script of Nuke 14 or later that has a name."""

LINKS_SEEN: dict[str, set[str]] = {
    _SHOT: {"parent", "[exists", "[value", "pow"},
    "other: opticalenquiry.com/nuke/index.php?title=Template:Relative_Paths": {"[file", "[value"},
    "learn: ko/nuke/current/content/comp_environment/expressions/adding_math_functions.html": {"exp"},
}
"""What expressions are made of: Tcl's commands with their bracket, functions, and `parent` for a group's own knobs."""

FUNCTIONS_UNREAD = {"max", "log", "smoothstep"}
"""Functions that Foundry's table of them must have after `exp`, where the stored copies of the page end."""


def is_late(place: str) -> bool:
    """Whether a place is of Nuke 14 or later; pages of Foundry's without a version are."""
    if place.startswith("learn: "):
        version = re.match(r"learn: (?:developers/)?(\d\d)[.\d]", place)
        return version is None or int(version[1]) >= 14
    nuke = re.search(r"\(Nuke (\d+)\.", place)
    return "(of 2024 and later)" in place or (nuke is not None and int(nuke[1]) >= 14)
