"""`bodydouble sign`: Content Credentials for review media."""

from __future__ import annotations

from pathlib import Path

import click

from bodydouble.errors import InputError
from bodydouble_cli.exits import EXIT_CODES


@click.command(short_help="Sign review pictures and movies as deep fakes (C2PA).", epilog=EXIT_CODES)
@click.argument("media", metavar="MEDIA...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--frames-of", required=True, metavar="FRAMES", help="The finished frames that they show.")
@click.option(
    "--certificate",
    required=True,
    type=click.Path(path_type=Path),
    help="The studio's signing certificate and those up to its root, PEM.",
)
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Its private key, PEM without a password.")
@click.option("--timestamp", metavar="URL", help="Ask this RFC 3161 authority for a time stamp.  [default: none]")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for the signed files.  [default: in place]")
def sign(
    media: tuple[Path, ...], frames_of: str, certificate: Path, key: Path, timestamp: str | None, out: Path | None
) -> None:
    """Sign review pictures and movies, with the disclosure that a face was replaced.

    MEDIA are PNG, JPEG, MP4 and QuickTime files, or folders of them such as a review. Each gets C2PA Content
    Credentials: who signed it, that it is a composite with trained media, the deep-fake disclosure of Article 50 of the
    EU AI Act, and what the frames' stamp says of persona, model and rights. `bodydouble verify` reads them. Needs the
    extra c2pa.

    \b
    Example:
      bodydouble sign review --frames-of swap/sh010.####.exr --certificate studio.pem --key studio.key
    """
    from bodydouble.reviews.credentials import StudioKey, sign_media
    from bodydouble.swap.verifying import media_of, stamp_facts

    facts = stamp_facts(frames_of)
    files = [file for place in media for file in media_of(place)]
    if not files:
        raise InputError(f"{media[0]}: holds no PNG, JPEG, MP4 or QuickTime to sign.")
    for file in files:
        target = out / file.name if out is not None else file
        sign_media(file, target, facts, StudioKey(certificate, key, timestamp))
        click.echo(f"signed  {target}")
