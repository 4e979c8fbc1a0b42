"""The networks, in torch, and nothing else. Part of the extra `dttnet[train]`."""
