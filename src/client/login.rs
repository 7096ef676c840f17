//! `runwarden login`, `logout` and `profiles`.

use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::profiles::{Profile, Profiles};
use super::reach::Endpoint;
use super::render;
use super::target::variable;
use crate::cli::{Login, Logout, Profiles as Arguments, ProfilesCommand};
use crate::terminal::{document, plain, print};

/// Checks credentials and keeps them.
pub(super) async fn login(login: &Login) -> Result<Exit, Failure> {
    // Before anything is sent: where it cannot be kept nobody need be asked for a secret.
    let mut profiles = Profiles::open()?;
    let endpoint = login.destination.endpoint(login.credentials.as_deref()).await?;
    let ca_file = login.destination.ca_file.as_ref().map(std::fs::canonicalize).transpose()?;
    let api = endpoint.log_in(ca_file.as_deref()).await?;
    let Endpoint { base, client_id, client_secret, allow_plain_http } = endpoint;
    let profile =
        Profile { url: base, client_id, client_secret, tenant: login.tenant.clone(), ca_file, allow_plain_http };
    let said = about(&login.profile, &profile, true);
    let text = format!(
        "logged in to {} as {} (profile {} in {})\nit may: {}\n",
        plain(&profile.url),
        plain(&profile.client_id),
        login.profile,
        profiles.path().display(),
        plain(&api.scope()),
    );
    profiles.put(&login.profile, profile);
    profiles.save()?;
    answer(login.show.is_json(), &said, &text)
}

/// Forgets credentials.
pub(super) fn logout(logout: &Logout) -> Result<Exit, Failure> {
    let mut profiles = Profiles::open()?;
    if logout.all {
        // The variable is in force for every command: it chooses nothing here.
        profiles.clear();
        profiles.save()?;
        return answer(false, &Value::Null, "removed all profiles\n");
    }
    let named = logout.profile.clone().or_else(|| variable("RUNWARDEN_PROFILE"));
    let name = named.or_else(|| profiles.current().map(str::to_owned));
    let name = name.ok_or_else(|| Failure::new(Exit::NotAllowed, "not logged in: there is no current profile"))?;
    if !profiles.remove(&name) {
        return Err(Failure::new(Exit::NotAllowed, format!("there is no profile {}", plain(&name))));
    }
    profiles.save()?;
    let now = profiles.current().map_or(String::new(), |current| format!("; now in use: {current}"));
    let text =
        format!("removed profile {name}{now}\nits client can still log in elsewhere; an administrator disables it\n");
    answer(false, &Value::Null, &text)
}

/// Lists profiles or chooses one.
pub(super) fn profiles(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut profiles = Profiles::open()?;
    let show = match &arguments.command {
        Some(ProfilesCommand::Use { profile }) => {
            if !profiles.choose(profile) {
                return Err(Failure::new(Exit::NotAllowed, format!("there is no profile {profile}")));
            }
            profiles.save()?;
            return answer(false, &Value::Null, &format!("now in use: {profile}\n"));
        }
        Some(ProfilesCommand::List { show }) => show,
        None => &arguments.show,
    };
    let current = profiles.current();
    let items: Vec<Value> =
        profiles.iter().map(|(name, profile)| about(name, profile, current == Some(name))).collect();
    let text = render::profiles(&items);
    answer(show.is_json(), &json!({"items": items}), &text)
}

/// A profile without its secret.
fn about(name: &str, profile: &Profile, is_current: bool) -> Value {
    json!({
        "name": name, "current": is_current, "url": profile.url, "client_id": profile.client_id,
        "tenant": profile.tenant,
    })
}

fn answer(as_json: bool, answer: &Value, text: &str) -> Result<Exit, Failure> {
    let text = if as_json { document(answer) } else { text.to_owned() };
    print(text.as_bytes())?;
    Ok(Exit::Well)
}
