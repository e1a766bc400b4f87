"""`bodydouble align`: once per shot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bodydouble.errors import UsageError
from bodydouble.events import FrameDone, FrameFailed
from bodydouble.settings import AlignSettings
from bodydouble_cli.exits import EXIT_CODES
from bodydouble_cli.options import (
    check_holes,
    chosen_frames,
    chosen_person,
    frames_option,
    open_colour,
    person_option,
    plate_argument,
    plate_options,
    reporting_options,
    setting_option,
)
from bodydouble_cli.progress import Reporting, open_run

if TYPE_CHECKING:
    from bodydouble.alignment.aligning import FrameDetections
    from bodydouble.errors import PlateError
    from bodydouble.plates.frames import FrameRange

DEFAULT = AlignSettings()


@click.command(short_help="Find, follow and steady the faces of a shot.", epilog=EXIT_CODES)
@plate_argument
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Sidecar to write: *.faces.json.")
@frames_option
@plate_options
@click.option(
    "--stills", is_flag=True, help="The frames are pictures in no order: take each for itself, follow nobody."
)
@setting_option(DEFAULT, "--beta", "Shift of the nine-fold average, in box widths.")
@setting_option(DEFAULT, "--smoothing", "Strength of the smoothing over the shot; 0 for none.")
@setting_option(
    DEFAULT,
    "--handles",
    "Frames around --frames that are looked at, too: a part of a shot then gets what it has in the whole.",
)
@setting_option(
    DEFAULT, "--landmarker", "Who places the landmarks; mesh is MediaPipe's (extra `mesh`), with irises and forehead."
)
@click.option(
    "--mesh-model",
    type=click.Path(path_type=Path),
    help="MediaPipe's face_landmarker.task for the mesh.  [default: $BODYDOUBLE_MESH_MODEL]",
)
@click.option(
    "--faces",
    type=click.Path(path_type=Path),
    help="Start from these shot faces (*.faces.json), or landmarks (*.csv), instead of measuring the plate.",
)
@click.option(
    "--fix",
    type=click.Path(path_type=Path),
    help="Pass through the frames placed by hand: *.json, or what was moved in a *.csv or Nuke tracks (*.nk).",
)
@person_option("Keep only this person, as person 0")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write the landmarks here, too, as CSV.")
@click.option("--nuke", "nuke_path", type=click.Path(path_type=Path), help="Write Nuke tracks here, too, to be pasted.")
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for PNGs of the plate with the faces drawn over it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing sidecar.")
@reporting_options
def align(
    plate: str,
    out: Path,
    frames: FrameRange | None,
    part: str | None,
    view: str | None,
    ocio: Path | None,
    colorspace: str | None,
    stills: bool,
    beta: float,
    smoothing: float,
    handles: int,
    landmarker: Literal["dlib", "mesh"],
    mesh_model: Path | None,
    faces: Path | None,
    fix: Path | None,
    person: str | None,
    csv_path: Path | None,
    nuke_path: Path | None,
    overlay: Path | None,
    overwrite: bool,
    reporting: Reporting,
) -> None:
    """Find the faces of a plate, follow each person through the shot and steady the landmarks.

    Writes the shot faces, a sidecar that extract, swap and review read. Run it once per shot, over the whole shot:
    people are told apart over time, so a swap gives the same result however a farm cuts it into chunks. Frames in
    which no face is found, or that cannot be read, are listed and make the exit code 4; the sidecar is written all the
    same.

    \b
    Example:
      bodydouble align plates/sh010.####.exr -o sh010.faces.json
      bodydouble align plates/sh010.####.exr --faces sh010.faces.json --fix sh010.fix.json -o sh010_v2.faces.json
      bodydouble align portraits/anna_####.jpg --stills -o anna.faces.json
    """
    from bodydouble.alignment.aligning import align_shot, given_faces
    from bodydouble.alignment.corrections import correct_shot
    from bodydouble.alignment.landmarkcsv import write_landmarks_csv
    from bodydouble.alignment.overlay import write_overlays
    from bodydouble.alignment.shotfaces import write_shot_faces
    from bodydouble.alignment.trackexchange import check_moved, read_moved, write_nuke_tracks
    from bodydouble.plates.reading import colour_notice, find_plate
    from bodydouble.writing import check_writable

    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; say --overwrite to replace it.")
    if fix is not None:
        check_moved(fix)
    settings = AlignSettings(beta=beta, smoothing=smoothing, stills=stills, handles=handles, landmarker=landmarker)
    sequence = find_plate(plate, part, view)
    wanted = chosen_frames(sequence, frames)
    if faces is None:
        check_holes(sequence, wanted)
    check_writable(out)
    empty: list[int] = []
    unread: set[int] = set()
    colour = open_colour(ocio)
    with open_run("align", frames=len(wanted), reporting=reporting) as run:
        if colorspace is None and (notice := colour_notice(sequence, sequence.frames[0], colour)):
            run.notice(notice)

        def on_frame(found: FrameDetections) -> None:
            if found.faces:
                message = "1 face" if len(found.faces) == 1 else f"{len(found.faces)} faces"
                seconds = {"align": found.seconds}
                run.emit(FrameDone(found.frame, confidence=found.confidence, seconds=seconds, message=message))
            else:
                empty.append(found.frame)

        def on_unread(frame: int, problem: PlateError) -> None:
            unread.add(frame)
            if frame in wanted:
                run.emit(FrameFailed(frame, "failed", str(problem)))
            else:
                run.notice(f"of the frames around those asked for one is left out: {problem}")

        def not_drawn(frame: int, problem: PlateError) -> None:
            run.notice(f"no overlay of frame {frame}: {problem}")

        if faces is None:
            shot = align_shot(
                sequence,
                wanted,
                colour,
                colorspace,
                settings,
                on_frame=on_frame,
                mesh_model=mesh_model,
                on_unread=on_unread,
            )
        else:
            shot = given_faces(faces, sequence, wanted)
            empty += [frame for frame in wanted if not shot.frames[frame]]
        # The solve drops what was found in passing and is nobody's face; a frame that looked done then has none.
        dropped = [frame for frame in wanted if frame not in (*empty, *unread) and not shot.frames.get(frame)]
        if person is not None:
            shot = shot.only(chosen_person(person, shot, colour) or 0)
        if fix is not None:
            shot = correct_shot(shot, read_moved(fix, shot))
        # The shot solve may have filled a gap that the detector left.
        for frame in empty:
            if faces_there := shot.frames.get(frame):
                trust = max(face.confidence for face in faces_there)
                run.emit(FrameDone(frame, confidence=trust, message="filled in from its neighbours"))
            else:
                run.emit(FrameFailed(frame, "no_face", "no face was found"))
        for frame in dropped:
            run.emit(FrameFailed(frame, "no_face", "what was found is no convincing face"))
        write_shot_faces(out, shot)
        run.output("shot faces", out)
        if csv_path is not None:
            write_landmarks_csv(csv_path, shot)
            run.output("landmarks", csv_path)
        if nuke_path is not None:
            write_nuke_tracks(nuke_path, shot)
            run.output("tracks", nuke_path)
        if overlay is not None:
            seen = [frame for frame in wanted if frame not in unread]
            for _ in write_overlays(sequence, seen, shot, overlay, colour, colorspace, on_unread=not_drawn):
                pass
            run.output("overlay", overlay)
