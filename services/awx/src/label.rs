//! Labels by name. A launch takes them by id only, so those that are not there yet are made: that is the one thing
//! besides launching and cancelling that is written on a controller. Making one that exists changes nothing.

use bytes::Bytes;
use runwarden_kit::launch_field::LaunchField;
use serde_json::{Value, json};

use super::address::Path;
use super::answer::json as read_json;
use super::http::{Query, Unanswered};
use super::list::List;
use super::template::TemplateSummary;
use super::{AwxError, Client, read};

/// How long a label may be.
pub const LONGEST_LABEL: usize = 512;

impl TemplateSummary {
    /// The id of the organization its labels are of.
    pub fn organization_id(&self) -> Option<i64> {
        read::at(&self.row, &["summary_fields", "organization"]).and_then(|organization| read::id(organization, "id"))
    }

    /// Whether its launches take labels.
    pub fn takes_labels(&self) -> bool {
        self.asks.has(LaunchField::Labels)
    }
}

impl Client {
    /// The id of an organization's label of this name, which is made if there is none.
    ///
    /// # Errors
    /// [`AwxError::Refused`] where our account may not make it; anything else may pass.
    pub async fn label(&self, organization: i64, name: &str) -> Result<i64, AwxError> {
        if let Some(id) = self.find_label(organization, name).await? {
            return Ok(id);
        }
        let body = Bytes::from(json!({"name": name, "organization": organization}).to_string());
        let answer = match self.http.post(&Path::to("labels"), body).await {
            Ok(answer) => answer,
            Err(Unanswered::NotSent(error)) => return Err(error),
            // Perhaps it was made: then it is found the next time.
            Err(Unanswered::Unknown(_)) => return Err(AwxError::Timeout),
        };
        match answer.check() {
            Ok(()) => {}
            // Somebody else made it meanwhile.
            Err(refused @ AwxError::Refused { status: 400, .. }) => {
                return self.find_label(organization, name).await?.ok_or(refused);
            }
            Err(error) => return Err(error),
        }
        let made: Value = answer.body.and_then(|bytes| read_json(&bytes))?;
        read::id(&made, "id").ok_or_else(|| AwxError::bad("a label without an id"))
    }

    async fn find_label(&self, organization: i64, name: &str) -> Result<Option<i64>, AwxError> {
        let query: Query = vec![("name", name.to_owned()), ("organization", organization.to_string())];
        let list: List<Value> = self.http.reading().page(&Path::to("labels"), &query).await?;
        let named =
            |row: &&Value| read::text(row, "name") == name && read::id(row, "organization") == Some(organization);
        Ok(list.rows().iter().find(named).and_then(|row| read::id(row, "id")))
    }
}
