//! Any launch, and any way in which AWX may show a run of it.

use proptest::prelude::*;
use runwarden_kit::launch_field::LaunchField;

use super::*;

/// In what way a run of a launch is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// Variables that answer password questions.
    secret: Vec<String>,
    /// Of a workflow job: of a workflow template, or of a job template that was sliced.
    workflow: bool,
    /// What of it is not told at all.
    silent: Vec<LaunchField>,
    inventory_deleted: bool,
}

const OF_WORKFLOWS: [LaunchField; 6] = [
    LaunchField::ExtraVars,
    LaunchField::Limit,
    LaunchField::ScmBranch,
    LaunchField::JobTags,
    LaunchField::SkipTags,
    LaunchField::Inventory,
];

/// A run as AWX shows it that took everything.
pub(super) fn shown(body: &LaunchBody, how: &Shown) -> RunRow {
    let sent = body.json();
    let mut variables = object(json!({"of_the_template": 1, "of_the_survey": "default"}));
    variables.extend(sent.get("extra_vars").map(|vars| object(vars.clone())).unwrap_or_default());
    for (name, value) in &mut variables {
        if how.secret.contains(name) {
            *value = json!("$encrypted$");
        }
    }
    let mut told = object(json!({
        "id": 5, "type": if how.workflow { "workflow_job" } else { "job" }, "extra_vars": Value::Object(variables).to_string(),
        "limit": "", "scm_branch": "", "job_tags": "", "skip_tags": "", "job_type": "run", "verbosity": 0, "diff_mode": false,
        "forks": 0, "timeout": 0, "inventory": 1, "execution_environment": null, "job_slice_count": 1,
    }));
    for field in LaunchField::ALL {
        match (field, sent.get(field.name())) {
            (LaunchField::ExtraVars | LaunchField::JobSliceCount, _) | (_, None) => {}
            (_, Some(Value::Array(_))) => {}
            (_, Some(Value::String(text))) => {
                told.insert(field.name().into(), text.trim().into());
            }
            (_, Some(value)) => {
                told.insert(field.name().into(), value.clone());
            }
        }
    }
    if how.inventory_deleted {
        told.insert("inventory".into(), Value::Null);
    }
    for field in LaunchField::ALL {
        if how.silent.contains(field) || (how.workflow && !OF_WORKFLOWS.contains(field)) {
            told.remove(field.name());
        }
        if how.workflow && told.get(field.name()) == Some(&json!("")) {
            told.insert(field.name().into(), Value::Null);
        }
    }
    RunRow::read(&Value::Object(told)).unwrap()
}

fn any_variables() -> impl Strategy<Value = Map<String, Value>> {
    let text = "\\PC{0,12}|[a-z\\n\"\\\\ ]{0,12}".prop_map(Value::from);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 7.0)),
        text,
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("v_[a-z]{1,8}", value, 0..5).prop_map(|map| map.into_iter().collect())
}

fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    let text = "[ \\t]?[a-z:&!*,]{0,10}[ \\n]?".prop_map(Value::from);
    let tags = prop_oneof![
        "[a-c ]{0,3}(,[a-c]{0,2}){0,3}".prop_map(Value::from),
        prop::collection::vec("[a-c]{1,2}", 0..4).prop_map(Value::from),
    ];
    let number = |most: i64| (0..=most).prop_map(Value::from);
    let values = (
        [text.clone(), text],
        [tags.clone(), tags],
        prop::sample::select(vec!["run", "check"]).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        [number(5), number(500), number(500), number(9)],
        [number(1), number(1)].prop_map(|ids| ids.map(|id| json!(id.as_i64().unwrap() + 1))),
    );
    (values, any::<u16>()).prop_map(|((texts, tags, job_type, diff_mode, numbers, ids), which)| {
        let [limit, scm_branch] = texts;
        let [job_tags, skip_tags] = tags;
        let [verbosity, forks, timeout, slices] = numbers;
        let [inventory, environment] = ids;
        let all = [
            ("limit", limit),
            ("scm_branch", scm_branch),
            ("job_tags", job_tags),
            ("skip_tags", skip_tags),
            ("job_type", job_type),
            ("diff_mode", diff_mode),
            ("verbosity", verbosity),
            ("forks", forks),
            ("timeout", timeout),
            ("job_slice_count", slices),
            ("inventory", inventory),
            ("execution_environment", environment),
            ("credentials", json!([3, 4])),
            ("labels", json!([5])),
            ("instance_groups", json!([])),
        ];
        let chosen = all.into_iter().zip(0..).filter(|(_, n)| which & (1 << n) != 0);
        chosen.map(|((name, value), _)| (name.to_owned(), value)).collect()
    })
}

fn any_body() -> impl Strategy<Value = LaunchBody> {
    (
        any_variables(),
        any_fields(),
        prop::sample::select(vec![None, Some(MarkerPlacement::ExtraVar), Some(MarkerPlacement::SkipTag)]),
    )
        .prop_map(|(mut parameters, fields, placement)| {
            let (fixed, free): (Map<String, Value>, Map<String, Value>) = fields
                .into_iter()
                .partition(|(name, _)| LaunchField::by_name(name).is_some_and(LaunchField::operators_only));
            parameters.extend(free);
            let marker = Marker::new(&format!("{}-1", "a1".repeat(16))).unwrap();
            LaunchBody::build(LaunchInput {
                schema: &json!({}),
                parameters: &parameters,
                fixed: &fixed,
                marker: placement.map(|placement| (&marker, placement)),
                default_skip_tags: "own,tags",
            })
            .unwrap()
        })
}

/// The fields a run of this kind tells, and that can be compared.
fn comparable(how: &Shown) -> impl Fn(LaunchField) -> bool + '_ {
    move |field| {
        let never = matches!(
            field,
            LaunchField::JobSliceCount | LaunchField::Credentials | LaunchField::Labels | LaunchField::InstanceGroups
        );
        let gone = how.silent.contains(&field) || (how.workflow && !OF_WORKFLOWS.contains(&field));
        let deleted = field == LaunchField::Inventory && how.inventory_deleted;
        !never && !gone && !deleted
    }
}

fn any_shown() -> impl Strategy<Value = Shown> {
    let silent = prop::sample::subsequence(LaunchField::ALL.to_vec(), 0..3);
    (any::<bool>(), silent, any::<bool>()).prop_map(|(workflow, silent, inventory_deleted)| Shown {
        secret: Vec::new(),
        workflow,
        silent,
        inventory_deleted,
    })
}

/// The same run with something else in one place, or nothing; `None` where there is nothing else to be had.
fn spoilt(row: &RunRow, body: &LaunchBody, name: &str, remove: bool) -> Option<RunRow> {
    let mut told = object(json!({"id": 5, "type": row.run.kind.as_str()}));
    for field in LaunchField::ALL {
        if let Some(value) = row.field(*field) {
            told.insert(field.name().into(), value.clone());
        }
    }
    let mut variables = row.extra_vars.clone();
    if let (Some(variable), Some(vars)) = (name.strip_prefix("extra_vars."), &mut variables) {
        let was = vars.remove(variable)?;
        if !remove {
            vars.insert(variable.to_owned(), json!(["something else", was]));
        }
    } else {
        let now = match told.get(name)? {
            Value::Bool(flag) => json!(!flag),
            Value::Number(n) => json!(n.as_i64()? + 1),
            Value::String(text) if name == "job_type" => json!(if text == "run" { "check" } else { "run" }),
            Value::String(text) if remove && text.trim_matches([',', ' ']).is_empty() => return None,
            Value::String(_) if remove => json!(""),
            // Tags may be added to those of a launch that is marked by one.
            Value::String(_) | Value::Null if name == "skip_tags" && body.is_marked_by_tag() => return None,
            Value::String(text) => json!(format!("{text},else")),
            _ if remove => return None,
            _ => json!("else"),
        };
        told.insert(name.to_owned(), now);
    }
    if let Some(vars) = variables {
        told.insert("extra_vars".into(), Value::Object(vars).to_string().into());
    }
    RunRow::read(&Value::Object(told))
}

proptest! {
    #[test]
    fn a_run_that_took_everything_compares_clean(body in any_body(), how in any_shown(), secrets in any::<bool>()) {
        let secret = body.variables().keys().filter(|name| secrets && *name != MARKER_VARIABLE).cloned().collect();
        let row = shown(&body, &Shown { secret, ..how });
        prop_assert_eq!(body.dropped_in(&row), Vec::<String>::new());
        prop_assert!(body.matches(&row));
    }

    #[test]
    fn one_thing_that_was_changed_or_left_out_is_always_found(
        body in any_body(), how in any_shown(), choice in any::<prop::sample::Index>(), remove in any::<bool>(),
    ) {
        let told = comparable(&how);
        let variables = body.variables().keys().map(|name| format!("extra_vars.{name}"));
        let variables = variables.filter(|_| told(LaunchField::ExtraVars));
        let fields = body.fields().filter(|(field, _)| told(*field)).map(|(field, _)| field.name().to_owned());
        let names: Vec<String> = variables.chain(fields).collect();
        prop_assume!(!names.is_empty());
        let name = choice.get(&names);
        let Some(row) = spoilt(&shown(&body, &how), &body, name, remove) else { return Ok(()) };
        prop_assert_eq!(body.dropped_in(&row), std::slice::from_ref(name));
        prop_assert!(!body.matches(&row));
    }
}
