//! Where the API is, and as whom to call it: as the command line says, the environment, or a profile.

use std::path::Path;

use anyhow::Context as _;
use reqwest::{Certificate, Url};
use runwarden_kit::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::profiles::{Profile, Profiles};
use super::target::{Address, Client, Target, address, variable};
use super::{input, prompt};
use crate::api::Api;
use crate::cli::{Destination, Reach};
use crate::terminal::plain;
use crate::up::layout;

/// The variable with the client's secret.
const SECRET: &str = "RUNWARDEN_CLIENT_SECRET";

/// A client that proves itself.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

/// How the API is reached, and as whom: what a profile keeps.
pub(super) struct Endpoint {
    /// The address, without a slash at its end.
    pub(super) base: String,
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
    /// Whether the address may be an http:// one that looks as if it were on another machine.
    pub(super) allow_plain_http: bool,
}

impl Reach {
    /// Obtains a token.
    pub(super) async fn log_in(&self) -> Result<Api, Failure> {
        let destination = &self.destination;
        let (endpoint, ca_file, tenant) = match self.target()? {
            Target::Profile(name) => {
                let profiles = Profiles::open()?;
                let profile = chosen(name.as_deref(), &profiles)?.clone();
                let allow_plain_http = profile.allow_plain_http || destination.allow_plain_http;
                check_address(&profile.url, allow_plain_http)?;
                let Profile { url: base, client_id, client_secret, tenant, ca_file, .. } = profile;
                (Endpoint { base, client_id, client_secret, allow_plain_http }, ca_file, tenant)
            }
            Target::Url(url, client) => {
                (Endpoint::at(Address::Url(url), Some(&client), destination).await?, None, None)
            }
            Target::Folder(folder, client) => {
                (Endpoint::at(Address::Folder(folder), client.as_ref(), destination).await?, None, None)
            }
        };
        let api = endpoint.log_in(destination.ca_file.as_deref().or(ca_file.as_deref())).await?;
        Ok(match self.tenant.as_deref().or(tenant.as_deref()) {
            Some(tenant) => api.acting_for(tenant),
            None => api,
        })
    }

    fn target(&self) -> Result<Target, Failure> {
        Target::of(self.profile.as_deref(), &self.destination, variable)
    }

    /// What to add to another command so that it goes where this one went.
    pub(super) fn repeated(&self) -> String {
        let mut line = self.target().map(|target| target.repeated()).unwrap_or_default();
        if let Some(tenant) = &self.tenant {
            line.push_str(&format!(" --tenant {}", quoted(tenant)));
        }
        if let Some(file) = &self.destination.ca_file {
            line.push_str(&format!(" --ca-file {}", quoted(&file.display().to_string())));
        }
        if self.destination.allow_plain_http {
            line.push_str(" --allow-plain-http");
        }
        line
    }
}

fn chosen<'a>(name: Option<&str>, profiles: &'a Profiles) -> Result<&'a Profile, Failure> {
    let Some(name) = name.or(profiles.current()) else {
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

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

impl Endpoint {
    /// How to reach an address as a client, or, on a data folder without one, as its first administrator.
    async fn at(address: Address, client: Option<&Client>, destination: &Destination) -> Result<Self, Failure> {
        let base = base(&address, destination.allow_plain_http).await?;
        let credentials = match (client, &address) {
            (Some(client), _) => secret_of(client, variable(SECRET)).await?,
            (None, Address::Folder(folder)) => administrator(folder).await?,
            // A client for an address is asked for where flags and variables are put together.
            (None, Address::Url(_)) => return Err(Failure::usage("say who you are: --client-id")),
        };
        // What a folder says is on this machine, whatever its address looks like.
        let allow_plain_http = destination.allow_plain_http || matches!(address, Address::Folder(_));
        let Credentials { client_id, client_secret } = credentials;
        Ok(Self { base, client_id, client_secret, allow_plain_http })
    }

    /// Obtains a token.
    pub(super) async fn log_in(&self, ca_file: Option<&Path>) -> Result<Api, Failure> {
        let authorities = match ca_file {
            Some(file) => authorities(file).await?,
            None => Vec::new(),
        };
        let api = Api::log_in(&self.base, authorities, &self.client_id, &self.client_secret).await;
        api.map_err(|error| {
            let is_refused = error.refusal().is_some();
            let failure = Failure::from(error);
            if is_refused {
                failure.hinting(&format!("  {} did not give {} a token", self.base, self.client_id))
            } else {
                failure
            }
        })
    }
}

impl Destination {
    /// Where to go and as whom, for a login: with the credentials in a file, or as flags and variables say.
    pub(super) async fn endpoint(&self, credentials: Option<&Path>) -> Result<Endpoint, Failure> {
        // What a login makes is a profile: the variable with its name says nothing about where to go.
        let variable = |name: &str| if name == "RUNWARDEN_PROFILE" { None } else { variable(name) };
        let nowhere = || Failure::usage("say where to log in: --url, or --data-dir");
        if let Some(file) = credentials {
            let address = address(self, self.url.is_some(), &variable)?.ok_or_else(nowhere)?;
            let Credentials { client_id, client_secret } = stored(file).await?;
            let base = base(&address, self.allow_plain_http).await?;
            let allow_plain_http = self.allow_plain_http || matches!(address, Address::Folder(_));
            return Ok(Endpoint { base, client_id, client_secret, allow_plain_http });
        }
        match Target::of(None, self, variable)? {
            Target::Profile(_) => Err(nowhere()),
            Target::Url(url, client) => Endpoint::at(Address::Url(url), Some(&client), self).await,
            Target::Folder(folder, client) => Endpoint::at(Address::Folder(folder), client.as_ref(), self).await,
        }
    }
}

/// Where an address is, without a slash at the end.
async fn base(address: &Address, allow_plain_http: bool) -> Result<String, Failure> {
    let base = match address {
        Address::Url(url) => {
            check_address(url.as_str(), allow_plain_http)?;
            url.to_string()
        }
        Address::Folder(folder) => {
            let path = folder.join(layout::RUNWARDEN_JSON);
            let about = read_json(&path).await.context("is `runwarden up` running on this data folder?")?;
            let address = about.get("admin_base_url").and_then(Value::as_str);
            address.with_context(|| format!("{} has no admin_base_url", path.display()))?.to_owned()
        }
    };
    Ok(base.trim_end_matches('/').to_owned())
}

/// A client and its secret: from its file, from the variable, or from the person.
async fn secret_of(client: &Client, given: Option<String>) -> Result<Credentials, Failure> {
    let client_id = client.id.clone();
    let client_secret = match (&client.secret_file, given) {
        (Some(path), _) => {
            let text = input::read(path).await?;
            let secret = text.expose_secret().trim_end_matches(['\n', '\r']);
            if secret.is_empty() {
                return Err(Failure::usage(format!("the secret of {client_id} is empty in {}", path.display())));
            }
            secret.to_owned().into()
        }
        (None, Some(secret)) => secret.into(),
        (None, None) => {
            let asked = prompt::secret(&format!("Secret of {}", plain(&client_id))).await?;
            asked.ok_or_else(|| {
                let how = "--client-secret-file FILE (- for standard input), or the variable";
                Failure::usage(format!("the secret of {client_id} is needed: {how} {SECRET}"))
            })?
        }
    };
    Ok(Credentials { client_id, client_secret })
}

/// The first administrator of the system on a data folder.
async fn administrator(folder: &Path) -> Result<Credentials, Failure> {
    let path = folder.join(layout::BOOTSTRAP_JSON);
    if !path.exists() {
        let gone = format!("{} is not there (any more): say who you are with --client-id", path.display());
        return Err(Failure::usage(gone));
    }
    stored(&path).await
}

/// Credentials in a file: JSON with `client_id` and `client_secret`, or `ID:SECRET`.
async fn stored(path: &Path) -> Result<Credentials, Failure> {
    let text = input::read(path).await?;
    let content = text.expose_secret();
    let pair = match serde_json::from_str::<Value>(content) {
        Ok(json) => {
            let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
            text("client_id").zip(text("client_secret"))
        }
        Err(_) => content.trim().split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned())),
    };
    let whole = pair.filter(|(id, secret)| !id.is_empty() && !secret.is_empty() && !id.contains(char::is_whitespace));
    let (client_id, secret) = whole
        .with_context(|| format!("{} contains neither client_id and client_secret nor ID:SECRET", path.display()))?;
    Ok(Credentials { client_id, client_secret: secret.into() })
}

/// A secret leaves this machine in clear only with consent.
fn check_address(url: &str, allow_plain_http: bool) -> Result<(), Failure> {
    let url: Url = url.parse().map_err(|_| Failure::usage(format!("{} is not an address", plain(url))))?;
    if url.scheme() == "http" && !is_here(&url) && !allow_plain_http {
        return Err(Failure::usage(format!(
            "{url} would carry the client's secret in clear text: use https://, or add --allow-plain-http"
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

async fn authorities(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = input::read(path).await?;
    let all =
        Certificate::from_pem_bundle(pem.expose_secret().as_bytes()).with_context(|| path.display().to_string())?;
    anyhow::ensure!(!all.is_empty(), "{} contains no certificate", path.display());
    Ok(all)
}

async fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = input::read(path).await?;
    serde_json::from_str(text.expose_secret()).with_context(|| format!("{} is not JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> Address {
        Address::Url(url.parse().unwrap())
    }

    fn client(secret_file: Option<&Path>) -> Client {
        Client { id: "mine".to_owned(), secret_file: secret_file.map(Path::to_owned) }
    }

    #[track_caller]
    fn ends<T>(outcome: Result<T, Failure>, exit: Exit) {
        assert_eq!(outcome.err().map(|failure| failure.exit), Some(exit));
    }

    #[tokio::test]
    async fn the_data_folder_tells_the_address_and_at_first_who_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Folder(folder.path().to_owned());
        ends(base(&address, false).await, Exit::Broken);
        std::fs::write(folder.path().join("runwarden.json"), r#"{"admin_base_url":"http://10.0.0.7:8081/"}"#).unwrap();
        assert_eq!(base(&address, false).await.unwrap(), "http://10.0.0.7:8081");
        ends(administrator(folder.path()).await, Exit::Usage);
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        let endpoint = Endpoint::at(address, None, &Destination::default()).await.unwrap();
        assert_eq!((endpoint.client_id.as_str(), endpoint.client_secret.expose_secret()), ("c", "s"));
        assert!(endpoint.allow_plain_http, "it is on this machine");
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c"}"#).unwrap();
        ends(administrator(folder.path()).await, Exit::Broken);
    }

    #[tokio::test]
    async fn a_secret_comes_from_its_file_or_the_variable_and_is_never_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let given = || Some("from the variable".to_owned());
        std::fs::write(&file, "from the file\n").unwrap();
        for (client, want) in [(client(Some(&file)), "from the file"), (client(None), "from the variable")] {
            let found = secret_of(&client, given()).await.unwrap();
            assert_eq!((found.client_id.as_str(), found.client_secret.expose_secret()), ("mine", want));
        }
        std::fs::write(&file, "\n").unwrap();
        ends(secret_of(&client(Some(&file)), given()).await, Exit::Usage);
    }

    #[tokio::test]
    async fn a_secret_leaves_this_machine_in_clear_only_with_consent() {
        for here in ["http://127.0.0.1:8081", "http://[::1]:8081/", "http://localhost:8081", "https://a.example"] {
            assert_eq!(base(&url(here), false).await.unwrap(), here.trim_end_matches('/'));
        }
        for away in ["http://a.example", "http://10.0.0.7:8081", "http://localhost.example", "http://0.0.0.0"] {
            ends(base(&url(away), false).await, Exit::Usage);
            assert_eq!(base(&url(away), true).await.unwrap(), away);
        }
    }

    #[tokio::test]
    async fn a_file_with_credentials_is_what_the_api_answered_or_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        let destination = Destination { url: Some("https://a.example".parse().unwrap()), ..Destination::default() };
        for good in [r#"{"client_id": "c", "client_secret": "s:1", "name": "ci"}"#, "c:s:1\n"] {
            std::fs::write(&file, good).unwrap();
            let endpoint = destination.endpoint(Some(&file)).await.unwrap();
            assert_eq!((endpoint.client_id.as_str(), endpoint.client_secret.expose_secret()), ("c", "s:1"));
        }
        for bad in ["", "{}", "c", ":s", "c:", "two words:s"] {
            std::fs::write(&file, bad).unwrap();
            ends(destination.endpoint(Some(&file)).await, Exit::Broken);
        }
    }

    #[test]
    fn what_is_shown_to_be_repeated_can_be_pasted() {
        let reach = Reach {
            profile: Some("prod".to_owned()),
            destination: Destination::default(),
            tenant: Some("acme".to_owned()),
        };
        assert_eq!(reach.repeated(), " --profile prod --tenant acme");
        let reach = Reach {
            destination: Destination { data_dir: Some("my data's".into()), ..Destination::default() },
            ..Reach::default()
        };
        assert_eq!(reach.repeated(), " --data-dir 'my data'\\''s'");
    }

    #[tokio::test]
    async fn a_file_without_certificates_is_no_authority() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(authorities(&file).await.is_err());
        std::fs::write(&file, "hello").unwrap();
        assert!(authorities(&file).await.is_err());
    }
}
