"""Single numbers: one panel for each metric that a retriever leaves as NAME.dat or as a line of the type metric."""
from panels import dashboard as made, interval, of_column, only, panel

CHOSEN = f"""FROM metrics_value
WHERE $__timeFilter(at){only('retriever', 'metric')}"""


def rows():
    table = panel("table", "Newest values", "The last value of each metric in this time, and when it was measured.",
                  "single-numbers", f"""SELECT DISTINCT ON (retriever, metric, labels) retriever, metric, labels::text AS labels, value, at
{CHOSEN}
ORDER BY retriever, metric, labels, at DESC""", width=24, height=8)
    each = panel("timeseries", "$metric", "The mean of the values in each interval; an interval without a value has no point.",
                 "single-numbers", f"""SELECT $__timeGroupAlias(at, $interval),
  retriever || CASE WHEN labels = '{{}}' THEN '' ELSE ' ' || labels::text END AS metric, avg(value) AS value
{CHOSEN}
GROUP BY 1, 2
ORDER BY 1, 2""", width=24, height=8, repeat="metric")
    return [[table], [each]]


def dashboard(uid):
    return made(uid, "CI single numbers", "One panel for each metric that a retriever leaves as NAME.dat.",
                [of_column("retriever", "Retriever", "metrics_value", "at"),
                 of_column("metric", "Metric", "metrics_value", "at", "retriever"), interval("1h")], rows(), time="now-7d")
