"""Who is meant: a person of a shot by number, or by a picture of them."""

from __future__ import annotations

from pathlib import Path

from bodydouble.alignment.aligning import frame_views, measure_faces
from bodydouble.alignment.faces import FaceFinder
from bodydouble.alignment.geometry import apply
from bodydouble.alignment.people import STRANGER, Embedding, nearest_person
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import InputError, UsageError
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate
from bodydouble.settings import AlignSettings


def choose_person(wanted: str, shot: ShotFaces, colour: Colour) -> int:
    """The person of a shot that a number (`1`) or the path of a picture names.

    Of a picture with several faces the largest counts. Raises UsageError where the shot has no such person, InputError
    and PlateError for a picture that cannot be used.
    """
    people = ", ".join(f"{person} ({_where(shot, person)})" for person in shot.people) or "none"
    if wanted.isdigit():
        if int(wanted) not in shot.people:
            raise UsageError(f"the shot has no person {wanted}; there are: {people}.")
        return int(wanted)
    if not Path(wanted).is_file():
        raise UsageError(f"{wanted}: neither the number of a person nor a picture of one; there are: {people}.")
    nearest = nearest_person(shot.identities, picture_identity(wanted, colour))
    if nearest is None:
        raise UsageError("the shot faces do not say who anybody is; run `bodydouble align` again, without --stills.")
    person, away = nearest
    if away > STRANGER:
        raise UsageError(
            f"{wanted}: nobody in the shot looks like that; the nearest is person {person}, {away:.2f} away "
            f"(one person's pictures are within {STRANGER}). Name the person by number; there are: {people}."
        )
    return person


def picture_identity(path: str | Path, colour: Colour) -> Embedding:
    """(128,) embedding of the largest face in a picture. Raises InputError where there is none, PlateError."""
    finder = FaceFinder()
    views = frame_views(read_plate(path), colour, None)
    face = max(measure_faces(finder, views, AlignSettings(stills=True)), key=lambda f: f.width_px, default=None)
    if face is None:
        raise InputError(f"{path}: there is no face in it; use a clear, frontal picture of the person.")
    view = views.around(face.unit_from_plate)
    return finder.embedding(view.image_u8, apply(view.view_from_plate, face.landmarks_px))


def _where(shot: ShotFaces, person: int) -> str:
    first, last, count = shot.span(person)
    return f"frames {first}-{last}, {count} of them"
