use serde_json::json;

use super::*;
use crate::job::tests::example;
use crate::test_doubles::{Said, yes};

fn denied(halt: Result<Option<Decision>, Halt>) -> Denial {
    match halt {
        Err(Halt::Denied(denial)) => *denial,
        _ => panic!("it is denied"),
    }
}

#[tokio::test]
async fn policies_are_asked_what_they_were_asked_at_acceptance() {
    let said = Arc::new(Said::default());
    let parameters = json!({"pw": {"set": true}, "open": {"set": true}, "n": 1}).as_object().unwrap().clone();
    let job = Job {
        parameters: parameters.clone(),
        sealed_parameters: Some("…".into()),
        write_only: ["pw".to_owned()].into(),
        ..example()
    };
    assert_eq!(said.authority().demand(&job).await.ok().flatten().unwrap().id, yes().id);
    let (principal, question) = said.questions.lock().unwrap()[0].clone();
    assert_eq!(principal.id, job.requested_by);
    assert_eq!(question.parameters, json!({"pw": "<set>", "open": {"set": true}, "n": 1}));
    assert_eq!((question.tenant, question.project, question.template), (job.tenant, job.project, job.template));
    assert_eq!(question.controller, job.controller);
    // Of a job from before the names were kept, what is shown as set is.
    let old = Job { parameters, sealed_parameters: Some("…".into()), ..example() };
    assert!(old.is_sealed("pw") && !old.is_sealed("n"));
}

#[tokio::test]
async fn a_yes_counts_for_a_moment_and_a_no_for_nothing() {
    let said = Arc::new(Said::default());
    let (authority, job) = (said.authority(), example());
    assert!(authority.demand(&job).await.ok().flatten().is_some());
    assert!(authority.demand(&job).await.is_ok_and(|again| again.is_none()));
    assert_eq!(said.asked(), 1);
    let other = example();
    *said.verdict.lock().unwrap() = Some(Ok(Evaluation::Decided(Decision { allowed: false, ..yes() })));
    for asked in 2..4 {
        assert_eq!(denied(authority.demand(&other).await).reason, reason::POLICY_DENIED);
        assert_eq!(said.asked(), asked);
    }
}

#[tokio::test]
async fn a_job_is_told_why_in_words_of_bounded_length() {
    let said = Arc::new(Said::default());
    let reasons = vec!["𝕏".repeat(256); 16];
    *said.verdict.lock().unwrap() = Some(Ok(Evaluation::Decided(Decision { allowed: false, reasons, ..yes() })));
    let denial = denied(said.authority().demand(&example()).await);
    assert!(denial.detail.len() < MOST_WORDS + 200 && denial.detail.contains("𝕏"), "{}", denial.detail.len());
    *said.standing.lock().unwrap() = Some(Ok(Standing::Lapsed(Lapse::NotPermitted)));
    let denial = denied(said.authority().demand(&example()).await);
    assert_eq!(denial.detail, "The client that submitted it no longer holds jobs.submit in project web.");
}

#[test]
fn what_is_remembered_is_bounded_and_forgetting_costs_a_question_only() {
    let lasting = Duration::from_secs(60);
    let shown = Shown::lasting(lasting);
    let old = Instant::now().checked_sub(lasting).unwrap();
    for n in 0..MOST {
        shown.note(&format!("old-{n}"), old);
    }
    shown.note("new", Instant::now());
    assert!(shown.holds("new") && !shown.holds("old-1"));
    assert_eq!(shown.at.lock().unwrap().len(), 1);
    for n in 0..2 * MOST {
        shown.note(&format!("new-{n}"), Instant::now());
    }
    assert!(shown.at.lock().unwrap().len() <= MOST);
}

#[test]
fn a_revocation_holds_within_the_time_that_is_promised() {
    let auth_itself = Duration::from_millis(500);
    assert!(auth_itself + NEWS + SHOWN_FOR + crate::launch::protocol::SEND_WITHIN <= Duration::from_secs(5));
}
