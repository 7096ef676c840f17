//! Hooks of Runwarden.

use serde_json::json;

use crate::stage::Stage;

/// What events prove themselves with, to both systems.
pub(super) const KEY: &str = "a-token-of-thirty-two-characters";

/// What the filter wants and what the mapping takes, as the rulebook says it.
const MODULE: &str = r#"package runwarden.hook

accept if input.body.ref == "refs/heads/main"

parameters := {"n": input.body.n}
"#;

/// A hook of GitLab's kind in the tenant of a stage, whose deliveries run a template. Answers with its path.
pub(super) async fn configure(stage: &Stage, name: &str, template: &str) -> String {
    let account = stage.account(&format!("{name}-account")).await;
    let body = json!({
        "name": name, "project": "web", "template": template, "kind": "gitlab", "client_id": account,
        "settings": {"proof": {"by": "token"}}, "module": MODULE, "key": KEY,
    });
    let hook = stage.admin().post("/api/v1/hooks", &body).await.expect(201);
    hook.get("path").and_then(serde_json::Value::as_str).expect("a path").to_owned()
}
