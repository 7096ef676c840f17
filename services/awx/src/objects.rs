//! What a launch refers to by id: whether it is there, and whether our account may use it. A launch over which AWX says
//! "You do not have permission" is reported here before the job is accepted, with the right that is missing.

use std::collections::{BTreeMap, BTreeSet};

use runwarden_kit::launch_field::LaunchField;
use serde_json::Value;

use super::address::Path;
use super::http::Query;
use super::list::List;
use super::own_values::CredentialKind;
use super::reading::Reading;
use super::template::{TemplateView, readable};
use super::tree::{Picked, Wanted};
use super::{AwxError, Client, read};

/// `MAX_FORKS` of an installation whose setting our account cannot read: AWX's default.
const USUAL_MAX_FORKS: i64 = 200;
/// The longest list of ids that is looked up: what fits into one page.
pub(super) const MOST_IDS: usize = 200;

/// What was found out about a launch's objects, and what the installation allows.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    found: BTreeMap<(LaunchField, i64), Object>,
    /// The most forks a launch may ask for; 0 for no limit, `None` where our account may not read the setting.
    max_forks: Option<i64>,
}

/// One of them, as our account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) name: String,
    /// Whether a launch of ours may use it.
    pub(super) usable: bool,
    /// Of a credential.
    pub(super) kind: Option<CredentialKind>,
    /// What a credential asks for at launch.
    pub(super) asks: Vec<String>,
    /// How many hosts an inventory has.
    pub(super) hosts: Option<i64>,
}

impl Objects {
    pub(super) fn get(&self, field: LaunchField, id: i64) -> Option<&Object> {
        self.found.get(&(field, id))
    }

    /// The most forks a launch may ask for, with the reason in words; `None` for no limit.
    pub(super) fn most_forks(&self) -> Option<(i64, String)> {
        match self.max_forks {
            Some(..=0) => None,
            Some(most) => Some((most, format!("must be at most {most}, the most forks this installation allows"))),
            None => Some((
                USUAL_MAX_FORKS,
                format!(
                    "must be at most {USUAL_MAX_FORKS}, AWX's usual `MAX_FORKS`: Runwarden's account may not read this \
                     installation's own. If that is greater, use an account that may read the controller's job settings"
                ),
            )),
        }
    }
}

/// Where the objects of a launch field are listed, and whether using them takes the role of that name. What has no such
/// role is usable by every account that sees it.
fn list_of(field: LaunchField) -> Option<(Path, bool)> {
    match field {
        LaunchField::Inventory => Some((Path::to("inventories"), true)),
        LaunchField::Credentials => Some((Path::to("credentials"), true)),
        LaunchField::InstanceGroups => Some((Path::to("instance_groups"), true)),
        LaunchField::Labels => Some((Path::to("labels"), false)),
        LaunchField::ExecutionEnvironment => Some((Path::to("execution_environments"), false)),
        LaunchField::ExtraVars
        | LaunchField::Limit
        | LaunchField::JobTags
        | LaunchField::SkipTags
        | LaunchField::JobType
        | LaunchField::Verbosity
        | LaunchField::DiffMode
        | LaunchField::ScmBranch
        | LaunchField::Forks
        | LaunchField::Timeout
        | LaunchField::JobSliceCount => None,
    }
}

impl Client {
    /// Looks up what these launch fields refer to. What is the template's own needs no right and is not looked up.
    pub async fn objects(&self, template: &TemplateView, fields: &[(LaunchField, Value)]) -> Result<Objects, AwxError> {
        let reading = self.http.reading();
        let mut objects = Objects::default();
        for (field, value) in fields {
            let ids = template.foreign(*field, value);
            if let Some((path, by_role)) = list_of(*field).filter(|_| !ids.is_empty()) {
                for (id, object) in look_up(&reading, &path, &ids, by_role).await? {
                    objects.found.insert((*field, id), object);
                }
            }
        }
        if fields.iter().any(|(field, _)| *field == LaunchField::Forks) {
            let settings = readable(reading.get(&Path::to("settings").then("jobs"), &Query::new()).await)?;
            objects.max_forks = settings.as_ref().and_then(|settings| read::integer(settings, "MAX_FORKS"));
        }
        Ok(objects)
    }
}

async fn look_up(
    reading: &Reading<'_>,
    path: &Path,
    ids: &BTreeSet<i64>,
    by_role: bool,
) -> Result<BTreeMap<i64, Object>, AwxError> {
    if !by_role {
        return list(reading, path, ids, false).await;
    }
    let mut found = match list(reading, path, ids, true).await {
        // A controller without this filter lists only what is visible.
        Err(AwxError::Refused { status: 400, .. }) => return list(reading, path, ids, false).await,
        found => found?,
    };
    let others: BTreeSet<i64> = ids.iter().copied().filter(|id| !found.contains_key(id)).collect();
    if !others.is_empty() {
        let visible = list(reading, path, &others, false).await?;
        found.extend(visible.into_iter().map(|(id, object)| (id, Object { usable: false, ..object })));
    }
    Ok(found)
}

async fn list(
    reading: &Reading<'_>,
    path: &Path,
    ids: &BTreeSet<i64>,
    usable: bool,
) -> Result<BTreeMap<i64, Object>, AwxError> {
    let ids: Vec<String> = ids.iter().take(MOST_IDS).map(i64::to_string).collect();
    let mut query: Query = vec![("id__in", ids.join(",")), ("page_size", MOST_IDS.to_string())];
    if usable {
        query.push(("role_level", "use_role".to_owned()));
    }
    // A list that our account may not read shows it nothing.
    let list: Option<List<Picked<OfObject>>> = readable(reading.page(path, &query).await)?;
    let rows = list.map(List::into_rows).unwrap_or_default();
    Ok(rows.iter().filter_map(|Picked { row, .. }| Some((read::id(row, "id")?, Object::read(row)))).collect())
}

impl Object {
    fn read(row: &Value) -> Self {
        let inputs = row.get("inputs").and_then(Value::as_object);
        let asks = inputs.into_iter().flatten().filter(|(_, value)| *value == "ASK");
        Self {
            name: read::shown(&read::text(row, "name"), 512),
            usable: true,
            kind: CredentialKind::read(row, inputs.and_then(|inputs| inputs.get("vault_id"))),
            asks: asks.map(|(name, _)| read::shown(name, 100)).collect(),
            hosts: read::integer(row, "total_hosts"),
        }
    }
}

enum OfObject {}

impl Wanted for OfObject {
    fn wants(key: &str) -> bool {
        ["id", "name", "credential_type", "inputs", "total_hosts"].contains(&key)
    }
}
