//! Whether a launch may use its settings: everything that AWX refuses or silently changes in every launch, reported
//! when the template is mapped and again before each launch.

use std::collections::BTreeSet;

use runwarden_kit::launch_field::{LONGEST_TEXT, LaunchField};
use serde_json::{Value, json};

use super::Problem;
use super::objects::{MOST_IDS, Objects};
use super::own_values::{CredentialKind, ids};
use super::template::{TemplateKind, TemplateView};

/// A launch field with its value, and the parameter or fixed value it came from.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The name it was given by.
    pub parameter: &'a str,
    /// Where it goes.
    pub field: LaunchField,
    /// What is to be sent.
    pub value: &'a Value,
}

impl TemplateView {
    /// Why these settings would not work. Empty if AWX accepts them all, as far as can be known.
    pub fn misfits(&self, settings: &[Setting<'_>], objects: &Objects) -> Vec<Problem> {
        let mut problems = Vec::new();
        for setting in settings {
            let mut wrong = |detail: String| problems.push(Problem::of(setting.parameter, detail));
            match setting.field {
                LaunchField::Inventory
                | LaunchField::Labels
                | LaunchField::InstanceGroups
                | LaunchField::ExecutionEnvironment => self.check_objects(setting, objects, &mut wrong),
                LaunchField::Credentials => {
                    self.check_objects(setting, objects, &mut wrong);
                    self.check_credentials(setting.value, objects, &mut wrong);
                }
                LaunchField::ScmBranch => {
                    if setting.value != "" && self.is_bound_to_its_branch() {
                        wrong(ONE_BRANCH.to_owned());
                    }
                }
                LaunchField::Forks => {
                    let most = objects.most_forks();
                    if let Some((_, why)) = most.filter(|(most, _)| setting.value.as_i64().is_some_and(|n| n > *most)) {
                        wrong(why);
                    }
                }
                LaunchField::JobSliceCount => {
                    let alone = self.hosts_of(settings, objects) == Some(1);
                    if alone && setting.value.as_i64().is_some_and(|slices| slices > 1) {
                        wrong("must be 1: the inventory has one host, which AWX does not slice".to_owned());
                    }
                }
                LaunchField::ExtraVars
                | LaunchField::Limit
                | LaunchField::JobTags
                | LaunchField::SkipTags
                | LaunchField::JobType
                | LaunchField::Verbosity
                | LaunchField::DiffMode
                | LaunchField::Timeout => {}
            }
        }
        problems
    }

    /// How many hosts the inventory of a launch has, if that is known.
    fn hosts_of(&self, settings: &[Setting<'_>], objects: &Objects) -> Option<i64> {
        let chosen = settings.iter().find(|setting| setting.field == LaunchField::Inventory);
        match chosen.and_then(|setting| setting.value.as_i64()) {
            // The template's own is not looked up: it is known.
            Some(id) if self.inventory.as_ref().is_none_or(|own| own.id != id) => {
                objects.get(LaunchField::Inventory, id).and_then(|inventory| inventory.hosts)
            }
            Some(_) | None => self.hosts(),
        }
    }

    fn is_bound_to_its_branch(&self) -> bool {
        self.kind == TemplateKind::Job && self.branch_override() == Some(false)
    }

    fn check_objects(&self, setting: &Setting<'_>, objects: &Objects, wrong: &mut impl FnMut(String)) {
        if ids(setting.value).len() > MOST_IDS {
            return wrong(format!("has more than {MOST_IDS} ids"));
        }
        for id in self.foreign(setting.field, setting.value) {
            let (thing, right) = words(setting.field);
            match objects.get(setting.field, id) {
                Some(object) if object.usable => {}
                Some(object) => wrong(format!(
                    "Runwarden's account may see {thing} `{}` ({id}) but not use it: give it {right}",
                    object.name
                )),
                None => wrong(format!(
                    "the controller has no {thing} {id} that Runwarden's account can see: correct the id, or give the \
                     account {right}"
                )),
            }
        }
    }

    /// AWX accepts one credential of each kind, and each of the template's own must be kept or replaced.
    fn check_credentials(&self, value: &Value, objects: &Objects, wrong: &mut impl FnMut(String)) {
        let sent: BTreeSet<i64> = ids(value).into_iter().collect();
        let mut taken: Vec<(i64, String, CredentialKind)> = Vec::new();
        let mut unknown = false;
        for id in &sent {
            let own = self.own.credentials.iter().find(|own| own.id == *id);
            let found = objects.get(LaunchField::Credentials, *id);
            let (name, kind, asks) = match (own, found) {
                (Some(own), _) => (&own.name, &own.kind, &own.asks),
                (None, Some(found)) => (&found.name, &found.kind, &found.asks),
                (None, None) => {
                    unknown = true;
                    continue;
                }
            };
            if !asks.is_empty() {
                wrong(format!(
                    "credential `{name}` ({id}) asks for passwords at launch ({}), which Runwarden cannot supply",
                    asks.join(", ")
                ));
            }
            let Some(kind) = kind else {
                unknown = true;
                continue;
            };
            match taken.iter().find(|(_, _, other)| other == kind) {
                Some((other, other_name, _)) => wrong(format!(
                    "credentials `{other_name}` ({other}) and `{name}` ({id}) are of the same kind, of which AWX uses only \
                     one: leave one of them out"
                )),
                None => taken.push((*id, name.clone(), kind.clone())),
            }
        }
        for own in self.own.credentials.iter().filter(|own| !sent.contains(&own.id)) {
            let replaced = match &own.kind {
                // One that we do not see may be its successor.
                Some(kind) => unknown || taken.iter().any(|(_, _, other)| other == kind),
                None => unknown || !taken.is_empty(),
            };
            if !replaced {
                wrong(format!(
                    "leaves out the template's own credential `{}` ({}), which AWX does not allow: add it, or another of \
                     its kind",
                    own.name, own.id
                ));
            }
        }
    }

    /// What AWX takes for each launch field that the template prompts for beside fixed values, as JSON Schemas by the
    /// field's name. A schema that accepts nothing says why in `$comment`.
    pub fn taken(&self, fixed: &[Setting<'_>], objects: &Objects) -> Value {
        let text = |longest: Option<usize>| match longest {
            Some(longest) => json!({"type": "string", "maxLength": longest}),
            None => json!({"type": "string"}),
        };
        let count = |most: i64| json!({"type": "integer", "minimum": 0, "maximum": most});
        let most_forks = objects.most_forks().map_or(LARGEST_COUNT, |(most, _)| most);
        let schema = |field: LaunchField| match field {
            LaunchField::Limit => Some(text(None)),
            LaunchField::ScmBranch if self.is_bound_to_its_branch() => Some(json!({"not": {}, "$comment": ONE_BRANCH})),
            LaunchField::JobTags | LaunchField::SkipTags | LaunchField::ScmBranch => Some(text(Some(LONGEST_TEXT))),
            LaunchField::JobType => Some(json!({"type": "string", "enum": ["run", "check"]})),
            LaunchField::Verbosity => Some(count(5)),
            LaunchField::DiffMode => Some(json!({"type": "boolean"})),
            LaunchField::Forks => Some(count(most_forks)),
            // AWX makes at most a slice of each host, but refuses to slice a single one.
            LaunchField::JobSliceCount if self.hosts_of(fixed, objects) == Some(1) => Some(count(1)),
            LaunchField::Timeout | LaunchField::JobSliceCount => Some(count(LARGEST_COUNT)),
            // Variables are the survey's; objects are never the caller's.
            LaunchField::ExtraVars
            | LaunchField::Inventory
            | LaunchField::Credentials
            | LaunchField::Labels
            | LaunchField::InstanceGroups
            | LaunchField::ExecutionEnvironment => None,
        };
        let asked = LaunchField::ALL.iter().copied().filter(|field| self.asks.has(*field));
        asked.filter_map(|field| Some((field.name().to_owned(), schema(field)?))).collect()
    }
}

const ONE_BRANCH: &str =
    "the project does not allow launches to choose its branch: allow branch override in the project";
/// The greatest number that AWX keeps.
const LARGEST_COUNT: i64 = 2_147_483_647;

/// What a launch field refers to, and the right that using it takes.
fn words(field: LaunchField) -> (&'static str, &'static str) {
    match field {
        LaunchField::Inventory => ("inventory", "the role Use on it"),
        LaunchField::Credentials => ("credential", "the role Use on it"),
        LaunchField::InstanceGroups => ("instance group", "the role Use on it"),
        LaunchField::Labels => ("label", "membership in its organization"),
        LaunchField::ExecutionEnvironment => ("execution environment", "Read on it, or membership in its organization"),
        _ => ("object", "the role Use on it"),
    }
}
