//! Where to go and as whom: flags and variables put together. A secret goes only where it belongs, so what does not go
//! together is refused, never mixed.

use std::path::PathBuf;

use reqwest::Url;

use super::failure::Failure;
use super::reach::quoted;
use crate::cli::{Destination, a_slug, a_url};

/// Where to go, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// As a profile says; the current one if none is named.
    Profile(Option<String>),
    /// To an address, as a client.
    Url(Url, Client),
    /// To the system on a data folder, as a client, or as its first administrator if there is none.
    Folder(PathBuf, Option<Client>),
}

/// A client that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) id: String,
    /// The file with its secret, `-` for standard input.
    pub(super) secret_file: Option<PathBuf>,
}

/// Where to go, where it is not a profile that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Url(Url),
    Folder(PathBuf),
}

impl Target {
    /// What flags say, and where they say nothing the variables. A flag that says where to go replaces all variables that
    /// do; a profile and a data folder have clients of their own, so a flag with one replaces the variables about those too.
    ///
    /// # Errors
    /// When two places are named by the same means, a profile is to go with a client, or a client has no place.
    pub(super) fn of(
        profile: Option<&str>,
        destination: &Destination,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let says_where = profile.is_some() || destination.url.is_some() || destination.data_dir.is_some();
        let profile = match profile {
            None if !says_where => read("RUNWARDEN_PROFILE", &variable, a_slug)?,
            flag => flag.map(str::to_owned),
        };
        let address = address(destination, says_where, &variable)?;
        let brings_a_client = says_where && destination.url.is_none();
        let named = || if brings_a_client { None } else { variable("RUNWARDEN_CLIENT_ID") };
        let client_id = destination.client_id.clone().or_else(named);
        let client = match (client_id, &destination.client_secret_file) {
            (Some(id), file) => {
                let secret_file = file.clone().or_else(|| variable("RUNWARDEN_CLIENT_SECRET_FILE").map(PathBuf::from));
                Some(Client { id, secret_file })
            }
            (None, Some(_)) => {
                return Err(Failure::usage("--client-secret-file goes with --client-id: whose secret is it?"));
            }
            (None, None) => None,
        };
        match (profile, address, client) {
            (Some(profile), Some(_), _) | (Some(profile), _, Some(_)) => Err(Failure::usage(format!(
                "the profile {profile} has an address and a client of its own: leave out --url, --data-dir and \
                 --client-id (or the variables RUNWARDEN_URL, RUNWARDEN_DATA_DIR and RUNWARDEN_CLIENT_ID), or --profile"
            ))),
            (profile, None, None) => Ok(Self::Profile(profile)),
            (None, Some(Address::Url(url)), Some(client)) => Ok(Self::Url(url, client)),
            (None, Some(Address::Url(_)), None) => Err(Failure::usage("say who you are: --client-id, or --profile")),
            (None, Some(Address::Folder(folder)), client) => Ok(Self::Folder(folder, client)),
            (None, None, Some(_)) => Err(Failure::usage("say where to go: --url, --data-dir or --profile")),
        }
    }

    /// What to add to another command so that it goes there too.
    pub(super) fn repeated(&self) -> String {
        let mut line = String::new();
        let mut add = |flag: &str, value: &str| line.push_str(&format!(" --{flag} {}", quoted(value)));
        let client = match self {
            Self::Profile(profile) => {
                if let Some(profile) = profile {
                    add("profile", profile);
                }
                None
            }
            Self::Url(url, client) => {
                add("url", url.as_str());
                Some(client)
            }
            Self::Folder(folder, client) => {
                add("data-dir", &folder.display().to_string());
                client.as_ref()
            }
        };
        if let Some(Client { id, secret_file }) = client {
            add("client-id", id);
            if let Some(file) = secret_file {
                add("client-secret-file", &file.display().to_string());
            }
        }
        line
    }
}

/// Where to go, by flags, or by variables unless a flag says where.
///
/// # Errors
/// When there are two places.
pub(super) fn address(
    destination: &Destination,
    says_where: bool,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Address>, Failure> {
    let (url, folder, names) = if says_where {
        (destination.url.clone(), destination.data_dir.clone(), ("--url", "--data-dir"))
    } else {
        let folder = variable("RUNWARDEN_DATA_DIR").map(PathBuf::from);
        (read("RUNWARDEN_URL", variable, a_url)?, folder, ("RUNWARDEN_URL", "RUNWARDEN_DATA_DIR"))
    };
    match (url, folder) {
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("{} and {} name two different places: leave one of them out", names.0, names.1)))
        }
        (Some(url), None) => Ok(Some(Address::Url(url))),
        (None, Some(folder)) => Ok(Some(Address::Folder(folder))),
        (None, None) => Ok(None),
    }
}

/// A variable of this process; one that is set to nothing is not set.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a variable says.
fn read<T>(
    name: &str,
    variable: &impl Fn(&str) -> Option<String>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, Failure> {
    variable(name)
        .map(|text| parse(&text).map_err(|why| Failure::usage(format!("the variable {name} {why}"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::super::failure::Exit;
    use super::*;

    /// What comes of what is given, by flags in capitals and by variables in small letters. P: profile, U: URL, D: data
    /// folder, C: client.
    fn target(given: &str) -> Result<String, Exit> {
        let has = |name: char| given.contains(name);
        let destination = Destination {
            url: has('U').then(|| "https://a.example/U".parse().unwrap()),
            data_dir: has('D').then(|| "D".into()),
            client_id: has('C').then(|| "C".to_owned()),
            ..Destination::default()
        };
        let variable = |name: &str| {
            let value = match name {
                "RUNWARDEN_PROFILE" => "p",
                "RUNWARDEN_URL" => "https://a.example/u",
                "RUNWARDEN_DATA_DIR" => "d",
                "RUNWARDEN_CLIENT_ID" => "c",
                _ => return None,
            };
            given.contains(value.trim_start_matches("https://a.example/")).then(|| value.to_owned())
        };
        match Target::of(has('P').then_some("P"), &destination, variable).map_err(|failure| failure.exit)? {
            Target::Profile(profile) => Ok(profile.unwrap_or_default()),
            Target::Url(url, client) => Ok(format!("{}{}", url.path().trim_start_matches('/'), client.id)),
            Target::Folder(folder, client) => {
                Ok(format!("{}{}", folder.display(), client.map(|client| client.id).unwrap_or_default()))
            }
        }
    }

    #[test]
    fn a_flag_wins_over_every_variable_it_does_not_go_with() {
        // Nothing, and each alone.
        for (given, want) in [("", Ok("")), ("P", Ok("P")), ("p", Ok("p")), ("D", Ok("D")), ("d", Ok("d"))] {
            assert_eq!(target(given), want.map(str::to_owned), "{given}");
        }
        for alone in ["U", "u", "C", "c"] {
            assert_eq!(target(alone), Err(Exit::Usage), "{alone}: there is no client, or no place");
        }
        // Every flag with every variable.
        for (given, want) in [
            ("Pp", Ok("P")),
            ("Pu", Ok("P")),
            ("Pd", Ok("P")),
            ("Pc", Ok("P")),
            ("Up", Err(Exit::Usage)),
            ("Uu", Err(Exit::Usage)),
            ("Ud", Err(Exit::Usage)),
            ("Uc", Ok("Uc")),
            ("Dp", Ok("D")),
            ("Du", Ok("D")),
            ("Dd", Ok("D")),
            ("Dc", Ok("D")),
            ("Cp", Err(Exit::Usage)),
            ("Cu", Ok("uC")),
            ("Cd", Ok("dC")),
            ("Cc", Err(Exit::Usage)),
        ] {
            assert_eq!(target(given), want.map(str::to_owned), "{given}");
        }
        // The folder's administrator goes to the folder's address only.
        for (given, want) in
            [("UCpud", "UC"), ("UCc", "UC"), ("Dpuc", "D"), ("DCpuc", "DC"), ("Ppud", "P"), ("Uudc", "Uc")]
        {
            assert_eq!(target(given), Ok(want.to_owned()), "{given}");
        }
    }

    #[test]
    fn two_places_by_the_same_means_are_refused() {
        for given in ["PU", "PD", "PC", "UD", "UDC", "pu", "pd", "pc", "ud", "udc", "udC"] {
            assert_eq!(target(given), Err(Exit::Usage), "{given}");
        }
        assert_eq!((target("uc"), target("dc")), (Ok("uc".to_owned()), Ok("dc".to_owned())));
    }

    #[test]
    fn a_secret_without_its_client_is_refused_and_a_variable_with_one_is_left_alone() {
        let secret = |name: &str| (name == "RUNWARDEN_CLIENT_SECRET_FILE").then(|| "secret".to_owned());
        let destination = Destination { client_secret_file: Some("f".into()), ..Destination::default() };
        assert_eq!(Target::of(None, &destination, secret).err().map(|failure| failure.exit), Some(Exit::Usage));
        assert_eq!(
            Target::of(Some("prod"), &Destination::default(), secret).unwrap(),
            Target::Profile(Some("prod".into()))
        );
        let destination =
            Destination { data_dir: Some("d".into()), client_id: Some("c".into()), ..Destination::default() };
        let line = Target::of(None, &destination, secret).unwrap().repeated();
        assert_eq!(line, " --data-dir d --client-id c --client-secret-file secret");
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named() {
        let failure =
            Target::of(None, &Destination::default(), |name| (name == "RUNWARDEN_URL").then(|| "x".to_owned()));
        assert!(format!("{failure:?}").contains("the variable RUNWARDEN_URL must be"), "{failure:?}");
    }
}
