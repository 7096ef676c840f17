use super::*;
impl Marker {
    /// stub
    pub fn any_in(row: &RunRow) -> bool {
        row.skip_tags.split(',').any(|t| t.trim().starts_with("rw_"))
            || row.extra_vars.as_ref().and_then(|v| v.get(MARKER_VARIABLE)).is_some()
    }
}
impl LaunchBody {
    /// stub
    pub fn dropped_in(&self, _: &RunRow) -> Vec<String> {
        Vec::new()
    }
}
impl Client {
    /// stub
    pub async fn find(&self, id: i64) -> Result<Option<RunRow>, AwxError> {
        let found = self.runs(&[id]).await?;
        Ok(found.rows.into_iter().next())
    }
}
#[cfg(test)]
pub(crate) fn test_row(id: i64, status: &str) -> RunRow {
    RunRow::read(&serde_json::json!({"id": id, "type": "job", "status": status})).expect("a row")
}
