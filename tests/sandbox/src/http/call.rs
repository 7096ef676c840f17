//! One request with all that its handlers ask about.

use std::sync::Arc;

use axum::body::Bytes;
use http::{HeaderMap, Method, header};
use time::OffsetDateTime;

use super::path::ApiPath;
use super::reply::Refusal;
use crate::app::App;
use crate::state::account::Account;

/// A request to the API.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) method: Method,
    /// As it was sent.
    pub(crate) raw_path: String,
    pub(crate) raw_query: String,
    pub(crate) path: ApiPath,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// By the controller's clock.
    pub(crate) arrived: OffsetDateTime,
    pub(crate) request_id: String,
    /// Prompts for variables and skip tags are taken as switched off, as a fault on order would have it.
    pub(crate) unprompted: bool,
}

/// What form of answer the caller takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    Json,
    Html,
    /// Nothing was said, or `*/*`: most views answer JSON then, a few a page.
    Anything,
    Text,
    Other,
}

impl Call {
    /// `/api/v2` or `/api/controller/v2`, without a final slash.
    pub(crate) fn root(&self) -> String {
        format!("{}/v2", self.path.base)
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v)
    }

    pub(crate) fn reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    pub(crate) fn wants(&self) -> Wants {
        let Some(accept) = self.header(header::ACCEPT) else { return Wants::Anything };
        let kinds: Vec<&str> = accept.split(',').map(|k| k.split(';').next().unwrap_or(k).trim()).collect();
        if kinds.contains(&"application/json") {
            Wants::Json
        } else if kinds.contains(&"text/html") {
            Wants::Html
        } else if kinds.contains(&"text/plain") {
            Wants::Text
        } else if kinds.iter().any(|k| matches!(*k, "*/*" | "application/*" | "")) {
            Wants::Anything
        } else {
            Wants::Other
        }
    }

    /// Refuses callers who take neither JSON nor a page.
    pub(crate) fn acceptable(&self) -> Result<(), Refusal> {
        match self.wants() {
            Wants::Json | Wants::Html | Wants::Anything => Ok(()),
            Wants::Text | Wants::Other => Err(Refusal::not_acceptable()),
        }
    }
}

/// Who a request was let in as.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) account: Account,
}
