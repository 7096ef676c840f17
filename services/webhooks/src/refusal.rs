//! Why a request to a hook is refused.

use std::borrow::Cow;

/// What was wrong, as records and metrics name it. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The method is not one this sender uses.
    Method,
    /// The body is larger than [`MAX_BODY`](crate::MAX_BODY).
    BodyTooLarge,
    /// A header that decides something is there twice, or is not text.
    HeaderAmbiguous,
    /// There is no signature.
    SignatureMissing,
    /// The signature cannot be one of this sender.
    SignatureMalformed,
    /// No valid key makes this signature of this body.
    SignatureMismatch,
    /// There is no timestamp, though one is signed.
    TimestampMissing,
    /// The timestamp is not a number of seconds.
    TimestampMalformed,
    /// It was signed too long ago: a replay, or a clock that is wrong.
    TimestampTooOld,
    /// It was signed in the future.
    TimestampInFuture,
    /// Headers say what happened, and the signature does not cover them.
    AttributesUnsigned,
    /// There is no token or password.
    CredentialMissing,
    /// The token or password is wrong.
    CredentialMismatch,
    /// There is no access token of a service account, or the edge could not verify it.
    CallerMissing,
    /// This service account may not use this hook.
    CallerNotAllowed,
    /// The hook has no valid key, so that nothing can be proven.
    NoKey,
    /// The body is of a type that this sender does not send.
    ContentType,
    /// The body is not what its type says, or lacks what this kind always has.
    BodyMalformed,
    /// The sender's own id of the delivery is missing.
    IdMissing,
    /// The id is too long, or has characters that no id has.
    IdMalformed,
    /// A batch of more events than are taken at once.
    TooManyEvents,
    /// An address in the body is not at the configured host.
    CallbackAddress,
    /// Another site asks whether it may send here, and may not.
    OriginNotAllowed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Method,
        Self::BodyTooLarge,
        Self::HeaderAmbiguous,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::TimestampMissing,
        Self::TimestampMalformed,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::AttributesUnsigned,
        Self::CredentialMissing,
        Self::CredentialMismatch,
        Self::CallerMissing,
        Self::CallerNotAllowed,
        Self::NoKey,
        Self::ContentType,
        Self::BodyMalformed,
        Self::IdMissing,
        Self::IdMalformed,
        Self::TooManyEvents,
        Self::CallbackAddress,
        Self::OriginNotAllowed,
    ];

    /// Its stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::BodyTooLarge => "body_too_large",
            Self::HeaderAmbiguous => "header_ambiguous",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::TimestampMissing => "timestamp_missing",
            Self::TimestampMalformed => "timestamp_malformed",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::AttributesUnsigned => "attributes_unsigned",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialMismatch => "credential_mismatch",
            Self::CallerMissing => "caller_missing",
            Self::CallerNotAllowed => "caller_not_allowed",
            Self::NoKey => "no_key",
            Self::ContentType => "content_type",
            Self::BodyMalformed => "body_malformed",
            Self::IdMissing => "id_missing",
            Self::IdMalformed => "id_malformed",
            Self::TooManyEvents => "too_many_events",
            Self::CallbackAddress => "callback_address",
            Self::OriginNotAllowed => "origin_not_allowed",
        }
    }

    /// Whether the sender has *not* proven itself: such requests come from anybody, and are counted rather than kept
    /// one by one.
    pub const fn is_unproven(self) -> bool {
        match self {
            Self::Method
            | Self::BodyTooLarge
            | Self::HeaderAmbiguous
            | Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::SignatureMismatch
            | Self::TimestampMissing
            | Self::TimestampMalformed
            | Self::TimestampTooOld
            | Self::TimestampInFuture
            | Self::AttributesUnsigned
            | Self::CredentialMissing
            | Self::CredentialMismatch
            | Self::CallerMissing
            | Self::CallerNotAllowed
            | Self::NoKey
            | Self::OriginNotAllowed => true,
            Self::ContentType
            | Self::BodyMalformed
            | Self::IdMissing
            | Self::IdMalformed
            | Self::TooManyEvents
            | Self::CallbackAddress => false,
        }
    }

    /// The HTTP status that says so.
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::BodyTooLarge | Self::TooManyEvents => 413,
            Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::SignatureMismatch
            | Self::TimestampMissing
            | Self::TimestampMalformed
            | Self::TimestampTooOld
            | Self::TimestampInFuture
            | Self::AttributesUnsigned
            | Self::CredentialMissing
            | Self::CredentialMismatch
            | Self::CallerMissing
            | Self::NoKey => 401,
            Self::CallerNotAllowed | Self::OriginNotAllowed => 403,
            Self::ContentType => 415,
            Self::HeaderAmbiguous
            | Self::BodyMalformed
            | Self::IdMissing
            | Self::IdMalformed
            | Self::CallbackAddress => 400,
        }
    }
}

/// A request that is refused: nothing of it is launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// One sentence for the person who looks why. It holds nothing secret and nothing that the sender wrote.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
