//! An OAuth client: how a service account proves itself.

use std::collections::BTreeMap;

use runwarden_kit::caller::Scope;
use runwarden_kit::clock::Moment;
use runwarden_kit::tenant::TenantId;
use serde::{Deserialize, Serialize};

use crate::client::secret::StoredSecret;
use crate::role::binding::{self, Binding};

/// A client as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    /// `client_…`
    pub(crate) client_id: String,
    /// The principal it stands for.
    pub(crate) principal: String,
    /// A slug, unique in its tenant.
    pub(crate) name: String,
    /// Its tenant; `None` for a platform client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
    /// Its project; `None` for a client of the whole tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// Whether it was switched off.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// When it was made.
    pub(crate) created_at: Moment,
    /// When it stops working; `None` for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Moment>,
    /// The keyed hashes of its secrets, oldest first.
    pub(crate) secrets: Vec<StoredSecret>,
}

impl Client {
    /// Where it belongs.
    pub(crate) fn scope(&self) -> Scope {
        binding::scope(self.tenant.as_ref(), self.project.as_deref())
    }

    /// Whether it can obtain tokens.
    pub(crate) fn works_at(&self, now: Moment) -> bool {
        !self.disabled && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Whose a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientOwner {
    /// Its tenant; `None` for a platform client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<TenantId>,
}

/// When each secret of a client was last used, to the minute. Kept apart from the client: a use is no change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretUses(pub(crate) BTreeMap<String, Moment>);

impl SecretUses {
    /// Notes a use; `false` when this minute is noted already.
    pub(crate) fn note(&mut self, client: &Client, secret_id: &str, now: Moment) -> bool {
        let minute = Moment::from_micros(now.seconds().div_euclid(60) * 60_000_000);
        if self.0.get(secret_id).is_some_and(|noted| *noted >= minute) {
            return false;
        }
        self.0.retain(|id, _| client.secrets.iter().any(|secret| secret.secret_id == *id));
        self.0.insert(secret_id.to_owned(), minute);
        true
    }
}

/// A client as it is shown: without its hashes, with the roles it holds at its own scope.
#[derive(Clone, Debug)]
pub(crate) struct ClientView {
    /// The client.
    pub(crate) client: Client,
    /// The roles it holds at its own scope.
    pub(crate) roles: Vec<String>,
    /// When its secrets were last used.
    pub(crate) uses: SecretUses,
}

impl ClientView {
    pub(crate) fn new(client: Client, bindings: &[Binding], uses: SecretUses) -> Self {
        let roles = bindings
            .iter()
            .filter(|binding| binding.project == client.project)
            .map(|binding| binding.role.clone())
            .collect();
        Self { client, roles, uses }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let secret =
            |id: &str| StoredSecret { secret_id: id.into(), hash: String::new(), created_at: Moment::from_micros(0) };
        Client {
            client_id: "client_1".into(),
            principal: "sa_1".into(),
            name: "ci".into(),
            tenant: Some(TenantId::trusted("acme")),
            project: None,
            disabled: false,
            created_at: Moment::from_micros(0),
            expires_at: Some(Moment::from_micros(100)),
            secrets: vec![secret("sec_1"), secret("sec_2")],
        }
    }

    #[test]
    fn a_client_stops_at_its_expiry_and_when_disabled() {
        let mut client = client();
        assert!(client.works_at(Moment::from_micros(99)));
        assert!(!client.works_at(Moment::from_micros(100)));
        client.disabled = true;
        assert!(!client.works_at(Moment::from_micros(1)));
    }

    #[test]
    fn a_use_is_noted_once_a_minute_and_secrets_that_are_gone_are_forgotten() {
        let mut client = client();
        let mut uses = SecretUses::default();
        let at = |seconds: i64| Moment::from_micros(seconds * 1_000_000);
        assert!(uses.note(&client, "sec_1", at(61)));
        assert!(!uses.note(&client, "sec_1", at(119)));
        assert!(uses.note(&client, "sec_2", at(119)));
        client.secrets.remove(0);
        assert!(uses.note(&client, "sec_2", at(120)));
        assert_eq!(uses.0.keys().collect::<Vec<_>>(), ["sec_2"]);
        assert_eq!(uses.0["sec_2"], at(120));
    }
}
