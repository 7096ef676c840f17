//! Each launch field of `docs/parameters.md`: it reaches the run, is refused where the template does not prompt for it,
//! and what AWX would not take is refused before.

use super::sandbox::{client, start};
use super::*;

/// Launches the template that prompts for everything with one field, beside others, and answers the run's own record.
async fn launched(fields: Value) -> Value {
    let sandbox = start().await;
    let client = client(&sandbox);
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let body = try_body(json!({}), fields, json!({})).unwrap();
    assert_eq!(preflight(&view, &body), Ok(()));
    let settings = body.settings();
    let sent: Vec<_> = settings.iter().map(|setting| (setting.field, setting.value.clone())).collect();
    assert_eq!(view.misfits(&settings, &client.objects(&view, &sent).await.unwrap()), []);
    let launched = client.launch(TemplateKind::Job, 11, &body).await.unwrap();
    assert!(launched.ignored.is_empty(), "{:?}", launched.ignored);
    let kind = if launched.run.kind == RunKind::Job { "jobs" } else { "workflow_jobs" };
    let address = format!("{}/api/v2/{kind}/{}/", sandbox.url(), launched.run.id);
    let answer = reqwest::Client::new().get(address).bearer_auth(sandbox.token()).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// What is said against a launch with these fields, of a template as `change` makes it.
async fn refusals(change: Value, fields: Value) -> Vec<String> {
    let sandbox = start().await;
    super::sandbox::lever(&sandbox, reqwest::Method::PATCH, "templates/11", change).await;
    let client = client(&sandbox);
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let body = match try_body(json!({}), fields, json!({})) {
        Ok(body) => body,
        Err(problems) => return problems.iter().map(ToString::to_string).collect(),
    };
    let mut told = details(preflight(&view, &body));
    let settings = body.settings();
    let sent: Vec<_> = settings.iter().map(|setting| (setting.field, setting.value.clone())).collect();
    let objects = client.objects(&view, &sent).await.unwrap();
    told.extend(view.misfits(&settings, &objects).iter().map(ToString::to_string));
    // The controller agrees.
    let taken = client.launch(TemplateKind::Job, 11, &body).await;
    let refused = taken.as_ref().is_err() || taken.is_ok_and(|launched| !launched.ignored.is_empty());
    assert_eq!(refused, !told.is_empty(), "{told:?}");
    told
}

fn names_of(row: &Value, what: &str) -> Vec<i64> {
    let found = row["summary_fields"][what].as_array().or_else(|| row["summary_fields"][what]["results"].as_array());
    found.into_iter().flatten().filter_map(|item| item["id"].as_i64()).collect()
}

fn beside(mut fields: Value, others: Value) -> Value {
    for (name, value) in object(others) {
        fields[name] = value;
    }
    fields
}

/// A field, a value of it, how the run shows that; then values that AWX does not take, with what is said instead.
macro_rules! prompt {
    ($test:ident, $field:literal: $value:expr, $shown:expr $(, beside $beside:expr)? $(, refused { $($wrong:expr => $why:literal),* $(,)? })?) => {
        #[tokio::test]
        async fn $test() {
            let fields = json!({ $field: $value });
            $(let fields = beside(fields, $beside);)?
            let row = launched(fields).await;
            let shown: fn(&Value) -> bool = $shown;
            assert!(shown(&row), "{row}");
            let told = refusals(json!({"ask": ["extra_vars"]}), json!({ $field: $value })).await;
            assert!(told[0].contains(&format!("does not prompt for `{}`", $field)), "{told:?}");
            $($(
                let told = refusals(json!({}), json!({ $field: $wrong })).await;
                assert!(!told.is_empty() && told[0].contains($why), "{told:?}");
            )*)?
        }
    };
}

prompt!(limit, "limit": "web1", |row| row["limit"] == "web1", refused { 1 => "must be a string" });
prompt!(job_tags, "job_tags": "a,b", |row| row["job_tags"] == "a,b", refused { 1 => "must be a string" });
prompt!(skip_tags, "skip_tags": "slow", |row| row["skip_tags"] == "slow", refused { true => "must be a string" });
prompt!(job_type, "job_type": "check", |row| row["job_type"] == "check", refused { "scan" => "must be `run` or `check`" });
prompt!(verbosity, "verbosity": 3, |row| row["verbosity"] == 3, refused { 6 => "from 0 to 5", -1 => "from 0 to 5" });
prompt!(diff_mode, "diff_mode": true, |row| row["diff_mode"] == true, refused { "yes" => "must be true or false" });
prompt!(scm_branch, "scm_branch": "dev", |row| row["scm_branch"] == "dev", refused { 1 => "must be a string" });
prompt!(forks, "forks": 12, |row| row["forks"] == 12, refused { 201 => "must be at most 200", -1 => "non-negative" });
prompt!(timeout, "timeout": 60, |row| row["timeout"] == 60, refused { "60" => "must be a non-negative integer" });
prompt!(job_slice_count, "job_slice_count": 2, |row| row["is_sliced_job"] == true, beside json!({"inventory": 2}),
    refused { 2 => "the inventory has one host" });
prompt!(inventory, "inventory": 2, |row| row["inventory"] == 2,
    refused { 999 => "no inventory 999", 3 => "no inventory 3", 4 => "may see inventory `to look at` (4) but not use it" });
prompt!(credentials, "credentials": [4, 5], |row| names_of(row, "credentials") == [4, 5],
refused {
    [999] => "no credential 999",
    [1, 3] => "no credential 3",
    [7] => "give it the role Use on it",
    [] as [i64; 0] => "leaves out the template's own credential `machine` (1)",
    [5] => "leaves out the template's own credential `machine` (1)",
    [2] => "asks for passwords at launch (password)",
});
prompt!(labels, "labels": [2], |row| names_of(row, "labels") == [2],
    refused { [999] => "no label 999", [3] => "membership in its organization" });
prompt!(instance_groups, "instance_groups": [1], |row| row["type"] == "job",
    refused { [999] => "no instance group 999", [3] => "give the account the role Use on it" });
prompt!(execution_environment, "execution_environment": 1, |row| row["execution_environment"] == 1,
    refused { 999 => "no execution environment 999", 2 => "no execution environment 2" });

#[tokio::test]
async fn variables() {
    let row = launched(json!({"who": "ann"})).await;
    assert!(row["extra_vars"].as_str().unwrap().contains("ann"), "{row}");
    let told = refusals(json!({"ask": ["limit"]}), json!({"who": "ann"})).await;
    assert!(told[0].contains("does not prompt for variables"), "{told:?}");
}

/// AWX takes two of a kind without a word and uses one of them, so that it agrees is not asked.
#[tokio::test]
async fn two_credentials_of_one_kind_are_refused_and_two_vaults_are_not() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let judge = async |ids: Value| {
        let objects = client.objects(&view, &[(LaunchField::Credentials, ids.clone())]).await.unwrap();
        let setting = Setting { parameter: "credentials", field: LaunchField::Credentials, value: &ids };
        view.misfits(&[setting], &objects).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let told = judge(json!([1, 4])).await;
    assert!(told[0].contains("`machine` (1) and `other machine` (4) are of the same kind"), "{told:?}");
    assert_eq!(judge(json!([1, 5, 6])).await, Vec::<String>::new());
    assert_eq!(judge(json!([4])).await, Vec::<String>::new(), "another of its kind takes the own one's place");
}

#[tokio::test]
async fn a_branch_is_refused_where_the_project_keeps_to_its_own() {
    let told = refusals(json!({"project": 9}), json!({"scm_branch": "dev"})).await;
    assert!(told[0].contains("allow branch override in the project"), "{told:?}");
    assert_eq!(refusals(json!({"project": 9}), json!({"scm_branch": ""})).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_taken_of_each_field_goes_by_the_installation_and_the_project() {
    let sandbox = start().await;
    let account = sandbox.account("admin");
    let limits = ClientLimits { request: Duration::from_secs(20), ..usual() };
    let admin = Credential::basic(account.username, account.password);
    let client = Client::new(&target_for(sandbox.address()), &admin, limits).unwrap();
    super::sandbox::lever(&sandbox, reqwest::Method::PATCH, "templates/11", json!({"project": 9})).await;
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let taken = view.taken(&[], &client.objects(&view, &[(LaunchField::Forks, Value::Null)]).await.unwrap());
    assert_eq!(taken["forks"]["maximum"], 200);
    assert_eq!(taken["verbosity"], json!({"type": "integer", "minimum": 0, "maximum": 5}));
    assert!(taken["scm_branch"]["not"].is_object());
    // What names objects by id, and variables, are no caller's to choose by type.
    for field in LaunchField::ALL {
        let bounded = !field.operators_only() && *field != LaunchField::ExtraVars;
        assert_eq!(taken.get(field.name()).is_some(), bounded, "{field:?}");
    }
}

#[tokio::test]
async fn slices_are_held_against_the_templates_own_inventory_also_where_it_is_sent() {
    let told = refusals(json!({}), json!({"inventory": 1, "job_slice_count": 2})).await;
    assert!(told.first().is_some_and(|detail| detail.contains("one host")), "{told:?}");
}

#[tokio::test]
async fn callers_may_ask_for_slices_only_of_several_hosts() {
    let sandbox = start().await;
    let client = client(&sandbox);
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let most = async |inventory: Option<i64>| {
        let id = json!(inventory);
        let settings: Vec<_> = inventory
            .map(|_| Setting { parameter: "inventory", field: LaunchField::Inventory, value: &id })
            .into_iter()
            .collect();
        let objects = client.objects(&view, &[(LaunchField::Inventory, id.clone())]).await.unwrap();
        view.taken(&settings, &objects)["job_slice_count"]["maximum"].as_i64()
    };
    assert_eq!(most(None).await, Some(1), "its own inventory has one host");
    assert_eq!(most(Some(1)).await, Some(1));
    assert_eq!(most(Some(2)).await, Some(2_147_483_647), "AWX makes as many slices as there are hosts");
}

#[tokio::test]
async fn a_limit_of_forks_that_is_only_assumed_says_so() {
    let told = refusals(json!({}), json!({"forks": 201})).await;
    assert!(told.first().is_some_and(|detail| detail.contains("may not read this installation's own")), "{told:?}");
    let sandbox = start().await;
    let account = sandbox.account("admin");
    let admin = Credential::basic(account.username, account.password);
    let client = Client::new(&target_for(sandbox.address()), &admin, usual()).unwrap();
    let view = client.template(TemplateKind::Job, 11).await.unwrap();
    let forks = json!(201);
    let objects = client.objects(&view, &[(LaunchField::Forks, forks.clone())]).await.unwrap();
    let told = view.misfits(&[Setting { parameter: "forks", field: LaunchField::Forks, value: &forks }], &objects);
    assert!(
        told.len() == 1 && told.iter().all(|problem| problem.detail.contains("this installation allows")),
        "{told:?}"
    );
}
