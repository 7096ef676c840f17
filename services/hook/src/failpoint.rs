//! Places around every durable step of a delivery, and of a message to a callback, where a test can have the process
//! die: `RUNWARDEN_HOOK_FAILPOINT` names one.

use runwarden_kit::failpoint::{self, Place};

/// Where the process is to die, if anywhere.
pub type Failpoint = failpoint::Failpoint<At>;

/// Somewhere between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A request is verified; nothing of it is written.
    ReceiveBefore,
    /// It is durable; the sender was not answered.
    ReceiveAfter,
    /// A delivery is mapped; what it asks for is not written.
    MapBefore,
    /// That is durable; nothing was submitted.
    MapAfter,
    /// The job was accepted; that is not written.
    SubmitBefore,
    /// It is written.
    SubmitAfter,
    /// Terraform was told that a run task runs; that is not written.
    UpdateAfter,
    /// That the final result of a run task is sent is written; it has not left.
    FinalBefore,
    /// Terraform has it; that is not written.
    FinalAfter,
    /// Jobs changed; the messages about them are not written.
    MessageBefore,
    /// They are durable; nothing was sent.
    MessageAfter,
    /// A message is signed and about to be sent.
    SendBefore,
    /// Its receiver answered; that is not written.
    SendAfter,
    /// A change was made that waits for the commit of its group.
    GroupFilling,
    /// A group of changes is committed; nobody was answered.
    GroupCommitted,
}

impl Place for At {
    const ALL: &'static [(&'static str, Self)] = &[
        ("receive.before", Self::ReceiveBefore),
        ("receive.after", Self::ReceiveAfter),
        ("map.before", Self::MapBefore),
        ("map.after", Self::MapAfter),
        ("submit.before", Self::SubmitBefore),
        ("submit.after", Self::SubmitAfter),
        ("update.after", Self::UpdateAfter),
        ("final.before", Self::FinalBefore),
        ("final.after", Self::FinalAfter),
        ("message.before", Self::MessageBefore),
        ("message.after", Self::MessageAfter),
        ("send.before", Self::SendBefore),
        ("send.after", Self::SendAfter),
        ("group.filling", Self::GroupFilling),
        ("group.committed", Self::GroupCommitted),
    ];
}
