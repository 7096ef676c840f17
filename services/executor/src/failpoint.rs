//! Places around every durable step of a job's life where a test can have the process die:
//! `RUNWARDEN_EXECUTOR_FAILPOINT` names one.

use runwarden_kit::failpoint::{self, Place};

/// Where the process is to die, if anywhere.
pub type Failpoint = failpoint::Failpoint<At>;

/// Somewhere between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A job is about to be accepted.
    SubmitBeforeCommit,
    /// It is accepted; the answer was not sent.
    SubmitAfterCommit,
    /// A job is claimed.
    ClaimAfter,
    /// All is checked; the intent is not written.
    BeginBefore,
    /// The intent is durable; nothing was sent.
    BeginAfter,
    /// The launch was answered; the answer is not written.
    SendAfter,
    /// What was learned of an attempt is about to be written.
    LearnBefore,
    /// It is written.
    LearnAfter,
    /// A lost launch is about to be looked for.
    ReconcileBefore,
    /// It was looked for; the verdict is not written.
    ReconcileAfter,
    /// A run is over; the job's end is not written.
    WatchBeforeEnd,
    /// It is written.
    WatchAfterEnd,
    /// A run was asked to stop.
    CancelAfter,
    /// What an operator said is about to be written.
    ResolveBefore,
    /// It is written; nothing was signalled.
    ResolveAfter,
    /// A change was made that waits for the commit of its group, with or without others.
    GroupFilling,
    /// A group of changes is committed; nobody was answered.
    GroupCommitted,
}

impl Place for At {
    const ALL: &'static [(&'static str, Self)] = &[
        ("submit.before_commit", Self::SubmitBeforeCommit),
        ("submit.after_commit", Self::SubmitAfterCommit),
        ("claim.after", Self::ClaimAfter),
        ("begin.before", Self::BeginBefore),
        ("begin.after", Self::BeginAfter),
        ("send.after", Self::SendAfter),
        ("learn.before", Self::LearnBefore),
        ("learn.after", Self::LearnAfter),
        ("reconcile.before", Self::ReconcileBefore),
        ("reconcile.after", Self::ReconcileAfter),
        ("watch.before_end", Self::WatchBeforeEnd),
        ("watch.after_end", Self::WatchAfterEnd),
        ("cancel.after", Self::CancelAfter),
        ("resolve.before", Self::ResolveBefore),
        ("resolve.after", Self::ResolveAfter),
        ("group.filling", Self::GroupFilling),
        ("group.committed", Self::GroupCommitted),
    ];
}
