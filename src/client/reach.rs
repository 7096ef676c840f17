//! Where the API is, and as whom to call it: as the command line says, the environment, or a profile.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use reqwest::{Certificate, Url};
use runwarden_kit::SecretString;
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::profiles::{Profile, Profiles};
use super::prompt;
use crate::api::Api;
use crate::cli::{Place, Reach};
use crate::terminal::plain;
use crate::up::layout;

/// The variable with the client's secret.
const SECRET: &str = "RUNWARDEN_CLIENT_SECRET";
/// The largest file that is read, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// A client that proves itself.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

/// How the API is reached, and as whom: what a profile keeps.
pub(super) struct Entry {
    pub(super) base: String,
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
}

impl Reach {
    /// Obtains a token.
    pub(super) async fn log_in(&self) -> Result<Api, Failure> {
        if self.place.says_where() {
            if let Some(profile) = &self.profile {
                return Err(Failure::usage(format!(
                    "the profile {profile} has an address and a client of its own: leave out --url, --data-dir and \
                     --client-id (or the variables RUNWARDEN_URL, RUNWARDEN_DATA_DIR and RUNWARDEN_CLIENT_ID), or --profile"
                )));
            }
            let api = self.place.entry().await?.log_in(self.place.ca_file.as_deref()).await?;
            return Ok(acting_for(api, self.tenant.as_deref()));
        }
        let profiles = Profiles::open()?;
        let profile = self.chosen(&profiles)?;
        check_address(&profile.url, profile.allow_plain_http || self.place.allow_plain_http)?;
        let entry = Entry {
            base: profile.url.clone(),
            client_id: profile.client_id.clone(),
            client_secret: profile.client_secret.clone(),
        };
        let api = entry.log_in(self.place.ca_file.as_deref().or(profile.ca_file.as_deref())).await?;
        Ok(acting_for(api, self.tenant.as_deref().or(profile.tenant.as_deref())))
    }

    fn chosen<'a>(&self, profiles: &'a Profiles) -> Result<&'a Profile, Failure> {
        let Some(name) = self.profile.as_deref().or(profiles.current()) else {
            return Err(Failure::new(
                Exit::NotAllowed,
                "not logged in: `runwarden login --url URL --client-id ID`, or say where to go and as whom with --url \
                 and --client-id, or with --data-dir",
            ));
        };
        profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = profiles.iter().map(|(name, _)| name).collect();
            let known =
                if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
            Failure::new(Exit::NotAllowed, format!("there is no profile {name}: {known}"))
        })
    }

    /// What to add to another command so that it goes where this one went.
    pub(super) fn repeated(&self) -> String {
        let place = &self.place;
        let mut line = String::new();
        let mut add = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push_str(&format!(" --{flag} {}", quoted(&value)));
            }
        };
        add("profile", self.profile.clone());
        add("data-dir", place.data_dir.as_ref().map(|path| path.display().to_string()));
        add("url", place.url.as_ref().map(Url::to_string));
        add("client-id", place.client_id.clone());
        add("client-secret-file", place.client_secret_file.as_ref().map(|path| path.display().to_string()));
        add("tenant", self.tenant.clone());
        add("ca-file", place.ca_file.as_ref().map(|path| path.display().to_string()));
        if place.allow_plain_http {
            line.push_str(" --allow-plain-http");
        }
        line
    }
}

fn acting_for(api: Api, tenant: Option<&str>) -> Api {
    match tenant {
        Some(tenant) => api.acting_for(tenant),
        None => api,
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

impl Entry {
    /// Obtains a token.
    pub(super) async fn log_in(&self, ca_file: Option<&Path>) -> Result<Api, Failure> {
        let authorities = ca_file.map(authorities).transpose()?.unwrap_or_default();
        let api = Api::log_in(&self.base, authorities, &self.client_id, &self.client_secret).await;
        api.map_err(|error| {
            let is_refused = error.refusal().is_some();
            let failure = Failure::from(error);
            if is_refused {
                failure.hinting(&format!("  {} gave {} no token", self.base, self.client_id))
            } else {
                failure
            }
        })
    }
}

impl Place {
    /// Whether it says where to go, or as whom: then no profile is used.
    fn says_where(&self) -> bool {
        self.url.is_some() || self.data_dir.is_some() || self.client_id.is_some()
    }

    /// Where and who, all of it.
    pub(super) async fn entry(&self) -> Result<Entry, Failure> {
        let base = self.address()?;
        let given = std::env::var(SECRET).ok().filter(|secret| !secret.is_empty());
        let Credentials { client_id, client_secret } = match self.credentials(given)? {
            Some(credentials) => credentials,
            None => {
                let client_id = self.client_id.clone().unwrap_or_default();
                let asked = prompt::secret(&format!("Secret of {}", plain(&client_id))).await?;
                let client_secret = asked.ok_or_else(|| {
                    let how = "--client-secret-file FILE (- for standard input), or the variable";
                    Failure::usage(format!("the secret of {client_id} is needed: {how} {SECRET}"))
                })?;
                Credentials { client_id, client_secret }
            }
        };
        Ok(Entry { base, client_id, client_secret })
    }

    /// Where to go, without a slash at the end.
    pub(super) fn address(&self) -> Result<String, Failure> {
        let base = match (&self.url, &self.data_dir) {
            (Some(url), _) => {
                check_address(url.as_str(), self.allow_plain_http)?;
                url.to_string()
            }
            // It is on this machine, whatever its address looks like.
            (None, Some(folder)) => {
                let path = folder.join(layout::RUNWARDEN_JSON);
                let about = read_json(&path).context("is `runwarden up` running on this data folder?")?;
                let address = about.get("admin_base_url").and_then(Value::as_str);
                address.with_context(|| format!("{} has no admin_base_url", path.display()))?.to_owned()
            }
            (None, None) => return Err(Failure::usage("say where to go: --url, --data-dir or --profile")),
        };
        Ok(base.trim_end_matches('/').to_owned())
    }

    /// As whom: the client that is named, or the first administrator as the data folder has it. None if the secret of
    /// the client that is named is nowhere.
    fn credentials(&self, secret: Option<String>) -> Result<Option<Credentials>, Failure> {
        match (&self.client_id, &self.data_dir) {
            (Some(client_id), _) => {
                let secret = match (&self.client_secret_file, secret) {
                    (Some(path), _) => read(path)?.trim_end_matches(['\n', '\r']).to_owned(),
                    (None, Some(secret)) => secret,
                    (None, None) => return Ok(None),
                };
                Ok(Some(Credentials { client_id: client_id.clone(), client_secret: secret.into() }))
            }
            (None, Some(folder)) => {
                let path = folder.join(layout::BOOTSTRAP_JSON);
                if !path.exists() {
                    let gone = format!("{} is not there (any more): say who you are with --client-id", path.display());
                    return Err(Failure::usage(gone));
                }
                stored(&path).map(Some)
            }
            (None, None) => Err(Failure::usage("say who you are: --client-id, or --profile")),
        }
    }

    /// Where to go, and the client whose credentials are in a file.
    pub(super) fn entry_with(&self, credentials: &Path) -> Result<Entry, Failure> {
        let Credentials { client_id, client_secret } = stored(credentials)?;
        Ok(Entry { base: self.address()?, client_id, client_secret })
    }
}

/// Credentials in a file: JSON with `client_id` and `client_secret`, or `ID:SECRET`.
fn stored(path: &Path) -> Result<Credentials, Failure> {
    let content = read(path)?;
    let pair = match serde_json::from_str::<Value>(&content) {
        Ok(json) => {
            let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
            text("client_id").zip(text("client_secret"))
        }
        Err(_) => content.trim().split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())),
    };
    let whole = pair.filter(|(id, secret)| !id.is_empty() && !secret.is_empty() && !id.contains(char::is_whitespace));
    let (client_id, secret) =
        whole.with_context(|| format!("{} does not hold client_id and client_secret, or ID:SECRET", path.display()))?;
    Ok(Credentials { client_id, client_secret: secret.into() })
}

/// A secret leaves this machine in clear only with consent.
fn check_address(url: &str, allow_plain_http: bool) -> Result<(), Failure> {
    let url: Url = url.parse().map_err(|_| Failure::usage(format!("{} is not an address", plain(url))))?;
    if url.scheme() == "http" && !is_here(&url) && !allow_plain_http {
        return Err(Failure::usage(format!(
            "{url} would carry the client's secret in clear: use https://, or say --allow-plain-http"
        )));
    }
    Ok(())
}

/// Whether nothing leaves this machine on the way to an address.
fn is_here(url: &Url) -> bool {
    match url.host_str().unwrap_or_default() {
        "localhost" => true,
        host => host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
    }
}

fn authorities(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = read(path)?;
    let all = Certificate::from_pem_bundle(pem.as_bytes()).with_context(|| path.display().to_string())?;
    anyhow::ensure!(!all.is_empty(), "{} holds no certificate", path.display());
    Ok(all)
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    serde_json::from_str(&read(path)?).with_context(|| format!("{} is not JSON", path.display()))
}

/// A file's text; `-` is standard input.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_FILE).read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text));
    read.with_context(|| path.display().to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_kit::ExposeSecret as _;

    fn reach(folder: &Path) -> Place {
        Place { data_dir: Some(folder.to_owned()), ..Place::default() }
    }

    fn at(url: &str) -> Place {
        Place { url: Some(url.parse().unwrap()), ..Place::default() }
    }

    fn who(place: &Place, secret: Option<&str>) -> (String, String) {
        let found = place.credentials(secret.map(str::to_owned)).unwrap_or_else(|failure| panic!("{failure:?}"));
        let found = found.unwrap();
        (found.client_id, found.client_secret.expose_secret().to_owned())
    }

    #[track_caller]
    fn ends<T>(outcome: Result<T, Failure>, exit: Exit) {
        assert_eq!(outcome.err().map(|failure| failure.exit), Some(exit));
    }

    #[track_caller]
    fn is_usage<T>(outcome: Result<T, Failure>) {
        ends(outcome, Exit::Usage);
    }

    #[test]
    fn the_data_folder_tells_the_address_and_at_first_who_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let reach = reach(folder.path());
        ends(reach.address(), Exit::Broken);
        std::fs::write(folder.path().join("runwarden.json"), r#"{"admin_base_url":"http://10.0.0.7:8081"}"#).unwrap();
        assert_eq!(reach.address().unwrap(), "http://10.0.0.7:8081");
        is_usage(reach.credentials(None));
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        assert_eq!(who(&reach, None), ("c".to_owned(), "s".to_owned()));
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c"}"#).unwrap();
        ends(reach.credentials(None), Exit::Broken);
    }

    #[test]
    fn an_address_that_is_given_wins_and_a_client_that_is_named_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        let mut reach = Place { url: Some("https://a.example/".parse().unwrap()), ..reach(folder.path()) };
        assert_eq!(reach.address().unwrap(), "https://a.example");
        reach.client_id = Some("mine".to_owned());
        assert!(reach.credentials(None).unwrap().is_none(), "to be asked for");
        assert_eq!(who(&reach, Some("from the variable")), ("mine".to_owned(), "from the variable".to_owned()));
        let file = folder.path().join("secret");
        std::fs::write(&file, "from the file\n").unwrap();
        reach.client_secret_file = Some(file);
        assert_eq!(who(&reach, Some("from the variable")).1, "from the file");
        is_usage(at("https://a.example").credentials(None));
    }

    #[test]
    fn a_secret_leaves_this_machine_in_clear_only_with_consent() {
        for here in ["http://127.0.0.1:8081", "http://[::1]:8081/", "http://localhost:8081", "https://a.example"] {
            assert_eq!(at(here).address().unwrap(), here.trim_end_matches('/'));
        }
        for away in ["http://a.example", "http://10.0.0.7:8081", "http://localhost.example", "http://0.0.0.0"] {
            is_usage(at(away).address());
            let consented = Place { allow_plain_http: true, ..at(away) };
            assert_eq!(consented.address().unwrap(), away);
        }
    }

    #[test]
    fn a_file_with_credentials_is_what_the_api_answered_or_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        for good in [r#"{"client_id": "c", "client_secret": "s:1", "name": "ci"}"#, "c:s:1\n"] {
            std::fs::write(&file, good).unwrap();
            let entry = at("https://a.example").entry_with(&file).unwrap();
            assert_eq!((entry.client_id.as_str(), entry.client_secret.expose_secret()), ("c", "s:1"));
        }
        for bad in ["", "{}", "c", ":s", "c:", "two words:s"] {
            std::fs::write(&file, bad).unwrap();
            ends(at("https://a.example").entry_with(&file), Exit::Broken);
        }
    }

    #[test]
    fn what_is_shown_to_be_repeated_can_be_pasted() {
        let reach =
            Reach { profile: Some("prod".to_owned()), place: Place::default(), tenant: Some("acme".to_owned()) };
        assert_eq!(reach.repeated(), " --profile prod --tenant acme");
        let reach =
            Reach { place: Place { data_dir: Some("my data's".into()), ..Place::default() }, ..Reach::default() };
        assert_eq!(reach.repeated(), " --data-dir 'my data'\\''s'");
    }

    #[test]
    fn a_file_without_certificates_is_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(authorities(&file).is_err());
        std::fs::write(&file, "hello").unwrap();
        assert!(authorities(&file).is_err());
    }
}
