#!/usr/bin/env python3
"""Whether the Kubernetes manifests fit together, which their schemas cannot tell: kubernetes_fits.py FOLDER"""

import sys
from pathlib import Path

import yaml

GRPC = {"auth", "policy", "project", "secret", "audit", "executor", "hook"}


def main():
    folder = Path(sys.argv[1])
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = set(kustomization["resources"])
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    wrong = [f"kustomization.yaml and the folder differ in {name}" for name in listed ^ there]
    things = [thing for name in sorted(there) for thing in yaml.safe_load_all((folder / name).read_text())]
    by_kind = {}
    for thing in things:
        names = by_kind.setdefault(thing["kind"], {})
        name = thing["metadata"]["name"]
        if name in names:
            wrong.append(f"two {thing['kind']}s are called {name}")
        names[name] = thing

    deployments = by_kind["Deployment"]
    if set(deployments) != GRPC | {"edge"}:
        wrong.append(f"the deployments are {sorted(deployments)}")
    config = by_kind["ConfigMap"]["runwarden"]["data"]
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]["spec"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for selector in (deployment["spec"]["selector"]["matchLabels"], by_kind["Service"][name]["spec"]["selector"]):
            if not selector.items() <= labels.items():
                wrong.append(f"{name}: a selector does not find its pods")
        if pod["automountServiceAccountToken"] or not pod["securityContext"]["runAsNonRoot"]:
            wrong.append(f"{name}: more rights than it needs")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            security = container["securityContext"]
            if security["allowPrivilegeEscalation"] or security["capabilities"] != {"drop": ["ALL"]}:
                wrong.append(f"{name}: more rights than it needs")
            if not security["readOnlyRootFilesystem"]:
                wrong.append(f"{name}: its file system can be written to")
            ports = {port["name"] for port in container["ports"]}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container[kind]
                port = (probe.get("httpGet") or probe.get("tcpSocket"))["port"]
                if port not in ports:
                    wrong.append(f"{name}: {kind} asks port {port}, which it does not have")
            for mount in container["volumeMounts"]:
                if mount["name"] not in volumes:
                    wrong.append(f"{name}: no volume is called {mount['name']}")
            for variable in container["env"]:
                key = variable.get("valueFrom", {}).get("configMapKeyRef", {}).get("key")
                if key and key not in config:
                    wrong.append(f"{name}: {variable['name']} wants {key}, which the ConfigMap lacks")
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in by_kind["PersistentVolumeClaim"]:
                wrong.append(f"{name}: no claim is called {claim}")
            if claim and (deployment["spec"]["replicas"] != 1 or deployment["spec"]["strategy"]["type"] != "Recreate"):
                wrong.append(f"{name}: two writers would share {claim}")

    policies = by_kind["NetworkPolicy"]
    nothing = policies["deny-by-default"]["spec"]
    if nothing != {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}:
        wrong.append("not everything is denied by default")
    # Each way in has its way out, and the other way round.
    ways_in, ways_out = set(), set()
    for service in GRPC:
        spec = policies[f"to-{service}"]["spec"]
        for rule in spec["ingress"]:
            for expression in rule["from"][0]["podSelector"]["matchExpressions"]:
                ways_in |= {(caller, service, rule["ports"][0]["port"]) for caller in expression["values"]}
    for caller in GRPC | {"edge"}:
        for rule in policies[f"from-{caller}"]["spec"]["egress"]:
            callee = rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            ways_out.add((caller, callee, rule["ports"][0]["port"]))
    wrong += [f"only one side allows {way}" for way in sorted(ways_in ^ ways_out)]
    for _, callee, port in ways_in:
        if by_kind["Service"][callee]["spec"]["ports"][0]["port"] != port:
            wrong.append(f"{callee} does not serve port {port}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
