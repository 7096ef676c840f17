//! Why no answer came, in words for people.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;

use super::AwxError;

/// What a request that got no answer says of the controller.
pub(super) fn failed_read(error: &reqwest::Error) -> AwxError {
    if !error.is_connect() {
        return if error.is_timeout() {
            AwxError::Timeout
        } else {
            AwxError::Unreachable { detail: "the connection broke before it answered".into() }
        };
    }
    let detail = if error.is_dns() {
        "its name does not resolve to a usable address".into()
    } else if let Some(tls) = find::<rustls::Error>(error) {
        match tls {
            rustls::Error::InvalidCertificate(why) => format!("its certificate is not trusted: {}", distrust(why)),
            rustls::Error::AlertReceived(_) => "it aborted the TLS handshake".to_owned(),
            rustls::Error::InvalidMessage(_) => "the server there does not speak TLS; is it really https?".to_owned(),
            _ => "TLS failed".to_owned(),
        }
    } else if error.is_timeout() {
        "connecting took too long".into()
    } else {
        match find::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => "the connection was refused".into(),
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                "there is no route to it".into()
            }
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                "the connection was closed while it was set up; is it really https?".to_owned()
            }
            _ => "connecting failed".into(),
        }
    };
    AwxError::Unreachable { detail }
}

/// Why a certificate is not trusted. Names in it are not passed on: they are those of whatever answers there.
fn distrust(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is not for this host name"
        }
        CertificateError::UnknownIssuer => "its issuer is unknown; is ca_pem its authority?",
        CertificateError::Revoked => "it was revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not a server's certificate"
        }
        _ => "it is not valid",
    }
}

/// Finds a cause by its type, also within an [`io::Error`], which hides what it wraps from `source`.
fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    None
}

/// The whole chain of causes, for the log.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
