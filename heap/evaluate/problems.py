"""What is wrong with many photos at once, said in one error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heap.errors import DataError

# Named in an error; more would hide what the first ones say.
SHOWN = 10


def refuse(problems: Mapping[str, Sequence[str]]) -> None:
    """Raise what is wrong with the input, if anything is: each kind with its number and its first cases.

    Raises:
        DataError: there is a problem.
    """
    lines = []
    for kind, cases in problems.items():
        if cases:
            lines.append(f"{len(cases)} {kind}:")
            lines += [f"  {case}" for case in cases[:SHOWN]]
            if len(cases) > SHOWN:
                lines.append(f"  and {len(cases) - SHOWN} more")
    if lines:
        raise DataError("\n".join(lines))
