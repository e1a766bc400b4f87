"""The node classes and knobs of Nuke 14 to 17 that we write or read, and where each was seen.

`SEEN`: class → what was looked up → the knobs that stand there. A knob that is not here may not be written: it would
be an error when Nuke reads the script. Looked up on 2026-11-22 in stored copies:

* `learn:` pages of Foundry's, under https://learn.foundry.com/nuke/; the reference guide names knobs in its column
  "Knob (Scripting)". A page without a version in its address is the current one.
* `github:` and `gist:` scripts that Nuke saved, or Python that sets the knobs, in public repositories: owner/repository
  and file.
* `other:` a page elsewhere that shows a script as Nuke saved it.
* `saved:` scripts that Nuke saved, seen in an index of public code that does not name their repository. Pages that name
  these knobs were not among the stored copies.
"""

from __future__ import annotations

_GUIDE = "learn: content/reference_guide"
_KEYING = "github: hakeesh/.nuke python/KeyingTemplate.py (Nuke 12.2)"
_PRECOMP = "github: jedypod/nuke-config ToolSets/Write/PrecompWrite.nk"
_SQUELCHER = "github: SpinVFX/spin_nuke_gizmos gizmos/spin_tools/Utilities/NaN_Inf_Squelcher.gizmo"
_PINS = {f"{end}{pin}" for end in ("to", "from") for pin in range(1, 5)}

SEEN: dict[str, dict[str, set[str]]] = {
    "Blur": {f"{_GUIDE}/filter_nodes/blur.html": {"channels", "size", "filter"}},
    "CatFileCreator": {
        "github: pedroCabrera/CatteryNodes ModNet/ModNetNukeCatCreator.py": {
            "torchScriptFile", "catFile", "channelsIn", "channelsOut", "modelId", "outputScale",
        },
    },
    "Constant": {_KEYING: {"channels", "color"}},
    "Copy": {f"{_GUIDE}/channel_nodes/copy.html": {*(f"{end}{n}" for end in ("from", "to") for n in range(4))}},
    "CornerPin2D": {
        "other: opticalenquiry.com/nuke/index.php?title=CornerPin (Nuke 9.0)": {*_PINS, "invert"},
        "gist: jedypod/a8cc97eb9915ace6a4826c35a2ccfa85": {*(f"enable{pin}" for pin in range(1, 5)), *_PINS},
    },
    "Expression": {
        f"{_GUIDE}/color_nodes/expression.html": set(),
        _SQUELCHER: {f"expr{n}" for n in range(4)},
    },
    "Gizmo": {"learn: developers/15.1/pythondevguide/_autosummary/nuke.Gizmo.html": set()},
    "Group": {f"{_GUIDE}/other_nodes/group.html": set()},
    "Input": {
        f"{_GUIDE}/other_nodes/other_nodes.html": set(),
        "github: MaximumFX/MaximumFX-Nuke-Gizmos RotoKit.gizmo (Nuke 12.2)": {"number"},
    },
    "Keymix": {
        "learn: 15.1v1/content/reference_guide/merge_nodes/keymix.html": {
            "channels", "maskChannel", "invertMask", "mix", "bbox",
        },
        "learn: developers/latest/ndkreference/examples/Keymix.cpp": set(),
    },
    "MergeExpression": {
        f"{_GUIDE}/merge_nodes/mergeexpression.html": set(),
        _SQUELCHER: {f"expr{n}" for n in range(4)},
    },
    "Multiply": {f"{_GUIDE}/color_nodes/multiply_color.html": {"channels", "value"}},
    "NoOp": {f"{_GUIDE}/other_nodes/other_nodes.html": set(), _KEYING: set()},
    "Output": {f"{_GUIDE}/other_nodes/other_nodes.html": set(), _KEYING: set()},
    "Read": {
        "learn: 12.2/content/reference_guide/image_nodes/read.html": {"file", "format", "first"},
        _KEYING: {"file", "file_type", "format", "first", "last", "origfirst", "origlast", "origset"},
        _PRECOMP: {"reload"},
        "github: franklinvfx/NUKE_ALL_USEFUL_TOOLS MM_Preset.py": {"colorspace"},
        "saved: Read { inputs 0 … origset true on_error black … raw … }, frame beside frame_mode": {
            "on_error", "raw", "frame",
        },
    },
    "Reformat": {
        "learn: 13.1/content/reference_guide/transform_nodes/reformat.html": {"type", "format"},
        "github: GatiMedia/.nuke_public ToolSets/Gizmos/GM_WIP/GM_CopyReformat.nk": {
            "type", "resize", "center", "black_outside",
        },
    },
    "Roto": {
        "learn: 14.1/content/reference_guide/draw_nodes/roto.html": {"output", "format", "cliptype"},
        "learn: developers/150/pythondevguide/rotopaint.html": {"curves"},
        "gist: jedypod/f175eb6c2db328949ed5db976522c865 (Nuke 12.1)": {"cliptype", "curves"},
    },
    "StickyNote": {
        f"{_GUIDE}/other_nodes/other_nodes.html": set(),
        "other: opticalenquiry.com/nuke/index.php?title=CornerPin (Nuke 9.0)": set(),
    },
    "Switch": {f"{_GUIDE}/merge_nodes/switch.html": {"which"}},
    "Tracker4": {
        "github: marvspreng/nuke_msprengel Repository/Nuke/Marv/ReplaceTrackers.py": {"reference_frame"},
        "gist: BenMcEwan/fefe9d0cf856cdb6e2d7db7d53bca0d2": {"tracks"},
    },
    "Transform": {
        "learn: 13.2/content/reference_guide/transform_nodes/transform.html": {
            "translate", "rotate", "scale", "center", "invert_matrix",
        },
    },
    "Write": {
        f"{_GUIDE}/image_nodes/write.html": {"channels", "file"},
        _PRECOMP: {"channels", "file", "file_type", "datatype", "autocrop"},
        "github: jedypod/nuke-config ToolSets/Write/ReadWrite.nk": {"file", "raw", "file_type", "compression"},
        "github: franklinvfx/NUKE_ALL_USEFUL_TOOLS MM_Preset.py": {"create_directories", "file_type", "channels"},
    },
}  # fmt: skip

EVERY_NODE_SEEN: dict[str, set[str]] = {
    _KEYING: {
        "name", "label", "xpos", "ypos", "disable", "tile_color", "selected", "note_font_size", "hide_input", "help",
        "onCreate", "knobChanged",
    },
    _PRECOMP: {"postage_stamp"},
}  # fmt: skip
"""As `SEEN`, for the knobs that every node has."""

KNOBS: dict[str, set[str]] = {kind: set().union(*places.values()) for kind, places in SEEN.items()}
EVERY_NODE: set[str] = set().union(*EVERY_NODE_SEEN.values())

USER_KNOBS = {
    "1": "String_Knob", "2": "File_Knob", "3": "Int_Knob", "4": "Enumeration_Knob", "6": "Boolean_Knob",
    "7": "Double_Knob", "20": "Tab_Knob", "22": "PyScript_Knob", "26": "Text_Knob",
}  # fmt: skip
"""Types of `addUserKnob`. Seen in the same files: 1, 3, 4, 6, 20, 22 and 26 in KeyingTemplate.py, 2 in PrecompWrite.nk,
7 in NaN_Inf_Squelcher.gizmo.
"""
