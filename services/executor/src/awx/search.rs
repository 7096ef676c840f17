use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::address::Path;
use super::http::{Query, results};
use super::row::RunRow;
use super::{AwxError, Client, read};

/// More than this since the attempt was sent is no window one can judge.
const MOST_PAGES: usize = 50;

/// What an unresolved attempt may have become.
#[derive(Clone, Debug)]
pub struct Search {
    /// The template it launched.
    pub template: i64,
    /// Our own account.
    pub account: i64,
    /// When it was sent, less the clocks' difference. A launch that committed late carries an early time.
    pub created_from: OffsetDateTime,
}

impl Client {
    /// Finds every run our account launched from a template since a time, by id. Runs of any kind: a sliced template
    /// becomes a workflow. One look proves nothing: a launch may still commit, and with an id lower than others seen.
    pub async fn search(&self, search: &Search) -> Result<Vec<RunRow>, AwxError> {
        let from = search
            .created_from
            .to_offset(time::UtcOffset::UTC)
            .format(&Rfc3339)
            .map_err(|_| AwxError::bad("a time that cannot be written"))?;
        let mut rows: Vec<RunRow> = Vec::new();
        let mut after = 0;
        for _ in 0..MOST_PAGES {
            let query: Query = vec![
                ("unified_job_template", search.template.to_string()),
                ("created_by", search.account.to_string()),
                ("launch_type", "manual".into()),
                ("created__gte", from.clone()),
                // Beginning after an id keeps the pages whole while rows come and go.
                ("id__gt", after.to_string()),
                ("order_by", "id".into()),
                ("page_size", "200".into()),
            ];
            let list = self.http.get(&Path::to("unified_jobs"), &query).await?;
            let page = results(&list)?;
            if page.is_empty() {
                return Ok(rows);
            }
            for row in page {
                let id = read::id(row, "id").ok_or_else(|| AwxError::bad("a run without id"))?;
                if id <= after {
                    return Err(AwxError::bad("a list that is not in order"));
                }
                after = id;
                rows.push(RunRow::read(row).ok_or_else(|| AwxError::bad("a run of another type"))?);
            }
            if !super::http::has_next(&list) {
                return Ok(rows);
            }
        }
        Err(AwxError::bad("more runs in the time in question than can be looked through"))
    }
}
