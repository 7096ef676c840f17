#!/usr/bin/env python3
"""Whether the APISIX example fits together: apisix_fits.py FOLDER. APISIX itself cannot be had in tests."""

import sys
from pathlib import Path

import yaml


def main():
    folder, wrong = Path(sys.argv[1]), []
    text = (folder / "apisix.yaml").read_text()
    # Without this line APISIX does not take a standalone file as complete.
    if text.rstrip().splitlines()[-1] != "#END":
        wrong.append("apisix.yaml does not end with #END")
    apisix = yaml.safe_load(text)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    deployment = config["deployment"]
    if (deployment["role"], deployment["role_data_plane"]["config_provider"]) != ("data_plane", "yaml"):
        wrong.append("config.yaml is not of a standalone data plane")
    known = {kind: {thing["id"] for thing in apisix[kind]} for kind in ("upstreams", "plugin_configs", "routes", "ssls")}
    if len(known["routes"]) != len(apisix["routes"]):
        wrong.append("two routes have one id")
    for route in apisix["routes"]:
        name = route["id"]
        if not ("uri" in route) ^ ("uris" in route):
            wrong.append(f"{name}: either uri or uris")
        if "upstream_id" not in route and "redirect" not in route["plugins"]:
            wrong.append(f"{name}: leads nowhere")
        if route.get("upstream_id", "runwarden") not in known["upstreams"]:
            wrong.append(f"{name}: no such upstream")
        if route.get("plugin_config_id", "runwarden") not in known["plugin_configs"]:
            wrong.append(f"{name}: no such plugin_config")
        if set(route["hosts"]) - set(apisix["ssls"][0]["snis"]):
            wrong.append(f"{name}: a host without a certificate")
    environment = {value[len("$env://") :] for value in (apisix["ssls"][0]["cert"], apisix["ssls"][0]["key"])}
    if environment - set(config["nginx_config"]["envs"]):
        wrong.append("config.yaml does not let the certificate's variables through")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
