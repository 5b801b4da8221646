"""`python -m densnet.cli`: the `densnet` command without its launcher."""

from densnet.cli.main import main

if __name__ == "__main__":
    main()
