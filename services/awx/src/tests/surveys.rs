use proptest::prelude::*;

use super::*;

fn spec() -> Value {
    json!([
        {"variable": "who", "question_name": "Who?", "question_description": "a name", "type": "text", "required": true, "min": 2, "max": 20, "default": ""},
        {"variable": "notes", "question_name": "Notes", "type": "textarea", "required": false, "min": 0, "max": 4096, "default": "none"},
        {"variable": "pw", "question_name": "Password", "type": "password", "required": true, "min": 8, "max": 32, "default": "$encrypted$"},
        {"variable": "count", "question_name": "Count", "type": "integer", "required": false, "min": 1, "max": "10", "default": "3"},
        {"variable": "ratio", "question_name": "Ratio", "type": "float", "required": false, "min": 0.5, "max": 2, "default": 1.5},
        {"variable": "envname", "question_name": "Environment", "type": "multiplechoice", "required": true, "choices": ["dev", "prod"], "default": "dev"},
        {"variable": "limit", "question_name": "Limit", "type": "multiselect", "required": false, "choices": "a\nb\n\nc", "default": "a\nb"},
        {"variable": "runwarden_attempt", "question_name": "Marker", "type": "text", "required": false, "max": 1024},
    ])
}

#[test]
fn a_survey_becomes_a_schema_of_exactly_its_questions() {
    let template =
        view(TemplateKind::Job, json!({"ask_limit_on_launch": true, "ask_credential_on_launch": true}), Some(spec()));
    assert_eq!(
        template.schema(),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$comment": "It also prompts for limit: add what callers may send.",
            "type": "object",
            "properties": {
                "who": {"title": "Who?", "description": "a name", "type": "string", "minLength": 2, "maxLength": 20},
                "notes": {"title": "Notes", "type": "string", "maxLength": 4096, "default": "none"},
                "pw": {"title": "Password", "type": "string", "minLength": 8, "maxLength": 32, "writeOnly": true},
                "count": {"title": "Count", "type": "integer", "minimum": 1, "maximum": 10, "default": 3},
                "ratio": {"title": "Ratio", "type": "number", "minimum": 0.5, "maximum": 2, "default": 1.5},
                "envname": {"title": "Environment", "enum": ["dev", "prod"], "default": "dev"},
                "limit": {"title": "Limit", "type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": true, "default": ["a", "b"], "x-runwarden-target": "extra_vars"},
            },
            "required": ["who", "pw", "envname"],
            "additionalProperties": false,
        })
    );
}

#[test]
fn free_variables_are_opened_by_name_only() {
    let template = view(TemplateKind::Job, json!({"ask_variables_on_launch": true}), None);
    let schema = template.schema();
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["properties"], json!({}));
    assert!(schema["$comment"].as_str().unwrap().contains("variables of any name"));
}

#[test]
fn a_broken_survey_is_told_and_not_guessed() {
    let survey = Survey::read(
        &json!({"spec": [{"type": "text"}, {"variable": "a", "type": "text"}, {"variable": "a", "type": "integer"}, 5]}),
    );
    assert_eq!((survey.questions.len(), survey.problems.len()), (1, 3));
    assert_eq!(Survey::read(&json!({})).problems.len(), 1);
}

#[test]
fn the_marker_takes_the_most_dependable_place() {
    let place = |row: Value, survey: Option<Value>| MarkerPlacement::choose(&view(TemplateKind::Job, row, survey));
    let question = |kind: &str, max: i64| Some(json!([{"variable": "runwarden_attempt", "type": kind, "max": max}]));
    assert_eq!(
        place(json!({"ask_variables_on_launch": true, "ask_skip_tags_on_launch": true}), None),
        MarkerPlacement::ExtraVar
    );
    assert_eq!(place(json!({"ask_skip_tags_on_launch": true}), question("text", 1024)), MarkerPlacement::Survey);
    assert_eq!(place(json!({"ask_skip_tags_on_launch": true}), question("integer", 9)), MarkerPlacement::SkipTag);
    assert_eq!(place(json!({"ask_skip_tags_on_launch": true}), question("text", 10)), MarkerPlacement::SkipTag);
    assert_eq!(place(json!({"ask_variables_on_launch": true}), question("integer", 9)), MarkerPlacement::None);
    assert_eq!(place(json!({"ask_limit_on_launch": true}), None), MarkerPlacement::None);
    for placement in
        [MarkerPlacement::ExtraVar, MarkerPlacement::Survey, MarkerPlacement::SkipTag, MarkerPlacement::None]
    {
        assert_eq!(MarkerPlacement::parse(placement.as_str()), Some(placement));
    }
}

#[test]
fn what_a_template_would_drop_is_refused_before() {
    let plain = view(TemplateKind::Job, json!({}), None);
    assert_eq!(
        details(preflight(&plain, &body(json!({"x": 1, "limit": "web"})))),
        [
            "/limit: the controller's template does not prompt for `limit` on launch and would drop it",
            "/x: the controller's template does not prompt for variables on launch and would drop it",
        ]
    );
    assert_eq!(preflight(&plain, &body(json!({}))), Ok(()));
    let open = view(TemplateKind::Job, json!({"ask_variables_on_launch": true, "ask_limit_on_launch": true}), None);
    assert_eq!(preflight(&open, &body(json!({"x": 1, "limit": "web"}))), Ok(()));
    let hosts =
        try_body(json!({"hosts": "web"}), json!({}), json!({"hosts": {"x-runwarden-target": "limit"}})).unwrap();
    assert!(details(preflight(&plain, &hosts))[0].starts_with("/hosts: "));
}

#[test]
fn the_survey_is_asked_before_awx_is() {
    let template = view(TemplateKind::Job, json!({}), Some(spec()));
    let good = json!({"who": "bob", "pw": "hunter2hunter2", "envname": "dev", "count": 3, "ratio": 1});
    assert_eq!(preflight(&template, &body(good.clone())), Ok(()));
    for (name, wrong, detail) in [
        ("who", json!("x"), "/who: must be at least 2 characters long"),
        ("who", json!(5), "/who: must be a string"),
        ("pw", json!("hunter2"), "/pw: must be at least 8 characters long"),
        ("count", json!(11), "/count: must be at most 10"),
        ("count", json!(true), "/count: must be an integer"),
        ("count", json!(2.5), "/count: must be an integer"),
        ("ratio", json!("1"), "/ratio: must be a number"),
        ("envname", json!("qa"), "/envname: is not one of the survey's choices"),
        (
            "other",
            json!(1),
            "/other: the controller's template has no survey question for this variable and would drop it",
        ),
    ] {
        let mut parameters = good.clone();
        parameters[name] = wrong;
        assert_eq!(details(preflight(&template, &body(parameters))), [detail]);
    }
    let mut missing = object(good);
    missing.remove("pw");
    assert_eq!(
        details(preflight(&template, &body(missing.into()))),
        ["/pw: the controller's survey requires this variable"]
    );
}

#[test]
fn what_awx_would_misread_or_choke_on_is_refused() {
    let open = view(TemplateKind::Job, json!({"ask_variables_on_launch": true, "ask_limit_on_launch": true}), None);
    assert_eq!(
        details(preflight(&open, &body(json!({"a": {"b": ["$encrypted$"]}})))),
        ["/a/b/0: must not be `$encrypted$`, which the controller reads as its default"]
    );
    assert_eq!(details(preflight(&open, &body(json!({"a": ["x\u{0}"]})))), ["/a/0: must not contain NUL characters"]);
    assert_eq!(
        details(preflight(&open, &body(json!({"limit": "\u{0}"})))),
        ["/limit: must not contain NUL characters"]
    );
    assert_eq!(
        details(preflight(&open, &body(json!({"a": "x".repeat(5_000_000)})))),
        ["the parameters are larger than a controller accepts"]
    );
}

#[test]
fn a_template_that_lacks_something_cannot_be_launched() {
    let row = json!({"inventory": null, "ask_inventory_on_launch": true});
    let template = view(TemplateKind::Job, row, None);
    assert_eq!(
        details(preflight(&template, &body(json!({})))),
        ["the controller's template cannot be launched: it has no inventory"]
    );
    let with = try_body(json!({}), json!({"inventory": 2}), json!({})).unwrap();
    assert_eq!(preflight(&template, &with), Ok(()));

    let row = json!({"id": 9, "project": 8, "playbook": "site.yml", "inventory": 2, "summary_fields": {"user_capabilities": {"start": false}}});
    let summary = TemplateSummary::read(TemplateKind::Job, row, None).unwrap();
    let template =
        TemplateView::assemble(summary, Some(&json!({"passwords_needed_to_start": ["ssh_password"]})), None, None);
    assert_eq!(details(preflight(&template, &body(json!({})))).len(), 2);
    assert_eq!(template.problems.len(), 2);
}

fn any_question() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "text",
        "textarea",
        "password",
        "integer",
        "float",
        "multiplechoice",
        "multiselect",
        "new",
    ]);
    let bound = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        (-50i64..5000).prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        (-50i64..5000).prop_map(|n| json!(n.to_string())),
        any::<i64>().prop_map(Value::from),
    ];
    let choices = prop_oneof![
        prop::collection::vec("[a-c]{0,2}", 0..4).prop_map(|c| json!(c)),
        prop::collection::vec("[a-c]{0,2}", 0..4).prop_map(|c| json!(c.join("\n"))),
        Just(json!(null)),
        Just(json!([1, "1", null, 1])),
    ];
    let default = prop_oneof![
        "[a-c0-9\\n]{0,4}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(["a"])),
        Just(json!(null))
    ];
    ("[a-z_]{1,12}|limit|extra_vars|inventory|\\PC{1,6}", kind, any::<bool>(), bound.clone(), bound, choices, default).prop_map(
        |(variable, kind, required, min, max, choices, default)| {
            json!({"variable": variable, "question_name": "q", "question_description": "", "type": kind, "required": required,
                   "min": min, "max": max, "choices": choices, "default": default})
        },
    )
}

proptest! {
    #[test]
    fn every_survey_imports_as_a_valid_schema_whose_defaults_fit(questions in prop::collection::vec(any_question(), 0..6)) {
        let survey = Survey::read(&json!({ "spec": questions }));
        let row = json!({"id": 1, "survey_enabled": true});
        let summary = TemplateSummary::read(TemplateKind::Job, row, Some(survey.clone())).unwrap();
        let schema = summary.schema();
        prop_assert!(jsonschema::draft202012::meta::is_valid(&schema), "{}", schema);
        let compiled = jsonschema::draft202012::new(&schema);
        prop_assert!(compiled.is_ok(), "{schema}");
        let answerable = survey.questions.iter().filter(|question| question.unanswerable().is_none()).count();
        prop_assert_eq!(schema["properties"].as_object().unwrap().len(), answerable);
        for property in schema["properties"].as_object().unwrap().values() {
            prop_assert!(property.get("writeOnly").is_none() || property.get("default").is_none());
        }
    }

    #[test]
    fn what_the_imported_schema_takes_passes_preflight(
        questions in prop::collection::vec(any_question(), 1..5),
        texts in prop::collection::vec("[a-c]{0,6}", 5), numbers in prop::collection::vec(-60i64..60, 5),
    ) {
        let survey = Survey::read(&json!({ "spec": questions }));
        let mut template = view(TemplateKind::Job, json!({}), Some(json!(questions)));
        template.summary.survey = Some(survey.clone());
        let schema = template.schema();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let mut parameters = Map::new();
        for (n, question) in survey.questions.iter().enumerate() {
            let value = match question.kind {
                QuestionKind::Integer => json!(numbers[n]),
                QuestionKind::Float => json!(numbers[n] as f64 / 4.0),
                QuestionKind::MultipleChoice => question.choices.first().cloned().unwrap_or(json!("a")),
                QuestionKind::MultiSelect => json!(question.choices),
                _ => json!(texts[n]),
            };
            parameters.insert(question.variable.clone(), value);
        }
        let parameters = Value::from(parameters);
        if validator.is_valid(&parameters) {
            let body = try_body(parameters.clone(), json!({}), schema["properties"].clone()).unwrap();
            prop_assert_eq!(preflight(&template, &body), Ok(()), "{} {}", schema, parameters);
        }
    }
}

#[test]
fn a_survey_of_more_than_can_be_handled_is_read_as_far_as_that_and_said_to_be_so() {
    let lines: String = (0..200_000).map(|n| format!("choice {n}\n")).collect();
    let question = |variable: &str| json!({"variable": variable, "type": "multiplechoice", "choices": lines});
    let survey = Survey::read(&json!({"spec": [question("a"), question("b")]}));
    assert_eq!(survey.questions.len(), 1);
    assert_eq!(survey.questions[0].choices.len(), 50_000);
    assert_eq!(survey.problems, ["its survey is larger than Runwarden reads"]);
    // Nobody asks twice as often as people can read of it.
    let again: Vec<Value> = (0..10_000).map(|_| json!({"variable": "a", "type": "text"})).collect();
    assert!(Survey::read(&json!({ "spec": again })).problems.len() <= 101);
}

#[test]
fn a_question_for_what_a_run_is_told_must_have_room_for_it() {
    let misfit = |variable: &str, more: Value| {
        let mut question = json!({"variable": variable, "type": "text", "required": false, "min": 0, "max": 1024});
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        crate::survey::Survey::read(&json!({"spec": [question]})).questions[0].request_misfit()
    };
    for fine in [json!({}), json!({"type": "textarea"}), json!({"min": null, "max": null}), json!({"max": 200})] {
        assert_eq!(misfit("runwarden_reference", fine), None);
    }
    for (variable, bad, part) in [
        ("runwarden_job_id", json!({"max": 20}), "at least 200"),
        ("runwarden_job_url", json!({"max": 200}), "at least 512"),
        ("runwarden_reference", json!({"min": 1}), "empty answer"),
        ("runwarden_job_id", json!({"type": "integer"}), "must be a text"),
        ("runwarden_tenant", json!({"type": "multiplechoice", "choices": ["acme"]}), "must be a text"),
    ] {
        let why = misfit(variable, bad).unwrap_or_default();
        assert!(why.contains(part), "{variable}: {why}");
    }
}
