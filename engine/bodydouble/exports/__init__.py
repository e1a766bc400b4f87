"""Exports: a shot as Nuke nodes, a persona as TorchScript."""
