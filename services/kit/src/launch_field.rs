//! Where a template's parameter goes in an AWX launch: one rule, shared by who maps templates and who launches them.
//!
//! A parameter becomes an extra variable unless its name is one of AWX's prompts. A schema can say otherwise for a
//! property with `"x-runwarden-target"`. What names AWX objects by id can only be fixed by an operator.

use serde_json::Value;

/// The schema keyword that sends a property somewhere else than its name says.
pub const TARGET_KEYWORD: &str = "x-runwarden-target";

/// What AWX keeps of a launch field that is a text, other than the limit: so many characters.
pub const LONGEST_TEXT: usize = 1024;

/// A field of an AWX launch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LaunchField {
    /// One extra variable.
    ExtraVars,
    /// `limit`: host pattern.
    Limit,
    /// `job_tags`.
    JobTags,
    /// `skip_tags`.
    SkipTags,
    /// `job_type`: run or check.
    JobType,
    /// `verbosity`: 0 to 5.
    Verbosity,
    /// `diff_mode`.
    DiffMode,
    /// `scm_branch`.
    ScmBranch,
    /// `forks`.
    Forks,
    /// `timeout`, seconds.
    Timeout,
    /// `job_slice_count`.
    JobSliceCount,
    /// `inventory`, by id: operators only.
    Inventory,
    /// `credentials`, by ids: operators only.
    Credentials,
    /// `labels`, by ids: operators only.
    Labels,
    /// `instance_groups`, by ids: operators only.
    InstanceGroups,
    /// `execution_environment`, by id: operators only.
    ExecutionEnvironment,
}

impl LaunchField {
    /// Every field.
    pub const ALL: &[Self] = &[
        Self::ExtraVars,
        Self::Limit,
        Self::JobTags,
        Self::SkipTags,
        Self::JobType,
        Self::Verbosity,
        Self::DiffMode,
        Self::ScmBranch,
        Self::Forks,
        Self::Timeout,
        Self::JobSliceCount,
        Self::Inventory,
        Self::Credentials,
        Self::Labels,
        Self::InstanceGroups,
        Self::ExecutionEnvironment,
    ];

    /// Its name in AWX's launch request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExtraVars => "extra_vars",
            Self::Limit => "limit",
            Self::JobTags => "job_tags",
            Self::SkipTags => "skip_tags",
            Self::JobType => "job_type",
            Self::Verbosity => "verbosity",
            Self::DiffMode => "diff_mode",
            Self::ScmBranch => "scm_branch",
            Self::Forks => "forks",
            Self::Timeout => "timeout",
            Self::JobSliceCount => "job_slice_count",
            Self::Inventory => "inventory",
            Self::Credentials => "credentials",
            Self::Labels => "labels",
            Self::InstanceGroups => "instance_groups",
            Self::ExecutionEnvironment => "execution_environment",
        }
    }

    /// The template's flag that lets it through: `ask_limit_on_launch`.
    #[must_use]
    pub const fn ask_flag(self) -> &'static str {
        match self {
            Self::ExtraVars => "ask_variables_on_launch",
            Self::Limit => "ask_limit_on_launch",
            Self::JobTags => "ask_tags_on_launch",
            Self::SkipTags => "ask_skip_tags_on_launch",
            Self::JobType => "ask_job_type_on_launch",
            Self::Verbosity => "ask_verbosity_on_launch",
            Self::DiffMode => "ask_diff_mode_on_launch",
            Self::ScmBranch => "ask_scm_branch_on_launch",
            Self::Forks => "ask_forks_on_launch",
            Self::Timeout => "ask_timeout_on_launch",
            Self::JobSliceCount => "ask_job_slice_count_on_launch",
            Self::Inventory => "ask_inventory_on_launch",
            Self::Credentials => "ask_credential_on_launch",
            Self::Labels => "ask_labels_on_launch",
            Self::InstanceGroups => "ask_instance_groups_on_launch",
            Self::ExecutionEnvironment => "ask_execution_environment_on_launch",
        }
    }

    /// Whether only an operator may set it, because it names AWX objects by id.
    #[must_use]
    pub const fn operators_only(self) -> bool {
        matches!(
            self,
            Self::Inventory | Self::Credentials | Self::Labels | Self::InstanceGroups | Self::ExecutionEnvironment
        )
    }

    /// The field with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

const LONGEST_NAME: usize = 100;
/// Variables that begin so are Runwarden's own: it finds its launches again by one.
const OWN: &str = "runwarden_";

/// Refuses names that AWX, Ansible or a reader would misread.
///
/// # Errors
/// What is wrong, to follow the name in a sentence.
pub fn check_name(name: &str, target: LaunchField) -> Result<(), String> {
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(format!("has a name of more than {LONGEST_NAME} characters"));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("has a name with spaces or control characters".to_owned());
    }
    if target == LaunchField::ExtraVars && name.starts_with(OWN) {
        return Err(format!("has a name that begins with `{OWN}`, which Runwarden keeps for itself"));
    }
    Ok(())
}

/// Where a parameter goes: by its schema's keyword if it has one, else by its name.
#[must_use]
pub fn target_of(name: &str, property_schema: Option<&Value>) -> LaunchField {
    if let Some(chosen) = property_schema
        .and_then(|schema| schema.get(TARGET_KEYWORD))
        .and_then(Value::as_str)
        .and_then(LaunchField::by_name)
    {
        return chosen;
    }
    match LaunchField::by_name(name) {
        // A variable that happens to be called `extra_vars` is still a variable.
        Some(field) => field,
        None => LaunchField::ExtraVars,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The table that people read is the one that is meant.
    #[test]
    fn every_field_is_in_the_table_of_the_docs_with_whether_callers_may_send_it() {
        let page = include_str!("../../../docs/parameters.md");
        for field in LaunchField::ALL.iter().filter(|field| **field != LaunchField::ExtraVars) {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", field.name())));
            let row = row.unwrap_or_else(|| panic!("{field:?} has no row"));
            assert_eq!(row.contains("| fixed only |"), field.operators_only(), "{row}");
        }
    }

    #[test]
    fn a_name_decides_unless_the_schema_says_otherwise() {
        assert_eq!(target_of("limit", None), LaunchField::Limit);
        assert_eq!(target_of("version", None), LaunchField::ExtraVars);
        assert_eq!(target_of("limit", Some(&json!({TARGET_KEYWORD: "extra_vars"}))), LaunchField::ExtraVars);
        assert_eq!(target_of("hosts", Some(&json!({TARGET_KEYWORD: "limit"}))), LaunchField::Limit);
    }
}
