"""Plain data (from JSON or TOML) to frozen dataclasses and back, and the JSON Schema of a dataclass.

Parse once, at the edge: an unknown field, a missing one or a wrong type is an InputError that names the JSON path and
the nearest known name, never the value. Supported: str, int, float, bool, date, datetime, bytes (base64 in JSON),
StrEnum, Literal, ``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``, dataclasses, and unions of dataclasses told
apart by a field ``kind: Literal[...]``.
"""

from __future__ import annotations

import base64
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from adapter.errors import InputError

T = TypeVar("T")


def read(cls: type[T], plain: object, where: str = "$") -> T:
    """``plain`` as an instance of the dataclass ``cls``; raises InputError with the path."""
    return typing.cast(T, _read(cls, plain, where))


@lru_cache(maxsize=256)
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _read(kind: Any, plain: object, where: str) -> object:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), plain, where)
    if origin is typing.Literal:
        if not any(plain == word and type(plain) is type(word) for word in typing.get_args(kind)):
            allowed = ", ".join(str(a) for a in typing.get_args(kind))
            raise InputError("the value is not one of the allowed ones", where=where, cure=f"use one of: {allowed}")
        return plain
    if origin is tuple:
        if not isinstance(plain, list | tuple):
            raise InputError("a list is expected", where=where)
        item = typing.get_args(kind)[0]
        return tuple(_read(item, value, f"{where}[{i}]") for i, value in enumerate(plain))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(plain, Mapping):
            raise InputError("an object is expected", where=where)
        item = typing.get_args(kind)[1]
        return {str(key): _read(item, value, f"{where}.{_shown(key)}") for key, value in plain.items()}
    if is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), plain, where)
    return _read_scalar(kind, plain, where)


def _read_union(options: tuple[Any, ...], plain: object, where: str) -> object:
    if plain is None and type(None) in options:
        return None
    rest = [option for option in options if option is not type(None)]
    if len(rest) == 1:
        return _read(rest[0], plain, where)
    if all(is_dataclass(option) for option in rest):
        tag = plain.get("kind") if isinstance(plain, Mapping) else None
        for option in rest:
            if tag in typing.get_args(_hints(typing.cast(type, option))["kind"]):
                return _read(option, plain, where)
        known = ", ".join(str(typing.get_args(_hints(typing.cast(type, option))["kind"])[0]) for option in rest)
        raise InputError("the field 'kind' does not name a known shape", where=where, cure=f"use one of: {known}")
    shaped = [option for option in rest if is_dataclass(option)]
    if isinstance(plain, Mapping) and len(shaped) == 1:  # only it can take an object, and its errors name the path
        return _read(shaped[0], plain, where)
    for option in rest:
        try:
            return _read(option, plain, where)
        except InputError:
            continue
    raise InputError("the value has none of the allowed types", where=where)


def _read_dataclass(cls: type, plain: object, where: str) -> object:
    if not isinstance(plain, Mapping):
        raise InputError("an object is expected", where=where)
    known = {field.name: field for field in fields(cls) if field.init}
    for key in plain:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            cure = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(sorted(known))}"
            raise InputError("unknown field", where=f"{where}.{_shown(key)}", cure=cure)
    hints = _hints(cls)
    values = {}
    for name, field in known.items():
        if name in plain:
            values[name] = _read(hints[name], plain[name], f"{where}.{name}")
        elif _required(field):
            raise InputError("a required field is missing", where=f"{where}.{name}")
    return cls(**values)


def _shown(key: object) -> str:
    """A key as part of a path; what does not look like a name is not shown, as it may be content (P21)."""
    name = str(key)
    return name if name.replace("-", "_").isidentifier() and len(name) < 40 else "?"


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _read_scalar(kind: Any, plain: object, where: str) -> object:
    if kind in (Any, object):
        return plain
    if kind is bool or kind is str:
        if isinstance(plain, kind):
            return plain
    elif kind is int:
        if isinstance(plain, int) and not isinstance(plain, bool):
            return plain
        if isinstance(plain, float) and plain.is_integer():  # 5.0 is a whole number in JSON
            return int(plain)
    elif kind is float:
        if isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(plain):
            return float(plain)
    elif kind is bytes:
        return _read_bytes(plain, where)
    elif kind in (date, datetime):
        return _read_time(kind, plain, where)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        try:
            return kind(plain if isinstance(plain, str) else "")
        except ValueError:
            allowed = ", ".join(member.value for member in kind)
            raise InputError("not an allowed value", where=where, cure=f"use one of: {allowed}") from None
    raise InputError(f"a value of type {_NAMES.get(kind, getattr(kind, '__name__', '?'))} is expected", where=where)


_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE_TIME = _DATE + r"T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
_BASE64 = "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_NAMES: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true/false"}


def _read_bytes(plain: object, where: str) -> bytes:
    if isinstance(plain, bytes):
        return plain
    try:
        if not isinstance(plain, str) or len(plain) % 4:
            raise ValueError
        return base64.b64decode(plain, validate=True)
    except ValueError:  # binascii.Error, and text outside ASCII
        raise InputError("base64 is expected", where=where) from None


def _read_time(kind: Any, plain: object, where: str) -> object:
    if kind is date and isinstance(plain, date) and not isinstance(plain, datetime):
        return plain
    if kind is datetime and isinstance(plain, datetime):
        return plain
    form = "YYYY-MM-DD" if kind is date else "YYYY-MM-DDThh:mm:ss"
    try:
        if not isinstance(plain, str) or not re.fullmatch(_DATE if kind is date else _DATE_TIME, plain):
            raise ValueError
        return kind.fromisoformat(plain)
    except ValueError:
        raise InputError(f"a {kind.__name__} is expected", where=where, cure=f"write it as {form}") from None


def plain(value: object) -> Any:
    """The JSON form of a value; fields at their default None or () are left out."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    names = _names(kind)  # type: ignore[arg-type]  # a class is hashable whatever its instances are
    if names:
        items = ((name, getattr(value, name)) for name in names)
        return {name: plain(item) for name, item in items if item is not None and item != ()}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value


_PLAIN = frozenset({str, int, float, bool, type(None)})


@lru_cache(maxsize=512)
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def json_schema(cls: type, title: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a dataclass, with ``additionalProperties: false`` throughout."""
    defs: dict[str, Any] = {}
    body = _schema(cls, defs)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **body, "$defs": defs}


def _schema(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        told_apart = sum(is_dataclass(option) for option in args) > 1
        tag = {"required": ["kind"]} if told_apart else {}
        return {"anyOf": [_schema(option, defs) | (tag if is_dataclass(option) else {}) for option in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0], defs)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(args[1], defs)}
    if is_dataclass(kind):
        return _schema_of_dataclass(typing.cast(type, kind), defs)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    return dict(_SCALARS.get(kind, {}))


_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    date: {"type": "string", "format": "date", "pattern": f"^{_DATE}$"},
    # No format: a time without a zone is Norwegian local time here, and RFC 3339 wants a zone.
    datetime: {"type": "string", "pattern": f"^{_DATE_TIME}$"},
    bytes: {"type": "string", "contentEncoding": "base64", "pattern": f"^{_BASE64}$"},
}


def _schema_of_dataclass(cls: type, defs: dict[str, Any]) -> dict[str, Any]:
    name = cls.__name__
    if name not in defs:
        defs[name] = {}  # recursion ends here
        hints = _hints(cls)
        known = [field for field in fields(cls) if field.init]
        defs[name] = {
            "type": "object",
            "description": (cls.__doc__ or "").split("\n\n")[0].strip(),
            "properties": {field.name: _schema(hints[field.name], defs) for field in known},
            "required": [field.name for field in known if _required(field)],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}
