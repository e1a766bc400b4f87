"""Read by every Nuke at its start, on the farm too. Whatever goes wrong here is told and never stops Nuke."""

import os
import sys

import nuke

_HERE = os.path.dirname(os.path.abspath(__file__))

try:
    if _HERE not in sys.path:
        sys.path.append(_HERE)
    for _folder in ("gizmos", "icons"):
        nuke.pluginAddPath(os.path.join(_HERE, _folder).replace(os.sep, "/"))
    from bodydouble_nuke import menus as _menus

    _menus.add_callbacks()
except Exception as _error:
    nuke.tprint(f"Bodydouble is not available: {type(_error).__name__}: {_error}")
