//! Who is calling: bearer token, session or Basic, in AWX's order. Every failure looks the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{StatusCode, header};
use subtle::ConstantTimeEq;

use super::call::{Call, Visitor};
use super::reply::Refusal;
use crate::state::account::Account;

pub(crate) const SESSION: &str = "awx_sessionid";
pub(crate) const CSRF: &str = "csrftoken";

/// Lets the caller in, or says 401 or 403.
pub(crate) fn visitor(call: &Call) -> Result<Visitor, Refusal> {
    identify(call)?.ok_or_else(Refusal::unauthenticated)
}

/// The caller, `None` if nothing was presented.
pub(crate) fn identify(call: &Call) -> Result<Option<Visitor>, Refusal> {
    let authorization = call.header(header::AUTHORIZATION).unwrap_or_default();
    let (scheme, value) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return bearer(call, value.trim()).map(Some);
    }
    if let Some(account) = session(call) {
        if !call.reads() {
            check_csrf(call)?;
        }
        return Ok(Some(Visitor { account }));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        return basic(call, value.trim()).map(Some);
    }
    if scheme.is_empty() { Ok(None) } else { Err(Refusal::unauthenticated()) }
}

fn bearer(call: &Call, value: &str) -> Result<Visitor, Refusal> {
    let state = call.app.read();
    let token = state
        .tokens
        .iter()
        .find(|t| same(&t.value, value))
        .filter(|t| t.expires > state.now())
        .ok_or_else(Refusal::unauthenticated)?;
    let account = open(state.account(token.user)).ok_or_else(Refusal::unauthenticated)?;
    if token.scope == "read" && !call.reads() {
        return Err(Refusal::forbidden());
    }
    Ok(Visitor { account })
}

fn basic(call: &Call, value: &str) -> Result<Visitor, Refusal> {
    let pair = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (name, password) = pair.as_deref().and_then(|p| p.split_once(':')).ok_or_else(Refusal::unauthenticated)?;
    let account = by_password(call, name, password).ok_or_else(Refusal::unauthenticated)?;
    Ok(Visitor { account })
}

/// The account with this name and password.
pub(crate) fn by_password(call: &Call, name: &str, password: &str) -> Option<Account> {
    let state = call.app.read();
    let account = open(state.accounts.iter().find(|a| a.username == name))?;
    same(&account.password, password).then_some(account)
}

/// The account, unless it is locked.
fn open(account: Option<&Account>) -> Option<Account> {
    account.filter(|account| !account.locked).cloned()
}

fn session(call: &Call) -> Option<Account> {
    let key = call.cookie(SESSION)?;
    let state = call.app.read();
    let session = state.sessions.iter().find(|s| same(&s.key, key)).filter(|s| s.expires > state.now())?;
    open(state.account(session.user))
}

/// Unsafe methods of a session need the cookie's token in a header as well.
pub(crate) fn check_csrf(call: &Call) -> Result<(), Refusal> {
    let sent = call.headers.get("x-csrftoken").and_then(|v| v.to_str().ok());
    match (sent, call.cookie(CSRF)) {
        (Some(sent), Some(cookie)) if same(sent, cookie) => Ok(()),
        (None, _) => Err(Refusal::detail(StatusCode::FORBIDDEN, "CSRF Failed: CSRF token missing.")),
        _ => Err(Refusal::detail(
            StatusCode::FORBIDDEN,
            "CSRF Failed: CSRF token from the 'X-Csrftoken' HTTP header incorrect.",
        )),
    }
}

pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}
