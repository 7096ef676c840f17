use serde_json::json;

use super::*;
use runwarden_kit::contract::TemplateKind;

fn offer(prompts: &[&str], survey: Option<Value>) -> Description {
    let offer = Offer {
        kind: TemplateKind::Job,
        id: 7,
        name: "deploy".to_owned(),
        description: String::new(),
        prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
        survey_enabled: survey.is_some(),
        survey_schema: survey.map(|survey| survey.to_string()).unwrap_or_default(),
        fingerprint: "f".repeat(64),
        fingerprint_parts: "{}".to_owned(),
        problems: Vec::new(),
        obstacles: Vec::new(),
        organization: String::new(),
        request_questions: Vec::new(),
        request_misfits: Vec::new(),
    };
    Description { offer, taken: taken(), fixed_problems: Vec::new(), drift: Vec::new() }
}

/// As the executor describes it.
fn taken() -> String {
    json!({
        "verbosity": { "type": "integer", "minimum": 0, "maximum": 5 },
        "forks": { "type": "integer", "minimum": 0, "maximum": 200 },
        "scm_branch": { "not": {}, "$comment": "the project does not allow launches to choose its branch" },
    })
    .to_string()
}

fn survey() -> Value {
    json!({
        "type": "object",
        "properties": {
            "env": { "enum": ["dev", "prod"] },
            "count": { "type": "integer", "minimum": 1, "default": 3 },
            "password": { "type": "string", "writeOnly": true },
        },
        "required": ["env", "count"],
        "additionalProperties": false,
    })
}

fn judge(offer: &Description, properties: Value, required: &[&str], fixed: Value) -> Result<()> {
    narrowed(offer, properties, required, fixed).map(drop)
}

fn narrowed(offer: &Description, properties: Value, required: &[&str], fixed: Value) -> Result<Value> {
    let schema = json!({ "properties": properties, "required": required });
    let schema =
        check(offer, &Schema::parse(&schema.to_string())?, &Fixed::parse(&fixed.to_string())?, RequestInfo::None)?;
    Ok(schema.value()["properties"].clone())
}

fn pointers(outcome: Result<()>) -> Vec<String> {
    let error = outcome.unwrap_err();
    assert_eq!(error.reason(), ErrorReason::TemplateUnsuitable, "{error:?}");
    error.fields().iter().map(|field| field.pointer.clone()).collect()
}

#[test]
fn what_the_template_takes_is_mapped() {
    let text = json!({ "type": "string" });
    judge(&offer(&["extra_vars", "limit"], None), json!({ "anything": text, "limit": text }), &[], json!({})).unwrap();
    let asked = offer(&["job_tags"], Some(survey()));
    let fixed = json!({ "job_tags": "x", "count": 2 });
    judge(&asked, json!({ "env": text, "password": text }), &["env"], fixed).unwrap();
    judge(&asked, json!({}), &[], json!({ "env": "dev", "count": 1 })).unwrap();
}

#[test]
fn what_awx_would_drop_is_refused_with_the_place_of_each() {
    let text = json!({ "type": "string" });
    let deaf = offer(&[], Some(survey()));
    let refused =
        judge(&deaf, json!({ "env": text, "limit": text, "free": text }), &["env"], json!({ "inventory": 3, "x": 1 }));
    assert_eq!(
        pointers(refused),
        [
            "/parameters/properties/free",
            "/parameters/properties/limit",
            "/fixed/inventory",
            "/fixed/x",
            "/parameters/required"
        ]
    );
    // A survey that is off asks nothing.
    let mut off = offer(&[], Some(survey()));
    off.offer.survey_enabled = false;
    assert_eq!(pointers(judge(&off, json!({ "env": text }), &["env"], json!({}))), ["/parameters/properties/env"]);
}

#[test]
fn questions_that_need_an_answer_get_one_from_every_request_or_from_the_mapping() {
    let text = json!({ "type": "string" });
    let asked = offer(&["extra_vars"], Some(survey()));
    let counted = json!({ "count": 2 });
    assert_eq!(pointers(judge(&asked, json!({ "env": text }), &[], counted.clone())), ["/parameters/required"]);
    assert_eq!(pointers(judge(&asked, json!({}), &[], counted.clone())), ["/parameters/required"]);
    judge(&asked, json!({ "env": text }), &["env"], counted.clone()).unwrap();
    judge(&asked, json!({}), &[], json!({ "env": "dev", "count": 2 })).unwrap();
    // A default does not answer for the caller: AWX wants the answer all the same.
    let error = judge(&asked, json!({ "env": text }), &["env"], json!({})).unwrap_err();
    assert_eq!(error.fields()[0].pointer, "/parameters/required");
    assert!(error.fields()[0].detail.contains("`count`"), "{error:?}");
}

#[test]
fn a_schema_that_is_wider_than_the_controller_is_held_to_what_it_takes() {
    let asked = offer(&["extra_vars", "verbosity", "forks", "scm_branch"], Some(survey()));
    let count = json!({ "type": "integer", "maximum": 5 });
    let verbosity = json!({ "type": "integer", "maximum": 6 });
    let wide = json!({ "env": { "type": "string" }, "count": count, "verbosity": verbosity, "free": true });
    assert_eq!(
        narrowed(&asked, wide, &["env", "count"], json!({})).unwrap(),
        json!({
            "env": { "type": "string", "enum": ["dev", "prod"] },
            "count": { "type": "integer", "minimum": 1, "maximum": 5 },
            "verbosity": { "type": "integer", "minimum": 0, "maximum": 5 },
            "free": true,
        })
    );
    let never = json!({
        "env": { "enum": ["qa"] }, "scm_branch": { "type": "string" }, "forks": { "type": "integer", "minimum": 201 },
    });
    assert_eq!(
        pointers(judge(&asked, never, &["env"], json!({ "count": 2 }))),
        ["/parameters/properties/env", "/parameters/properties/forks", "/parameters/properties/scm_branch"]
    );
}

#[test]
fn what_the_controller_says_of_fixed_values_is_told_at_their_place() {
    let mut open = offer(&["credentials"], None);
    open.fixed_problems = vec![("credentials".to_owned(), "give it the role Use on it".to_owned())];
    assert_eq!(pointers(judge(&open, json!({}), &[], json!({ "credentials": [9] }))), ["/fixed/credentials"]);
}

#[test]
fn a_problem_that_is_no_obstacle_keeps_nobody_from_mapping() {
    let mut asked = offer(&["extra_vars"], None);
    asked.offer.problems = vec!["its survey's question for `cost centre` is left out".to_owned()];
    judge(&asked, json!({}), &[], json!({})).unwrap();
}

#[test]
fn a_survey_with_thousands_of_choices_is_imported_and_one_beyond_the_limit_is_named() {
    let survey = |choices: usize| {
        let choices: Vec<String> =
            (0..choices).map(|n| format!("host-{n:05}.example.com {}", "x".repeat(12))).collect();
        json!({ "type": "object", "properties": { "host": { "enum": choices } }, "additionalProperties": false })
    };
    let none = Fixed::parse("").unwrap();
    let large = survey(2500);
    let schema = Schema::import(&large.to_string(), &none).unwrap();
    let asked = offer(&[], Some(large));
    assert_eq!(check(&asked, &schema, &none, RequestInfo::None).unwrap(), schema);
    // Also where somebody writes a schema of their own.
    let own = json!({ "host": { "type": "string" } });
    assert_eq!(narrowed(&asked, own.clone(), &[], json!({})).unwrap()["host"]["enum"].as_array().unwrap().len(), 2500);

    let huge = survey(9000);
    let error = Schema::import(&huge.to_string(), &none).unwrap_err();
    assert_eq!(error.reason(), ErrorReason::TemplateUnsuitable);
    assert!(error.detail().contains("survey"), "{error:?}");
    let error = judge(&offer(&[], Some(huge)), own, &[], json!({})).unwrap_err();
    assert!(error.detail().contains("survey") && error.fields()[0].pointer == "/parameters", "{error:?}");
}

#[test]
fn fixed_answers_must_be_good_ones_and_no_passwords() {
    let asked = offer(&["extra_vars"], Some(survey()));
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({ "env": "test", "count": 2 }))), ["/fixed/env"]);
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({ "env": "dev", "count": 0 }))), ["/fixed/count"]);
    assert_eq!(
        pointers(judge(&asked, json!({}), &[], json!({ "env": "dev", "count": 2, "password": "x" }))),
        ["/fixed/password"]
    );
}

#[test]
fn nothing_is_sent_twice() {
    let text = json!({ "type": "string" });
    let open = offer(&["extra_vars", "limit"], None);
    let error = judge(&open, json!({ "a": text }), &[], json!({ "a": 1 })).unwrap_err();
    assert_eq!((error.reason(), error.fields()[0].pointer.as_str()), (ErrorReason::ValidationFailed, "/fixed/a"));
    let hosts = json!({ "hosts": { "type": "string", "x-runwarden-target": "limit" } });
    judge(&open, hosts, &[], json!({ "limit": "web" })).unwrap_err();
}

#[test]
fn what_keeps_the_template_from_launching_is_told_unless_a_fixed_value_mends_it() {
    let mut broken = offer(&["inventory"], None);
    broken.offer.obstacles = vec!["it has no inventory; it prompts for one, so fix `inventory`".to_owned()];
    assert_eq!(pointers(judge(&broken, json!({}), &[], json!({}))), ["/controller_template/id"]);
    judge(&broken, json!({}), &[], json!({ "inventory": 3 })).unwrap();
    broken.offer.obstacles.push("it has no playbook".to_owned());
    assert_eq!(pointers(judge(&broken, json!({}), &[], json!({ "inventory": 3 }))), ["/controller_template/id"]);
}

/// What is said of a mapping whose runs are to be told of their request.
fn about_info(offer: &Description, fixed: Value, info: RequestInfo) -> Vec<String> {
    let schema = Schema::parse(r#"{"properties":{}}"#).unwrap();
    let Err(error) = check(offer, &schema, &Fixed::parse(&fixed.to_string()).unwrap(), info) else { return Vec::new() };
    assert_eq!(error.reason(), ErrorReason::TemplateUnsuitable, "{error:?}");
    error.fields().iter().filter(|field| field.pointer == "/request_info").map(|field| field.detail.clone()).collect()
}

#[test]
fn what_a_run_is_to_be_told_must_get_through_or_the_mapping_is_refused() {
    let asking = |names: &[&str]| {
        let mut found = offer(&[], Some(json!({"properties": {}})));
        found.offer.request_questions = names.iter().map(|name| (*name).to_owned()).collect();
        found
    };
    let at_home = |mut found: Description| {
        found.offer.organization = "Default".to_owned();
        found
    };
    let misfit = |mut found: Description| {
        found.offer.request_misfits = vec!["`runwarden_job_id` takes at most 20 characters".to_owned()];
        found
    };
    let none = || json!({});
    let (variables, labels) = (RequestInfo::Variables, RequestInfo::Labels);
    for (found, fixed, info) in [
        (offer(&[], None), none(), RequestInfo::None),
        (offer(&["extra_vars"], None), none(), variables),
        (asking(&VARIABLES), none(), variables),
        (at_home(offer(&["labels"], None)), none(), labels),
    ] {
        assert_eq!(about_info(&found, fixed, info), [""; 0], "{info:?}");
    }
    for (found, fixed, info, part) in [
        (offer(&["limit", "labels"], None), none(), variables, "`ask_variables_on_launch`"),
        (misfit(asking(&VARIABLES)), none(), variables, "at most 20 characters"),
        (misfit(offer(&["extra_vars"], None)), none(), variables, "at most 20 characters"),
        (asking(&VARIABLES[1..]), none(), variables, "dropped: runwarden_job_id."),
        (at_home(offer(&["extra_vars"], None)), none(), labels, "`ask_labels_on_launch`"),
        (offer(&["labels"], None), none(), labels, "no organization"),
        (at_home(offer(&["labels"], None)), json!({"labels": [1]}), labels, "fixed already"),
    ] {
        let told = about_info(&found, fixed, info);
        assert!(told.len() == 1 && told[0].contains(part), "{part}: {told:?}");
    }
}
