//! One error for the whole domain, knowing no transport: a stable reason, words for the caller, and, apart from
//! those, the cause for the operator's log.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::id;
use crate::mesh::Service;
use crate::reason::{ErrorReason, ReasonExt as _, by_name};
use crate::text::shortened;

/// The domain `ErrorInfo` carries.
const DOMAIN: &str = "runwarden";
/// Metadata key of the id that finds an internal error in the logs.
const ERROR_ID: &str = "error_id";

/// Response metadata that says when the sender may try a call again (gRFC A6).
pub(crate) const PUSHBACK: &str = "grpc-retry-pushback-ms";
/// The most bytes of words that an error carries. They travel in HTTP/2 headers, which have their limits: with base64
/// and percent encoding on top, what is over this would break the call instead of explaining it.
const MAX_WORDS: usize = 2 * 1024;
/// The most bytes of a pointer to a field: names come from outside and may be as long as the body.
const MAX_POINTER: usize = 1024;
/// The most bytes of all field errors together.
const MAX_FIELDS: usize = 12 * 1024;

/// A domain result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field in the request body; empty for the body as a whole.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// A refusal or a failure. `Display` is what the caller may read; the cause is only logged.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    reason: ErrorReason,
    detail: String,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    metadata: BTreeMap<String, String>,
    cause: Option<Arc<anyhow::Error>>,
}

impl Error {
    /// A refusal with a reason and words for the caller.
    #[must_use]
    pub fn new(reason: ErrorReason, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            reason,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: reason.retry_after(),
            metadata: BTreeMap::new(),
            cause: None,
        }))
    }

    /// One field of the request is wrong.
    #[must_use]
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::new(ErrorReason::ValidationFailed, detail.clone()).with_field(pointer, detail)
    }

    /// There is no such thing, or not for this caller. `what` names the kind: `job`.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorReason::NotFound, format!("There is no such {what}."))
    }

    /// The caller may not do this.
    #[must_use]
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::new(ErrorReason::PermissionDenied, detail)
    }

    /// Another change was faster, or the object is in use.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ErrorReason::Conflict, detail)
    }

    /// The object changed since the caller read it. `what` names the kind: `template`.
    #[must_use]
    pub fn changed(what: &str) -> Self {
        Self::conflict(format!("The {what} was changed in the meantime. Read it again and repeat the request."))
    }

    /// Others kept changing the same thing; nothing was done.
    #[must_use]
    pub fn contended() -> Self {
        Self::conflict("Others are changing the same thing at the same time. Try again.")
            .with_retry_after(Duration::from_secs(1))
    }

    /// Something needed cannot be reached now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(ErrorReason::Unavailable, detail)
    }

    /// Runwarden failed. The caller gets an id; the cause goes to the log under that id when the error is answered.
    #[must_use]
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        let mut error = Self::new(ErrorReason::Internal, "Something went wrong on our side.");
        error.0.metadata.insert(ERROR_ID.into(), id::new("err"));
        error.0.cause = Some(Arc::new(cause.into()));
        error
    }

    /// Adds what is wrong with one field.
    #[must_use]
    pub fn with_field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.fields.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Adds several field errors.
    #[must_use]
    pub fn with_fields(mut self, fields: impl IntoIterator<Item = FieldError>) -> Self {
        self.0.fields.extend(fields);
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Adds a machine-readable fact, such as `oauth_error`.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.metadata.insert(key.into(), value.into());
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.0.cause = Some(Arc::new(cause.into()));
        self
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.0.reason
    }

    /// Words for the caller.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with which fields.
    #[must_use]
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }

    /// When trying again makes sense; `None` when it does not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// A machine-readable fact.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }

    /// The id that finds the cause in the logs, where there is one.
    #[must_use]
    pub fn error_id(&self) -> Option<&str> {
        self.metadata(ERROR_ID)
    }

    /// The cause, for the log only.
    #[must_use]
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.0.cause.as_deref()
    }

    /// Moves the field pointers below a prefix: `/who` under `/parameters` becomes `/parameters/who`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for field in &mut self.0.fields {
            field.pointer.insert_str(0, prefix);
        }
        self
    }

    /// Logs the cause once, where the error is handled for good.
    pub fn log(&self) {
        if let Some(cause) = &self.0.cause {
            let error_id = self.error_id().unwrap_or_default();
            if self.0.reason == ErrorReason::Internal {
                tracing::error!(error_id, cause = format!("{cause:#}"), "internal error");
            } else {
                tracing::warn!(reason = self.0.reason.name(), cause = format!("{cause:#}"), "{}", self.0.detail);
            }
        }
    }

    /// Reads an error back from a gRPC status. An error that did not come from Runwarden keeps its code and loses its
    /// text: they may hold a driver's or a proxy's text.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let ours = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .and_then(|info| by_name(&info.reason).map(|reason| (reason, info.metadata.clone())));
        let Some((reason, metadata)) = ours else {
            return Self::foreign(status);
        };
        let mut error = Self::new(reason, status.message());
        error.0.metadata = metadata.into_iter().collect();
        error.0.retry_after = details.retry_info().and_then(|r| r.retry_delay).or(error.0.retry_after);
        if let Some(bad) = details.bad_request() {
            error.0.fields = bad
                .field_violations
                .iter()
                .map(|v| FieldError { pointer: v.field.clone(), detail: v.description.clone() })
                .collect();
        }
        error
    }

    /// Reads the answer of a service that was asked on the way to another answer. That it is unavailable, or too slow,
    /// is reported with its name and as temporary: the blame must not depend on which service was asked first.
    #[must_use]
    pub fn from_peer(peer: Service, status: &Status) -> Self {
        let error = Self::from_status(status);
        let peer = peer.name();
        let detail = match error.reason() {
            ErrorReason::DeadlineExceeded => format!("The {peer} service did not answer in time."),
            ErrorReason::Unavailable if error.cause().is_some() => format!("The {peer} service cannot be reached now."),
            ErrorReason::Unavailable => format!("The {peer} service: {}", error.detail()),
            _ => return error,
        };
        let mut told = Self::unavailable(detail);
        told.0.retry_after = error.0.retry_after.or(told.0.retry_after);
        told.0.cause = error.0.cause;
        told
    }

    fn foreign(status: &Status) -> Self {
        let cause = anyhow::anyhow!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::Unavailable => {
                Self::unavailable("A part of Runwarden that is needed cannot be reached now.").with_cause(cause)
            }
            Code::DeadlineExceeded => {
                Self::new(ErrorReason::DeadlineExceeded, "The request took too long to answer.").with_cause(cause)
            }
            Code::Cancelled => Self::new(ErrorReason::DeadlineExceeded, "The request was cancelled.").with_cause(cause),
            Code::ResourceExhausted => {
                Self::new(ErrorReason::RateLimited, "Too many requests at once.").with_cause(cause)
            }
            Code::OutOfRange => Self::new(ErrorReason::PayloadTooLarge, "The message is too large.").with_cause(cause),
            Code::Unauthenticated => {
                Self::new(ErrorReason::Unauthenticated, "Authentication is needed.").with_cause(cause)
            }
            Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Ok => {
                // A broken connection surfaces as `Unknown` with a transport error as its source.
                if is_transport(status) {
                    return Self::unavailable("A part of Runwarden that is needed cannot be reached now.")
                        .with_cause(cause);
                }
                Self::internal(cause)
            }
        }
    }
}

fn is_transport(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::transport::Error>() || error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

impl From<Error> for Status {
    /// The one total mapping to gRPC. The cause is logged here, once, and does not travel.
    fn from(error: Error) -> Self {
        error.log();
        let Inner { reason, detail, fields, retry_after, metadata, cause: _ } = *error.0;
        let mut details =
            ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata.into_iter().collect::<HashMap<_, _>>());
        let mut room = MAX_FIELDS;
        for field in fields {
            let (pointer, description) = (shortened(field.pointer, MAX_POINTER), shortened(field.detail, MAX_WORDS));
            let Some(left) = room.checked_sub(pointer.len() + description.len()) else { break };
            room = left;
            details.add_bad_request_violation(pointer, description);
        }
        if let Some(after) = retry_after {
            details.set_retry_info(Some(after));
        }
        let code = reason.grpc_code();
        let mut status = Self::with_error_details(code, shortened(detail, MAX_WORDS), details);
        if code == Code::Unavailable {
            // A service that says so has already tried what it could: repeating the call at every hop would multiply.
            let pushback = retry_after.map_or(-1, |after| i64::try_from(after.as_millis()).unwrap_or(-1));
            status.metadata_mut().insert(PUSHBACK, pushback.into());
        }
        status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("reason", &self.0.reason.name())
            .field("detail", &self.0.detail)
            .field("fields", &self.0.fields)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| (**cause).as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire_with_its_fields_and_without_its_cause() {
        let error = Error::invalid("/parameters/count", "must be an integer")
            .with_retry_after(Duration::from_secs(7))
            .with_cause(anyhow::anyhow!("secret driver text"));
        let status = Status::from(error);
        assert!(!format!("{status:?}").contains("secret driver text"));
        let back = Error::from_status(&status);
        assert_eq!(back.reason(), ErrorReason::ValidationFailed);
        assert_eq!(back.fields()[0].pointer, "/parameters/count");
        assert_eq!(back.retry_after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_error_with_ever_so_much_to_say_fits_into_headers() {
        for letter in ["a", "ß", "\u{1d54f}", "\u{7}"] {
            let long =
                |n: usize| FieldError { pointer: format!("/{n}{}", letter.repeat(9_999)), detail: letter.repeat(300) };
            let error = Error::new(ErrorReason::PolicyDenied, letter.repeat(9_999));
            let status = Status::from(error.with_fields((0..10_000).map(long)));
            let headers = status.into_http::<()>().into_parts().0.headers;
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 48 * 1024, "{bytes}");
            let back = Error::from_status(&Status::from_header_map(&headers).expect("a status"));
            assert_eq!(back.reason(), ErrorReason::PolicyDenied);
            assert!(back.fields().len() > 4 && back.detail().len() > 1000);
        }
    }

    #[test]
    fn a_service_that_was_asked_on_the_way_is_named_and_comes_back() {
        let told = |status: &Status| {
            let error = Error::from_peer(Service::Policy, status);
            assert!(error.retry_after().is_some() || error.reason() != ErrorReason::Unavailable);
            (error.reason(), error.detail().to_owned())
        };
        let late = "The policy service did not answer in time.".to_owned();
        let too_late = Status::from(Error::new(ErrorReason::DeadlineExceeded, "The request took too long to answer."));
        assert_eq!(told(&too_late), (ErrorReason::Unavailable, late.clone()));
        assert_eq!(told(&Status::deadline_exceeded("x")), (ErrorReason::Unavailable, late));
        let away = "The policy service cannot be reached now.".to_owned();
        assert_eq!(told(&Status::unavailable("tcp connect error")), (ErrorReason::Unavailable, away));
        let busy = Status::from(Error::unavailable("All workers are busy."));
        assert_eq!(told(&busy), (ErrorReason::Unavailable, "The policy service: All workers are busy.".to_owned()));
        let refused = Status::from(Error::denied("No."));
        assert_eq!(told(&refused), (ErrorReason::PermissionDenied, "No.".to_owned()));
    }

    #[test]
    fn a_foreign_status_keeps_no_words() {
        let error = Error::from_status(&Status::internal("password=hunter2"));
        assert_eq!(error.reason(), ErrorReason::Internal);
        assert!(!error.detail().contains("hunter2"));
        assert!(error.error_id().is_some());
    }

    #[test]
    fn every_reason_is_found_by_its_name() {
        for number in 0..64 {
            if let Ok(reason) = ErrorReason::try_from(number) {
                assert_eq!(by_name(reason.name()), Some(reason));
                assert!(reason.http_status() >= 400);
            }
        }
    }
}
