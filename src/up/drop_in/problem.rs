//! Why it could not be made.

use runwarden_kit::mesh::Service;
use runwarden_kit::{Error, ErrorReason};

/// Why it could not be made.
#[derive(Debug)]
pub(super) enum Problem {
    /// It can be made later.
    Later(anyhow::Error),
    /// Somebody has to do something.
    Wrong(anyhow::Error),
    /// AAP does not take the password. Trying it again and again would lock the account.
    Unwelcome(anyhow::Error),
    /// The first administrator's credentials are gone, so that nothing can be compared.
    NoAdministrator,
}

pub(super) type Made<T = ()> = Result<T, Problem>;

/// What was refused, and what one may do.
pub(super) fn because(what: impl Into<String>) -> impl FnOnce(Error) -> Problem {
    let what = what.into();
    move |error| {
        let fields = error.fields().iter().map(|field| format!(" {} {}", field.pointer, field.detail));
        let told = anyhow::anyhow!("{what}: {}{}", error.detail(), fields.collect::<String>());
        let away = error.retry_after().is_some() || error.reason() == ErrorReason::ControllerUnreachable;
        if away { Problem::Later(told) } else { Problem::Wrong(told) }
    }
}

pub(super) fn from(service: Service) -> impl Fn(tonic::Status) -> Error {
    move |status| Error::from_peer(service, &status)
}

/// `None` for what is not there.
pub(super) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.reason() == ErrorReason::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
