use proptest::prelude::*;

use super::*;

fn pointer_of(given: &str) -> String {
    let error = Schema::parse(given).map(|schema| schema.text()).expect_err(given);
    assert!(!error.fields().is_empty(), "{given}: {error:?}");
    error.fields()[0].pointer.clone()
}

#[test]
fn a_schema_is_closed_and_says_what_it_is() {
    let schema = Schema::parse(r#"{"properties":{"env":{"enum":["dev","prod"]}},"required":["env"]}"#).unwrap();
    assert_eq!(schema.value()["type"], "object");
    assert_eq!(schema.value()["additionalProperties"], false);
    assert_eq!(schema.value()["$schema"], DIALECT);
    assert!(schema.requires("env") && schema.has("env") && !schema.has("other"));
    assert_eq!(Schema::parse("{}").unwrap().properties().count(), 0);
}

#[test]
fn references_within_the_document_are_taken() {
    Schema::parse(
        r##"{"$defs":{"name":{"type":"string","pattern":"^[a-z]+$"}},"properties":{"a":{"$ref":"#/$defs/name"},
            "b":{"type":"array","items":{"$ref":"#/$defs/name"}},"$ref":{"type":"string"}}}"##,
    )
    .unwrap();
}

#[test]
fn references_that_leave_the_document_or_hide_where_they_lead_are_refused() {
    for reference in [
        "https://example.com/x.json",
        "file:///etc/passwd",
        "other.json",
        "#name",
        "#/$defs/none",
        "#/%24defs/a",
        "urn:x:y",
        "",
    ] {
        let given = json!({ "$defs": { "a": true }, "properties": { "p": { "$ref": reference } } }).to_string();
        assert!(pointer_of(&given).starts_with("/parameters/properties/p"), "{reference}");
    }
    for keyword in ["$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$id", "$schema"] {
        let given = json!({ "properties": { "p": { keyword: "#x" } } }).to_string();
        assert_eq!(pointer_of(&given), format!("/parameters/properties/p/{keyword}"));
    }
}

#[test]
fn schemas_that_refer_to_themselves_are_refused() {
    for given in [
        r##"{"properties":{"a":{"$ref":"#"}}}"##,
        r##"{"properties":{"a":{"$ref":"#/properties/a"}}}"##,
        r##"{"$defs":{"x":{"allOf":[{"$ref":"#/$defs/y"}]},"y":{"not":{"$ref":"#/$defs/x"}}},"properties":{"a":{"$ref":"#/$defs/x"}}}"##,
    ] {
        let error = Schema::parse(given).unwrap_err();
        assert!(error.detail().contains("itself"), "{given}: {error}");
    }
}

#[test]
fn references_that_fan_out_are_refused() {
    let mut defs = Map::new();
    for n in 0..20 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), json!({ "allOf": [next, next, next] }));
    }
    defs.insert("d20".to_owned(), json!(true));
    let given = json!({ "$defs": defs, "properties": { "a": { "$ref": "#/$defs/d0" } } }).to_string();
    let error = Schema::parse(&given).unwrap_err();
    assert!(error.detail().contains("fan out") || error.detail().contains("deeper"), "{error}");
}

#[test]
fn long_chains_of_references_are_refused_without_following_them_all() {
    let mut defs = Map::new();
    for n in 0..1500 {
        defs.insert(format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }));
    }
    defs.insert("d1500".to_owned(), json!(true));
    let given = json!({ "$defs": defs, "properties": { "a": { "$ref": "#/$defs/d0" } } }).to_string();
    assert!(Schema::parse(&given).unwrap_err().detail().contains("deeper"));
}

#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let mut deep = json!({ "type": "string" });
    for _ in 0..40 {
        deep = json!({ "items": deep });
    }
    pointer_of(&json!({ "properties": { "a": deep } }).to_string());
    pointer_of(&format!(r#"{{"description":"{}"}}"#, "x".repeat(LONGEST)));
    let many: Map<String, Value> = (0..=MOST_PROPERTIES).map(|n| (format!("p{n}"), json!(true))).collect();
    assert_eq!(pointer_of(&json!({ "properties": many }).to_string()), "/parameters/properties");
}

#[test]
fn only_regular_expressions_that_run_in_linear_time_are_taken() {
    Schema::parse(r#"{"properties":{"a":{"type":"string","pattern":"^(a+)+$"}}}"#).unwrap();
    for pattern in [r"(a)\1", "(?=a)b", "(?<!a)b", "(", "a{100000}{100000}"] {
        let given = json!({ "properties": { "a": { "pattern": pattern } } }).to_string();
        pointer_of(&given);
    }
    pointer_of(&json!({ "properties": { "a": { "pattern": "a".repeat(1001) } } }).to_string());
}

#[test]
fn what_is_no_closed_object_schema_is_refused_with_its_place() {
    for (given, pointer) in [
        ("", "/parameters"),
        ("[]", "/parameters"),
        ("true", "/parameters"),
        (r#"{"type":"object","type":"object"}"#, "/parameters"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, "/parameters/$schema"),
        (r#"{"type":"array"}"#, "/parameters/type"),
        (r#"{"type":["object","null"]}"#, "/parameters/type"),
        (r#"{"additionalProperties":true}"#, "/parameters/additionalProperties"),
        (r#"{"additionalProperties":{"type":"string"}}"#, "/parameters/additionalProperties"),
        (r#"{"patternProperties":{"^a":true}}"#, "/parameters/patternProperties"),
        (r#"{"properties":[]}"#, "/parameters/properties"),
        (r#"{"properties":{"a":1}}"#, "/parameters/properties/a"),
        (r#"{"properties":{"a":{"type":"strin"}}}"#, "/parameters/properties/a/type"),
        (r#"{"properties":{"a":{"minimum":"1"}}}"#, "/parameters/properties/a/minimum"),
        (r#"{"required":["a"]}"#, "/parameters/required/0"),
        ("{\"properties\":{\"a\":{\"title\":\"x\\u0000\"}}}", "/parameters/properties/a/title"),
    ] {
        assert_eq!(pointer_of(given), pointer, "{given}");
    }
}

#[test]
fn parameters_that_would_reach_awx_as_something_else_are_refused() {
    for (name, property) in [
        ("inventory", json!({ "type": "integer" })),
        ("credentials", json!({ "type": "array" })),
        ("x", json!({ TARGET_KEYWORD: "labels" })),
        ("limit", json!({})),
        ("limit", json!({ "type": "integer" })),
        ("verbosity", json!({ "type": "string" })),
        ("diff_mode", json!({ "enum": ["yes"] })),
        ("runwarden_attempt", json!(true)),
        ("", json!(true)),
        ("a b", json!(true)),
        (&*"x".repeat(101), json!(true)),
    ] {
        let given = json!({ "properties": { name: property } }).to_string();
        assert_eq!(pointer_of(&given), format!("/parameters/properties/{name}"), "{given}");
    }
    assert!(pointer_of(r#"{"properties":{"x":{"x-runwarden-target":"nowhere"}}}"#).ends_with("x-runwarden-target"));
    let twice = json!({ "properties": { "limit": { "type": "string" }, "hosts": { "type": "string", TARGET_KEYWORD: "limit" } } });
    pointer_of(&twice.to_string());
    for good in [
        json!({ "limit": { "type": "string" }, "verbosity": { "enum": [0, 1] }, "diff_mode": { "const": false } }),
        json!({ "inventory": { "type": "string", TARGET_KEYWORD: "extra_vars" } }),
        json!({ "hosts": { "type": "string", TARGET_KEYWORD: "limit" } }),
    ] {
        Schema::parse(&json!({ "properties": good }).to_string()).unwrap();
    }
}

#[test]
fn an_imported_survey_loses_what_is_fixed_and_answers_stay_variables() {
    let survey = r#"{"type":"object","properties":{"env":{"type":"string"},"limit":{"type":"integer"},"who":{"type":"string"}},
        "required":["env","who"],"additionalProperties":false}"#;
    let fixed = Fixed::parse(r#"{"env":"prod"}"#).unwrap();
    let schema = Schema::import(survey, &fixed).unwrap();
    let properties: Vec<_> = schema.properties().map(|(name, target, _)| (name.to_owned(), target)).collect();
    assert_eq!(properties, [("limit".to_owned(), LaunchField::ExtraVars), ("who".to_owned(), LaunchField::ExtraVars)]);
    assert_eq!(schema.required().collect::<Vec<_>>(), ["who"]);
    assert_eq!(Schema::import("", &fixed).unwrap().properties().count(), 0);
}

fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(json!({ "type": "string" })),
        "(#|#/\\$defs/[ab]|#/properties/[ab]|[a-z:/#%]{0,8})".prop_map(|reference| json!({ "$ref": reference })),
        "[a-z()\\[\\]*+?{}\\\\^$|0-9]{0,8}".prop_map(|pattern| json!({ "pattern": pattern })),
        any::<i32>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|parts| json!({ "allOf": parts })),
            inner.clone().prop_map(|part| json!({ "items": part })),
            prop::collection::btree_map("[ab]", inner.clone(), 0..3).prop_map(|parts| json!({ "properties": parts })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "$defs": { "a": a, "b": b } })),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_judged_without_panic(given in "\\PC{0,60}") {
        let _ = Schema::parse(&given);
    }

    #[test]
    fn what_is_taken_compiles_and_validates_anything_without_panic(mut schema in any_schema(), defs in any_schema()) {
        if let Value::Object(keywords) = &mut schema {
            keywords.insert("$defs".to_owned(), json!({ "a": defs }));
        }
        if let Ok(taken) = Schema::parse(&schema.to_string()) {
            let validator = compile(taken.value()).unwrap();
            for instance in [json!({}), json!({ "a": [[["x"]]] }), json!({ "b": { "a": 1 } })] {
                let _ = validator.is_valid(&instance);
            }
            let again = Schema::parse(&taken.text()).unwrap();
            prop_assert_eq!(again, taken);
        }
    }
}
