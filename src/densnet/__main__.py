"""`python -m densnet`: the `densnet` command without its launcher, for `torchrun -m densnet`."""

from densnet.cli.main import main

if __name__ == "__main__":
    main()
