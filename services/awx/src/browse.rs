use std::str::FromStr;
use std::sync::Arc;

use futures::StreamExt as _;
use serde_json::Value;

use super::http::Query;
use super::list::List;
use super::memory::Kept;
use super::template::{OfTemplate, Projects, TemplateKind, TemplateSummary, list_of};
use super::tree::Picked;
use super::{AwxError, Client, Installation, fingerprint, read, template};

/// How many templates are read at the same time.
const AT_ONCE: usize = 4;

/// Where a page of templates ends, as text `job:12` or `workflow:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateCursor {
    kind: TemplateKind,
    after: i64,
}

impl TemplateCursor {
    const START: Self = Self { kind: TemplateKind::Job, after: 0 };
}

impl std::fmt::Display for TemplateCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.after)
    }
}

impl FromStr for TemplateCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, after) = text.split_once(':').ok_or(())?;
        let kind = TemplateKind::named(kind).ok_or(())?;
        let after = after.parse().map_err(|_| ())?;
        if after < 0 {
            return Err(());
        }
        Ok(Self { kind, after })
    }
}

/// A template of a list, read in full and kept in part.
#[derive(Clone, Debug)]
pub struct ListedTemplate {
    /// The template.
    pub summary: TemplateSummary,
    /// What makes it what it is.
    parts: Value,
}

impl ListedTemplate {
    /// The fingerprint that a mapping would pin on this installation, hex.
    pub fn fingerprint_at(&self, here: &Installation) -> String {
        fingerprint::fingerprint(&fingerprint::at(self.parts.clone(), here))
    }
}

impl std::ops::Deref for ListedTemplate {
    type Target = TemplateSummary;

    fn deref(&self) -> &TemplateSummary {
        &self.summary
    }
}

/// A page of what a controller offers: job templates first, then workflows, by id.
#[derive(Clone, Debug)]
pub struct TemplatePage {
    /// The templates.
    pub items: Vec<ListedTemplate>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<TemplateCursor>,
    /// The memory it takes.
    _kept: Arc<Kept>,
}

impl Client {
    /// Lists templates, each read in full. Pages begin after an id, so nothing is skipped or listed twice while
    /// templates come and go.
    pub async fn templates(&self, after: Option<TemplateCursor>, page_size: usize) -> Result<TemplatePage, AwxError> {
        let wanted = page_size.clamp(1, 200);
        let mut cursor = after.unwrap_or(TemplateCursor::START);
        let mut rows = Vec::new();
        let reading = self.http.reading();
        let next = loop {
            let query: Query = vec![
                ("order_by", "id".into()),
                ("id__gt", cursor.after.to_string()),
                ("page_size", (wanted - rows.len()).to_string()),
            ];
            let list: List<Picked<OfTemplate>> = reading.page(&list_of(cursor.kind), &query).await?;
            let before = rows.len();
            let has_next = list.has_next();
            for Picked { row, .. } in list.into_rows().into_iter().take(wanted - before) {
                let id = read::id(&row, "id").ok_or_else(|| AwxError::bad("a template without an id"))?;
                if id <= cursor.after {
                    return Err(AwxError::bad("a list that is not sorted"));
                }
                cursor.after = id;
                rows.push((cursor.kind, id, row));
            }
            let more = has_next && rows.len() > before;
            let following = match (more, cursor.kind) {
                (true, _) => Some(cursor),
                (false, TemplateKind::Job) => Some(TemplateCursor { kind: TemplateKind::Workflow, after: 0 }),
                (false, TemplateKind::Workflow) => None,
            };
            match following {
                Some(next) if rows.len() < wanted => cursor = next,
                next => break next,
            }
        };
        let (shared, projects) = (&reading, &Projects::default());
        let items: Vec<Result<ListedTemplate, AwxError>> = futures::stream::iter(rows)
            .map(|(kind, id, row)| async move {
                // What only makes the fingerprint is let go of with it.
                let passing = self.http.reading();
                let launch = template::launch_page(&passing, kind, id).await?;
                let view = template::view(shared, &passing, kind, row, launch, projects).await?;
                Ok(ListedTemplate { parts: view.parts(), summary: view.summary })
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        let items = items.into_iter().collect::<Result<_, _>>()?;
        Ok(TemplatePage { items, next, _kept: Arc::new(reading.into_kept()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_way_through_text() {
        for text in ["job:12", "workflow:0"] {
            assert_eq!(text.parse::<TemplateCursor>().unwrap().to_string(), text);
        }
        for bad in ["", "job", "job:-1", "job:x", "jobs:1", "workflow:99999999999999999999"] {
            assert!(bad.parse::<TemplateCursor>().is_err(), "{bad}");
        }
    }
}
