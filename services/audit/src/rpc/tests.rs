//! The RPCs as the gate hands them their requests.

use std::sync::Arc;

use futures::TryStreamExt as _;
use runwarden_kit::caller::{Caller, Scope};
use runwarden_kit::clock::Moment;
use runwarden_kit::mesh::{Peer, Service};
use runwarden_kit::permission::Permission;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::{Error, ErrorReason};
use runwarden_proto::audit::v1::export_records_response::Piece;
use runwarden_proto::audit::v1::{Actor, Entry, Outcome};

use super::*;
use crate::log::SearchLimits;
use crate::log::examples::Running;
use crate::merkle::Hash;
use crate::merkle::proof::{verify_consistency, verify_inclusion};
use crate::note::Checkpoint;
use crate::record::line_hash;
use crate::verify::{Claim, Verifier};

fn entry(id: u64, tenant: &str) -> Entry {
    Entry {
        entry_id: format!("rec_{id}"),
        tenant: tenant.to_owned(),
        occurred_at: Some(Moment::from_micros(1_795_327_200_123_456).to_proto()),
        service: "executor".to_owned(),
        actor: Some(Actor { principal: "sa_1".to_owned(), client_id: "client_1".to_owned(), ..Actor::default() }),
        action: "job.submit".to_owned(),
        object_type: "job".to_owned(),
        object_id: format!("job_{id}"),
        outcome: Outcome::Success.into(),
        details_json: r#"{"b":1,"a":"ü"}"#.to_owned(),
        source_address: "192.0.2.1".to_owned(),
        ..Entry::default()
    }
}

fn append(from: Service, entries: Vec<Entry>) -> Request<AppendEntriesRequest> {
    let mut request = Request::new(AppendEntriesRequest { entries, seen: Vec::new() });
    request.extensions_mut().insert(Peer::Service(from));
    request
}

fn as_caller<T>(caller: Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Arc::new(caller));
    request
}

fn auditor(tenant: &str) -> Caller {
    Caller::example(&[READ], Scope::tenant(&TenantId::trusted(tenant)))
}

fn reason(status: &Status) -> ErrorReason {
    Error::from_status(status).reason()
}

async fn serving() -> (Running, AuditRpc) {
    let log = Running::new().await;
    let rpc = AuditRpc::new(log.journal.clone(), log.reader());
    let entries = (0..7).map(|id| entry(id, "acme")).chain([entry(0, ""), entry(1, "umbrella")]).collect();
    rpc.append_entries(append(Service::Executor, entries)).await.unwrap();
    (log, rpc)
}

#[tokio::test]
async fn an_entry_comes_back_as_a_record() {
    let (_log, rpc) = serving().await;
    let page = rpc.list_records(as_caller(auditor("acme"), ListRecordsRequest::default())).await.unwrap().into_inner();
    assert_eq!(page.records.len(), 7);
    assert_eq!(page.next_page_token, "");
    let record = &page.records[0];
    assert_eq!(record.index, 6);
    let expected = Entry { details_json: r#"{"a":"ü","b":1}"#.to_owned(), ..entry(6, "acme") };
    assert_eq!(record.entry.as_ref().unwrap(), &expected);
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let (_log, rpc) = serving().await;
    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let request = ListRecordsRequest { page_size: 3, page_token: token, ..ListRecordsRequest::default() };
        let page = rpc.list_records(as_caller(auditor("acme"), request)).await.unwrap().into_inner();
        seen.extend(page.records.iter().map(|record| record.index));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
}

#[tokio::test]
async fn a_search_that_finds_nothing_ends_in_time_and_goes_on_with_the_next_page() {
    let (log, rpc) = serving().await;
    let reader = log.reader().within(SearchLimits { at_once: 1, statements: 2 });
    let rpc = AuditRpc { reader, ..rpc };
    let (mut pages, mut seen) = (0, Vec::new());
    for action in ["nothing.*", "job.*"] {
        let mut request = ListRecordsRequest { action: action.to_owned(), ..ListRecordsRequest::default() };
        loop {
            let page = rpc.list_records(as_caller(auditor("acme"), request.clone())).await.unwrap().into_inner();
            assert!(page.records.len() <= 2);
            seen.extend(page.records.iter().map(|record| record.index));
            pages += 1;
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
    }
    assert_eq!((pages, seen), (8, vec![6, 5, 4, 3, 2, 1, 0]));
}

#[tokio::test]
async fn one_principal_searches_so_much_at_once_and_no_more() {
    let (_log, rpc) = serving().await;
    let seats: Vec<_> = (0..SEARCHES.principal).map(|_| rpc.searches.take(&auditor("acme")).unwrap()).collect();
    let list = async |tenant| {
        let answer = rpc.list_records(as_caller(auditor(tenant), ListRecordsRequest::default())).await;
        answer.map(drop).map_err(|status| reason(&status))
    };
    assert_eq!(list("acme").await, Err(ErrorReason::RateLimited));
    let mut other = auditor("umbrella");
    other.principal = "sa_other".to_owned();
    rpc.list_records(as_caller(other, ListRecordsRequest::default())).await.unwrap();
    drop(seats);
    assert_eq!(list("acme").await, Ok(()));
}

#[tokio::test]
async fn a_page_of_large_records_stays_below_what_a_client_takes() {
    let log = Running::new().await;
    let rpc = AuditRpc::new(log.journal.clone(), log.reader());
    let details = format!(r#"{{"a":"{}"}}"#, "x".repeat(16_000));
    let entries = (0..400).map(|id| Entry { details_json: details.clone(), ..entry(id, "acme") }).collect();
    rpc.append_entries(append(Service::Executor, entries)).await.unwrap();
    let (mut token, mut seen) = (String::new(), 0);
    loop {
        let request = ListRecordsRequest { page_size: 200, page_token: token, ..ListRecordsRequest::default() };
        let page = rpc.list_records(as_caller(auditor("acme"), request)).await.unwrap().into_inner();
        assert!(prost::Message::encoded_len(&page) < 4 * 1024 * 1024);
        seen += page.records.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 400);
}

#[tokio::test]
async fn only_who_may_read_the_whole_log_reads_it() {
    let (_log, rpc) = serving().await;
    let project = Caller::example(&[READ], Scope::project(&TenantId::trusted("acme"), "web"));
    let nobody = Caller::example(&[Permission::JobsRead], Scope::tenant(&TenantId::trusted("acme")));
    let platform_without_right = Caller::example(&[Permission::JobsRead], Scope::platform());
    let mut elsewhere = auditor("umbrella");
    elsewhere.acting_tenant = Some(TenantId::trusted("acme"));
    for caller in [project, nobody, platform_without_right, elsewhere] {
        let status = rpc.list_records(as_caller(caller.clone(), ListRecordsRequest::default())).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::PermissionDenied);
        let status = rpc.get_checkpoint(as_caller(caller.clone(), GetCheckpointRequest {})).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::PermissionDenied);
        let request = ProveInclusionRequest { entry_id: "rec_1".to_owned() };
        let status = rpc.prove_inclusion(as_caller(caller.clone(), request)).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::PermissionDenied);
        let request = ProveConsistencyRequest { old_size: 1 };
        let status = rpc.prove_consistency(as_caller(caller.clone(), request)).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::PermissionDenied);
        let Err(status) = rpc.export_records(as_caller(caller, ExportRecordsRequest::default())).await else {
            panic!("exported to who may not");
        };
        assert_eq!(reason(&status), ErrorReason::PermissionDenied);
    }
}

#[tokio::test]
async fn the_platform_reads_its_own_log_and_that_of_the_tenant_it_acts_for() {
    let (_log, rpc) = serving().await;
    let mut platform = Caller::example(&[READ], Scope::platform());
    let own = rpc.get_checkpoint(as_caller(platform.clone(), GetCheckpointRequest {})).await.unwrap().into_inner();
    assert!(own.checkpoint.starts_with("runwarden-audit/_platform\n1\n"), "{}", own.checkpoint);
    platform.acting_tenant = Some(TenantId::trusted("acme"));
    let acme = rpc.get_checkpoint(as_caller(platform, GetCheckpointRequest {})).await.unwrap().into_inner();
    assert_eq!((acme.size, acme.checkpoint.lines().next()), (7, Some("runwarden-audit/acme")));
}

#[tokio::test]
async fn a_record_of_another_tenant_is_not_found() {
    let (_log, rpc) = serving().await;
    let request = ProveInclusionRequest { entry_id: "rec_5".to_owned() };
    let status = rpc.prove_inclusion(as_caller(auditor("umbrella"), request)).await.unwrap_err();
    assert_eq!(reason(&status), ErrorReason::NotFound);
}

#[tokio::test]
async fn proofs_hold_with_nothing_but_the_answer() {
    let (_log, rpc) = serving().await;
    let earlier = rpc.get_checkpoint(as_caller(auditor("acme"), GetCheckpointRequest {})).await.unwrap().into_inner();
    rpc.append_entries(append(Service::Executor, vec![entry(7, "acme")])).await.unwrap();

    let hashes = |hashes: Vec<String>| -> Vec<Hash> { hashes.iter().map(|h| Hash::from_hex(h).unwrap()).collect() };
    let request = ProveInclusionRequest { entry_id: "rec_5".to_owned() };
    let proof = rpc.prove_inclusion(as_caller(auditor("acme"), request)).await.unwrap().into_inner();
    let now = Checkpoint::open(&proof.checkpoint, &proof.verifier_key.parse().unwrap()).unwrap();
    let leaf = line_hash(proof.record_json.as_bytes());
    verify_inclusion(u64::try_from(proof.index).unwrap(), now.size, &leaf, &hashes(proof.hashes), &now.root).unwrap();

    let request = ProveConsistencyRequest { old_size: earlier.size };
    let proof = rpc.prove_consistency(as_caller(auditor("acme"), request)).await.unwrap().into_inner();
    let old_root = Hash::from_hex(&earlier.root_hash).unwrap();
    verify_consistency(7, 8, &old_root, &now.root, &hashes(proof.hashes)).unwrap();
    for old_size in [-1, 9] {
        let request = ProveConsistencyRequest { old_size };
        let status = rpc.prove_consistency(as_caller(auditor("acme"), request)).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::ValidationFailed);
    }
}

#[tokio::test]
async fn an_export_verifies_offline() {
    let (_log, rpc) = serving().await;
    rpc.append_entries(append(Service::Executor, (7..307).map(|id| entry(id, "acme")).collect())).await.unwrap();
    let stream = rpc.export_records(as_caller(auditor("acme"), ExportRecordsRequest::default())).await.unwrap();
    let pieces: Vec<ExportRecordsResponse> = stream.into_inner().try_collect().await.unwrap();
    let (last, records) = pieces.split_last().unwrap();
    let Some(Piece::Checkpoint(note)) = &last.piece else { panic!("the checkpoint comes last") };
    let mut verifier = Verifier::new(last.verifier_key.parse().unwrap());
    verifier.checkpoint(note, Claim::Own);
    for piece in records {
        let Some(Piece::RecordJson(line)) = &piece.piece else { panic!("records come first") };
        verifier.record(line.as_bytes());
    }
    let report = verifier.finish();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.records, 307);

    for (from_index, expected) in [(300, Ok(8)), (307, Ok(1)), (308, Err(())), (-1, Err(()))] {
        let answer = rpc.export_records(as_caller(auditor("acme"), ExportRecordsRequest { from_index })).await;
        match (answer, expected) {
            (Ok(stream), Ok(count)) => {
                let pieces: Vec<_> = stream.into_inner().try_collect().await.unwrap();
                assert_eq!(pieces.len(), count);
            }
            (Err(status), Err(())) => assert_eq!(reason(&status), ErrorReason::ValidationFailed),
            (Ok(_), Err(())) => panic!("{from_index} was taken"),
            (Err(status), Ok(_)) => panic!("{from_index} was refused: {status}"),
        }
    }
}

#[tokio::test]
async fn entries_that_are_not_right_are_refused_whole_and_say_where() {
    let (log, rpc) = serving().await;
    let wrong = [
        Entry { outcome: 0, ..entry(90, "acme") },
        Entry { outcome: 77, ..entry(90, "acme") },
        Entry { occurred_at: None, ..entry(90, "acme") },
        Entry { occurred_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), ..entry(90, "acme") },
        Entry { occurred_at: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }), ..entry(90, "acme") },
        Entry { details_json: "[]".to_owned(), ..entry(90, "acme") },
        Entry { details_json: format!("{{\"a\":\"{}\"}}", "x".repeat(17_000)), ..entry(90, "acme") },
        Entry { action: "submit".to_owned(), ..entry(90, "acme") },
        entry(90, "_platform"),
        entry(90, "../acme"),
    ];
    for entry_90 in wrong {
        let entries = vec![entry(91, "acme"), entry_90.clone()];
        let status = rpc.append_entries(append(Service::Executor, entries)).await.unwrap_err();
        let error = Error::from_status(&status);
        assert_eq!(error.reason(), ErrorReason::ValidationFailed, "{entry_90:?}");
        assert!(error.fields()[0].pointer.starts_with("/entries/1/"), "{:?}", error.fields());
    }
    let status = rpc.append_entries(append(Service::Edge, vec![entry(90, "acme")])).await.unwrap_err();
    assert_eq!(reason(&status), ErrorReason::PermissionDenied);
    let many = (0..501).map(|id| entry(1000 + id, "acme")).collect();
    let status = rpc.append_entries(append(Service::Executor, many)).await.unwrap_err();
    assert_eq!(reason(&status), ErrorReason::ValidationFailed);
    assert_eq!(log.reader().checkpoint("acme").await.unwrap().checkpoint.size, 7, "nothing of it was recorded");
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_answered_with_audit_unavailable() {
    let (log, rpc) = serving().await;
    log.store.close().await;
    let status = rpc.append_entries(append(Service::Executor, vec![entry(90, "acme")])).await.unwrap_err();
    let error = Error::from_status(&status);
    assert_eq!(error.reason(), ErrorReason::AuditUnavailable);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(!format!("{status:?}").to_lowercase().contains("sqlite"), "no driver's words: {status:?}");
}

#[tokio::test]
async fn hostile_pages_are_refused() {
    let token = |log: &str, last: &str| list_records::listing(log, &ListRecordsRequest::default()).token(last);
    let (_log, rpc) = serving().await;
    for request in [
        ListRecordsRequest { page_size: -1, ..ListRecordsRequest::default() },
        ListRecordsRequest { page_token: "%".to_owned(), ..ListRecordsRequest::default() },
        ListRecordsRequest { page_token: token("acme", "x"), ..ListRecordsRequest::default() },
        ListRecordsRequest { page_token: token("acme", "18446744073709551615"), ..ListRecordsRequest::default() },
        // Another tenant's, and one of a list with other filters.
        ListRecordsRequest { page_token: token("umbrella", "3"), ..ListRecordsRequest::default() },
        ListRecordsRequest { page_token: token("acme", "3"), job: "job_1".to_owned(), ..ListRecordsRequest::default() },
    ] {
        let status = rpc.list_records(as_caller(auditor("acme"), request)).await.unwrap_err();
        assert_eq!(reason(&status), ErrorReason::ValidationFailed);
    }
    let good = ListRecordsRequest { page_token: token("acme", "3"), ..ListRecordsRequest::default() };
    rpc.list_records(as_caller(auditor("acme"), good)).await.expect("a token of this very list");
}
