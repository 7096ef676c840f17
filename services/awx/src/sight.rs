//! Whether our account may see what it is asked about. AWX's lists leave out what their reader may not see and answer
//! 200 all the same, so that something is not listed means nothing by itself.

use super::http::Query;
use super::template::{OfTemplate, TemplateKind, path_of};
use super::{AwxError, Client, RunRef, RunSummary, read};

/// What our account may see of a template and its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateSight {
    /// It may read the template, and so all its runs.
    Clear,
    /// The template no longer exists.
    Gone,
    /// It may not, or is another account than the one in question; why, for people.
    Hidden(String),
}

/// Where a run is that lists leave out.
#[derive(Clone, Debug, PartialEq)]
pub enum Whereabouts {
    /// There, and readable by itself.
    There(Box<RunSummary>),
    /// There, and not to be read by our account (403).
    Hidden,
    /// Not there (404).
    Gone,
}

impl Client {
    /// Whether we are this account, and what it may see of a template.
    pub async fn sight(&self, account: i64, template: i64) -> Result<TemplateSight, AwxError> {
        let me = self.who_am_i().await?;
        if me.id != account {
            let why = format!(
                "Runwarden's account there is {} (id {}), and the launch was made by account {account}",
                me.username, me.id
            );
            return Ok(TemplateSight::Hidden(why));
        }
        // Templates of all kinds share their ids.
        for kind in [TemplateKind::Job, TemplateKind::Workflow] {
            match self.http.reading().pick::<OfTemplate>(&path_of(kind, template), &Query::new()).await {
                Ok((row, _)) if read::id(&row, "id") == Some(template) => return Ok(TemplateSight::Clear),
                Ok(_) => return Err(AwxError::bad("a different template than requested")),
                Err(AwxError::NotFound { .. }) => {}
                Err(AwxError::Forbidden { .. }) => {
                    let why = format!("the controller hides template {template} from Runwarden's account");
                    return Ok(TemplateSight::Hidden(why));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(TemplateSight::Gone)
    }

    /// Asks for one run that a list left out. AWX distinguishes what it hides (403) from what it lacks (404).
    pub async fn whereabouts(&self, run: RunRef) -> Result<Whereabouts, AwxError> {
        match self.run(run).await {
            Ok(row) => Ok(Whereabouts::There(Box::new(row.summary))),
            Err(AwxError::Forbidden { .. }) => Ok(Whereabouts::Hidden),
            Err(AwxError::NotFound { .. }) => Ok(Whereabouts::Gone),
            Err(other) => Err(other),
        }
    }
}
