"""The BodyDouble node: what it does, without Nuke where that is possible.

Only the standard library and `nuke` are used, and Python 3.10. Modules that import `nuke`: `node`, `plates`, `menus`,
`mainthread`, `session`; all the others decide things from plain values and are tested without Nuke.
"""

from __future__ import annotations

__version__ = "0.1.0"
