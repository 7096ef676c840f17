//! Where the admin listener is, and as whom to call it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use reqwest::{Certificate, Url};
use runwarden_kit::SecretString;
use serde_json::Value;

use super::Failure;
use crate::api::Api;
use crate::cli::Reach;
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

impl Reach {
    /// Obtains a token.
    pub(super) async fn log_in(&self) -> Result<Api, Failure> {
        let base = self.address()?;
        let secret = std::env::var(SECRET).ok().filter(|secret| !secret.is_empty());
        let Credentials { client_id, client_secret } = self.credentials(secret)?;
        let authorities = self.ca_file.as_deref().map(authorities).transpose()?.unwrap_or_default();
        let api = Api::log_in(&base, authorities, &client_id, &client_secret).await?;
        Ok(self.tenant.as_deref().map_or(api.clone(), |tenant| api.acting_for(tenant)))
    }

    /// Where to go, without a slash at the end.
    fn address(&self) -> Result<String, Failure> {
        let base = match (&self.url, &self.data_dir) {
            (Some(url), _) => {
                if url.scheme() == "http" && !is_here(url) && !self.allow_plain_http {
                    return Err(Failure::usage(format!(
                        "{url} would carry the client's secret in clear: use https://, or say --allow-plain-http"
                    )));
                }
                url.to_string()
            }
            // It is on this machine, whatever its address looks like.
            (None, Some(folder)) => {
                let path = folder.join(layout::RUNWARDEN_JSON);
                let about = read_json(&path).context("is `runwarden up` running on this data folder?")?;
                let address = about.get("admin_base_url").and_then(Value::as_str);
                address.with_context(|| format!("{} tells no admin_base_url", path.display()))?.to_owned()
            }
            (None, None) => return Err(Failure::usage("say where to go: --data-dir or --url".to_owned())),
        };
        Ok(base.trim_end_matches('/').to_owned())
    }

    /// As whom: the client that is named, or the first administrator as the data folder has it.
    fn credentials(&self, secret: Option<String>) -> Result<Credentials, Failure> {
        match (&self.client_id, &self.data_dir) {
            (Some(client_id), _) => {
                let secret = match (&self.client_secret_file, secret) {
                    (Some(path), _) => read(path)?.trim_end_matches(['\n', '\r']).to_owned(),
                    (None, Some(secret)) => secret,
                    (None, None) => {
                        let lacking = format!("the secret of {client_id} is needed: --client-secret-file, or {SECRET}");
                        return Err(Failure::usage(lacking));
                    }
                };
                Ok(Credentials { client_id: client_id.clone(), client_secret: secret.into() })
            }
            (None, Some(folder)) => {
                let path = folder.join(layout::BOOTSTRAP_JSON);
                if !path.exists() {
                    let gone = format!("{} is not there (any more): say who you are with --client-id", path.display());
                    return Err(Failure::usage(gone));
                }
                let bootstrap = read_json(&path)?;
                let text = |key: &str| bootstrap.get(key).and_then(Value::as_str).map(str::to_owned);
                let whole = text("client_id").zip(text("client_secret"));
                let (client_id, secret) = whole.with_context(|| format!("{} is not whole", path.display()))?;
                Ok(Credentials { client_id, client_secret: secret.into() })
            }
            (None, None) => Err(Failure::usage("say who you are: --client-id".to_owned())),
        }
    }
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

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text));
    read.with_context(|| path.display().to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runwarden_kit::ExposeSecret as _;

    fn reach(folder: &Path) -> Reach {
        Reach {
            data_dir: Some(folder.to_owned()),
            url: None,
            client_id: None,
            client_secret_file: None,
            tenant: None,
            ca_file: None,
            allow_plain_http: false,
            json: false,
        }
    }

    fn at(url: &str) -> Reach {
        Reach { data_dir: None, url: Some(url.parse().unwrap()), ..reach(Path::new("")) }
    }

    fn who(reach: &Reach, secret: Option<&str>) -> (String, String) {
        let found = reach.credentials(secret.map(str::to_owned)).unwrap_or_else(|failure| panic!("{failure:?}"));
        (found.client_id, found.client_secret.expose_secret().to_owned())
    }

    #[track_caller]
    fn is_usage<T>(outcome: Result<T, Failure>) {
        assert!(matches!(outcome, Err(Failure::Usage(_))));
    }

    #[test]
    fn the_data_folder_tells_the_address_and_at_first_who_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let reach = reach(folder.path());
        assert!(matches!(reach.address(), Err(Failure::Failed(_))), "nothing was started there");
        std::fs::write(folder.path().join("runwarden.json"), r#"{"admin_base_url":"http://10.0.0.7:8081"}"#).unwrap();
        assert_eq!(reach.address().unwrap(), "http://10.0.0.7:8081");
        is_usage(reach.credentials(None));
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        assert_eq!(who(&reach, None), ("c".to_owned(), "s".to_owned()));
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c"}"#).unwrap();
        assert!(matches!(reach.credentials(None), Err(Failure::Failed(_))));
    }

    #[test]
    fn an_address_that_is_given_wins_and_a_client_that_is_named_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bootstrap.json"), r#"{"client_id":"c","client_secret":"s"}"#).unwrap();
        let mut reach = Reach { url: Some("https://a.example/".parse().unwrap()), ..reach(folder.path()) };
        assert_eq!(reach.address().unwrap(), "https://a.example");
        reach.client_id = Some("mine".to_owned());
        is_usage(reach.credentials(None));
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
            let consented = Reach { allow_plain_http: true, ..at(away) };
            assert_eq!(consented.address().unwrap(), away);
        }
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
