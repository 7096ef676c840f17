#!/usr/bin/env python3
"""The main way of a request, walked by somebody who has nothing but HTTP.

outside.py walk FOLDER    onboards a tenant, runs a job, looks it up; FOLDER holds data/ of `runwarden up`, sandbox.json
outside.py again FOLDER   after a restart: what was there is there
outside.py front FOLDER PORT CA   the same through nginx, which ends TLS there
outside.py token FOLDER   prints a fresh token of the platform admin

Only the standard library is used. Each check is one line, as in checks.sh.
"""

import base64
import http.client
import json
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

TENANT, PROJECT = "acme", "web"


class Answer:
    """What came back: status, headers, body as text, and as JSON where it is."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body.decode()
        media_type = headers.get_content_type()
        is_json = media_type == "application/json" or media_type.endswith("+json")
        self.json = json.loads(self.text) if is_json and self.text else None

    def __str__(self):
        return f"{self.status} {self.text[:2000]}"


class Caller:
    """Calls a listener, with a token or without."""

    # Loopback is not reached through a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __init__(self, base, token=None, tenant=None):
        self.base, self.token, self.tenant = base, token, tenant

    def send(self, method, path, body=None, headers=None, form=None):
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if self.tenant:
            headers["X-Tenant"] = self.tenant
        data = None
        if form is not None:
            data = urllib.parse.urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=90) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def get(self, path, **more):
        return self.send("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.send("POST", path, body, **more)


def token(base, client_id, client_secret):
    basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return Caller(base).post(
        "/api/v1/auth/token", form={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    )


class Checks:
    """Says what holds, one line each."""

    def __init__(self):
        self.failed = 0

    def that(self, name, holds, seen=""):
        if holds:
            print(f"  ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"  FAIL  {name}\n          {seen}", flush=True)
        return holds

    def answers(self, name, status, answer):
        """The answer has this status; a problem has the form that was promised."""
        whole = answer.status == status and answer.headers.get("X-Request-Id")
        if status >= 400:
            problem = answer.json or {}
            whole = (
                whole
                and answer.headers.get_content_type() == "application/problem+json"
                and problem.get("status") == status
                and problem.get("code", "").isupper()
                and problem.get("request_id") == answer.headers.get("X-Request-Id")
            )
        return self.that(name, whole, f"wanted {status}, got {answer}")


def read(folder, name):
    return json.loads((folder / name).read_text())


def admin_token(folder, base):
    bootstrap = read(folder, "data/bootstrap.json")
    return token(base, bootstrap["client_id"], bootstrap["client_secret"])


def onboard(checks, folder, admin):
    """A tenant with a project, a controller, a template and a client. Answers the client."""
    sandbox = read(folder, "sandbox.json")
    checks.answers("a tenant is made", 201, admin.post("/api/v1/tenants", {"name": TENANT}))
    checks.answers("the same tenant again is a conflict", 409, admin.post("/api/v1/tenants", {"name": TENANT}))
    admin.tenant = TENANT
    checks.answers("a project is made", 201, admin.post("/api/v1/projects", {"name": PROJECT}))
    controller = {"name": "awx", "url": sandbox["url"], "credential": {"token": sandbox["token"]}}
    wrong = {**controller, "credential": {"token": "wrong"}}
    answer = admin.post("/api/v1/controllers", wrong)
    checks.that("a controller that refuses the credential is not mapped", 400 <= answer.status < 500, answer)
    answer = admin.post("/api/v1/controllers", controller)
    checks.answers("a controller is mapped", 201, answer)
    checks.that("its credential does not come back", sandbox["token"] not in answer.text, answer)
    offered = admin.get("/api/v1/controllers/awx/templates?page_size=200")
    items = (offered.json or {}).get("items", [])
    found = [item for item in items if item.get("name") == "deploy"]
    if checks.that("the controller's templates are listed", found, offered):
        template = {
            "name": "deploy",
            "project": PROJECT,
            "controller": "awx",
            "controller_template": {"kind": "job", "id": found[0]["id"]},
            "parameters": "import",
        }
        checks.answers("a template is mapped with its survey", 201, admin.post("/api/v1/templates", template))
    client = {"name": "ci", "project": PROJECT, "roles": ["launcher"]}
    answer = admin.post("/api/v1/clients", client)
    checks.answers("a client is made", 201, answer)
    return answer.json or {}


def recorded(admin, job):
    """The records of a job. A change carries its entry; the log has it when the outbox is emptied, moments later."""
    until = time.monotonic() + 20
    while True:
        records = admin.get(f"/api/v1/audit/records?job={job}")
        if all(action in records.text for action in ("job.submit", "job.finish")) or time.monotonic() > until:
            return records
        time.sleep(0.1)


def run(checks, base, admin, client):
    """Runs a job as the client and looks it up. Answers its id."""
    answer = token(base, client.get("client_id", ""), client.get("client_secret", ""))
    checks.answers("the client obtains a token", 200, answer)
    caller = Caller(base, (answer.json or {}).get("access_token"))
    order = {"template": "deploy", "parameters": {"environment": "dev", "version": "1.2.3"}}
    key = {"Idempotency-Key": "walk-1"}
    first = caller.post("/api/v1/jobs", order, headers=key)
    checks.answers("a job is accepted", 202, first)
    job = (first.json or {}).get("id", "")
    checks.that("Location names it", first.headers.get("Location", "").endswith(f"/api/v1/jobs/{job}"), first)
    second = caller.post("/api/v1/jobs", order, headers=key)
    checks.that("the same key again is the same job", (second.json or {}).get("id") == job, second)
    other = {**order, "parameters": {"environment": "dev", "version": "1.2.4"}}
    checks.answers("the same key with another body is refused", 422, caller.post("/api/v1/jobs", other, headers=key))
    ended = caller.get(f"/api/v1/jobs/{job}?wait=60")
    checks.that("it succeeds", (ended.json or {}).get("state") == "succeeded", ended)
    output = caller.get(f"/api/v1/jobs/{job}/output")
    checks.that("its output is there", output.status == 200 and "1.2.3" in output.text, output)
    events = caller.get(f"/api/v1/jobs/{job}/events")
    checks.that("its events are there and end", events.status == 200 and "succeeded" in events.text, events)
    listed = caller.get("/api/v1/jobs?state=succeeded")
    checks.that("it is listed", job in listed.text, listed)
    records = recorded(admin, job)
    checks.that("the audit log has it", records.status == 200 and "job.finish" in records.text, records)

    unknown = {**order, "parameters": {**order["parameters"], "surprise": 1}}
    refused = caller.post("/api/v1/jobs", unknown)
    checks.answers("an unknown parameter is refused", 422, refused)
    checks.that("and named", "surprise" in refused.text, refused)
    invalid = {**order, "parameters": {**order["parameters"], "environment": "moon"}}
    checks.answers("a parameter outside its choices is refused", 422, caller.post("/api/v1/jobs", invalid))
    checks.answers("a template that is not there is not found", 404, caller.post("/api/v1/jobs", {**order, "template": "no"}))
    checks.answers("a launcher cannot make tenants", 403, Caller(admin.base, caller.token).post("/api/v1/tenants", {"name": "x"}))
    return job


def conventions(checks, public, admin):
    """What any caller may rely on."""
    checks.answers("it is alive", 200, public.get("/api/v1/health/live"))
    checks.answers("it is ready", 200, public.get("/health"))
    metadata = public.get("/.well-known/oauth-authorization-server").json or {}
    checks.that("the metadata names this issuer", metadata.get("issuer") == public.base, metadata)
    keys = (public.get("/api/v1/auth/jwks.json").json or {}).get("keys", [])
    checks.that("the signing keys are public and only that", keys and not any("d" in key for key in keys), keys)
    document = public.get("/api/v1/openapi.json").json or {}
    checks.that("it describes itself in OpenAPI 3.1", document.get("openapi", "").startswith("3.1"), document.get("openapi"))
    checks.answers("nobody without a token lists jobs", 401, public.get("/api/v1/jobs"))
    forged = Caller(public.base, "eyJhbGciOiJub25lIn0.e30.")
    checks.answers("an unsigned token is none", 401, forged.get("/api/v1/jobs"))
    checks.answers("the public listener has no tenants", 404, Caller(public.base, admin.token).get("/api/v1/tenants"))
    body = {"Authorization": f"Bearer {admin.token}", "X-Tenant": TENANT}
    jobs = "/api/v1/jobs"
    checks.answers("malformed JSON is 400", 400, public.post(jobs, b'{"template":', headers=body))
    checks.answers("a key given twice is 400", 400, public.post(jobs, b'{"template":"a","template":"b"}', headers=body))
    checks.answers("10,000 deep JSON is 400", 400, public.post(jobs, b"[" * 10000 + b"]" * 10000, headers=body))
    checks.answers("2 MiB are too large", 413, public.post(jobs, b" " * 2**21, headers=body))
    text = {**body, "Content-Type": "text/plain"}
    checks.answers("another media type is 415", 415, public.post(jobs, b"{}", headers=text))


def walk(checks, folder):
    about = read(folder, "data/runwarden.json")
    base = about["base_url"]
    answer = admin_token(folder, base)
    checks.answers("the first administrator obtains a token", 200, answer)
    admin = Caller(about["admin_base_url"], answer.json["access_token"])
    client = onboard(checks, folder, admin)
    conventions(checks, Caller(base), admin)
    job = run(checks, base, admin, client)
    export = admin.get("/api/v1/audit/export")
    checks.answers("the audit log is exported", 200, export)
    (folder / "export.ndjson").write_text(export.text)
    checkpoint = admin.get("/api/v1/audit/checkpoint")
    (folder / "checkpoint.json").write_text(checkpoint.text)
    (folder / "walked.json").write_text(json.dumps({"job": job, "client": client}))


def again(checks, folder):
    about, before = read(folder, "data/runwarden.json"), read(folder, "walked.json")
    client = before["client"]
    answer = token(about["base_url"], client["client_id"], client["client_secret"])
    checks.answers("after a restart the client still obtains a token", 200, answer)
    caller = Caller(about["base_url"], (answer.json or {}).get("access_token"))
    job = caller.get(f"/api/v1/jobs/{before['job']}")
    checks.that("after a restart the job is what it was", (job.json or {}).get("state") == "succeeded", job)


class Front(http.client.HTTPSConnection):
    """A connection to a proxy on this machine, by the name that its certificate has."""

    def __init__(self, port, authority):
        super().__init__("runwarden.example", context=ssl.create_default_context(cafile=authority), timeout=30)
        self.at = ("127.0.0.1", port)

    def connect(self):
        self.sock = self._context.wrap_socket(socket.create_connection(self.at, 30), server_hostname=self.host)


def front(checks, folder, port, authority):
    client, job = (read(folder, "walked.json")[key] for key in ("client", "job"))
    base = read(folder, "data/runwarden.json")["base_url"]
    bearer = {"Authorization": "Bearer " + token(base, client["client_id"], client["client_secret"]).json["access_token"]}

    def send(method, path, body=None, headers=None):
        connection = Front(int(port), authority)
        connection.request(method, path, body, {**bearer, **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    checks.answers("through nginx it is ready", 200, send("GET", "/health"))
    checks.answers("through nginx a job is read", 200, send("GET", f"/api/v1/jobs/{job}"))
    events = send("GET", f"/api/v1/jobs/{job}/events")
    checks.that("through nginx events come", events.status == 200 and "succeeded" in events.text, events)
    large = send("POST", "/api/v1/jobs", b" " * (3 * 2**19), {"Content-Type": "application/json"})
    checks.answers("through nginx it is the edge that says what is too large", 413, large)
    secure = send("GET", "/health").headers.get_all("Strict-Transport-Security")
    checks.that("through nginx browsers are told to come by HTTPS, once", secure and len(secure) == 1, secure)


def main():
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "token":
        print(admin_token(folder, read(folder, "data/runwarden.json")["base_url"]).json["access_token"])
        return 0
    checks = Checks()
    {"walk": walk, "again": again, "front": front}[what](checks, folder, *sys.argv[3:])
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
