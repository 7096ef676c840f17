use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use time::OffsetDateTime;

use super::address::Path;
use super::http::{Http, Query};
use super::{AwxError, ClientLimits, Credential, Installation, Target, TargetProblem};
use super::{own, read};

/// A client for one controller with one credential. Cheap to keep, cheap enough to make per use.
pub struct Client {
    pub(super) http: Http,
    pub(super) target: Target,
    installation: Mutex<Option<Installation>>,
    /// Whether it gave an install uuid when it was last asked and answered.
    pub(super) gave_uuid: AtomicBool,
}

/// Who we are at a controller, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it calls itself: `AWX` or `Red Hat Ansible Automation Platform`.
    pub product: String,
    /// Its version; empty when it does not say.
    pub version: String,
    /// Our user's id there: what we launched is found by this.
    pub id: i64,
    /// Our user's name there.
    pub username: String,
}

/// What an API root is that has organizations and no job templates.
const NO_CONTROLLER: &str = "this is not the API of a controller: it has no job templates. On the platform's gateway the \
                             controller's api_root is /api/controller/v2";

impl Client {
    /// Prepares a client; connects only when used.
    pub fn new(target: &Target, credential: &Credential, limits: ClientLimits) -> Result<Self, TargetProblem> {
        let http = Http::new(target, credential, limits)?;
        Ok(Self { http, target: target.clone(), installation: Mutex::default(), gave_uuid: AtomicBool::default() })
    }

    /// The controller's time now, to the second, from its last answer and our steady clock since.
    #[must_use]
    pub fn controller_time(&self) -> Option<OffsetDateTime> {
        self.http.controller_time()
    }

    /// Which installation it last said it is.
    pub(super) fn known_installation(&self) -> Option<Installation> {
        self.installation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn know_installation(&self, found: Option<&Installation>) {
        *self.installation.lock().unwrap_or_else(PoisonError::into_inner) = found.cloned();
    }

    /// Proves that AWX is at the address and that it accepts the credential, and says who we are.
    pub async fn who_am_i(&self) -> Result<Account, AwxError> {
        let reading = self.http.reading();
        let (me, headers) = reading.get_with_headers(&Path::to("me"), &Query::new()).await?;
        if !own::is_marked(&headers) {
            return Err(AwxError::bad(
                "it lacks the header X-API-Product-Name, which AWX adds to every response; is api_root right, or does a \
                 proxy remove headers?",
            ));
        }
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(|text| read::shown(text, 100))
                .unwrap_or_default()
        };
        let me = me.get("results").and_then(Value::as_array).ok_or_else(|| AwxError::bad("a list without results"))?;
        let me = me.first().ok_or_else(|| AwxError::bad("it does not say which account this is"))?;
        let mut account = Account {
            product: header("x-api-product-name"),
            version: header("x-api-product-version"),
            id: read::id(me, "id").ok_or_else(|| AwxError::bad("our account has no id"))?,
            username: read::shown(&read::text(me, "username"), 200),
        };
        // The platform's gateway also says who we are, and runs nothing.
        match reading.get(&Path::root(), &Query::new()).await {
            Ok(index) if index.get("organizations").is_some() && index.get("job_templates").is_none() => {
                return Err(AwxError::bad(NO_CONTROLLER));
            }
            Err(error) if !error.is_refusal() && !matches!(error, AwxError::BadAnswer { .. }) => return Err(error),
            Ok(_) | Err(_) => {}
        }
        if account.version.is_empty() {
            let ping = reading.get(&Path::to("ping"), &Query::new()).await?;
            account.version = read::shown(&read::text(&ping, "version"), 100);
        }
        Ok(account)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(..)")
    }
}
