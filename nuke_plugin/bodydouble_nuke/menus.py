"""Menu, toolbar and callbacks. Nothing here may keep Nuke from starting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import nuke

from bodydouble_nuke.node import CLASS

ICON = "BodyDouble.png"


def safely(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its errors told instead of raised: a callback that raises stops what Nuke was doing."""

    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:
            nuke.tprint(f"Bodydouble: {type(error).__name__}: {error}")
            return None

    return guarded


def add_callbacks() -> None:
    """What the node needs in every Nuke, with a GUI and without."""
    nuke.addOnCreate(safely(_created), nodeClass=CLASS)
    nuke.addOnDestroy(safely(_destroyed), nodeClass=CLASS)
    nuke.addKnobChanged(safely(_changed), nodeClass=CLASS)
    nuke.addOnScriptClose(safely(_closed))
    # Not `safely`: an error here must end the render, or it would go on with the plate.
    nuke.addBeforeRender(_before_render)
    nuke.addBeforeFrameRender(_before_frame)


def add_menus() -> None:
    """The node in the toolbar and in the Nodes menu; only where there is a GUI."""
    toolbar = nuke.menu("Nodes")
    menu = toolbar.addMenu("Bodydouble", icon=ICON)
    menu.addCommand("BodyDouble", f"nuke.createNode('{CLASS}')", icon=ICON)
    menu.addCommand("Import a hand-over script...", "import bodydouble_nuke.menus as m; m.import_handover()")


def import_handover() -> None:
    """Ask for a script of `bodydouble export nuke` and read it into this one, its folder set to where it lies."""
    path = nuke.getFilename("Hand-over script", "*.nk")
    if path:
        read_handover(path)


def read_handover(path: str) -> None:
    """Read a hand-over script into this one; its files are then found from where the script lies."""
    before = {node.name() for node in nuke.allNodes("NoOp")}
    nuke.scriptReadFile(path)
    folder = path.replace("\\", "/").rpartition("/")[0]
    for node in nuke.allNodes("NoOp"):
        if node.name() not in before and node.knob("folder") is not None and node.knob("side") is not None:
            node["folder"].setValue(folder)


def _this() -> nuke.Gizmo:
    return cast("nuke.Gizmo", nuke.thisNode())


def _created() -> None:
    from bodydouble_nuke import session

    session.created(_this())


def _destroyed() -> None:
    from bodydouble_nuke import session

    session.destroyed(_this())


def _changed() -> None:
    from bodydouble_nuke import session

    session.changed(_this(), nuke.thisKnob().name())


def _before_render() -> None:
    from bodydouble_nuke import renders

    renders.before_render(nuke.thisNode())


def _before_frame() -> None:
    from bodydouble_nuke import renders

    renders.before_frame(nuke.thisNode(), nuke.frame())


def _closed() -> None:
    from bodydouble_nuke import session

    session.script_closed()
