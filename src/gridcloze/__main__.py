"""`python -m gridcloze`, which programs that start processes need, such as torchrun."""

from .cli import main

if __name__ == "__main__":
    main()
