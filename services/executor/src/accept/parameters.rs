//! What a caller sends for a template: validated against its schema, write-only values taken out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jsonschema::Validator;
use runwarden_awx as awx;
use runwarden_kit::{Error, ErrorReason, FieldError, Result, json, schema};
use serde_json::{Map, Value, json};

use crate::ports::Template;
use runwarden_kit::schema::WriteOnly;

/// How many field errors one answer reports.
const MOST_ERRORS: usize = 20;
/// How many choices one of them lists.
const MOST_CHOICES: usize = 30;
/// How many compiled schemas are kept.
const MOST_SCHEMAS: usize = 512;

/// Compiled schemas by what they say: a template that is made again under an old name begins at revision 1 again.
#[derive(Default)]
pub struct Schemas {
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Valid parameters, split into open and write-only ones.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Those that may be seen.
    pub open: Map<String, Value>,
    /// Those that may not: sealed before anything else happens to them.
    pub write_only: Map<String, Value>,
}

impl Schemas {
    /// Validates parameters for a template.
    ///
    /// # Errors
    /// `PARAMETERS_INVALID` with a pointer for each field that is wrong; values are never quoted.
    pub fn validate(&self, template: &Template, parameters: Map<String, Value>) -> Result<Parameters> {
        let validator = self.compiled(template)?;
        let value = Value::Object(parameters);
        let mut fields: Vec<FieldError> = Vec::new();
        if let Some(pointer) = json::find_nul(&value) {
            fields.push(FieldError { pointer, detail: "must not contain NUL characters".into() });
        }
        if let Some(pointer) = awx::find_placeholder(&value) {
            let detail = "must not be `$encrypted$`, which a controller reads as its own default".to_owned();
            fields.push(FieldError { pointer, detail });
        }
        for error in validator.iter_errors(&value).take(MOST_ERRORS) {
            fields.extend(explain(&error));
        }
        let Value::Object(parameters) = value else {
            // It was made an object five lines up.
            return Err(Error::internal(anyhow::anyhow!("parameters changed their type")));
        };
        for name in parameters.keys() {
            if template.fixed.contains_key(name) {
                let detail = "is fixed by the template and cannot be sent".to_owned();
                fields.push(FieldError { pointer: json::pointer_step(name), detail });
            }
        }
        // What AWX accepts for a launch field is the same for every template, whatever the schema allows.
        fields.extend(awx::refused_fields(&template.schema, &parameters).into_iter().map(FieldError::from));
        if !fields.is_empty() {
            fields.sort_by(|a, b| a.pointer.cmp(&b.pointer));
            fields.dedup_by(|a, b| a.pointer == b.pointer);
            return Err(Error::new(ErrorReason::ParametersInvalid, "The parameters do not fit the template's schema.")
                .with_fields(fields)
                .under("/parameters"));
        }
        let write_only = WriteOnly::of(&template.schema);
        Ok(Parameters::divided(parameters, |name| write_only.is(name)))
    }

    fn compiled(&self, template: &Template) -> Result<Arc<Validator>> {
        let key = template.schema.digest();
        if let Some(validator) = self.compiled.lock().ok().and_then(|kept| kept.get(key).cloned()) {
            return Ok(validator);
        }
        let validator = schema::compile(&template.schema).map_err(|e| {
            let (tenant, name) = (&template.tenant, &template.name);
            Error::internal(anyhow::anyhow!("the stored schema of {name} of {tenant} does not compile: {e}"))
        })?;
        let validator = Arc::new(validator);
        if let Ok(mut kept) = self.compiled.lock() {
            if kept.len() >= MOST_SCHEMAS {
                kept.clear();
            }
            kept.insert(key.to_owned(), validator.clone());
        }
        Ok(validator)
    }
}

/// One error in words that quote no value: it may be a secret.
fn explain(error: &jsonschema::ValidationError<'_>) -> Vec<FieldError> {
    use jsonschema::error::ValidationErrorKind as Kind;
    let at = error.instance_path().to_string();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| FieldError {
                pointer: format!("{at}{}", json::pointer_step(name)),
                detail: "is not a parameter of this template".into(),
            })
            .collect(),
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![FieldError { pointer: format!("{at}{}", json::pointer_step(name)), detail: "is required".into() }]
        }
        Kind::Enum { options } => {
            vec![FieldError { pointer: at, detail: one_of(options) }]
        }
        _ => vec![FieldError { pointer: at, detail: error.masked_with("the value").to_string() }],
    }
}

/// What may be chosen, as far as people read on.
fn one_of(options: &Value) -> String {
    let choices = options.as_array().map(Vec::as_slice).unwrap_or_default();
    match choices.get(..MOST_CHOICES) {
        Some(first) if choices.len() > MOST_CHOICES => {
            format!("must be one of {} choices, such as {}", choices.len(), json::canonical(&first.into()))
        }
        _ => format!("must be one of {}", json::canonical(options)),
    }
}

impl Parameters {
    /// Tells write-only ones from the others.
    #[must_use]
    pub fn divided(parameters: Map<String, Value>, is_write_only: impl Fn(&str) -> bool) -> Self {
        let (write_only, open) = parameters.into_iter().partition(|(name, _)| is_write_only(name));
        Self { open, write_only }
    }

    /// As they are shown: write-only ones as `{"set":true}`.
    #[must_use]
    pub fn shown(&self) -> Map<String, Value> {
        self.with_write_only(&json!({"set": true}))
    }

    /// As policies see them: write-only ones as `<set>`.
    #[must_use]
    pub fn for_policies(&self) -> Value {
        Value::Object(self.with_write_only(&json!("<set>")))
    }

    /// As they are digested: write-only ones as their keyed hash.
    #[must_use]
    pub fn for_digest(&self, keyed_hash: Option<&str>) -> Value {
        let mut digested = Value::Object(self.with_write_only(&json!("<set>")));
        if let (Some(hash), Value::Object(map)) = (keyed_hash, &mut digested) {
            map.insert("\u{1}keyed_hash".into(), json!(hash));
        }
        digested
    }

    fn with_write_only(&self, stand_in: &Value) -> Map<String, Value> {
        let mut all = self.open.clone();
        all.extend(self.write_only.keys().map(|name| (name.clone(), stand_in.clone())));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runwarden_awx::{LaunchBody, LaunchInput};

    use super::*;
    use crate::test_doubles::template;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "environment": {"type": "string", "enum": ["dev", "prod"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 3},
                "token": {"type": "string", "writeOnly": true, "minLength": 12},
            },
            "required": ["environment"],
            "additionalProperties": false,
        })
    }

    fn validate(parameters: Value) -> Result<Parameters> {
        let template = Template { schema: schema().into(), ..template() };
        let Value::Object(parameters) = parameters else { panic!("an object") };
        Schemas::default().validate(&template, parameters)
    }

    #[test]
    fn each_wrong_field_is_named_and_no_value_is_quoted() {
        let error = validate(json!({"count": 9, "extra": 1, "token": "hunter2"})).expect_err("all wrong");
        assert_eq!(error.reason(), ErrorReason::ParametersInvalid);
        let pointers: Vec<&str> = error.fields().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/parameters/count", "/parameters/environment", "/parameters/extra", "/parameters/token"]
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn formats_are_asserted_and_their_values_are_not_quoted() {
        let schema = json!({"type": "object", "properties": {"host": {"type": "string", "format": "ipv4"}}});
        let template = Template { schema: schema.into(), ..template() };
        let sent = |host: &str| json!({ "host": host }).as_object().unwrap().clone();
        Schemas::default().validate(&template, sent("192.0.2.1")).expect("an address");
        let error = Schemas::default().validate(&template, sent("hunter2")).expect_err("not an address");
        assert_eq!(error.fields()[0].pointer, "/parameters/host");
        assert!(error.fields()[0].detail.contains("ipv4") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn write_only_values_are_told_apart_and_never_shown() {
        let parameters = validate(json!({"environment": "dev", "token": "hunter2hunter2"})).expect("they fit");
        assert_eq!(
            parameters.shown(),
            json!({"environment": "dev", "token": {"set": true}}).as_object().unwrap().clone()
        );
        assert_eq!(parameters.write_only.len(), 1);
        assert!(!parameters.for_policies().to_string().contains("hunter2"));
        assert_ne!(parameters.for_digest(Some("a")), parameters.for_digest(Some("b")));
    }

    #[test]
    fn a_template_made_again_under_its_name_is_not_validated_by_the_old_ones_schema() {
        let schemas = Schemas::default();
        let sent = |value: Value| value.as_object().unwrap().clone();
        let old = Template { schema: schema().into(), ..template() };
        schemas.validate(&old, sent(json!({"environment": "dev"}))).expect("it fits");
        let again = json!({"type": "object", "properties": {"region": {}}, "additionalProperties": false});
        let again = Template { schema: again.into(), ..template() };
        assert_eq!(old.revision, again.revision);
        schemas.validate(&again, sent(json!({"region": "eu"}))).expect("it fits the schema of now");
        schemas.validate(&again, sent(json!({"environment": "dev"}))).expect_err("the old one's parameters are gone");
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let check = |rule: Value, text: &str| {
            let schema = json!({"type": "object", "properties": {"n": rule}, "additionalProperties": false});
            let template = Template { schema: schema.into(), ..template() };
            let sent = json::parse(format!("{{\"n\": {text}}}").as_bytes())?;
            Schemas::default().validate(&template, sent.as_object().unwrap().clone()).map(drop)
        };
        for (rule, good, bad) in [
            (json!({"maximum": 10}), "10", "10.000000000000000001"),
            (json!({"maximum": 10}), "10.0", "10.000000000000002"),
            (json!({"exclusiveMaximum": 9_007_199_254_740_993_u64}), "9007199254740992", "9007199254740993"),
            (json!({"minimum": -9_007_199_254_740_992_i64}), "-9007199254740992", "-9007199254740993"),
            (json!({"multipleOf": 2}), "9007199254740992", "9007199254740993"),
            (json!({"multipleOf": 0.01}), "0.07", "0.075"),
            (json!({"enum": [0.1]}), "0.1", "0.1000000000000000055511151231257827"),
            (json!({"const": 9_007_199_254_740_992_u64}), "9007199254740992", "9007199254740993"),
        ] {
            assert!(check(rule.clone(), good).is_ok(), "{rule} {good}");
            assert!(check(rule.clone(), bad).is_err(), "{rule} {bad}");
        }
    }

    #[test]
    fn the_controllers_placeholder_is_refused_before_the_job_is_accepted() {
        for (sent, pointer) in [
            (json!({"environment": "dev", "token": "$encrypted$"}), "/parameters/token"),
            (json!({"environment": "$encrypted$"}), "/parameters/environment"),
        ] {
            let error = validate(sent).expect_err("AWX would take it for its default");
            assert_eq!(error.reason(), ErrorReason::ParametersInvalid);
            assert_eq!(error.fields()[0].pointer, pointer);
        }
    }

    #[test]
    fn what_the_template_fixes_cannot_be_sent() {
        let fixed = json!({"environment": "dev"}).as_object().unwrap().clone();
        let template = Template { schema: schema().into(), fixed, ..template() };
        let sent = json!({"environment": "prod"}).as_object().unwrap().clone();
        let error = Schemas::default().validate(&template, sent).expect_err("it is fixed");
        assert_eq!(error.fields()[0].pointer, "/parameters/environment");
    }

    /// A way to say that a parameter is write-only, or, with `false`, that it is not.
    fn way() -> impl Strategy<Value = fn(Value) -> Value> {
        prop::sample::select(vec![
            (|said| said) as fn(Value) -> Value,
            |said| json!({"allOf": [{}, said]}),
            |said| json!({"anyOf": [said, {"type": "string"}]}),
            |said| json!({"oneOf": [{"not": {}}, said]}),
            |said| json!({"if": {"type": "string"}, "then": said}),
            |said| json!({"if": {"type": "integer"}, "then": {}, "else": said}),
            |said| json!({"items": said}),
            |said| json!({"properties": {"deep": {"additionalProperties": said}}}),
        ])
    }

    proptest! {
        /// What is sealed, what is shown as set, and what is kept out of a controller's words are the same.
        #[test]
        fn what_is_sealed_is_what_is_redacted(
            parameters in prop::collection::btree_map("[a-z]{1,6}", (any::<bool>(), way(), 0_u8..4), 1..6)
        ) {
            let (mut properties, mut more, mut definitions) = (Map::new(), Vec::new(), Map::new());
            for (name, (secret, way, place)) in &parameters {
                let said = way(json!({"writeOnly": secret}));
                match place {
                    0 => { properties.insert(name.clone(), said); }
                    1 => { properties.insert(name.clone(), json!({"$ref": format!("#/$defs/{name}")})); definitions.insert(name.clone(), said); }
                    2 => { properties.insert(name.clone(), json!({})); more.push(json!({"properties": {name: said}})); }
                    _ => {
                        properties.insert(name.clone(), json!({}));
                        definitions.insert(name.clone(), json!({"then": {"properties": {name: said}}}));
                        more.push(json!({"$ref": format!("#/$defs/{name}")}));
                    }
                }
            }
            let schema = json!({"properties": properties, "allOf": more, "$defs": definitions});
            let sent: Map<String, Value> =
                parameters.keys().map(|name| (name.clone(), json!(format!("value-of-{name}-here")))).collect();
            let write_only = WriteOnly::of(&schema);
            let divided = Parameters::divided(sent.clone(), |name| write_only.is(name));
            let (shown, decided) = (Value::Object(divided.shown()).to_string(), divided.for_policies().to_string());
            let fixed = Map::new();
            let input = LaunchInput { schema: &schema, parameters: &sent, fixed: &fixed, marker: None, default_skip_tags: "" };
            let body = LaunchBody::build(input).expect("it can be launched");
            for (name, (secret, ..)) in &parameters {
                let value = format!("value-of-{name}-here");
                prop_assert_eq!(divided.write_only.contains_key(name), *secret, "{} {}", name, &schema);
                for told in [&shown, &decided, &body.redact(&format!("no: {value}"))] {
                    prop_assert_eq!(told.contains(&value), !secret, "{} {}", told, &schema);
                }
            }
        }
    }
}
