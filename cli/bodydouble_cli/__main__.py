"""`python -m bodydouble_cli`, for farms that start an interpreter rather than a script."""

from __future__ import annotations

from bodydouble_cli.main import main

main()
