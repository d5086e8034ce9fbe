"""``python -m o1lab``: the same program as the console script."""

from o1lab.cli import main

if __name__ == "__main__":
    main()
