//! Run tasks of HCP Terraform and Terraform Enterprise.
//!
//! The signature covers the body and nothing else: no time is signed. A replay is recognised by `task_result_id`, which
//! is a part of the body.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::{Position, Url};

use crate::answer::{Answer, Outcome};
use crate::content;
use crate::event::{Said, derived_id};
use crate::headers::Received;
use crate::kinds::{IdPlace, Kind, Read};
use crate::problem::Problem;
use crate::proof::{Algorithm, Hmac};
use crate::receiver::setting;
use crate::refusal::{Reason, Refusal};
use crate::run_task::{ACCESS_TOKEN, ANY_HOST};

/// The token of requests that only try out the set-up. It is never valid.
const VERIFICATION_TOKEN: &str = "test-token";
/// The host of a hook that names none.
const HCP_TERRAFORM: &str = "https://app.terraform.io";
/// Addresses and tokens that are longer are not Terraform's.
const MAX_TEXT: usize = 4096;

pub(crate) fn signature() -> Hmac {
    Hmac { algorithm: Algorithm::Sha512, ..Hmac::over_body("x-tfc-task-signature", "") }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The address of Terraform: results go there and nowhere else.
    #[serde(default = "hcp_terraform")]
    terraform: String,
    /// Whether filter and mapping want the plan: the hook service reads it.
    #[serde(default, rename = "plan")]
    _plan: bool,
}

fn hcp_terraform() -> String {
    HCP_TERRAFORM.to_owned()
}

#[derive(Debug)]
struct RunTask {
    /// The only origin of callbacks; `None` takes any https address that a signed request names.
    terraform: Option<Url>,
}

pub(crate) fn parse(settings: Value) -> Result<Box<dyn Kind>, Problem> {
    let settings: Settings = setting("", settings)?;
    let terraform = if settings.terraform == ANY_HOST { None } else { Some(origin(&settings.terraform)?) };
    Ok(Box::new(RunTask { terraform }))
}

fn origin(text: &str) -> Result<Url, Problem> {
    let url = Url::parse(text).ok().filter(|url| {
        url.scheme() == "https" && url.host().is_some() && url[Position::AfterPort..].trim_matches('/').is_empty()
    });
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(url),
        _ => Err(Problem::new(
            "terraform",
            "Write the address of Terraform, such as `https://app.terraform.io`: https, a host, no path.",
        )),
    }
}

impl Kind for RunTask {
    fn read(&self, received: &Received) -> Result<Read, Refusal> {
        content_type(received)?;
        let Value::Object(mut body) = content::json(&received.body)? else {
            return Err(malformed("The body is not a run task's request: it is not an object."));
        };
        let level = body.get("task_result_enforcement_level").and_then(Value::as_str);
        let token = body.get(ACCESS_TOKEN).and_then(Value::as_str);
        if token == Some(VERIFICATION_TOKEN) || level == Some("test") {
            return Ok(Read::Handshake { what: "verification", answer: accepted() });
        }
        if body.get("payload_version").is_some_and(|version| version.as_i64() != Some(1)) {
            return Err(malformed("The request has a payload_version other than 1."));
        }
        text(&body, "run_id")?;
        let callback = text(&body, "task_result_callback_url")?.to_owned();
        let host = Self::check_address(&callback, self.terraform.as_ref())?;
        self.check_path(&host, "/api/v2/task-results/", "/callback")?;
        // Several fields are null where Terraform has nothing to say.
        if let Some(plan) = body.get("plan_json_api_url").filter(|plan| !plan.is_null()) {
            // The token for the results goes there as well.
            let plan = Self::check_address(plan.as_str().unwrap_or_default(), Some(&host))?;
            self.check_path(&plan, "/api/v2/plans/", "/json-output")?;
        }
        let id = match body.get("task_result_id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            // Each task result has an address of its own.
            None => derived_id(&[callback.as_bytes()]),
        };
        let token = text(&body, ACCESS_TOKEN)?.to_owned();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed("The access_token has characters that no token has."));
        }
        body.remove(ACCESS_TOKEN);
        let stage = body.get("stage").and_then(Value::as_str).unwrap_or_default().to_owned();
        // A retry may come with a token of its own; everything else is the same.
        let content = Value::Object(body.clone()).to_string();
        let said = Said::new(received, Some(id), &stage, Value::Object(body))?.compared_by(&[content.as_bytes()]);
        let secrets = BTreeMap::from([(ACCESS_TOKEN, SecretString::from(token))]);
        Ok(Said { secrets, ..said }.into())
    }

    fn id_place(&self) -> IdPlace<'_> {
        IdPlace::Body
    }

    /// Exactly 200: with 202, Terraform does not accept the task. It ignores the body, which is the one that the
    /// replaced system sent.
    fn answer(&self, _received: &Received, outcome: &Outcome<'_>) -> Answer {
        match outcome {
            Outcome::Accepted { .. } | Outcome::Repeat { .. } | Outcome::Filtered { .. } => accepted(),
            Outcome::Refused(refusal) => match refusal.reason {
                Reason::SignatureMissing | Reason::SignatureMalformed | Reason::SignatureMismatch | Reason::NoKey => {
                    error(401, "HMAC validation failed")
                }
                Reason::ContentType | Reason::BodyMalformed | Reason::IdMissing | Reason::IdMalformed => {
                    error(400, "Invalid JSON or missing data")
                }
                _ => Answer::usual(outcome),
            },
            Outcome::Conflict { .. } | Outcome::Busy { .. } => Answer::usual(outcome),
        }
    }
}

impl RunTask {
    /// Where any host will do, at least nothing but Terraform's own paths is called: whoever holds the key must not be able
    /// to send whatever they like to whatever listens on a private network.
    fn check_path(&self, url: &Url, before: &str, after: &str) -> Result<(), Refusal> {
        let id = url.path().rsplit_once(before).and_then(|(_, rest)| rest.strip_suffix(after));
        let is_one = id.is_some_and(|id| !id.is_empty() && !id.contains('/')) && url.query().is_none();
        if self.terraform.is_some() || is_one {
            return Ok(());
        }
        Err(Refusal::new(Reason::CallbackAddress, "An address in the request is not one of Terraform's."))
    }

    /// The token goes to the configured host only: to send it anywhere else is to give it away.
    fn check_address(address: &str, host: Option<&Url>) -> Result<Url, Refusal> {
        let refused = |detail| Err(Refusal::new(Reason::CallbackAddress, detail));
        let Some(url) = Url::parse(address).ok().filter(|_| address.len() <= MAX_TEXT) else {
            return refused("An address in the request cannot be read.");
        };
        if url.scheme() != "https" || url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return refused("An address in the request is not a plain https address.");
        }
        match host {
            Some(host) if host.origin() != url.origin() => {
                refused("An address in the request is not at the hook's Terraform host.")
            }
            _ => Ok(url),
        }
    }
}

/// Terraform sends `application/json`, and no other.
fn content_type(received: &Received) -> Result<(), Refusal> {
    let kind = received.headers.one("content-type")?.and_then(|value| value.split(';').next()).unwrap_or_default();
    let is_json = kind.trim().eq_ignore_ascii_case("application/json") && content::of(received)?.is_some();
    if is_json { Ok(()) } else { Err(Refusal::new(Reason::ContentType, "The body is not application/json.")) }
}

fn text<'a>(body: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Refusal> {
    match body.get(field).and_then(Value::as_str) {
        Some(text) if !text.is_empty() && text.len() <= MAX_TEXT => Ok(text),
        _ => Err(malformed(format!("The field {field} is missing, empty, or not a text."))),
    }
}

fn malformed(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Reason::BodyMalformed, detail)
}

fn accepted() -> Answer {
    Answer::json(200, &json!({"message": "Playbook triggered successfully"}))
}

fn error(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({"error": text}))
}
