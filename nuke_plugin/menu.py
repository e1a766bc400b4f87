"""Read by a Nuke with a GUI only. Whatever goes wrong here is told and never stops Nuke."""

import nuke

try:
    from bodydouble_nuke import menus as _menus

    _menus.add_menus()
except Exception as _error:
    nuke.tprint(f"Bodydouble has no menu: {type(_error).__name__}: {_error}")
