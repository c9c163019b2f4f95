"""What a setting allows where tables say so, which are read when they are asked: so what is registered later is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, eq=False)
class Allowed:
    """Marks a setting whose errors call allowed what is known only when it is asked, in place of a field's description."""

    say: Callable[[], str]

    def __str__(self) -> str:
        return self.say()


@dataclass(frozen=True, kw_only=True, eq=False)
class OneOf:
    """Marks the type of a setting, as in `Annotated[str, OneOf(table=SCHEDULERS)]`.

    Attributes:
        table: What is offered, by name.
        refused: What people ask for that is not, and why or what to write instead.
    """

    table: Mapping[str, Any]
    refused: Callable[[], Mapping[str, str]] = dict

    def __str__(self) -> str:
        return f"one of {', '.join(self.table)}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._checked, serialization=core_schema.to_string_ser_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.table)}

    def _checked(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.table:
            raise PydanticCustomError("one_of", "Input should be {allowed}", {"allowed": str(self)})
        return value
