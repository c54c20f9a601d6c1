"""What the dashboards are made of: variables, panels and their place, in the form that Grafana 11 and later read.

A panel is `panel(kind, title, about, anchor, sql, ...)`: `about` is its description, `anchor` the heading of
docs/metrics.md that defines its numbers. A dashboard is rows of panels, 24 columns wide.

A variable's All is the SQL literal '*', which no branch and no workflow is called: a filter that lets everything
through, also what is NULL, and that PostgreSQL leaves out when it plans.
"""
POSTGRES = "grafana-postgresql-datasource"
DATASOURCE = {"type": POSTGRES, "uid": "${datasource}"}
GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "#8e8e8e"
RESULT_COLOURS = {"success": GREEN, "failure": RED, "timed_out": "dark-red", "cancelled": GREY, "skipped": "super-light-blue",
                  "neutral": "light-blue", "unknown": "purple"}


# SQL


def only(*names, table=""):
    """Conditions for the variables of these names."""
    return "".join(f"\n  AND ('*' IN (${name}) OR {table}{name} IN (${name}))" for name in names)


def quantiles(value):
    """Three columns. PostgreSQL gives back NULL, no number, where there is no value."""
    return ",\n  ".join(f"percentile_cont({share}) WITHIN GROUP (ORDER BY {value}) AS {name}"
                        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)))


def wilson(part, whole):
    """The lower bound of Wilson's interval (95 %), as in the views; 0 where the part is."""
    return (f"CASE WHEN {part} > 0 THEN ({part} + 1.9208 - 1.96 * sqrt({part}::float8 * ({whole} - {part}) / {whole}"
            f" + 0.9604)) / ({whole} + 3.8416) ELSE 0 END")


# Variables


def _variable(kind, name, label, **more):
    return {"type": kind, "name": name, "label": label, "hide": 0, "skipUrlSync": False, **more}


def datasource():
    return _variable("datasource", "datasource", "Database", query=POSTGRES, refresh=1, regex="", multi=False,
                     includeAll=False)


def choice(name, label, sql, description=""):
    """Some of what the column holds in the time range, or all."""
    return _variable("query", name, label, description=description, datasource=DATASOURCE, query=sql,
                     refresh=2, regex="", sort=1, multi=True, includeAll=True, allValue="'*'",
                     current={"selected": True, "text": ["All"], "value": ["$__all"]})


def of_column(name, label, view, time, *before, description=""):
    return choice(name, label, f"SELECT DISTINCT {name} FROM {view}\nWHERE $__timeFilter({time})\n"
                  f"  AND {name} IS NOT NULL{only(*before)}\nORDER BY 1", description)


def interval(default="1d"):
    lengths = ["1h", "6h", "1d", "7d"]
    return _variable("interval", "interval", "Interval", query=",".join(lengths), refresh=2, auto=False, auto_count=30,
                     auto_min="10s", description="The length of one point or bar; it begins at a multiple of it in UTC.",
                     current={"selected": True, "text": default, "value": default},
                     options=[{"selected": one == default, "text": one, "value": one} for one in lengths])


def documents():
    """Where docs/metrics.md lies for the readers of these dashboards; the chart puts an address here."""
    return _variable("constant", "docs", "Definitions", query="docs/metrics.md") | {"hide": 2, "skipUrlSync": True}


def of_ci(view="metrics_run_attempt", branch=True):
    """source, scope, workflow and branch, each among what those before it leave."""
    names = [("source", "Source"), ("scope", "Repository or pipeline"), ("workflow", "Workflow")]
    names += [("branch", "Branch")] if branch else []
    return [of_column(name, label, view, "completed_at", *[before for before, _ in names[:at]])
            for at, (name, label) in enumerate(names)]


# Panels


def thresholds(*steps):
    """thresholds(GREEN, (80, YELLOW), (90, RED)): the first colour is that of everything below."""
    return {"mode": "absolute", "steps": [{"color": steps[0], "value": None}] +
            [{"color": colour, "value": value} for value, colour in steps[1:]]}


def override(name, **properties):
    """Properties of one column or series; `__` in a name stands for a dot."""
    return {"matcher": {"id": "byName", "options": name},
            "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]}


def coloured(colours):
    return [override(name, color={"mode": "fixed", "fixedColor": colour}) for name, colour in colours.items()]


def unit(name, of, **more):
    return override(name, unit=of, **more)


def linked(name, title="Open"):
    """A column of addresses as a link."""
    return override(name, links=[{"title": title, "url": "${__value.raw}", "targetBlank": True}])


LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
TOOLTIP = {"mode": "multi", "sort": "desc"}


def _options(kind):
    if kind in ("timeseries", "bars"):
        return {"legend": LEGEND, "tooltip": TOOLTIP}
    if kind == "table":
        return {"frameIndex": 0, "showHeader": True, "cellHeight": "sm"}
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if kind == "bargauge":
        return {"reduceOptions": {"calcs": [], "fields": "", "values": True}, "displayMode": "gradient",
                "orientation": "horizontal", "valueMode": "color", "namePlacement": "auto", "showUnfilled": True,
                "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300,
                "legend": {**LEGEND, "showLegend": False}}
    return {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "textMode": "auto",
            "wideLayout": True, "orientation": "auto", "showPercentChange": False, "percentChangeColorMode": "standard"}


def _custom(kind, stacked):
    if kind not in ("timeseries", "bars"):
        return {}
    bars = kind == "bars"
    return {"custom": {"drawStyle": "bars" if bars else "line", "lineWidth": 1, "fillOpacity": 70 if bars else 5,
                       "showPoints": "never" if bars else "auto", "spanNulls": False, "pointSize": 4,
                       "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}}


def panel(kind, title, about, anchor, sql, *, width=12, height=8, measure="short", levels=None, overrides=(), least=None,
          most=None, decimals=None, stacked=False, repeat=None):
    """kind: stat, timeseries, bars, table, bargauge. A panel of which no row came says so: that is not 0."""
    kept = {"unit": measure, "noValue": "no data", "color": {"mode": "thresholds" if levels else "palette-classic"},
            "thresholds": levels or thresholds(GREEN), "mappings": [], **_custom(kind, stacked)}
    kept |= {name: value for name, value in (("min", least), ("max", most), ("decimals", decimals)) if value is not None}
    made = {"type": "timeseries" if kind == "bars" else kind, "title": title, "description": about, "width": width,
            "height": height, "datasource": DATASOURCE,
            "targets": [{"refId": "A", "datasource": DATASOURCE, "editorMode": "code", "rawQuery": True,
                         "format": "time_series" if kind in ("timeseries", "bars") else "table", "rawSql": sql.strip()}],
            "fieldConfig": {"defaults": kept, "overrides": list(overrides)}, "options": _options(kind),
            "links": [{"title": "What this number means", "type": "link", "icon": "", "tooltip": "", "tags": [],
                       "asDropdown": False, "includeVars": False, "keepTime": False, "targetBlank": True,
                       "url": f"${{docs}}#{anchor}"}]}
    if repeat:
        made |= {"repeat": repeat, "repeatDirection": "h", "maxPerRow": 3}
    return made


def _placed(rows):
    """Panels from left to right, rows from top to bottom, numbered in this order."""
    top, placed = 0, []
    for row in rows:
        left = 0
        for each in row:
            width, height = each.pop("width"), each.pop("height")
            placed.append({"id": len(placed) + 1, **each, "gridPos": {"h": height, "w": width, "x": left, "y": top}})
            left += width
        assert left <= 24, f"a row is {left} columns wide"
        top += max(each["gridPos"]["h"] for each in placed[-len(row):])
    return placed


def dashboard(uid, title, about, variables, rows, time="now-30d"):
    others = {"title": "CI dashboards", "type": "dashboards", "icon": "external link", "tooltip": "", "url": "",
              "tags": ["purser"], "asDropdown": True, "includeVars": True, "keepTime": True, "targetBlank": False}
    return {"uid": uid, "title": title, "description": about, "tags": ["ci", "purser"], "timezone": "utc", "editable": True,
            "graphTooltip": 1, "schemaVersion": 39, "refresh": "5m", "time": {"from": time, "to": "now"}, "links": [others],
            "annotations": {"list": []}, "templating": {"list": [datasource(), *variables, documents()]},
            "panels": _placed(rows)}
