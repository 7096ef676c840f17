//! The service as the others meet it.

mod house;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use house::{House, Running, ensure_refused};
use runwarden_kit::ErrorReason;
use runwarden_kit::audit::Outcome;
use runwarden_kit::caller::Scope;
use runwarden_kit::mesh::Service;
use runwarden_kit::page::Listing;
use runwarden_kit::tenant::TenantId;
use runwarden_proto::secret::v1::{
    DeleteSecretRequest, GetKeyStatusRequest, GetKeyStatusResponse, ListSecretsRequest, ListSecretsResponse,
    OpenDeliveredRequest, OpenValueRequest, PutHookKeyRequest, PutSecretRequest, ReadHookKeyRequest, ReadSecretRequest,
    RotateMasterKeyRequest, SealDeliveredRequest, SealValueRequest,
};

const WRITE: &[&str] = &["controllers.write"];
const NAME: &str = "controllers/awx-prod";

fn put_request(tenant: &str, name: &str, value: &[u8]) -> PutSecretRequest {
    PutSecretRequest { tenant: tenant.into(), name: name.into(), value: value.to_vec() }
}

fn read_request(tenant: &str, name: &str) -> ReadSecretRequest {
    ReadSecretRequest { tenant: tenant.into(), name: name.into(), purpose: "launch job_1".into() }
}

fn seal_request(tenant: &str, context: &str, value: &[u8]) -> SealValueRequest {
    SealValueRequest { tenant: tenant.into(), context: context.into(), plaintext: value.to_vec() }
}

fn open_request(tenant: &str, context: &str, sealed: &[u8]) -> OpenValueRequest {
    OpenValueRequest {
        tenant: tenant.into(),
        context: context.into(),
        sealed: sealed.to_vec(),
        purpose: "launch job_1".into(),
    }
}

async fn put(running: &Running<'_>, tenant: &str, name: &str, value: &[u8]) -> Result<i64> {
    let mut project = running.client(Service::Project)?;
    let call = project.put_secret(put_request(tenant, name, value));
    Ok(running.acting(WRITE, Scope::tenant(&TenantId::trusted(tenant)), call).await??.into_inner().version)
}

async fn list(running: &Running<'_>, tenant: &str, page_size: i32, token: &str) -> Result<ListSecretsResponse> {
    let mut edge = running.client(Service::Edge)?;
    let request = ListSecretsRequest { page_size, page_token: token.into() };
    let call = edge.list_secrets(request);
    Ok(running.acting(&["secrets.list"], Scope::tenant(&TenantId::trusted(tenant)), call).await??.into_inner())
}

async fn key_status(running: &Running<'_>) -> Result<GetKeyStatusResponse> {
    let mut operator = running.operator()?;
    let call = operator.get_key_status(GetKeyStatusRequest {});
    Ok(running.acting(&["keys.read"], Scope::platform(), call).await??.into_inner())
}

#[tokio::test]
async fn the_executor_reads_what_project_stored_and_both_are_on_the_record() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    ensure!(put(&running, "acme", NAME, b"one").await? == 1);
    ensure!(put(&running, "acme", NAME, b"two").await? == 2);
    let answer = running.client(Service::Executor)?.read_secret(read_request("acme", NAME)).await?.into_inner();
    ensure!(answer.value == b"two" && answer.version == 2);

    // The read is there already; the puts are handed over from the outbox.
    let read = running.recorded("secret.read", 1).await?.remove(0);
    let actor = read.actor.context("an actor")?;
    ensure!(actor.principal == "service:executor" && actor.authenticated_by == "mesh");
    ensure!((read.tenant.as_str(), read.object_id.as_str()) == ("acme", NAME));
    ensure!(read.details_json == r#"{"purpose":"launch job_1","version":2}"#, "{}", read.details_json);
    ensure!(read.outcome == i32::from(Outcome::Success));
    let puts = running.recorded("secret.put", 2).await?;
    let last = puts.last().context("two puts")?;
    ensure!(last.details_json == r#"{"version":2}"#, "{}", last.details_json);
    ensure!(last.request_id == "req_1" && last.tenant == "acme");
    ensure!(last.actor.as_ref().is_some_and(|actor| actor.principal.starts_with("sa_")));
    running.stop().await
}

#[tokio::test]
async fn nobody_but_the_executor_reads_or_opens() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    let mut executor = running.client(Service::Executor)?;
    let sealed = executor.seal_value(seal_request("acme", "job_1", b"value")).await?.into_inner().sealed;
    let all = ["controllers.write", "secrets.list", "keys.read", "keys.rotate"];
    let mut clients = vec![running.operator()?];
    for service in [Service::Edge, Service::Auth, Service::Policy, Service::Project, Service::Audit, Service::Secret] {
        clients.push(running.client(service)?);
    }
    for mut client in clients {
        let call = client.read_secret(read_request("acme", NAME));
        let answer = running.acting(&all, Scope::platform(), call).await?;
        ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
        let call = client.open_value(open_request("acme", "job_1", &sealed));
        let answer = running.acting(&all, Scope::platform(), call).await?;
        ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    }
    // And the executor does nothing else.
    let call = executor.put_secret(put_request("acme", NAME, b"other"));
    let answer = running.acting(WRITE, Scope::platform(), call).await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    running.stop().await
}

#[tokio::test]
async fn without_a_record_no_value_leaves() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    let mut executor = running.client(Service::Executor)?;
    let sealed = executor.seal_value(seal_request("acme", "job_1", b"value")).await?.into_inner().sealed;

    running.recorder.set_down(true);
    let answer = executor.read_secret(read_request("acme", NAME)).await;
    ensure_refused(answer, ErrorReason::AuditUnavailable, "")?;
    let answer = executor.open_value(open_request("acme", "job_1", &sealed)).await;
    ensure_refused(answer, ErrorReason::AuditUnavailable, "")?;
    // Sealing reveals nothing, and a change keeps its entry beside it.
    executor.seal_value(seal_request("acme", "job_2", b"value")).await?;
    ensure!(put(&running, "acme", NAME, b"new").await? == 2);

    running.recorder.set_down(false);
    ensure!(executor.read_secret(read_request("acme", NAME)).await?.into_inner().value == b"new");
    running.recorded("secret.put", 2).await?;
    running.recorded("secret.read", 1).await?;
    running.stop().await
}

#[tokio::test]
async fn a_change_needs_the_permission_in_the_very_tenant() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "other", NAME, b"other's").await?;
    let mut project = running.client(Service::Project)?;

    let call = project.put_secret(put_request("other", NAME, b"mine"));
    let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::NotFound, "")?;
    let delete = || DeleteSecretRequest { tenant: "other".into(), name: NAME.into() };
    let call = project.delete_secret(delete());
    let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::NotFound, "")?;
    // In a project of the tenant is not in the tenant.
    let call = project.put_secret(put_request("acme", NAME, b"mine"));
    let answer = running.acting(WRITE, Scope::project(&TenantId::trusted("acme"), "web"), call).await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    let call = project.put_secret(put_request("acme", NAME, b"mine"));
    let answer = running.acting(&["secrets.list"], Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    // A platform principal acts for the tenant it names, and has to name one.
    let call = project.put_secret(put_request("other", NAME, b"mine"));
    let answer = running.acting(WRITE, Scope::platform(), call).await?;
    ensure_refused(answer, ErrorReason::ValidationFailed, "")?;
    let call = project.put_secret(put_request("other", NAME, b"theirs"));
    let answer = running.acting_in(Some("other"), WRITE, Scope::platform(), call).await?;
    ensure!(answer?.into_inner().version == 2);
    running.stop().await
}

#[tokio::test]
async fn bad_input_is_refused_by_field() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut project = running.client(Service::Project)?;
    let mut executor = running.client(Service::Executor)?;
    for name in ["", "/a", "a/../b", "A", "a b", &"a".repeat(201)] {
        let call = project.put_secret(put_request("acme", name, b"value"));
        let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
        ensure_refused(answer, ErrorReason::ValidationFailed, "/name")?;
        let answer = executor.read_secret(read_request("acme", name)).await;
        ensure_refused(answer, ErrorReason::ValidationFailed, "/name")?;
    }
    let call = project.put_secret(put_request("acme", NAME, b""));
    let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::ValidationFailed, "/value")?;
    for tenant in ["", "../x", "a/b", "Acme"] {
        let answer = executor.read_secret(read_request(tenant, NAME)).await;
        ensure_refused(answer, ErrorReason::ValidationFailed, "/tenant")?;
        let answer = executor.seal_value(seal_request(tenant, "job_1", b"value")).await;
        ensure_refused(answer, ErrorReason::ValidationFailed, "/tenant")?;
    }
    for purpose in ["", "  ", "two\nlines", &"x".repeat(201)] {
        let request = ReadSecretRequest { purpose: purpose.into(), ..read_request("acme", NAME) };
        ensure_refused(executor.read_secret(request).await, ErrorReason::ValidationFailed, "/purpose")?;
        let request = OpenValueRequest { purpose: purpose.into(), ..open_request("acme", "job_1", b"x") };
        ensure_refused(executor.open_value(request).await, ErrorReason::ValidationFailed, "/purpose")?;
    }
    let answer = executor.seal_value(seal_request("acme", "", b"value")).await;
    ensure_refused(answer, ErrorReason::ValidationFailed, "/context")?;
    let answer = executor.read_secret(read_request("acme", NAME)).await;
    ensure_refused(answer, ErrorReason::NotFound, "")?;
    ensure!(running.recorder.entries().iter().all(|entry| entry.action != "secret.read"));
    running.stop().await
}

#[tokio::test]
async fn values_have_their_limits() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut project = running.client(Service::Project)?;
    let mut executor = running.client(Service::Executor)?;
    put(&running, "acme", NAME, &[7; 64 << 10]).await?;
    let call = project.put_secret(put_request("acme", NAME, &[7; (64 << 10) + 1]));
    let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::PayloadTooLarge, "/value")?;

    let large = vec![7; 1 << 20];
    let sealed = executor.seal_value(seal_request("acme", "job_1", &large)).await?.into_inner().sealed;
    let opened = executor.open_value(open_request("acme", "job_1", &sealed)).await?.into_inner().plaintext;
    ensure!(opened == large);
    let answer = executor.seal_value(seal_request("acme", "job_1", &[large.as_slice(), b"x"].concat())).await;
    ensure_refused(answer, ErrorReason::PayloadTooLarge, "/plaintext")?;
    let answer = executor.seal_value(seal_request("acme", "job_1", &vec![7; 3 << 20])).await;
    ensure!(answer.is_err(), "it is not even read");
    running.stop().await
}

#[tokio::test]
async fn a_sealed_value_opens_where_it_belongs_and_a_failure_is_recorded() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let mut executor = running.client(Service::Executor)?;
    let sealed = executor.seal_value(seal_request("acme", "job_1", b"value")).await?.into_inner();
    let again = executor.seal_value(seal_request("acme", "job_2", b"value")).await?.into_inner();
    ensure!(sealed.keyed_hash == again.keyed_hash && sealed.sealed != again.sealed);
    let opened = executor.open_value(open_request("acme", "job_1", &sealed.sealed)).await?.into_inner();
    ensure!(opened.plaintext == b"value");
    let mut changed = sealed.sealed.clone();
    if let Some(last) = changed.last_mut() {
        *last ^= 1;
    }
    for (tenant, context, bytes) in
        [("other", "job_1", &sealed.sealed), ("acme", "job_2", &sealed.sealed), ("acme", "job_1", &changed)]
    {
        let answer = executor.open_value(open_request(tenant, context, bytes)).await;
        ensure_refused(answer, ErrorReason::ValidationFailed, "/sealed")?;
    }
    let records = running.recorded("secret.open", 4).await?;
    let outcomes: Vec<_> = records.iter().map(|entry| entry.outcome()).collect();
    ensure!(outcomes == [Outcome::Success, Outcome::Failed, Outcome::Failed, Outcome::Failed], "{outcomes:?}");
    running.stop().await
}

#[tokio::test]
async fn a_list_tells_names_and_versions_of_the_callers_tenant_only() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    for name in ["c", "a", "b"] {
        put(&running, "acme", name, b"value").await?;
    }
    put(&running, "acme", "a", b"value").await?;
    put(&running, "other", "d", b"value").await?;
    let first = list(&running, "acme", 2, "").await?;
    ensure!(!first.next_page_token.is_empty());
    let second = list(&running, "acme", 2, &first.next_page_token).await?;
    ensure!(second.next_page_token.is_empty());
    let listed: Vec<_> = first.secrets.iter().chain(&second.secrets).map(|s| (s.name.as_str(), s.version)).collect();
    ensure!(listed == [("a", 2), ("b", 1), ("c", 1)], "{listed:?}");
    ensure!(first.secrets.iter().all(|secret| secret.updated_at.is_some()));

    let mut edge = running.client(Service::Edge)?;
    for (request, pointer) in [
        (ListSecretsRequest { page_size: -1, page_token: String::new() }, "/page_size"),
        (ListSecretsRequest { page_size: 0, page_token: "Li4".into() }, "/page_token"),
        (ListSecretsRequest { page_size: 0, page_token: "%".into() }, "/page_token"),
        (
            ListSecretsRequest { page_size: 0, page_token: Listing::of("secrets", Some("other")).token("b") },
            "/page_token",
        ),
    ] {
        let answer = running
            .acting(&["secrets.list"], Scope::tenant(&TenantId::trusted("acme")), edge.list_secrets(request))
            .await?;
        ensure_refused(answer, ErrorReason::ValidationFailed, pointer)?;
    }
    let answer = running
        .acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), edge.list_secrets(ListSecretsRequest::default()))
        .await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    running.stop().await
}

#[tokio::test]
async fn a_deleted_secret_is_gone_and_deleting_it_again_is_no_failure() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    let mut project = running.client(Service::Project)?;
    for _ in 0..2 {
        let call = project.delete_secret(DeleteSecretRequest { tenant: "acme".into(), name: NAME.into() });
        running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await??;
    }
    let answer = running.client(Service::Executor)?.read_secret(read_request("acme", NAME)).await;
    ensure_refused(answer, ErrorReason::NotFound, "")?;
    ensure!(list(&running, "acme", 0, "").await?.secrets.is_empty());
    running.recorded("secret.delete", 1).await?;
    running.stop().await
}

#[tokio::test]
async fn the_master_key_rotates_while_the_service_runs() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    let mut executor = running.client(Service::Executor)?;
    let sealed = executor.seal_value(seal_request("acme", "job_1", b"value")).await?.into_inner();
    let before = key_status(&running).await?;
    ensure!(before.tenant_keys == 2 && before.tenant_keys_behind == 0);

    let mut operator = running.operator()?;
    let call = operator.rotate_master_key(RotateMasterKeyRequest {});
    let rotation = running.acting(&["keys.rotate"], Scope::platform(), call).await??.into_inner();
    ensure!(rotation.rewrapped == 2 && rotation.key_id != before.key_id);
    let after = key_status(&running).await?;
    ensure!(after.key_id == rotation.key_id && after.tenant_keys == 2 && after.tenant_keys_behind == 0);
    ensure!(executor.read_secret(read_request("acme", NAME)).await?.into_inner().value == b"value");
    let opened = executor.open_value(open_request("acme", "job_1", &sealed.sealed)).await?.into_inner();
    ensure!(opened.plaintext == b"value");

    let records = running.recorded("master_key.rotate", 2).await?;
    for (record, outcome) in records.iter().zip([Outcome::Intent, Outcome::Success]) {
        ensure!(record.outcome() == outcome && record.object_id == rotation.key_id);
        ensure!(record.tenant.is_empty(), "it belongs into the platform's log");
        ensure!(record.actor.as_ref().is_some_and(|actor| actor.principal.starts_with("sa_")));
    }
    running.stop().await
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_again_with_its_key_makes_no_second_master_key() -> Result<()> {
    let house = House::new()?;
    let mut rotated = Vec::new();
    for key in ["key-1", "key-1", "key-2"] {
        // A new start each time: what was answered outlives the process.
        let running = house.start().await?;
        let mut operator = running.operator()?;
        for _ in 0..2 {
            let call = operator.rotate_master_key(RotateMasterKeyRequest {});
            let answer = running.acting_with_key(key, &["keys.rotate"], Scope::platform(), call).await?;
            rotated.push(answer?.into_inner());
        }
        running.stop().await?;
    }
    ensure!(rotated.iter().take(4).all(|answer| Some(answer) == rotated.first()), "{rotated:?}");
    ensure!(rotated[4].key_id != rotated[0].key_id && rotated[5] == rotated[4], "{rotated:?}");
    Ok(())
}

#[tokio::test]
async fn keys_are_the_platforms_and_not_a_tenants() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let before = key_status(&running).await?.key_id;
    let mut operator = running.operator()?;
    let tenant = || Scope::tenant(&TenantId::trusted("acme"));
    let call = operator.rotate_master_key(RotateMasterKeyRequest {});
    ensure_refused(running.acting(&["keys.rotate"], tenant(), call).await?, ErrorReason::PermissionDenied, "")?;
    let call = operator.get_key_status(GetKeyStatusRequest {});
    ensure_refused(running.acting(&["keys.read"], tenant(), call).await?, ErrorReason::PermissionDenied, "")?;
    let call = operator.rotate_master_key(RotateMasterKeyRequest {});
    let answer = running.acting(&["keys.read"], Scope::platform(), call).await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    ensure!(key_status(&running).await?.key_id == before);
    running.stop().await
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart_and_private() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    let mut executor = running.client(Service::Executor)?;
    let sealed = executor.seal_value(seal_request("acme", "job_1", b"value")).await?.into_inner().sealed;
    running.stop().await?;

    let running = house.start().await?;
    let mut executor = running.client(Service::Executor)?;
    ensure!(executor.read_secret(read_request("acme", NAME)).await?.into_inner().value == b"value");
    let opened = executor.open_value(open_request("acme", "job_1", &sealed)).await?.into_inner();
    ensure!(opened.plaintext == b"value");
    running.stop().await?;

    let keys: Vec<_> = fs::read_dir(house.data_dir().join("master-keys"))?.collect::<std::io::Result<_>>()?;
    ensure!(keys.len() == 1);
    for file in keys {
        ensure!(file.metadata()?.permissions().mode() & 0o777 == 0o600);
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_master_key_stops_the_start_with_words_for_the_operator() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    put(&running, "acme", NAME, b"value").await?;
    running.stop().await?;
    fs::remove_dir_all(house.data_dir().join("master-keys"))?;
    let error = house.start().await.err().context("it started without its master key")?;
    let words = format!("{error:#}");
    ensure!(words.contains("mkey_") && words.contains("Restore"), "{words}");
    ensure!(fs::read_dir(house.data_dir().join("master-keys"))?.next().is_none(), "a new key was made");
    Ok(())
}

#[tokio::test]
async fn keys_of_hooks_and_credentials_of_controllers_are_out_of_each_others_reach() -> Result<()> {
    let house = House::new()?;
    let running = house.start().await?;
    let (hook, key) = (format!("hook_{}", "1".repeat(32)), format!("key_{}", "2".repeat(32)));
    let name = format!("hooks/{hook}/{key}");
    let web = Scope::project(&TenantId::trusted("acme"), "web");
    let request = |project: &str| PutHookKeyRequest {
        tenant: "acme".into(),
        project: project.into(),
        hook: hook.clone(),
        key: key.clone(),
        value: b"hook's key".to_vec(),
    };
    let mut hooks = running.hook_keys(Service::Hook)?;
    let call = hooks.put_hook_key(request("db"));
    let answer = running.acting(&["hooks.write"], web.clone(), call).await?;
    ensure_refused(answer, ErrorReason::PermissionDenied, "")?;
    let call = hooks.put_hook_key(request("web"));
    running.acting(&["hooks.write"], web, call).await??;
    let read = || ReadHookKeyRequest {
        tenant: "acme".into(),
        hook: hook.clone(),
        key: key.clone(),
        purpose: "verify deliveries".into(),
    };
    ensure!(hooks.read_hook_key(read()).await?.into_inner().value == b"hook's key");
    ensure!(running.recorded("secret.read", 1).await?.remove(0).object_id == name);

    // The executor reads no key of a hook, project writes none, and the hook service nothing else.
    let mut executor = running.client(Service::Executor)?;
    ensure_refused(executor.read_secret(read_request("acme", &name)).await, ErrorReason::NotFound, "")?;
    let mut as_executor = running.hook_keys(Service::Executor)?;
    ensure_refused(as_executor.read_hook_key(read()).await, ErrorReason::PermissionDenied, "")?;
    let mut project = running.client(Service::Project)?;
    let call = project.put_secret(put_request("acme", &name, b"other"));
    let answer = running.acting(WRITE, Scope::tenant(&TenantId::trusted("acme")), call).await?;
    ensure_refused(answer, ErrorReason::NotFound, "")?;
    put(&running, "acme", NAME, b"credential").await?;
    let mut as_hook = running.client(Service::Hook)?;
    ensure_refused(as_hook.read_secret(read_request("acme", NAME)).await, ErrorReason::PermissionDenied, "")?;
    let made_up = ReadHookKeyRequest { hook: "../controllers".into(), key: "awx-prod".into(), ..read() };
    ensure_refused(hooks.read_hook_key(made_up).await, ErrorReason::ValidationFailed, "/hook")?;

    // What a sender sent in confidence opens for its delivery alone, and for the hook service alone.
    let delivery = format!("dlv_{}", "3".repeat(32));
    let seal = SealDeliveredRequest { tenant: "acme".into(), plaintext: b"token".to_vec(), delivery: delivery.clone() };
    let sealed = hooks.seal_delivered(seal).await?.into_inner().sealed;
    let context = format!("delivered/{delivery}");
    ensure_refused(
        executor.open_value(open_request("acme", &context, &sealed)).await,
        ErrorReason::ValidationFailed,
        "/context",
    )?;
    let open = OpenDeliveredRequest { tenant: "acme".into(), sealed, delivery, purpose: "answer".into() };
    ensure!(hooks.open_delivered(open).await?.into_inner().plaintext == b"token");
    running.stop().await
}
