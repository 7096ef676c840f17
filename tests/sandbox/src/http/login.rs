//! The session login, as browsers and the official CLI do it with user and password.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use time::Duration;

use super::auth::{self, CSRF, SESSION};
use super::body;
use super::call::Call;
use super::reply::{Outcome, Refusal, html, page, redirect};
use crate::state::account::{Session, random_key};

const LIFE: Duration = Duration::minutes(30);

/// The form, with the cookie that posting it needs.
pub(crate) fn form(call: &Call) -> Response {
    with_csrf(call, html(StatusCode::OK, &page("AWX login", "username, password")))
}

/// Gives a caller without one the cookie that unsafe requests of a session need.
pub(crate) fn with_csrf(call: &Call, mut response: Response) -> Response {
    if call.cookie(CSRF).is_none() {
        cookie(&mut response, &format!("{CSRF}={}; Path=/; SameSite=Lax", random_key()));
    }
    response
}

/// Opens a session: 302 to where the form wanted to go next.
pub(crate) fn login(call: &Call) -> Outcome {
    let form = body::form(call);
    let field = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default();
    let in_form = call.cookie(CSRF).is_some_and(|c| auth::same(c, field("csrfmiddlewaretoken")));
    if !in_form && auth::check_csrf(call).is_err() {
        return Err(Refusal::html(StatusCode::FORBIDDEN, "CSRF verification failed"));
    }
    let Some(account) = auth::by_password(call, field("username"), field("password")) else {
        return Err(Refusal::html(StatusCode::UNAUTHORIZED, "Unauthorized"));
    };
    let key = random_key();
    call.app.change(|state| {
        let now = state.now();
        state.sessions.retain(|s| s.expires > now);
        state.sessions.push(Session { key: key.clone(), user: account.id, expires: now + LIFE });
    });
    // Only within this controller: an open redirect would be no feature.
    let next = Some(field("next")).filter(|n| n.starts_with('/') && !n.starts_with("//")).unwrap_or("/");
    let mut response = redirect(StatusCode::FOUND, next);
    cookie(&mut response, &format!("{SESSION}={key}; Path=/; HttpOnly; Max-Age=1800; SameSite=Lax"));
    cookie(&mut response, "userLoggedIn=true; Path=/; Max-Age=1800");
    response.headers_mut().insert("x-api-session-cookie-name", HeaderValue::from_static(SESSION));
    Ok(response)
}

pub(crate) fn logout(call: &Call) -> Response {
    if let Some(key) = call.cookie(SESSION) {
        call.app.change(|state| state.sessions.retain(|s| s.key != key));
    }
    let mut response = redirect(StatusCode::FOUND, &format!("{}/login/", call.path.base));
    cookie(&mut response, &format!("{SESSION}=; Path=/; Max-Age=0"));
    response
}

fn cookie(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
