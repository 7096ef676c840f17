//! Holding a parameter to what the controller takes for it: what it would refuse in a launch is refused in the request.

use serde_json::{Map, Value, json};

const NONE_TAKEN: &str = "the controller accepts none of its values";

/// Narrows a parameter's schema to values that also fit the controller's. Only keywords next to those that are there are
/// changed or added: beside each other they all hold, whatever else the schema says.
///
/// # Errors
/// When no value would fit both, in words.
pub(in crate::template) fn tighten(property: &mut Value, taken: &Value) -> Result<(), String> {
    let Value::Object(taken) = taken else { return Ok(()) };
    if taken.contains_key("not") {
        let why = taken.get("$comment").and_then(Value::as_str);
        return Err(why.unwrap_or("the controller accepts no value for it").to_owned());
    }
    if *property == Value::Bool(true) {
        *property = json!({});
    }
    let Value::Object(own) = property else { return Ok(()) };
    // What the controller keeps to itself is not shown by us either.
    if taken.get("writeOnly") == Some(&Value::Bool(true)) {
        own.insert("writeOnly".to_owned(), true.into());
    }
    if is_listed(own, taken)? {
        return Ok(());
    }
    types(own, taken)?;
    if let Some(choices) = taken.get("enum") {
        if !choices.as_array().is_some_and(|all| all.iter().any(fitting(own))) {
            return Err(NONE_TAKEN.to_owned());
        }
        own.insert("enum".to_owned(), choices.clone());
    }
    for (least, most) in [("minimum", "maximum"), ("minLength", "maxLength")] {
        bound(own, taken, least, |own, taken| own < taken);
        bound(own, taken, most, |own, taken| own > taken);
        let number = |keyword: &str| own.get(keyword).and_then(Value::as_f64);
        let is_bounded = taken.contains_key(least) || taken.contains_key(most);
        if is_bounded && number(most).is_some() && number(least) > number(most) {
            return Err(format!("the controller accepts no value between its `{least}` and its `{most}`"));
        }
    }
    items(own, taken)
}

/// Whether the values are listed one by one; those that the controller does not take are left out.
fn is_listed(own: &mut Map<String, Value>, taken: &Map<String, Value>) -> Result<bool, String> {
    if !own.contains_key("const") && !own.get("enum").is_some_and(Value::is_array) {
        return Ok(false);
    }
    let taken = without_words(taken);
    let fits = fitting(&taken);
    let none = || NONE_TAKEN.to_owned();
    if let Some(only) = own.get("const") {
        return if fits(only) { Ok(true) } else { Err(none()) };
    }
    let Some(Value::Array(choices)) = own.get_mut("enum") else { return Ok(false) };
    // Choices are compared one by one where there are choices: thousands against thousands.
    match taken.get("enum").and_then(Value::as_array) {
        Some(known) => {
            let known: std::collections::HashSet<String> = known.iter().map(Value::to_string).collect();
            choices.retain(|choice| known.contains(&choice.to_string()));
        }
        None => choices.retain(|choice| fits(choice)),
    }
    if choices.is_empty() { Err(none()) } else { Ok(true) }
}

/// Whether a value fits a schema, which is compiled once; every value does if it cannot be used by itself.
fn fitting(schema: &Map<String, Value>) -> impl Fn(&Value) -> bool + use<> {
    let validator = runwarden_kit::schema::compile(&Value::Object(schema.clone())).ok();
    move |value| validator.as_ref().is_none_or(|validator| validator.is_valid(value))
}

/// What a schema demands, without what it says to people.
fn without_words(schema: &Map<String, Value>) -> Map<String, Value> {
    let words = ["title", "description", "default", "$comment", "writeOnly"];
    schema
        .iter()
        .filter(|(key, _)| !words.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn types(own: &mut Map<String, Value>, taken: &Map<String, Value>) -> Result<(), String> {
    let Some(kind) = taken.get("type").and_then(Value::as_str) else { return Ok(()) };
    let given: Vec<&str> = match own.get("type") {
        None => Vec::new(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(given) => given.as_str().into_iter().collect(),
    };
    let narrowed = match kind {
        _ if given.is_empty() || given.contains(&kind) => kind,
        // Every integer is a number.
        "number" if given.contains(&"integer") => "integer",
        "integer" if given.contains(&"number") => "integer",
        _ => return Err(format!("the controller accepts only values of type `{kind}` for it")),
    };
    own.insert("type".to_owned(), narrowed.into());
    Ok(())
}

fn bound(own: &mut Map<String, Value>, taken: &Map<String, Value>, keyword: &str, wider: impl Fn(f64, f64) -> bool) {
    let Some(limit) = taken.get(keyword) else { return };
    let is_wider = match (own.get(keyword).and_then(Value::as_f64), limit.as_f64()) {
        (Some(own), Some(limit)) => wider(own, limit),
        (None, _) => true,
        (Some(_), None) => false,
    };
    if is_wider {
        own.insert(keyword.to_owned(), limit.clone());
    }
}

fn items(own: &mut Map<String, Value>, taken: &Map<String, Value>) -> Result<(), String> {
    let Some(limit) = taken.get("items") else { return Ok(()) };
    if own.contains_key("prefixItems") {
        // Next to those, `items` is about the rest only.
        let also = json!({ "items": limit });
        match own.entry("allOf").or_insert_with(|| json!([])) {
            Value::Array(all) if !all.contains(&also) => all.push(also),
            _ => {}
        }
        return Ok(());
    }
    match own.get_mut("items") {
        Some(items) => tighten(items, limit),
        None => {
            own.insert("items".to_owned(), limit.clone());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::template::schema::misfit;

    fn tightened(own: Value, taken: Value) -> Result<Value, String> {
        let mut property = own;
        tighten(&mut property, &taken).map(|()| property)
    }

    #[test]
    fn what_is_wider_than_the_controller_is_narrowed_and_what_is_not_stays() {
        let verbosity = json!({"type": "integer", "minimum": 0, "maximum": 5});
        for (own, taken, narrowed) in [
            (json!({"type": "integer"}), &verbosity, json!({"type": "integer", "minimum": 0, "maximum": 5})),
            (
                json!({"type": "integer", "maximum": 9, "minimum": 2}),
                &verbosity,
                json!({"type": "integer", "minimum": 2, "maximum": 5}),
            ),
            (json!({"enum": [4, 5, 6]}), &verbosity, json!({"enum": [4, 5]})),
            (json!({"const": 3}), &verbosity, json!({"const": 3})),
            (json!(true), &json!({"type": "string", "maxLength": 3}), json!({"type": "string", "maxLength": 3})),
            (
                json!({"type": ["string", "null"], "title": "t"}),
                &json!({"type": "string", "title": "theirs", "default": "d"}),
                json!({"type": "string", "title": "t"}),
            ),
            (json!({"type": "number"}), &json!({"type": "integer"}), json!({"type": "integer"})),
            (json!({"type": "integer"}), &json!({"type": "number"}), json!({"type": "integer"})),
            (
                json!({"type": "string", "pattern": "^p"}),
                &json!({"enum": ["dev", "prod"]}),
                json!({"type": "string", "pattern": "^p", "enum": ["dev", "prod"]}),
            ),
            (
                json!({"type": "string"}),
                &json!({"type": "string", "writeOnly": true}),
                json!({"type": "string", "writeOnly": true}),
            ),
            (json!({"enum": ["prod", "qa"]}), &json!({"enum": ["dev", "prod"]}), json!({"enum": ["prod"]})),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                &json!({"type": "array", "items": {"enum": ["a"]}, "uniqueItems": true}),
                json!({"type": "array", "items": {"type": "string", "enum": ["a"]}}),
            ),
        ] {
            assert_eq!(tightened(own.clone(), taken.clone()), Ok(narrowed), "{own}");
        }
    }

    #[test]
    fn what_the_controller_never_takes_is_refused() {
        for (own, taken) in [
            (json!({"type": "string"}), json!({"type": "integer"})),
            (json!({"enum": ["qa"]}), json!({"enum": ["dev"]})),
            (json!({"const": 9}), json!({"type": "integer", "maximum": 5})),
            (json!({"type": "integer", "minimum": 6}), json!({"type": "integer", "maximum": 5})),
            (json!({"type": "string", "minLength": 6}), json!({"type": "string", "maxLength": 5})),
            (json!({"type": "string"}), json!({"not": {}, "$comment": "never"})),
            (json!({"type": "integer"}), json!({"enum": ["dev", "prod"]})),
            (json!({"type": "string", "pattern": "^q"}), json!({"enum": ["dev", "prod"]})),
        ] {
            assert!(tightened(own.clone(), taken).is_err(), "{own}");
        }
    }

    fn any_own() -> impl Strategy<Value = Value> {
        let number = prop_oneof![Just(None), (-9i64..9).prop_map(Some)];
        let kind = prop_oneof![
            Just(json!(null)),
            Just(json!("integer")),
            Just(json!("string")),
            Just(json!("number")),
            Just(json!(["integer", "string", "array"])),
            Just(json!("array")),
        ];
        (kind, number.clone(), number, prop::option::of(prop::collection::vec(any_value(), 1..4)), any::<bool>())
            .prop_map(|(kind, min, max, choices, nested)| {
                let mut own = Map::new();
                if !kind.is_null() {
                    own.insert("type".into(), kind);
                }
                if let Some(min) = min {
                    own.insert("minimum".into(), min.into());
                    own.insert("minLength".into(), min.max(0).into());
                }
                if let Some(max) = max {
                    own.insert("maximum".into(), max.into());
                }
                if let Some(choices) = choices {
                    own.insert("enum".into(), choices.into());
                }
                if nested {
                    own.insert("prefixItems".into(), json!([{"type": "integer"}]));
                }
                own.into()
            })
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (-9i64..9).prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from),
            prop::collection::vec("[a-b]", 0..3).prop_map(|list| json!(list)),
            Just(json!(2.5)),
            Just(json!(null)),
        ]
    }

    fn any_taken() -> impl Strategy<Value = Value> {
        prop_oneof![
            (-5i64..5, 0i64..9)
                .prop_map(|(min, more)| json!({"type": "integer", "minimum": min, "maximum": min + more})),
            (0u64..3, 0u64..4)
                .prop_map(|(min, more)| json!({"type": "string", "minLength": min, "maxLength": min + more})),
            Just(json!({"type": "number"})),
            Just(json!({"enum": ["a", "b", 3]})),
            Just(json!({"type": "array", "items": {"enum": ["a", "b"]}})),
        ]
    }

    proptest! {
        /// Exactly what fits both fits the narrowed schema.
        #[test]
        fn narrowing_is_both_together(own in any_own(), taken in any_taken(), value in any_value()) {
            let both = misfit(&own, &value).is_none() && misfit(&taken, &value).is_none();
            match tightened(own.clone(), taken.clone()) {
                Ok(narrowed) => {
                    prop_assert_eq!(misfit(&narrowed, &value).is_none(), both, "{} {} {}", own, taken, narrowed);
                    prop_assert_eq!(tightened(narrowed.clone(), taken), Ok(narrowed), "once is enough");
                }
                Err(_) => prop_assert!(!both, "{} {} {}", own, taken, value),
            }
        }
    }
}
