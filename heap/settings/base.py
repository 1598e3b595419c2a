"""Field types and the base model that every part of the configuration shares."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


class Settings(BaseModel):
    """A part of the configuration: unknown keys are refused, types are exact, values never change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def _number(value: Any) -> Any:
    """Read YAML 1.2 numbers such as `5e-2`, which PyYAML (YAML 1.1) hands over as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


# Inf and NaN have no place in a setting and none in JSON either.
Real = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str), Field(allow_inf_nan=False)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
# Names become files, Snakemake wildcards and shell words: letters, digits and underscores keep all three simple.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sides = Annotated[list[Count], Field(min_length=2, max_length=2)]
