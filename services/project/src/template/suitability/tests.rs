use serde_json::json;

use super::*;
use crate::template::TemplateKind;

fn offer(prompts: &[&str], survey: Option<Value>) -> Offer {
    Offer {
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
    }
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

fn judge(offer: &Offer, properties: Value, required: &[&str], fixed: Value) -> Result<()> {
    let schema = json!({ "properties": properties, "required": required });
    check(offer, &Schema::parse(&schema.to_string())?, &Fixed::parse(&fixed.to_string())?)
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
    judge(&asked, json!({ "env": text, "password": text }), &["env"], json!({ "job_tags": "x" })).unwrap();
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
        ["/parameters/properties/free", "/parameters/properties/limit", "/fixed/inventory", "/fixed/x"]
    );
    // A survey that is off asks nothing.
    let mut off = offer(&[], Some(survey()));
    off.survey_enabled = false;
    assert_eq!(pointers(judge(&off, json!({ "env": text }), &["env"], json!({}))), ["/parameters/properties/env"]);
}

#[test]
fn questions_that_need_an_answer_get_one_from_every_request_or_from_the_mapping() {
    let text = json!({ "type": "string" });
    let asked = offer(&["extra_vars"], Some(survey()));
    assert_eq!(pointers(judge(&asked, json!({ "env": text }), &[], json!({}))), ["/parameters/required"]);
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({}))), ["/parameters/required"]);
    judge(&asked, json!({ "env": text }), &["env"], json!({})).unwrap();
    judge(&asked, json!({}), &[], json!({ "env": "dev" })).unwrap();
}

#[test]
fn fixed_answers_must_be_good_ones_and_no_passwords() {
    let asked = offer(&["extra_vars"], Some(survey()));
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({ "env": "test" }))), ["/fixed/env"]);
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({ "env": "dev", "count": 0 }))), ["/fixed/count"]);
    assert_eq!(pointers(judge(&asked, json!({}), &[], json!({ "env": "dev", "password": "x" }))), ["/fixed/password"]);
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
    broken.problems = vec!["it has no inventory; it prompts for one, so fix `inventory`".to_owned()];
    assert_eq!(pointers(judge(&broken, json!({}), &[], json!({}))), ["/controller_template/id"]);
    judge(&broken, json!({}), &[], json!({ "inventory": 3 })).unwrap();
    broken.problems.push("it has no playbook".to_owned());
    assert_eq!(pointers(judge(&broken, json!({}), &[], json!({ "inventory": 3 }))), ["/controller_template/id"]);
}
