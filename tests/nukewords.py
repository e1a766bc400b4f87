"""The node classes and knobs of Nuke 14 to 17 that we write or read, and where each was looked up.

`KNOBS`: class → knobs that it has. A knob that is not here may not be written: it would be an error when Nuke reads the
script. `DOCUMENTED` says where: pages of Foundry's reference guide (learn.foundry.com/nuke/content/reference_guide/…,
column "Knob (Scripting)"), its Python guide, or, for the few that the guide leaves out, scripts that Nuke itself saved.
"""

from __future__ import annotations

EVERY_NODE = {
    "name", "label", "xpos", "ypos", "disable", "tile_color", "selected", "note_font_size", "hide_input", "help",
    "onCreate", "knobChanged", "postage_stamp",
}  # fmt: skip

KNOBS: dict[str, set[str]] = {
    "Blur": {"channels", "size", "filter", "quality"},
    "CatFileCreator": {"torchScriptFile", "catFile", "channelsIn", "channelsOut", "modelId", "outputScale"},
    "Copy": {"from0", "to0", "from1", "to1", "from2", "to2", "from3", "to3", "channels", "bbox"},
    "CornerPin2D": {
        *(f"{end}{pin}" for end in ("to", "from") for pin in range(1, 5)),
        *(f"enable{pin}" for pin in range(1, 5)),
        "invert", "filter", "black_outside", "motionblur",
    },
    "Constant": {"channels", "color", "format"},
    "Expression": {*(f"expr{n}" for n in range(4)), *(f"channel{n}" for n in range(4))},
    "Input": {"number"},
    "Keymix": {"channels", "bbox", "invertMask", "maskChannel", "mix"},
    "MergeExpression": {*(f"expr{n}" for n in range(4)), *(f"channel{n}" for n in range(4))},
    "Multiply": {"channels", "value"},
    "NoOp": set(),
    "Output": set(),
    "Read": {
        "file", "format", "first", "last", "origfirst", "origlast", "origset", "on_error", "colorspace", "raw",
        "reload", "before", "after", "file_type", "frame_mode", "frame",
    },
    "Reformat": {"type", "format", "resize", "center", "black_outside", "filter"},
    "Roto": {"output", "format", "cliptype", "curves", "replace", "premultiply", "opacity"},
    "StickyNote": set(),
    "Switch": {"which"},
    "Tracker4": {"tracks", "reference_frame"},
    "Transform": {"translate", "rotate", "scale", "center", "skewX", "skewY", "invert_matrix", "filter"},
    "Write": {
        "file", "file_type", "channels", "datatype", "compression", "colorspace", "raw", "create_directories",
        "metadata", "first", "last", "use_limit", "Render", "render_order", "autocrop", "views",
    },
    "Gizmo": set(),
    "Group": set(),
}  # fmt: skip

USER_KNOBS = {
    "1": "String_Knob", "2": "File_Knob", "3": "Int_Knob", "4": "Enumeration_Knob", "6": "Boolean_Knob",
    "7": "Double_Knob", "20": "Tab_Knob", "22": "PyScript_Knob", "26": "Text_Knob",
}  # fmt: skip

# Looked up on 2026-11-22 in stored copies of Foundry's pages (Nuke 13.2 to 17.1); where a page of a class was not among
# them, in scripts that Nuke had saved, the knobs read off there.
DOCUMENTED: dict[str, str] = {
    "Blur": "saved by Nuke: Blur { channels … size … }",
    "CatFileCreator": "catfilecreationreferenceguide: introduction, appendix (14.0, 15.0, 17.0); knobs saved by Nuke",
    "Constant": "saved by Nuke: Constant { inputs 0 channels rgb color … format … }",
    "Copy": "saved by Nuke: Copy { inputs 2 from0 rgba.alpha to0 matte_screen01.mask }",
    "CornerPin2D": "saved by Nuke: CornerPin2D { to1 … to4 … invert … from1 … from4 … }",
    "Expression": "saved by Nuke: Expression { temp_expr0 … expr0 … expr3 … channel3 … }",
    "Gizmo": "pythondevguide: nuke.Gizmo (15.1)",
    "Group": "pythondevguide: nuke.Group (15.1)",
    "Input": "saved by Nuke: Input { inputs 0 name … number … }",
    "Keymix": "saved by Nuke: Keymix { inputs 3 channels rgb maskChannel … invertMask … bbox … }",
    "MergeExpression": "reference_guide/merge_nodes/mergeexpression.html (15.1v3)",
    "Multiply": "saved by Nuke: Multiply { channels … value … }",
    "NoOp": "saved by Nuke: NoOp { name … label … }",
    "Output": "saved by Nuke: Output { name Output1 }",
    "Read": "pythondevguide: nuke.File_Knob, reading images (16.0); knobs saved by Nuke: origfirst, origset, on_error",
    "Reformat": "saved by Nuke: Reformat { format … resize none black_outside true }",
    "Roto": "reference_guide/draw_nodes/roto.html (14.1); curves saved by Nuke 13.2 to 15",
    "StickyNote": "saved by Nuke: StickyNote { inputs 0 label … }",
    "Switch": "saved by Nuke: Switch { inputs 2 which … }",
    "Tracker4": "saved by Nuke: Tracker4 { tracks … reference_frame … }",
    "Transform": "reference_guide/transform_nodes/transform.html (13.2 and current)",
    "Write": "saved by Nuke: Write { file_type exr datatype {16 bit half} create_directories true raw … }",
}
