"""Farm: jobs for existing engines."""
