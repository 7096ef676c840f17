//! Who may call the sandbox, and the tokens and sessions they hold.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::State;
use super::catalogue::{is_restricted, is_unusable};

/// What an account may do with the templates it can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rank {
    /// Everything.
    Superuser,
    /// Sees and executes every template that is not restricted.
    Operator,
    /// Sees what an operator sees, and may run none of it.
    Viewer,
    /// Sees nothing.
    Outsider,
}

/// A user of the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) rank: Rank,
    /// Neither its password nor any token or session of it opens anything.
    #[serde(default)]
    pub(crate) locked: bool,
}

impl Account {
    pub(crate) fn is_superuser(&self) -> bool {
        self.rank == Rank::Superuser
    }

    /// May this account read a thing that is restricted, or not?
    pub(crate) fn sees(&self, restricted: bool) -> bool {
        match self.rank {
            Rank::Superuser => true,
            Rank::Operator | Rank::Viewer => !restricted,
            Rank::Outsider => false,
        }
    }

    /// May this account have a launch use a row?
    pub(crate) fn uses(&self, row: &Map<String, Value>) -> bool {
        self.executes(is_restricted(row)) && (self.is_superuser() || !is_unusable(row))
    }

    /// May this account start, cancel and relaunch?
    pub(crate) fn executes(&self, restricted: bool) -> bool {
        match self.rank {
            Rank::Superuser => true,
            Rank::Operator => !restricted,
            Rank::Viewer | Rank::Outsider => false,
        }
    }
}

/// A personal access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) user: u64,
    pub(crate) value: String,
    pub(crate) description: String,
    /// `read` tokens get 403 on anything but GET.
    pub(crate) scope: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires: OffsetDateTime,
}

/// How long a token is good: AWX's default, a thousand years.
const LIFE: Duration = Duration::days(365_242);

impl State {
    /// Gives an account a new token.
    pub(crate) fn make_token(&mut self, user: u64, description: &str, scope: &str) -> Token {
        self.last_token += 1;
        let now = self.now();
        let token = Token {
            id: self.last_token,
            user,
            value: random_key(),
            description: description.to_owned(),
            scope: scope.to_owned(),
            created: now,
            expires: now + LIFE,
        };
        self.tokens.push(token.clone());
        token
    }
}

/// A browser-like session, as the official CLI opens one for user and password.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: String,
    pub(crate) user: u64,
    pub(crate) expires: OffsetDateTime,
}

/// A random text of 30 digits, the length of AWX's own tokens; over 110 bits of it are random.
pub(crate) fn random_key() -> String {
    let mut text = uuid::Uuid::new_v4().simple().to_string();
    text.truncate(30);
    text
}
