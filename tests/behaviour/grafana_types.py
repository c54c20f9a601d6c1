"""Reads dashboards as Grafana's own types (its foundation SDK) and prints what does not fit, a JSON list of sentences.

    PYTHON grafana_types.py DASHBOARD.json...      PYTHON has grafana-foundation-sdk

The SDK takes what it knows and drops the rest, and it does not look at the values. So a dashboard fits if each of its
members comes back from the SDK as it went in, and if each value is of the type that the SDK's class says.
"""
import enum
import json
import sys
import types
import typing

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard


MODELS = "grafana_foundation_sdk.models"


def plain(read):
    return json.loads(json.dumps(read, cls=encoder.JSONEncoder))


def lost(ours, theirs, where):
    """What the round trip has dropped or changed. What it has added are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key not in theirs:
                yield f"{where}.{key}: Grafana does not know it"
            else:
                yield from lost(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{where}[{at}]")
    elif ours != theirs:
        yield f"{where}: {ours!r} came back as {theirs!r}"


def is_plain(value, kind):
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value in [member.value for member in kind]
    return not isinstance(kind, type) or kind is object or isinstance(value, kind)


def misfits(value, kind, where):
    """Whether a value is what an annotation of the SDK's says; classes are looked into."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        kinds = typing.get_args(kind)
        if value is not None:
            kinds = [one for one in kinds if one is type(value)] or [one for one in kinds if one is not type(None)]
        found = [list(misfits(value, one, where)) for one in kinds]
        if all(found):
            yield from min(found, key=len)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
            return
        for at, one in enumerate(value):
            yield from misfits(one, typing.get_args(kind)[0], f"{where}[{at}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no map"
            return
        for key, one in value.items():
            yield from misfits(one, typing.get_args(kind)[1], f"{where}.{key}")
    elif origin is typing.Literal:
        if value not in typing.get_args(kind):
            yield f"{where}: {value!r} is not one of {typing.get_args(kind)}"
    elif isinstance(value, dict) and getattr(kind, "__module__", "").startswith(MODELS):  # what the SDK left as it was
        read = kind.from_json(value)
        yield from lost(value, plain(read), where)
        yield from inside(read, where)
    elif kind in (typing.Any, object):
        yield from inside(value, where)
    elif kind is type(None):
        if value is not None:
            yield f"{where}: {value!r} is not null"
    elif not is_plain(value, kind):
        yield f"{where}: {value!r} is no {getattr(kind, '__name__', kind)}"
    else:
        yield from inside(value, where)


def inside(value, where):
    """The members of an object of the SDK's, by their annotations."""
    if type(value).__module__.startswith(MODELS):
        for name, kind in typing.get_type_hints(type(value)).items():
            if not isinstance(value, enum.Enum):
                yield from misfits(getattr(value, name), kind, f"{where}.{name}")


def problems(path):
    with open(path) as file:
        ours = json.load(file)
    read = dashboard.Dashboard.from_json(ours)
    yield from lost(ours, plain(read), ours["uid"])
    yield from inside(read, ours["uid"])


plugins.register_default_plugins()
print(json.dumps([problem for path in sys.argv[1:] for problem in problems(path)], indent=1))
