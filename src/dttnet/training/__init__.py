"""Training, conversion and export of networks. Part of the extra `dttnet[train]`."""
