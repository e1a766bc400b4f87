"""Alignment: faces found, told apart and steadied over a shot; corrections and exchange."""
