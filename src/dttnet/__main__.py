"""`python -m dttnet` is the command `dttnet`."""

from dttnet.cli import main

main(prog_name="dttnet")
