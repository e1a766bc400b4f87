"""Plates: which files, what is in them, their colour; read and written as they are."""
