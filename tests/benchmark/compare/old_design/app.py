"""The design that Runwarden replaces, written to be fast: a Flask application in front of PostgreSQL.

It takes the same request as Runwarden and promises the same about it: the caller's token is verified, the role must grant
the action, a policy says yes to exactly these parameters, the parameters fit the template's schema, and the job and its
audit record are on disk, in one transaction, before the answer.

Everything that need not be done for each request is done once: templates and roles are in memory, the schema is
compiled, each thread keeps its connection, and the transaction takes one round trip.
"""

import datetime
import json
import os
import threading
import uuid

import fastjsonschema
import jwt
import psycopg2
from flask import Flask, Response, request

app = Flask(__name__)
KEY = os.environ["OLD_DESIGN_KEY"]
DATABASE = os.environ["OLD_DESIGN_DATABASE"]
ROLES = {"launcher": {"jobs.submit"}}
HORIZON = datetime.timedelta(days=30)


def check(schema):
    return fastjsonschema.compile(schema)


TEMPLATES = {
    ("acme", "ask-variables"): {
        "project": "web",
        "check": check(
            {
                "type": "object",
                "properties": {"n": {"type": "integer"}},
                "required": ["n"],
                "additionalProperties": False,
            }
        ),
    }
}
BODY = check(
    {
        "type": "object",
        "properties": {
            "template": {"type": "string"},
            "parameters": {"type": "object"},
            "start_at": {"type": "string"},
        },
        "required": ["template"],
        "additionalProperties": False,
    }
)

local = threading.local()


def cursor():
    """This thread's cursor on a connection of its own."""
    if not hasattr(local, "cursor"):
        connection = psycopg2.connect(DATABASE)
        # Both statements go in one message, which the server runs as one transaction.
        connection.autocommit = True
        local.cursor = connection.cursor()
    return local.cursor


def policy(caller, template, parameters):
    """Stands for the tenant's policy: the same rule as in policy.rego beside it."""
    return 0 <= parameters.get("n", -1)


def problem(status, code):
    body = json.dumps({"status": status, "code": code})
    return Response(body, status, content_type="application/problem+json")


@app.post("/api/v1/jobs")
def submit():
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return problem(401, "UNAUTHENTICATED")
    try:
        caller = jwt.decode(token, KEY, algorithms=["HS256"], audience="old-design")
    except jwt.InvalidTokenError:
        return problem(401, "UNAUTHENTICATED")
    if not any("jobs.submit" in ROLES.get(role, ()) for role in caller["roles"]):
        return problem(403, "PERMISSION_DENIED")
    body = request.get_json(silent=True)
    try:
        BODY(body)
        start_at = datetime.datetime.fromisoformat(body["start_at"]) if "start_at" in body else None
        template = TEMPLATES.get((caller["tenant"], body["template"]))
        if template is None:
            return problem(404, "NOT_FOUND")
        parameters = body.get("parameters", {})
        template["check"](parameters)
    except (fastjsonschema.JsonSchemaException, ValueError):
        return problem(422, "INVALID_PARAMETERS")
    now = datetime.datetime.now(datetime.timezone.utc)
    if start_at is not None and not now <= start_at <= now + HORIZON:
        return problem(422, "INVALID_PARAMETERS")
    if not policy(caller, body["template"], parameters):
        return problem(403, "POLICY_DENIED")
    job = str(uuid.uuid4())
    cursor().execute(
        "INSERT INTO jobs (id, tenant, project, template, principal, state, parameters, created_at, start_at)"
        " VALUES (%s, %s, %s, %s, %s, 'new', %s, %s, %s);"
        "INSERT INTO audit_log (tenant, principal, action, resource, outcome, details, created_at)"
        " VALUES (%s, %s, 'job.submit', %s, 'success', %s, %s)",
        (
            job,
            caller["tenant"],
            template["project"],
            body["template"],
            caller["sub"],
            json.dumps(parameters),
            now,
            start_at,
            caller["tenant"],
            caller["sub"],
            job,
            json.dumps({"template": body["template"]}),
            now,
        ),
    )
    answer = json.dumps(
        {
            "id": job,
            "state": "new",
            "template": body["template"],
            "project": template["project"],
            "created_at": now.isoformat(),
        }
    )
    response = Response(answer, 202, content_type="application/json")
    response.headers["Location"] = "/api/v1/jobs/" + job
    return response
