//! A repeat gets the first answer, whatever has happened since: the request is compared with the first request, and
//! nothing else is examined. Not the template, which may have been removed; not the schema, the roles or the policies,
//! which may be others by now.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runwarden_kit::caller::Caller;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, Result, SecretString, idempotency, json};
use serde_json::{Map, Value, json};

use crate::accept::options::Options;
use crate::accept::parameters::Parameters;
use crate::job::{Job, Origin};
use crate::ports::Seals;
use crate::store::JobStore;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The template, by name.
    pub template: &'a str,
    /// The parameters as they were sent.
    pub parameters: &'a Map<String, Value>,
    /// When and how.
    pub options: Options,
    /// What asks for it.
    pub origin: Option<&'a Origin>,
}

/// What was asked, digested, with its write-only parameters sealed.
pub struct Digested {
    /// The digest. Equal numbers count as equal however they were written.
    pub digest: String,
    /// The sealed write-only parameters, base64; none if there are none.
    pub sealed: Option<String>,
}

impl Asked<'_> {
    /// Digests it. Write-only parameters count by the keyed hash of their sealing, which belongs to the job.
    ///
    /// # Errors
    /// When something has to be sealed and cannot be now.
    pub async fn digested(
        &self,
        seals: &dyn Seals,
        tenant: &TenantId,
        job: &str,
        parameters: &Parameters,
    ) -> Result<Digested> {
        let (sealed, keyed_hash) = if parameters.write_only.is_empty() {
            (None, None)
        } else {
            let values = Value::Object(parameters.write_only.clone());
            let (text, alike) = (json::canonical(&values), json::normal(&values));
            let is_alike = text == alike;
            let sealed = seals.seal(tenant, job, &SecretString::from(text)).await?;
            // What is sealed is launched as it was written; the hash is that of the values.
            let keyed_hash = if is_alike {
                sealed.keyed_hash
            } else {
                seals.seal(tenant, job, &SecretString::from(alike)).await?.keyed_hash
            };
            (Some(STANDARD.encode(sealed.bytes)), Some(keyed_hash))
        };
        let asked = parameters.for_digest(keyed_hash.as_deref());
        // What asks for nothing more has the digest it always had.
        let mut body = json!({"template": self.template, "parameters": asked});
        if let Value::Object(body) = &mut body {
            if self.options != Options::default() {
                // Stored digests were made with this key.
                body.insert("wishes".into(), self.options.digested());
            }
            if let Some(origin) = self.origin {
                body.insert("origin".into(), serde_json::to_value(origin).map_err(Error::internal)?);
            }
        }
        Ok(Digested { digest: json::sha256_hex(json::normal(&body).as_bytes()), sealed })
    }

    /// The job that this very request made before, if the key was used.
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY_REUSED` when the key was used for something else.
    pub async fn earlier(
        &self,
        store: &dyn JobStore,
        seals: &dyn Seals,
        tenant: &TenantId,
        key: &Key,
    ) -> Result<Option<Job>> {
        let Some((digest, job)) = store.find_by_key(tenant, &key.principal, &key.hash).await? else {
            return Ok(None);
        };
        // What is write-only today may not have been then.
        let parameters = Parameters::divided(self.parameters.clone(), |name| job.is_sealed(name));
        if self.digested(seals, tenant, &job.id, &parameters).await?.digest != digest {
            return Err(idempotency::reused());
        }
        Ok(Some(job.as_accepted()))
    }
}

/// An idempotency key as it is stored: no caller can replay another's answer.
#[derive(Clone, Debug)]
pub struct Key {
    /// Whose it is.
    pub principal: String,
    /// Its SHA-256, hex.
    pub hash: String,
}

impl Key {
    /// A caller's.
    #[must_use]
    pub fn of(caller: &Caller, key: &str) -> Self {
        Self { principal: caller.principal.clone(), hash: json::sha256_hex(key.as_bytes()) }
    }

    /// What distinguishes it from all others in this process.
    pub(crate) fn within(&self, tenant: &TenantId) -> (TenantId, String, String) {
        (tenant.clone(), self.principal.clone(), self.hash.clone())
    }
}

/// Which requests with an idempotency key are being answered by this process right now: tenant, principal, key.
pub type InProgress = idempotency::InProgress<(TenantId, String, String)>;
