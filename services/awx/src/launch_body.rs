use std::collections::BTreeMap;

use bytes::Bytes;
use runwarden_kit::launch_field::{LONGEST_TEXT, LaunchField, target_of};
use runwarden_kit::schema::is_write_only;
use serde_json::{Map, Value};

use super::Problem;
use super::fits::Setting;
use super::marker::{MARKER_VARIABLE, Marker, MarkerPlacement};

/// What AWX shows in place of a secret, and takes for "use the default".
pub(super) const ENCRYPTED: &str = "$encrypted$";

/// What a launch body is made of.
#[derive(Clone, Copy)]
pub struct LaunchInput<'a> {
    /// The JSON Schema the parameters were validated against.
    pub schema: &'a Value,
    /// What the caller sent, secrets in clear.
    pub parameters: &'a Map<String, Value>,
    /// What an operator fixed.
    pub fixed: &'a Map<String, Value>,
    /// The attempt's marker and where to put it.
    pub marker: Option<(&'a Marker, MarkerPlacement)>,
    /// The template's own skip tags ([`super::TemplateSummary::default_skip_tags`]): sending a marker among them
    /// replaces those, so they are sent along.
    pub default_skip_tags: &'a str,
}

/// A launch request, ready to be checked and sent. Prints no values.
#[derive(Clone, PartialEq)]
pub struct LaunchBody {
    fields: Map<String, Value>,
    variables: Map<String, Value>,
    /// Which parameter a field or variable came from, where it is not of the same name.
    origins: BTreeMap<(LaunchField, String), String>,
    secrets: Vec<(String, Vec<String>)>,
    /// Whether a marker rides among the skip tags, and with it the template's own.
    marked_by_tag: bool,
}

impl LaunchBody {
    /// Puts a launch together: each parameter and fixed value where it belongs, in the types AWX wants.
    pub fn build(input: LaunchInput<'_>) -> Result<Self, Vec<Problem>> {
        let mut body = Self {
            fields: Map::new(),
            variables: Map::new(),
            origins: BTreeMap::new(),
            secrets: Vec::new(),
            marked_by_tag: false,
        };
        let mut problems = Vec::new();
        for (name, value) in input.parameters {
            let schema = input.schema.get("properties").and_then(|all| all.get(name));
            let target = target_of(name, schema);
            if input.fixed.contains_key(name) {
                problems.push(Problem::of(name, "is fixed by the template and cannot be sent"));
            } else if target.operators_only() {
                problems.push(Problem::of(name, "can only be fixed by the template"));
            } else if let Err(problem) = body.put(name, target, schema, value) {
                problems.push(problem);
            }
            if is_write_only(input.schema, name) {
                let mut values = Vec::new();
                strings(value, &mut values);
                body.secrets.push((name.clone(), values));
            }
        }
        for (name, value) in input.fixed {
            let schema = input.schema.get("properties").and_then(|all| all.get(name));
            if let Err(problem) = body.put(name, target_of(name, schema), schema, value) {
                problems.push(problem);
            }
        }
        if let Some((marker, placement)) = input.marker {
            body.mark(marker, placement, input.default_skip_tags);
        }
        if problems.is_empty() { Ok(body) } else { Err(problems) }
    }

    fn put(&mut self, name: &str, target: LaunchField, schema: Option<&Value>, value: &Value) -> Result<(), Problem> {
        if target == LaunchField::ExtraVars {
            if name == MARKER_VARIABLE {
                return Err(Problem::of(name, "is Runwarden's own variable"));
            }
            let value = if schema.is_some_and(|schema| schema.get("type") == Some(&"integer".into())) {
                whole(value)
            } else {
                value.clone()
            };
            self.variables.insert(name.to_owned(), value);
            return Ok(());
        }
        let value = field_value(target, value).map_err(|detail| Problem::of(name, detail))?;
        if self.fields.insert(target.name().to_owned(), value).is_some() {
            return Err(Problem::of(name, format!("gives `{}` a second value", target.name())));
        }
        if name != target.name() {
            self.origins.insert((target, target.name().to_owned()), name.to_owned());
        }
        Ok(())
    }

    /// Adds what the run is told about its request, as variables. Nothing that was put together before overrides it.
    pub fn tell(&mut self, variables: &Map<String, Value>) {
        self.variables.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Adds labels to the run, by id. AWX adds them to the template's own.
    pub fn label(&mut self, ids: &[i64]) {
        if !ids.is_empty() {
            self.fields.insert(LaunchField::Labels.name().to_owned(), ids.into());
        }
    }

    fn mark(&mut self, marker: &Marker, placement: MarkerPlacement, default_skip_tags: &str) {
        match placement {
            MarkerPlacement::ExtraVar | MarkerPlacement::Survey => {
                self.variables.insert(MARKER_VARIABLE.to_owned(), marker.as_str().into());
            }
            MarkerPlacement::SkipTag => {
                self.marked_by_tag = true;
                let field = LaunchField::SkipTags.name();
                let before = self
                    .fields
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or(default_skip_tags)
                    .trim()
                    .trim_end_matches(',');
                let tags = if before.is_empty() {
                    marker.as_str().to_owned()
                } else {
                    format!("{before},{}", marker.as_str())
                };
                self.fields.insert(field.to_owned(), tags.into());
            }
            MarkerPlacement::None => {}
        }
    }

    /// The launch fields besides the variables.
    pub(super) fn fields(&self) -> impl Iterator<Item = (LaunchField, &Value)> {
        self.fields.iter().filter_map(|(name, value)| Some((LaunchField::by_name(name)?, value)))
    }

    /// What is asked of the launch besides variables, with where each came from.
    pub fn settings(&self) -> Vec<Setting<'_>> {
        let setting = |(field, value)| Setting { parameter: self.origin(field), field, value };
        self.fields().map(setting).collect()
    }

    pub(super) fn field(&self, field: LaunchField) -> Option<&Value> {
        self.fields.get(field.name())
    }

    pub(super) fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    /// The parameter a launch field came from.
    pub(super) fn origin(&self, field: LaunchField) -> &str {
        self.origins.get(&(field, field.name().to_owned())).map_or(field.name(), String::as_str)
    }

    pub(super) fn is_marked_by_tag(&self) -> bool {
        self.marked_by_tag
    }

    pub(super) fn json(&self) -> Value {
        let mut body = self.fields.clone();
        if !self.variables.is_empty() {
            body.insert(LaunchField::ExtraVars.name().to_owned(), self.variables.clone().into());
        }
        body.into()
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from(self.json().to_string())
    }

    /// A text of the controller's without the values of write-only parameters.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, values) in &self.secrets {
            // AWX names the variable and quotes its value next to it: short values cannot be distinguished from other
            // text.
            if text.contains(&format!("'{name}'")) {
                return format!("the value of '{name}' is not acceptable");
            }
            for value in values.iter().filter(|value| value.len() >= 4) {
                text = text.replace(value.as_str(), "***");
            }
        }
        text
    }
}

impl std::fmt::Debug for LaunchBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaunchBody")
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// What AWX would refuse of the parameters that go into launch fields, whatever the template.
#[must_use]
pub fn refused_fields(schema: &Value, parameters: &Map<String, Value>) -> Vec<Problem> {
    let check = |(name, value): (&String, &Value)| {
        let target = target_of(name, schema.get("properties").and_then(|all| all.get(name)));
        // A variable may be anything.
        let detail = match field_value(target, value) {
            Ok(sent) => too_long(target, &sent),
            Err(why) => Some(why),
        }?;
        Some(Problem::of(name, detail))
    };
    parameters.iter().filter_map(check).collect()
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(map) => map.values().for_each(|item| strings(item, found)),
        Value::Number(number) => found.push(number.to_string()),
        Value::Null | Value::Bool(_) => {}
    }
}

/// `3.0` is an integer to JSON Schema and none to AWX.
#[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        Some(n) if value.is_f64() && n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => (n as i64).into(),
        _ => value.clone(),
    }
}

/// A value as the launch field wants it.
fn field_value(field: LaunchField, value: &Value) -> Result<Value, String> {
    let value = whole(value);
    let id = |value: &Value| value.as_i64().is_some_and(|id| id > 0);
    match field {
        LaunchField::ExtraVars => Ok(value),
        LaunchField::Limit | LaunchField::ScmBranch if value.is_string() => Ok(value),
        LaunchField::Limit | LaunchField::ScmBranch => Err("must be a string".into()),
        LaunchField::JobTags | LaunchField::SkipTags => tags(&value),
        LaunchField::JobType if value == "run" || value == "check" => Ok(value),
        LaunchField::JobType => Err("must be `run` or `check`".into()),
        LaunchField::Verbosity if value.as_u64().is_some_and(|n| n <= 5) => Ok(value),
        LaunchField::Verbosity => Err("must be an integer from 0 to 5".into()),
        LaunchField::DiffMode if value.is_boolean() => Ok(value),
        LaunchField::DiffMode => Err("must be true or false".into()),
        LaunchField::Forks | LaunchField::Timeout | LaunchField::JobSliceCount => {
            if value.as_u64().is_some_and(|n| n <= 2_147_483_647) {
                Ok(value)
            } else {
                Err("must be a non-negative integer".into())
            }
        }
        LaunchField::Inventory | LaunchField::ExecutionEnvironment if id(&value) => Ok(value),
        LaunchField::Inventory | LaunchField::ExecutionEnvironment => Err("must be an id".into()),
        LaunchField::Credentials | LaunchField::Labels | LaunchField::InstanceGroups => {
            if value.as_array().is_some_and(|ids| ids.iter().all(id)) {
                Ok(value)
            } else {
                Err("must be a list of ids".into())
            }
        }
    }
}

/// Whether a text is longer than AWX keeps in a launch field.
pub(super) fn too_long(field: LaunchField, value: &Value) -> Option<String> {
    let bounded = !matches!(field, LaunchField::ExtraVars | LaunchField::Limit);
    let long = value.as_str().is_some_and(|text| text.chars().count() > LONGEST_TEXT);
    (bounded && long).then(|| format!("must not be longer than {LONGEST_TEXT} characters"))
}

/// Tags: a comma-separated string, or a list of them.
fn tags(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().filter(|tag| !tag.contains(',')))
            .collect::<Option<Vec<_>>>()
            .map(|tags| tags.join(",").into())
            .ok_or_else(|| "must be a list of tags without commas".into()),
        _ => Err("must be a string or a list of strings".into()),
    }
}
