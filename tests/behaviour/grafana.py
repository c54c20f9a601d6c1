"""Dashboards as Grafana's PostgreSQL data source asks them: variables put in, macros expanded, one statement a panel.

What the macros become is in Grafana's documentation (PostgreSQL query editor, macros); that $__timeGroup directly before
a comma means $__timeGroupAlias, and that a macro's arguments end at the first closing parenthesis, is how it reads them.
"""
import json
import re
from datetime import timezone
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
FOLDER = TOP / "chart/dashboards"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")


def dashboards():
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def quoted(value):
    return "'" + value.replace("'", "''") + "'"


def with_variables(sql, dashboard, chosen):
    """`chosen`: {name: [values]}; of what is not named, All."""
    for variable in dashboard["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "query":
            some = chosen.get(name)
            value = ",".join(map(quoted, some)) if some is not None else variable["allValue"]
        elif variable["type"] == "interval":
            value = chosen.get(name, variable["current"]["value"])
        else:
            continue
        sql = re.sub(r"\$\{%s\}|\$%s\b" % (name, name), lambda _: value, sql)
    return sql


def with_macros(sql, since, until):
    def stamp(moment):
        return "'" + moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ") + "'"

    def group(arguments):
        number, unit = re.fullmatch(r"'?(\d+)([smhdw])'?", arguments[1]).groups()
        seconds = int(number) * SECONDS[unit]
        return f"floor(extract(epoch from {arguments[0]})/{seconds})*{seconds}"

    def expand(match):
        name, arguments = match[1], [word.strip() for word in match[2].split(",")]
        if name == "__timeGroup" and sql[match.end():match.end() + 1] == ",":
            name = "__timeGroupAlias"
        if name == "__timeFilter":
            return f"{arguments[0]} BETWEEN {stamp(since)} AND {stamp(until)}"
        if name in ("__timeFrom", "__timeTo"):
            return stamp(since if name == "__timeFrom" else until)
        if name in ("__timeGroup", "__timeGroupAlias"):
            return group(arguments) + (' AS "time"' if name.endswith("Alias") else "")
        raise AssertionError(f"Grafana has no macro ${name}")

    done = MACRO.sub(expand, sql)
    assert "$" not in done, f"Grafana leaves a word with a dollar: {done}"
    return done


def statement(sql, dashboard, chosen, since, until):
    return with_macros(with_variables(sql, dashboard, chosen), since, until)
