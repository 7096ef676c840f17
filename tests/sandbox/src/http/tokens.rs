//! Users and their personal access tokens.

use http::StatusCode;
use serde_json::{Value, json};

use super::body;
use super::call::{Call, Visitor};
use super::listing;
use super::records::ROW;
use super::reply::{Outcome, Refusal, empty, json_answer, ok};
use super::rows::stamp;
use crate::state::State;
use crate::state::account::{Account, Token};

fn row(state: &State, token: &Token, root: &str, value: &str) -> Value {
    let name = state.account(token.user).map(|a| a.username.clone()).unwrap_or_default();
    json!({
        "id": token.id, "type": "o_auth2_access_token", "url": format!("{root}/tokens/{}/", token.id),
        "related": {"user": format!("{root}/users/{}/", token.user)},
        "summary_fields": {"user": {"id": token.user, "username": name, "first_name": "", "last_name": ""}},
        "created": stamp(token.created), "modified": stamp(token.created), "description": token.description, "user": token.user,
        "token": value, "refresh_token": null, "application": null, "expires": stamp(token.expires), "scope": token.scope,
    })
}

/// Own tokens, all of them for superusers. The token itself is never shown again.
pub(crate) fn list(call: &Call, visitor: &Visitor, of: Option<u64>) -> Outcome {
    let state = call.app.read();
    let seen = state
        .tokens
        .iter()
        .filter(|t| {
            of.is_none_or(|id| id == t.user) && (visitor.account.is_superuser() || t.user == visitor.account.id)
        })
        .map(|t| row(&state, t, &call.root(), "************"));
    let page = listing::select(call, &ROW, seen, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

fn find<'s>(state: &'s State, visitor: &Visitor, id: u64) -> Result<&'s Token, Refusal> {
    let token = state.tokens.iter().find(|t| t.id == id).ok_or_else(|| Refusal::missing("OAuth2AccessToken"))?;
    let own = visitor.account.is_superuser() || token.user == visitor.account.id;
    if own { Ok(token) } else { Err(Refusal::forbidden()) }
}

pub(crate) fn detail(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let token = find(&state, visitor, id)?;
    Ok(ok(&row(&state, token, &call.root(), "************")))
}

pub(crate) async fn delete(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    call.app.change(|state| {
        find(state, visitor, id)?;
        state.tokens.retain(|t| t.id != id);
        Ok(())
    })?;
    call.app.durable().await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Makes a token, for oneself unless one is a superuser.
pub(crate) async fn create(call: &Call, visitor: &Visitor, owner: u64) -> Outcome {
    let sent = body::object(call)?;
    if owner != visitor.account.id && !visitor.account.is_superuser() {
        return Err(Refusal::forbidden());
    }
    let scope = match sent.get("scope") {
        None | Some(Value::Null) => "write",
        Some(Value::String(s)) if s == "read" || s == "write" => s.as_str(),
        Some(other) => {
            let text = format!(
                "Must be a simple space-separated string with allowed scopes ['read', 'write'], not {}.",
                crate::python::text(other)
            );
            return Err(Refusal::json(StatusCode::BAD_REQUEST, json!({"scope": [text]})));
        }
    };
    let made = call.app.change(|state| {
        let description = sent.get("description").and_then(Value::as_str).unwrap_or_default();
        let token = state.make_token(owner, description, scope);
        row(state, &token, &call.root(), &token.value)
    });
    call.app.durable().await;
    Ok(json_answer(StatusCode::CREATED, &made))
}

fn user(account: &Account, root: &str) -> Value {
    let url = format!("{root}/users/{}/", account.id);
    json!({
        "id": account.id, "type": "user", "url": url, "related": {"tokens": format!("{url}tokens/"), "personal_tokens": format!("{url}personal_tokens/")},
        "summary_fields": {"user_capabilities": {"edit": false, "delete": false}}, "created": "2024-07-02T08:00:00.000000Z", "modified": null,
        "username": account.username, "first_name": "", "last_name": "", "email": "", "is_superuser": account.is_superuser(),
        "is_system_auditor": false, "ldap_dn": "", "last_login": null, "external_account": null, "auth": [],
    })
}

/// `me/`, `users/`: everybody sees themselves, superusers everybody.
pub(crate) fn users(call: &Call, visitor: &Visitor, only_me: bool) -> Outcome {
    let state = call.app.read();
    let seen = state
        .accounts
        .iter()
        .filter(|a| a.id == visitor.account.id || (!only_me && visitor.account.is_superuser()))
        .map(|a| user(a, &call.root()));
    let page = listing::select(call, &ROW, seen, "id")?;
    let shown = page.rows.clone();
    Ok(page.answer(call, shown))
}

pub(crate) fn user_detail(call: &Call, visitor: &Visitor, id: u64) -> Outcome {
    let state = call.app.read();
    let account = state.account(id).ok_or_else(|| Refusal::missing("User"))?;
    if account.id != visitor.account.id && !visitor.account.is_superuser() {
        return Err(Refusal::forbidden());
    }
    Ok(ok(&user(account, &call.root())))
}
