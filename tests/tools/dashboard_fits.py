#!/usr/bin/env python3
"""Whether a Grafana dashboard can be imported and read. Grafana itself cannot be had in tests.

dashboard_fits.py FILE              says what is wrong
dashboard_fits.py FILE --as-rules   prints its queries as Prometheus rules, for promtool to read
"""

import json
import sys
from pathlib import Path


def rules(dashboard):
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    named = [
        {"record": f"query:{at}", "expr": query.replace("$__rate_interval", "5m")} for at, query in enumerate(queries)
    ]
    return {"groups": [{"name": "dashboard", "rules": named}]}


def main():
    dashboard, wrong = json.loads(Path(sys.argv[1]).read_text()), []
    if "--as-rules" in sys.argv:
        # JSON is YAML.
        print(json.dumps(rules(dashboard)))
        return 0
    ids, taken = set(), set()
    for panel in dashboard["panels"]:
        title = panel["title"]
        if panel["id"] in ids:
            wrong.append(f"{title}: its id is used twice")
        ids.add(panel["id"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        if cells & taken or place["x"] + place["w"] > 24:
            wrong.append(f"{title}: lies over another panel, or outside")
        taken |= cells
        if panel["type"] == "row":
            continue
        if not panel["description"]:
            wrong.append(f"{title}: does not say what it shows")
        if panel["datasource"]["uid"] != "${datasource}":
            wrong.append(f"{title}: is bound to one installation's Prometheus")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
