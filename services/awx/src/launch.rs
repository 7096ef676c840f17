//! The one call that cannot be taken back.

use http::header::LOCATION;
use serde_json::{Map, Value};

use super::answer::{Answer, json};
use super::http::Unanswered;
use super::launch_body::LaunchBody;
use super::marker::{MARKER_VARIABLE, MarkerPlacement};
use super::row::RunRow;
use super::run::{RunKind, RunRef};
use super::template::{TemplateKind, path_of};
use super::{AwxError, Client, Refusal, location, read};

/// A launch that happened.
#[derive(Clone, Debug)]
pub struct Launched {
    /// The run it became. A sliced job template becomes a workflow job.
    pub run: RunRef,
    /// The run as it stood.
    pub row: RunRow,
    /// What the controller dropped, by name: `limit`, `extra_vars.version`. Not empty means that the run is not what
    /// was asked for.
    pub ignored: Vec<String>,
}

impl Launched {
    /// Whether the marker was let through.
    pub fn took_marker(&self, placement: MarkerPlacement) -> bool {
        match placement {
            MarkerPlacement::ExtraVar | MarkerPlacement::Survey => !self
                .ignored
                .iter()
                .any(|name| name == "extra_vars" || *name == format!("extra_vars.{MARKER_VARIABLE}")),
            MarkerPlacement::SkipTag => !self.ignored.iter().any(|name| name == "skip_tags"),
            MarkerPlacement::None => false,
        }
    }
}

/// Why there is no run to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchError {
    /// Certainly nothing was launched, and the same launch may be accepted later: no connection came about, or the
    /// answer is one that is only ever given instead of passing a request on.
    NotLaunched(AwxError),
    /// The controller itself refused: certainly nothing was launched.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its reasons, without values of write-only parameters.
        refusal: Refusal,
    },
    /// It may or may not have been launched, now or in a while.
    Unresolved {
        /// What happened, for people.
        why: String,
        /// The run that the head of a success named before the rest proved unreadable: a hint where to look first.
        /// Compare that run before binding it.
        named: Option<RunRef>,
    },
}

impl std::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotLaunched(error) => write!(f, "nothing was launched: {error}"),
            Self::Refused { status, refusal } => {
                write!(f, "the controller refused the launch ({status}): {refusal}")
            }
            Self::Unresolved { why, .. } => write!(f, "it is not known whether it was launched: {why}"),
        }
    }
}

impl std::error::Error for LaunchError {}

impl Client {
    /// Launches, once. Never repeats, never follows, never guesses. A dropped future counts as
    /// [`LaunchError::Unresolved`].
    pub async fn launch(&self, kind: TemplateKind, id: i64, body: &LaunchBody) -> Result<Launched, LaunchError> {
        let path = path_of(kind, id).then("launch");
        match self.http.post(&path, body.bytes()).await {
            Ok(answer) => {
                let named = answer.header(LOCATION.as_str());
                let named = named.and_then(|location| location::read(location, self.http.address(), kind));
                judge(kind, body, &answer, named)
            }
            Err(Unanswered::NotSent(error)) => Err(LaunchError::NotLaunched(error)),
            Err(Unanswered::Unknown(why)) => Err(LaunchError::Unresolved { why, named: None }),
        }
    }
}

/// What an answer without a run proves about a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// AWX itself refused this launch. Nothing else may end a job.
    Refused,
    /// Nothing was launched, and the same may be accepted later.
    NotLaunched,
    /// Nothing: it may have been launched.
    None,
}

/// What a status other than success proves, given by AWX itself (`own`) or by something in front of it.
///
/// A page or a redirect from something in front does not prove that the launch did not get through. Proxies put them in
/// the place of an answer that never came (nginx's `error_page 502 504`, an ingress's default backend with its 404),
/// and firewalls that look at answers put their own refusal in the place of one that did come. Proof are only statuses
/// that are decided by what a request is made of, before it is passed on.
#[must_use]
pub fn proof(status: u16, own: bool) -> Proof {
    match status {
        // Not authenticated, too large, too long, too many: these are only ever sent instead of processing a request.
        401 | 407 | 411 | 413 | 414 | 421 | 426 | 429 | 431 => Proof::NotLaunched,
        // The sender gave up on a request it was passing on, or had passed on.
        408 => Proof::None,
        400..=499 if own => Proof::Refused,
        _ => Proof::None,
    }
}

/// What an answer proves. `named` is the run its head names.
fn judge(
    kind: TemplateKind,
    body: &LaunchBody,
    answer: &Answer,
    named: Option<RunRef>,
) -> Result<Launched, LaunchError> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return launched(kind, body, answer, named);
    }
    // AWX sends everybody away like this before it looks at what they want.
    if answer.status.is_redirection() && answer.is_migrating() {
        return Err(LaunchError::NotLaunched(AwxError::Migrating));
    }
    match proof(status, answer.is_own()) {
        Proof::Refused => Err(LaunchError::Refused { status, refusal: answer.refusal().map(|text| body.redact(text)) }),
        Proof::NotLaunched => Err(LaunchError::NotLaunched(match status {
            401 => AwxError::Unauthorized,
            429 => AwxError::Throttled { retry_after: answer.retry_after() },
            _ => AwxError::InFront { status },
        })),
        Proof::None => Err(LaunchError::Unresolved { why: nothing_proven(status), named: None }),
    }
}

/// Why a status proves nothing, in words.
fn nothing_proven(status: u16) -> String {
    match status {
        300..=399 => format!("something in front of the controller redirected the launch ({status})"),
        408 => "a proxy gave up waiting (408)".into(),
        400..=499 => format!("something in front of the controller answered in its place ({status})"),
        502..=504 => format!("a proxy got no answer from the controller ({status})"),
        500..=599 => format!("the controller failed while launching ({status})"),
        _ => format!("it answered {status}, which is not a known response"),
    }
}

/// The run a success names.
fn launched(
    kind: TemplateKind,
    body: &LaunchBody,
    answer: &Answer,
    named: Option<RunRef>,
) -> Result<Launched, LaunchError> {
    let status = answer.status.as_u16();
    let unresolved = |why: String, named| Err(LaunchError::Unresolved { why, named });
    match answer.body.clone().and_then(|bytes| json(&bytes)) {
        Ok(value) => match read_launched(kind, body, &value) {
            Some(launched) if named.is_none_or(|named| named == launched.run) => Ok(launched),
            Some(_) => unresolved(format!("its answer ({status}) names two runs"), None),
            None => unresolved(format!("its answer ({status}) names no run"), named),
        },
        Err(error) => unresolved(format!("its answer ({status}) cannot be read: {}", reading(&error)), named),
    }
}

fn reading(error: &AwxError) -> String {
    match error {
        AwxError::BadAnswer { detail } => detail.clone(),
        AwxError::TooLarge { limit } => format!("it is larger than {limit} bytes"),
        AwxError::Timeout => "it did not arrive in time".into(),
        other => other.to_string(),
    }
}

/// Reads the run a success names. The type decides, and the key for that type must not contradict the id.
fn read_launched(kind: TemplateKind, body: &LaunchBody, answer: &Value) -> Option<Launched> {
    let row = RunRow::read(answer)?;
    let run = row.run;
    if kind == TemplateKind::Workflow && run.kind == RunKind::Job {
        return None;
    }
    let named = answer.get(run.kind.as_str());
    if named.is_some_and(|named| named.as_i64() != Some(run.id)) {
        return None;
    }
    let ignored = match answer.get("ignored_fields") {
        Some(Value::Object(fields)) => ignored(fields),
        // Where the answer does not say, the run itself may.
        _ => body.dropped_in(&row),
    };
    Some(Launched { run, row, ignored })
}

fn ignored(fields: &Map<String, Value>) -> Vec<String> {
    let mut names = Vec::new();
    for (field, value) in fields {
        match value {
            // Nothing was sent, so nothing was dropped.
            Value::Null => {}
            Value::Object(inner) => {
                names.extend(inner.keys().map(|key| read::shown(&format!("{field}.{key}"), 200)));
            }
            _ => names.push(read::shown(field, 200)),
        }
    }
    names
}
