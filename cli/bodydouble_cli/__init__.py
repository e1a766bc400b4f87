"""The `bodydouble` command: parse, call the engine once, report. One file per command."""
