"""Pictures for checking an alignment: the shot faces drawn over the plate as a screen shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bodydouble.alignment.drawing import draw_face
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import PlateError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import write_image
from bodydouble.plates.reading import OnUnread, fail_unread, read_frame
from bodydouble.plates.sequences import PlateSequence


def write_overlays(
    plate: PlateSequence,
    frames: Iterable[int],
    shot: ShotFaces,
    folder: str | Path,
    colour: Colour,
    colorspace: str | None,
    on_unread: OnUnread = fail_unread,
) -> Iterator[Path]:
    """Write `overlay.FRAME.png` of each frame into the folder, through the config's default view; yields their paths.

    `colorspace` None: the plate's, taken from the files. A frame that cannot be read has none, unless `on_unread`
    raises. Raises OutputError, UnknownColourSpaceError.
    """
    for frame in frames:
        try:
            picture = read_frame(plate, frame)
        except PlateError as problem:
            on_unread(frame, problem)
            continue
        space = colorspace or colour.space_of(picture.attributes, picture.path)
        shown = np.clip(np.nan_to_num(colour.display(space)(picture.rgb())), 0, 1).astype(np.float32)
        for face in shot.frames.get(frame, ()):
            draw_face(shown, face)
        path = Path(folder) / f"overlay.{frame:04d}.png"
        write_image(path, shown)
        yield path
