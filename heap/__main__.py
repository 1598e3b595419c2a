"""`python -m heap` is `heap`: Snakemake calls it so, in whichever environment a rule runs."""

from heap.cli import main

if __name__ == "__main__":
    main()
