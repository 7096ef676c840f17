//! Every way to tamper with an export must show, and show where.

use proptest::prelude::*;

use super::*;
use crate::note::SigningKey;
use crate::record::examples;

const LOG: &str = "runwarden-audit/acme";

struct Fixture {
    key: SigningKey,
    lines: Vec<String>,
}

impl Fixture {
    fn new(count: u64) -> Self {
        Self { key: SigningKey::generate().unwrap().0, lines: examples::lines("acme", count) }
    }

    /// The checkpoint over some lines, honestly signed.
    fn checkpoint(&self, lines: &[String]) -> String {
        let mut frontier = Frontier::default();
        lines.iter().for_each(|line| frontier.append(line_hash(line.as_bytes())));
        let checkpoint = Checkpoint { origin: LOG.to_owned(), size: frontier.size(), root: frontier.root() };
        checkpoint.sign(&self.key).unwrap()
    }

    fn verify(&self, lines: &[String], own: &[String], trusted: &[String]) -> Report {
        let mut verifier = Verifier::new(self.key.verifier(LOG).unwrap());
        for note in own {
            verifier.checkpoint(note, Claim::Own);
        }
        for note in trusted {
            verifier.checkpoint(note, Claim::Trusted);
        }
        for line in lines {
            verifier.record(line.as_bytes());
        }
        verifier.finish()
    }

    /// Checks lines against the honest checkpoint.
    fn against_own(&self, lines: &[String]) -> Report {
        self.verify(lines, &[self.checkpoint(&self.lines)], &[])
    }
}

#[test]
fn an_untouched_log_is_whole() {
    let log = Fixture::new(300);
    let earlier = log.checkpoint(&log.lines[..100]);
    let report = log.verify(&log.lines, &[log.checkpoint(&log.lines)], &[earlier]);
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.records, 300);
    assert_eq!(report.trusted, [100]);
    assert!(report.to_string().contains("whole"));
}

#[test]
fn an_empty_log_is_whole_only_under_the_checkpoint_of_an_empty_log() {
    let log = Fixture::new(1);
    assert!(log.verify(&[], &[log.checkpoint(&[])], &[]).is_whole());
    let report = log.against_own(&[]);
    assert_eq!(report.findings, [Finding::Truncated { records: 0, size: 1 }]);
    assert_eq!(log.verify(&log.lines, &[log.checkpoint(&[])], &[]).findings, [Finding::Uncovered { from: 0, to: 1 }]);
}

#[test]
fn nothing_is_proven_without_a_checkpoint() {
    let log = Fixture::new(3);
    let report = log.verify(&log.lines, &[], &[]);
    assert_eq!(report.findings, [Finding::NoCheckpoint]);
    assert!(!report.is_whole());
}

#[test]
fn a_removed_record_is_named() {
    let log = Fixture::new(10);
    let mut lines = log.lines.clone();
    lines.remove(4);
    let report = log.against_own(&lines);
    assert_eq!(report.findings, [Finding::Missing { from: 4, to: 5 }, Finding::Truncated { records: 9, size: 10 }]);
    assert!(report.to_string().contains("record 4 is missing"), "{report}");
}

#[test]
fn reordered_records_are_named() {
    let log = Fixture::new(10);
    let mut lines = log.lines.clone();
    lines.swap(2, 3);
    assert_eq!(log.against_own(&lines).findings, [Finding::Misplaced { line: 4, index: 2 }]);
}

#[test]
fn an_inserted_record_is_named() {
    let log = Fixture::new(10);
    let mut lines = log.lines.clone();
    lines.insert(5, lines[1].clone());
    let report = log.against_own(&lines);
    assert!(report.findings.contains(&Finding::Repeated { line: 6, index: 1 }), "{report}");
}

#[test]
fn a_cut_off_end_is_named() {
    let log = Fixture::new(10);
    let report = log.against_own(&log.lines[..7]);
    assert_eq!(report.findings, [Finding::Truncated { records: 7, size: 10 }]);
}

#[test]
fn a_changed_record_is_narrowed_down_by_what_fits_before_it() {
    let log = Fixture::new(10);
    let mut lines = log.lines.clone();
    lines[7] = lines[7].replace("sa_1", "sa_2");
    assert_eq!(log.against_own(&lines).findings, [Finding::Changed { from: 0, to: 10 }]);
    let own: Vec<_> = [4, 7, 8, 10].iter().map(|size| log.checkpoint(&log.lines[..*size])).collect();
    assert_eq!(log.verify(&lines, &own, &[]).findings, [Finding::Changed { from: 7, to: 8 }]);
}

#[test]
fn a_removed_and_renumbered_record_does_not_pass() {
    let log = Fixture::new(10);
    let mut lines = examples::lines("acme", 9);
    lines.push(examples::record("acme", 9).to_line().unwrap().replace("rec_9", "rec_x"));
    assert_eq!(log.against_own(&lines).findings, [Finding::Changed { from: 0, to: 10 }]);
}

#[test]
fn a_log_that_was_rewritten_and_signed_again_does_not_continue_its_past() {
    let log = Fixture::new(10);
    let kept_elsewhere = log.checkpoint(&log.lines[..6]);
    let mut forged = log.lines.clone();
    forged[2] = forged[2].replace("sa_1", "sa_2");
    let resigned = log.checkpoint(&forged);
    assert!(
        log.verify(&forged, std::slice::from_ref(&resigned), &[]).is_whole(),
        "its own checkpoint alone cannot tell"
    );
    let report = log.verify(&forged, &[resigned], &[kept_elsewhere]);
    assert_eq!(report.findings, [Finding::Rewritten { size: 6 }]);
    assert!(!report.is_whole());
}

#[test]
fn a_log_that_was_cut_and_signed_again_is_shorter_than_its_past() {
    let log = Fixture::new(10);
    let resigned = log.checkpoint(&log.lines[..5]);
    let report = log.verify(&log.lines[..5], &[resigned], &[log.checkpoint(&log.lines)]);
    assert_eq!(report.findings, [Finding::Truncated { records: 5, size: 10 }]);
}

#[test]
fn two_checkpoints_of_one_size_cannot_both_be_true() {
    let log = Fixture::new(4);
    let mut forged = log.lines.clone();
    forged[1] = forged[1].replace("sa_1", "sa_2");
    let both = [log.checkpoint(&log.lines), log.checkpoint(&forged)];
    assert!(!log.verify(&log.lines, &both, &[]).is_whole());
}

#[test]
fn records_of_another_tenant_do_not_pass_for_ones_own() {
    let log = Fixture::new(4);
    let mut lines = log.lines.clone();
    lines[3] = examples::record("umbrella", 3).to_line().unwrap();
    let report = log.verify(&lines, &[log.checkpoint(&lines)], &[]);
    assert_eq!(report.findings, [Finding::Foreign { line: 4, index: 3, tenant: "umbrella".to_owned() }]);
    assert!(!report.is_whole());
}

#[test]
fn a_checkpoint_of_another_key_proves_nothing() {
    let log = Fixture::new(4);
    let other = Fixture::new(4);
    let report = log.verify(&log.lines, &[other.checkpoint(&log.lines)], &[]);
    assert!(matches!(report.findings[..], [Finding::CheckpointRefused { .. }, Finding::NoCheckpoint]), "{report}");
}

#[test]
fn a_log_wrong_everywhere_does_not_fill_the_memory() {
    let log = Fixture::new(400);
    let mut lines = log.lines.clone();
    lines.reverse();
    let report = log.against_own(&lines);
    assert!(report.findings.len() <= 100);
    assert!(report.omitted > 0);
}

#[test]
fn an_index_beyond_all_measure_does_no_harm() {
    let log = Fixture::new(3);
    let mut lines = log.lines.clone();
    lines.insert(
        1,
        examples::record("acme", 1).to_line().unwrap().replace("\"index\":1", &format!("\"index\":{}", u64::MAX)),
    );
    lines.push("{\"tenant\":\"acme\",\"index\":-1}".to_owned());
    assert!(!log.against_own(&lines).is_whole());
}

#[derive(Debug, Clone)]
enum Tampering {
    Change { at: prop::sample::Index, byte: prop::sample::Index, bit: u32 },
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Insert { at: prop::sample::Index, copy_of: prop::sample::Index },
    Append(String),
    Truncate(prop::sample::Index),
    RemoveFirst(prop::sample::Index),
}

fn tampering() -> impl Strategy<Value = Tampering> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<Index>(), 0_u32..8).prop_map(|(at, byte, bit)| Tampering::Change { at, byte, bit }),
        any::<Index>().prop_map(Tampering::Remove),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Tampering::Swap(a, b)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, copy_of)| Tampering::Insert { at, copy_of }),
        ".{0,20}".prop_map(Tampering::Append),
        any::<Index>().prop_map(Tampering::Truncate),
        any::<Index>().prop_map(Tampering::RemoveFirst),
    ]
}

fn tamper(lines: &mut Vec<Vec<u8>>, with: &Tampering) {
    let count = lines.len();
    match with {
        Tampering::Change { at, byte, bit } => {
            // An empty one may have been appended before.
            let line = &mut lines[at.index(count)];
            if !line.is_empty() {
                let byte = byte.index(line.len());
                line[byte] ^= 1 << bit;
            }
        }
        Tampering::Remove(at) => drop(lines.remove(at.index(count))),
        Tampering::Swap(a, b) => lines.swap(a.index(count), b.index(count)),
        Tampering::Insert { at, copy_of } => {
            let copy = lines[copy_of.index(count)].clone();
            lines.insert(at.index(count + 1), copy);
        }
        Tampering::Append(line) => lines.push(line.clone().into_bytes()),
        Tampering::Truncate(to) => lines.truncate(to.index(count)),
        Tampering::RemoveFirst(upto) => drop(lines.drain(..=upto.index(count))),
    }
}

proptest! {
    #[test]
    fn every_tampering_shows(count in 1_u64..60, steps in prop::collection::vec(tampering(), 1..4)) {
        let log = Fixture::new(count);
        let honest: Vec<Vec<u8>> = log.lines.iter().map(|line| line.clone().into_bytes()).collect();
        let mut lines = honest.clone();
        for step in &steps {
            if !lines.is_empty() {
                tamper(&mut lines, step);
            }
        }
        let mut verifier = Verifier::new(log.key.verifier(LOG).unwrap());
        verifier.checkpoint(&log.checkpoint(&log.lines), Claim::Own);
        for line in &lines {
            verifier.record(line);
        }
        let report = verifier.finish();
        prop_assert_eq!(report.is_whole(), lines == honest, "{}", report);
        prop_assert_eq!(report.findings.is_empty(), lines == honest);
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..10)) {
        let log = Fixture::new(2);
        let mut verifier = Verifier::new(log.key.verifier(LOG).unwrap());
        verifier.checkpoint(&log.checkpoint(&log.lines), Claim::Own);
        for line in &lines {
            verifier.record(line);
        }
        prop_assert!(!verifier.finish().is_whole());
    }
}
