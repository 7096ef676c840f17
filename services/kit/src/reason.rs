//! Error reasons: the stable codes of refusals and what each means on every transport.

use std::time::Duration;

pub use runwarden_proto::common::v1::ErrorReason;
use tonic::Code;

/// What a reason means to the transports and to a person. Total: a new reason does not compile until it is placed.
pub trait ReasonExt {
    /// The stable code: the enum's name without its prefix, such as `POLICY_DENIED`.
    fn name(self) -> &'static str;
    /// The gRPC status code.
    fn grpc_code(self) -> Code;
    /// The HTTP status (RFC 9110) that problem+json carries.
    fn http_status(self) -> u16;
    /// A short title for problem+json (RFC 9457).
    fn title(self) -> &'static str;
    /// How long a client should wait before it tries again; `None` when trying again is pointless.
    fn retry_after(self) -> Option<Duration>;
}

impl ReasonExt for ErrorReason {
    fn name(self) -> &'static str {
        let full = self.as_str_name();
        full.strip_prefix("ERROR_REASON_").unwrap_or(full)
    }

    fn grpc_code(self) -> Code {
        use ErrorReason as R;
        match self {
            R::MalformedRequest
            | R::ValidationFailed
            | R::ParametersInvalid
            | R::PolicyInvalid
            | R::UnsupportedMediaType
            | R::NotAcceptable
            | R::IdempotencyKeyReused => Code::InvalidArgument,
            R::Unauthenticated | R::TokenExpired | R::TokenRevoked | R::InvalidClient => Code::Unauthenticated,
            R::PermissionDenied | R::PolicyDenied | R::TenantDisabled => Code::PermissionDenied,
            R::NotFound => Code::NotFound,
            R::AlreadyExists => Code::AlreadyExists,
            R::Conflict | R::IdempotencyInProgress => Code::Aborted,
            R::JobFinished | R::TemplateDrifted | R::TemplateUnsuitable | R::ControllerRefused => {
                Code::FailedPrecondition
            }
            R::PayloadTooLarge => Code::OutOfRange,
            R::RateLimited | R::QueueFull | R::TooManyStreams => Code::ResourceExhausted,
            R::Unavailable | R::AuditUnavailable | R::AuditLogUntrusted | R::ControllerUnreachable => Code::Unavailable,
            R::DeadlineExceeded => Code::DeadlineExceeded,
            R::Internal | R::Unspecified => Code::Internal,
            R::MethodNotAllowed => Code::Unimplemented,
        }
    }

    fn http_status(self) -> u16 {
        use ErrorReason as R;
        match self {
            R::MalformedRequest => 400,
            R::Unauthenticated | R::TokenExpired | R::TokenRevoked | R::InvalidClient => 401,
            R::PermissionDenied | R::PolicyDenied | R::TenantDisabled => 403,
            R::NotFound => 404,
            R::MethodNotAllowed => 405,
            R::NotAcceptable => 406,
            R::AlreadyExists | R::Conflict | R::IdempotencyInProgress | R::JobFinished => 409,
            R::PayloadTooLarge => 413,
            R::UnsupportedMediaType => 415,
            R::ValidationFailed
            | R::ParametersInvalid
            | R::PolicyInvalid
            | R::IdempotencyKeyReused
            | R::TemplateDrifted
            | R::TemplateUnsuitable
            | R::ControllerRefused => 422,
            R::RateLimited | R::QueueFull | R::TooManyStreams => 429,
            R::Internal | R::Unspecified => 500,
            R::Unavailable | R::AuditUnavailable | R::AuditLogUntrusted | R::ControllerUnreachable => 503,
            R::DeadlineExceeded => 504,
        }
    }

    fn title(self) -> &'static str {
        use ErrorReason as R;
        match self {
            R::MalformedRequest => "The request could not be read",
            R::ValidationFailed => "The request is not valid",
            R::Unauthenticated => "Authentication is needed",
            R::TokenExpired => "The token has expired",
            R::TokenRevoked => "The token was revoked",
            R::InvalidClient => "The client could not be authenticated",
            R::PermissionDenied => "Not permitted",
            R::PolicyDenied => "Refused by policy",
            R::NotFound => "Not found",
            R::AlreadyExists => "Already exists",
            R::Conflict => "Conflict",
            R::JobFinished => "The job is already over",
            R::IdempotencyKeyReused => "The idempotency key was used for another request",
            R::IdempotencyInProgress => "The first request with this idempotency key is still in progress",
            R::ParametersInvalid => "The parameters do not fit the template",
            R::TemplateDrifted => "The controller's template has changed",
            R::TemplateUnsuitable => "The controller's template does not support this",
            R::PayloadTooLarge => "The body is too large",
            R::UnsupportedMediaType => "Unsupported media type",
            R::RateLimited => "Too many requests",
            R::Unavailable => "Temporarily unavailable",
            R::AuditUnavailable => "The audit log is unavailable",
            R::AuditLogUntrusted => "The audit log cannot be trusted",
            R::ControllerUnreachable => "The controller cannot be reached",
            R::ControllerRefused => "The controller refused",
            R::PolicyInvalid => "The policy cannot be used",
            R::DeadlineExceeded => "Out of time",
            R::Internal | R::Unspecified => "Internal error",
            R::MethodNotAllowed => "Method not allowed",
            R::NotAcceptable => "Not acceptable",
            R::TenantDisabled => "The tenant is disabled",
            R::QueueFull => "The queue is full",
            R::TooManyStreams => "Too many streams and waits are open",
        }
    }

    fn retry_after(self) -> Option<Duration> {
        use ErrorReason as R;
        match self {
            R::RateLimited | R::IdempotencyInProgress => Some(Duration::from_secs(1)),
            R::Unavailable | R::AuditUnavailable => Some(Duration::from_secs(2)),
            R::TooManyStreams => Some(Duration::from_secs(5)),
            R::QueueFull => Some(Duration::from_secs(10)),
            R::ControllerUnreachable => Some(Duration::from_secs(30)),
            // An operator has to act first.
            R::AuditLogUntrusted => Some(Duration::from_secs(60)),
            R::MalformedRequest
            | R::ValidationFailed
            | R::Unauthenticated
            | R::TokenExpired
            | R::TokenRevoked
            | R::InvalidClient
            | R::PermissionDenied
            | R::PolicyDenied
            | R::NotFound
            | R::AlreadyExists
            | R::Conflict
            | R::JobFinished
            | R::IdempotencyKeyReused
            | R::ParametersInvalid
            | R::TemplateDrifted
            | R::TemplateUnsuitable
            | R::PayloadTooLarge
            | R::UnsupportedMediaType
            | R::ControllerRefused
            | R::PolicyInvalid
            | R::DeadlineExceeded
            | R::Internal
            | R::Unspecified
            | R::MethodNotAllowed
            | R::NotAcceptable
            | R::TenantDisabled => None,
        }
    }
}

/// Finds a reason by its stable code.
#[must_use]
pub fn by_name(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}
