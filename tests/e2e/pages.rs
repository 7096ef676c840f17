//! Page tokens: each leads on in the very list that gave it, and is refused everywhere else.

use serde_json::Value;

use super::{acme, settings};

/// Every collection.
const COLLECTIONS: &[&str] = &[
    "/api/v1/audit/records",
    "/api/v1/bindings",
    "/api/v1/clients",
    "/api/v1/controllers",
    "/api/v1/controllers/awx/templates",
    "/api/v1/jobs",
    "/api/v1/policies",
    "/api/v1/projects",
    "/api/v1/projects/web/members",
    "/api/v1/roles",
    "/api/v1/secrets",
    "/api/v1/templates",
    "/api/v1/tenants",
];

fn with(path: &str, parameter: &str) -> String {
    format!("{path}{}{parameter}", if path.contains('?') { '&' } else { '?' })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_good_for_its_own_list_only() {
    let (_controller, system, acme) = acme(&settings()).await;
    let everything = system.reach().platform_admin().await.acting_for("acme");
    let first = acme.admin.get("/api/v1/clients?page_size=1").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    assert!(!token.is_empty());
    let second = acme.admin.get(&format!("/api/v1/clients?page_size=1&page_token={token}")).await.expect(200);
    assert_ne!(first["items"][0], second["items"][0]);

    let mut lists: Vec<String> = COLLECTIONS.iter().map(|path| (*path).to_owned()).collect();
    lists.extend(["/api/v1/jobs?state=running", "/api/v1/bindings?project=web"].map(str::to_owned));
    for list in lists {
        // What is no token, what tokens once looked like, one that was cut off, and a good one of another list.
        for bad in ["x", "Li4", "am9iXzE", &token[1..], &token[..token.len() - 2], token, &"A".repeat(3000)] {
            if bad == token && list == "/api/v1/clients" {
                continue;
            }
            let refused = everything.get(&with(&list, &format!("page_token={bad}"))).await;
            let problem: Value = refused.refused(422, "VALIDATION_FAILED");
            assert_eq!(problem["errors"][0]["pointer"], "/page_token", "{list}");
        }
        let _first_page = everything.get(&with(&list, "page_token=")).await.expect(200);
    }

    // The filters belong to the list: here there is one record of each client that was made.
    let made = "/api/v1/audit/records?action=client.create&page_size=1";
    let token = acme.admin.get(made).await.expect(200)["next_page_token"].as_str().unwrap().to_owned();
    let _second = acme.admin.get(&with(made, &format!("page_token={token}"))).await.expect(200);
    let wider = format!("/api/v1/audit/records?page_size=1&page_token={token}");
    acme.admin.get(&wider).await.refused(422, "VALIDATION_FAILED");
}
