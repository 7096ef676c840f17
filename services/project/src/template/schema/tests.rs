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
    assert!(error.detail().contains("multiply") || error.detail().contains("deeper"), "{error}");
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
        (r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#, "/parameters/$schema"),
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

fn refusals(given: &Value) -> Vec<(String, String)> {
    let error = Schema::parse(&given.to_string()).expect_err(&given.to_string());
    error.fields().iter().map(|field| (field.pointer.clone(), field.detail.clone())).collect()
}

#[test]
fn a_word_that_checks_nothing_is_refused_with_what_to_write_instead() {
    for (property, place, says) in [
        (json!({ "type": "integer", "maximun": 3 }), "/maximun", "did you mean `maximum`?"),
        (json!({ "type": "string", "maxlength": 3 }), "/maxlength", "did you mean `maxLength`?"),
        (json!({ "type": "string", "min_length": 3 }), "/min_length", "did you mean `minLength`?"),
        (json!({ "type": "string", "regex": "a" }), "/regex", "begin its name with `x-`"),
        (json!({ "type": "string", "nullable": true }), "/nullable", "[\"string\", \"null\"]"),
        (json!({ "type": "string", "example": "a" }), "/example", "`examples`"),
        (json!({ "x-runwarden-targt": "limit" }), "/x-runwarden-targt", "did you mean `x-runwarden-target`?"),
        (json!({ "items": { "x-runwarden-target": "limit" } }), "/items/x-runwarden-target", "no effect here"),
        (json!({ "type": "integer", "exclusiveMinimum": true }), "/exclusiveMinimum", "must be a number"),
        (json!({ "type": "string", "required": true }), "/required", "array of names"),
        (json!({ "type": "array", "items": [{ "type": "string" }] }), "/items", "prefixItems"),
        (json!({ "dependencies": { "a": ["b"] } }), "/dependencies", "dependentRequired"),
        (json!({ "type": "str" }), "/type", "write `string`"),
        (json!({ "type": ["strng", "null"] }), "/type", "did you mean `string`?"),
        (json!({ "type": "string", "maximum": 3 }), "/maximum", "about the type `number`"),
        (json!({ "type": ["integer", "null"], "minLength": 3 }), "/minLength", "`integer`, `null`"),
        (json!({ "then": { "minLength": 3 } }), "/then", "without `if`"),
        (json!({ "type": "array", "minContains": 1 }), "/minContains", "without `contains`"),
        (json!({ "type": "string", "format": "datetime" }), "/format", "did you mean `date-time`?"),
        (json!({ "type": "string", "format": "uuid4" }), "/format", "write `uuid`"),
        (json!({ "type": "string", "format": "password" }), "/format", "writeOnly"),
        (json!({ "type": "integer", "format": "int64" }), "/format", "`minimum` and `maximum`"),
        (json!({ "type": "string", "format": "semver" }), "/format", "the formats are date, "),
        (json!({ "type": "integer", "format": "date" }), "/format", "about the type `string`"),
        (
            json!({ "anyOf": [{ "type": "string" }, { "allOf": [{ "nulable": 1 }] }] }),
            "/anyOf/1/allOf/0/nulable",
            "not a keyword",
        ),
    ] {
        let found = refusals(&json!({ "properties": { "a": property } }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, format!("/parameters/properties/a{place}"), "{found:?}");
        assert!(found[0].1.contains(says), "{found:?}");
    }
    let at_the_top = refusals(&json!({ "additionalproperties": false, "$defs": { "a": { "tpye": "string" } } }));
    assert_eq!(
        at_the_top.iter().map(|(place, _)| &**place).collect::<Vec<_>>(),
        ["/parameters/$defs/a/tpye", "/parameters/additionalproperties"]
    );
    let many: Map<String, Value> = (0..100).map(|n| (format!("p{n}"), json!({ "zzz": n }))).collect();
    assert_eq!(refusals(&json!({ "properties": many })).len(), 20);
}

#[test]
fn what_is_checked_or_is_plainly_a_note_is_taken() {
    for property in [
        json!({ "type": "string", "x-form-order": 3, "title": "A", "$comment": "b", "examples": ["c"], "deprecated": true }),
        json!({ "type": "string", "contentEncoding": "base64", "contentMediaType": "text/plain" }),
        json!({ "type": ["number", "null"], "minimum": 1, "multipleOf": 0.5, "default": null }),
        json!({ "minimum": 1, "minLength": 1, "format": "idn-email" }),
        json!({ "type": "array", "contains": { "const": 1 }, "minContains": 1, "maxContains": 2, "uniqueItems": true }),
        json!({ "type": "object", "properties": { "maximun": { "const": { "nullable": 1 } } }, "required": ["maximun"] }),
    ] {
        Schema::parse(&json!({ "properties": { "a": property } }).to_string()).unwrap();
    }
    for format in runwarden_kit::schema::FORMATS {
        Schema::parse(&json!({ "properties": { "a": { "type": "string", "format": format } } }).to_string()).unwrap();
    }
}

#[test]
fn earlier_dialects_are_read_where_they_mean_the_same() {
    for dialect in [
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
    ] {
        let given = |properties: Value| json!({ "$schema": dialect, "definitions": { "a": { "type": "string" } }, "properties": properties });
        let noted = json!({ "a": { "$ref": "#/definitions/a", "description": "a note" } });
        let taken = Schema::parse(&given(noted).to_string()).unwrap();
        assert_eq!(taken.value()["$schema"], DIALECT);
        let narrowed = given(json!({ "a": { "$ref": "#/definitions/a", "minLength": 3 } }));
        if dialect.contains("2019") {
            Schema::parse(&narrowed.to_string()).unwrap();
        } else {
            assert_eq!(refusals(&narrowed)[0].0, "/parameters/properties/a/minLength");
        }
        assert_eq!(
            refusals(&given(json!({ "a": { "additionalItems": false } })))[0].0,
            "/parameters/properties/a/additionalItems"
        );
    }
}

#[test]
fn schemas_that_other_tools_write_are_taken_or_told_what_to_change() {
    let pydantic = json!({
        "$defs": {
            "Ring": { "enum": ["a", "b"], "title": "Ring", "type": "string" },
            "Window": { "properties": { "begin": { "format": "date-time", "title": "Begin", "type": "string" } },
                        "required": ["begin"], "title": "Window", "type": "object" },
        },
        "properties": {
            "who": { "title": "Who", "type": "string" },
            "ring": { "$ref": "#/$defs/Ring" },
            "comment": { "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null, "title": "Comment" },
            "window": { "anyOf": [{ "$ref": "#/$defs/Window" }, { "type": "null" }], "default": null },
            "tags": { "items": { "type": "string" }, "title": "Tags", "type": "array" },
        },
        "required": ["who"], "title": "Rollout", "type": "object",
    });
    let zod = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false,
        "properties": { "who": { "type": "string", "minLength": 1 }, "size": { "type": "integer", "exclusiveMinimum": 0 } },
        "required": ["who"],
    });
    let conditional = json!({
        "type": "object",
        "properties": { "environment": { "enum": ["dev", "prod"] }, "ticket": { "type": "string", "pattern": "^CHG[0-9]{7}$" } },
        "if": { "properties": { "environment": { "const": "prod" } }, "required": ["environment"] },
        "then": { "required": ["ticket"] },
    });
    for taken in [&pydantic, &zod, &conditional] {
        Schema::parse(&taken.to_string()).unwrap();
    }
    let window = compile(Schema::parse(&pydantic.to_string()).unwrap().value()).unwrap();
    assert!(window.is_valid(&json!({ "who": "a", "window": { "begin": "2026-11-28T01:00:00Z" } })));
    assert!(!window.is_valid(&json!({ "who": "a", "window": { "begin": "tomorrow" } })));

    let look_ahead = json!({ "properties": { "host": { "type": "string", "pattern": "^(?!prod)[a-z0-9-]+$" } } });
    let found = refusals(&look_ahead);
    assert_eq!(found[0].0, "/parameters/properties/host/pattern");
    assert!(found[0].1.contains("look-around") && found[0].1.contains("\"not\""), "{found:?}");

    let openapi = json!({ "type": "object", "properties": {
        "comment": { "type": "string", "nullable": true },
        "size": { "type": "integer", "minimum": 0, "exclusiveMinimum": true } } });
    let places: Vec<String> = refusals(&openapi).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["/parameters/properties/comment/nullable", "/parameters/properties/size/exclusiveMinimum"]);

    let limit = json!({ "properties": { "limit": { "type": ["string", "null"] }, "verbosity": { "type": "integer", "minimum": 0, "maximum": 5 } } });
    assert_eq!(refusals(&limit)[0].0, "/parameters/properties/limit");
}

#[test]
fn a_schema_stored_earlier_is_shown_with_its_problems_and_is_not_refused() {
    let stored = Schema::stored(r#"{"properties":{"size":{"maximun":3,"format":"int32"}}}"#).unwrap();
    let places: Vec<String> = stored.problems().into_iter().map(|problem| problem.pointer).collect();
    assert_eq!(
        places,
        ["/parameters/properties/size/maximun", "/parameters/properties/size/format"]
            .map(str::to_owned)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    assert_eq!(Schema::parse("{}").unwrap().problems(), []);
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
