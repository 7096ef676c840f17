use runwarden_kit::launch_field::LaunchField;

use super::shown::{Shown, shown};
use super::*;

fn row(told: Value) -> RunRow {
    let mut row = json!({"id": 5, "type": "job"});
    row.as_object_mut().unwrap().extend(object(told));
    RunRow::read(&row).unwrap()
}

fn dropped(sent: Value, told: Value) -> Vec<String> {
    let (fixed, parameters): (Map<String, Value>, _) = object(sent)
        .into_iter()
        .partition(|(name, _)| LaunchField::by_name(name).is_some_and(LaunchField::operators_only));
    let body = try_body(Value::Object(parameters), fixed.into(), json!({})).unwrap();
    let row = row(told);
    assert_eq!(body.matches(&row), body.dropped_in(&row).is_empty());
    body.dropped_in(&row)
}

const NOTHING: [&str; 0] = [];

#[test]
fn variables_are_compared_by_what_they_mean() {
    let told = r#"{"a": 1.0, "big": 9007199254740993, "f": 0.30000000000000004, "e": 1e+20, "pw": "$encrypted$", "l": [1, {"x": null}], "own": true, "empty": ""}"#;
    let seen = |name: &str, value: Value| dropped(json!({name: value}), json!({"extra_vars": told}));
    for (name, value) in [
        ("a", json!(1)),
        ("big", json!(9_007_199_254_740_993_i64)),
        ("f", json!(0.1 + 0.2)),
        ("e", json!(1e20)),
        ("pw", json!("s3cr3t")),
        ("pw", json!(["s3cr3t"])),
        ("l", json!([1.0, {"x": null}])),
        ("empty", json!("")),
    ] {
        assert_eq!(seen(name, value.clone()), NOTHING, "{name} {value}");
    }
    for (name, value) in [
        ("a", json!(2)),
        ("a", json!("1")),
        ("a", json!(true)),
        ("big", json!(9_007_199_254_740_992_i64)),
        ("f", json!(0.3000001)),
        ("l", json!([{"x": null}, 1])),
        ("l", json!([1])),
        ("l", json!([1, {"x": null, "y": null}])),
        ("l", json!([1, {}])),
        ("own", json!(null)),
        ("empty", json!(null)),
        ("absent", json!("")),
        ("absent", json!(null)),
    ] {
        assert_eq!(seen(name, value.clone()), [format!("extra_vars.{name}")], "{name} {value}");
    }
}

#[test]
fn variables_that_cannot_be_read_say_nothing() {
    for told in [
        json!({}),
        json!({"extra_vars": null}),
        json!({"extra_vars": "a: 1"}),
        json!({"extra_vars": "{"}),
        json!({"extra_vars": 5}),
    ] {
        assert_eq!(dropped(json!({"a": 1}), told.clone()), NOTHING, "{told}");
    }
    for told in [json!({"extra_vars": ""}), json!({"extra_vars": "{}"}), json!({"extra_vars": {}})] {
        assert_eq!(dropped(json!({"a": 1}), told.clone()), ["extra_vars.a"], "{told}");
    }
}

#[test]
fn fields_are_compared_as_awx_shows_them() {
    for (name, sent, told) in [
        ("limit", json!("web"), json!("web")),
        ("limit", json!(" web:&eu\t"), json!("web:&eu")),
        ("limit", json!("\u{1f}web\u{3000}"), json!("web")),
        ("limit", json!(""), json!("")),
        ("limit", json!("  "), json!(null)),
        ("scm_branch", json!("main "), json!("main")),
        ("job_tags", json!("a, b"), json!("a, b")),
        ("job_tags", json!(["a", "b"]), json!("b,a,")),
        ("job_tags", json!(""), json!(null)),
        ("skip_tags", json!("slow"), json!("slow")),
        ("job_type", json!("check"), json!("check")),
        ("verbosity", json!(3), json!(3)),
        ("verbosity", json!(3), json!(3.0)),
        ("diff_mode", json!(true), json!(true)),
        ("forks", json!(0), json!(0)),
        ("timeout", json!(60), json!(60)),
        ("inventory", json!(2), json!(2)),
        ("execution_environment", json!(2), json!(2)),
        // Not told: deleted since, told elsewhere, cut down to the number of hosts, or of a type nobody expects.
        ("inventory", json!(2), json!(null)),
        ("execution_environment", json!(2), json!(null)),
        ("credentials", json!([1, 2]), json!([])),
        ("labels", json!([1]), json!([])),
        ("instance_groups", json!([1]), json!([])),
        ("job_slice_count", json!(5), json!(1)),
        ("verbosity", json!(3), json!("3 (Debug)")),
        ("verbosity", json!(3), json!(null)),
        ("diff_mode", json!(true), json!(null)),
        ("diff_mode", json!(true), json!(1)),
        ("job_type", json!("check"), json!(null)),
        ("limit", json!("web"), json!(["web"])),
        ("limit", json!("web"), json!(false)),
        ("inventory", json!(2), json!({"id": 3})),
    ] {
        assert_eq!(dropped(json!({name: sent}), json!({name: told})), NOTHING, "{name} {sent} {told}");
        assert_eq!(dropped(json!({name: sent}), json!({})), NOTHING, "{name}");
    }
    for (name, sent, told) in [
        ("limit", json!("web"), json!("")),
        ("limit", json!("web"), json!(null)),
        ("limit", json!("web"), json!("Web")),
        ("limit", json!("web"), json!("web:db")),
        ("limit", json!(""), json!("web")),
        ("scm_branch", json!("dev"), json!("main")),
        ("scm_branch", json!("dev"), json!("")),
        ("job_tags", json!("a,b"), json!("a")),
        ("job_tags", json!("a"), json!("a,b")),
        ("job_tags", json!("a"), json!(null)),
        ("job_tags", json!(""), json!("a")),
        ("skip_tags", json!("slow"), json!("")),
        ("skip_tags", json!("slow"), json!("slow,more")),
        ("job_type", json!("check"), json!("run")),
        ("verbosity", json!(3), json!(0)),
        ("diff_mode", json!(true), json!(false)),
        ("forks", json!(5), json!(0)),
        ("timeout", json!(60), json!(0)),
        ("inventory", json!(2), json!(1)),
        ("execution_environment", json!(2), json!(1)),
    ] {
        assert_eq!(dropped(json!({name: sent}), json!({name: told})), [name], "{name} {sent} {told}");
    }
}

#[test]
fn everything_that_was_dropped_is_named_in_order() {
    let told = json!({"limit": "", "extra_vars": "{\"b\": 1}", "verbosity": 0, "job_tags": "x"});
    let sent = json!({"limit": "web", "verbosity": 1, "job_tags": "x", "a": 1, "b": 2});
    assert_eq!(dropped(sent, told), ["extra_vars.a", "extra_vars.b", "limit", "verbosity"]);
}

fn marked(parameters: Value, default_skip_tags: &str) -> LaunchBody {
    let marker = Marker::new(&format!("{}-2", "0f".repeat(16))).unwrap();
    LaunchBody::build(LaunchInput {
        schema: &json!({}),
        parameters: &object(parameters),
        fixed: &Map::new(),
        marker: Some((&marker, MarkerPlacement::SkipTag)),
        default_skip_tags,
    })
    .unwrap()
}

#[test]
fn a_marker_among_the_tags_changes_nothing_about_what_is_skipped() {
    let tag = format!("rw_{}-2", "0f".repeat(16));
    let told = |tags: &str| row(json!({"skip_tags": tags.replace("MARKER", &tag)}));
    // The template's own tags ride along, whether they are still known or not.
    assert_eq!(marked(json!({}), "own").dropped_in(&told("own,MARKER")), NOTHING);
    assert_eq!(marked(json!({}), "").dropped_in(&told("own,MARKER")), NOTHING);
    assert_eq!(marked(json!({"skip_tags": "slow"}), "own").dropped_in(&told("slow,MARKER")), NOTHING);
    assert_eq!(marked(json!({"skip_tags": "slow"}), "").dropped_in(&told("MARKER")), ["skip_tags"]);
    assert_eq!(marked(json!({}), "").dropped_in(&told("own")), ["skip_tags"]);
    // A body put together without the marker it was sent with.
    assert_eq!(body(json!({"skip_tags": "slow"})).dropped_in(&told("slow,MARKER")), NOTHING);
    assert_eq!(body(json!({"skip_tags": "slow"})).dropped_in(&told("slow,rw_slow")), ["skip_tags"]);
    assert_eq!(body(json!({})).dropped_in(&told("own")), NOTHING);
}

#[test]
fn any_marker_is_recognised_and_other_peoples_tags_are_not() {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let by_variable = |value: Value| row(json!({"extra_vars": json!({MARKER_VARIABLE: value}).to_string()}));
    let by_tag = |tags: &str| row(json!({"skip_tags": tags}));
    for marked in [
        by_variable(json!(format!("rw_{id}-1"))),
        by_variable(json!("rw_att_1")),
        by_tag(&format!("rw_{id}-1")),
        by_tag(&format!("slow, rw_{id}-12 ,x")),
        by_tag(&format!("rw_{id}")),
    ] {
        assert!(Marker::any_in(&marked), "{:?} {}", marked.extra_vars, marked.skip_tags);
    }
    for unmarked in [
        row(json!({})),
        row(json!({"extra_vars": "rw_1"})),
        by_variable(json!("")),
        by_variable(json!(null)),
        by_variable(json!(["rw_1"])),
        by_variable(json!("$encrypted$")),
        by_variable(json!("arw_1")),
        row(json!({"extra_vars": r#"{"other": "rw_1"}"#})),
        by_tag("rw_"),
        by_tag("rw_slow"),
        by_tag("rw_slow-1"),
        by_tag(&format!("rw_{}-1", "x".repeat(32))),
        by_tag(&format!("rw_{}-1", id.to_uppercase())),
        by_tag(&format!("rw_{id}x")),
        by_tag(&format!("rw_{id}-1 2")),
        by_tag(&format!("rw_{}", &id[..31])),
        by_tag(&format!("rw_{}é", &id[..31])),
        by_tag(&format!("x{id}")),
    ] {
        assert!(!Marker::any_in(&unmarked), "{:?} {}", unmarked.extra_vars, unmarked.skip_tags);
    }
    for placement in [MarkerPlacement::ExtraVar, MarkerPlacement::SkipTag] {
        let marker = Marker::new(&format!("{id}-3")).unwrap();
        let sent = LaunchBody::build(LaunchInput {
            schema: &json!({}),
            parameters: &Map::new(),
            fixed: &Map::new(),
            marker: Some((&marker, placement)),
            default_skip_tags: "own",
        })
        .unwrap();
        let run = shown(&sent, &Shown::default());
        assert!(Marker::any_in(&run) && marker.is_in(&run, placement), "{placement:?}");
    }
}
