//! Places between the steps of standing in where a test can have the process die: `RUNWARDEN_UP_FAILPOINT` names one.

use runwarden_kit::failpoint::{self, Place};

/// Where the process is to die, if anywhere.
pub(crate) type Failpoint = failpoint::Failpoint<At>;

/// Somewhere between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The tenant is there.
    Tenant,
    /// The project is there.
    Project,
    /// The controller was made or changed; that is not remembered.
    Controller,
    /// That is remembered; the template is not mapped.
    ControllerKept,
    /// The template is mapped; the hook does not use it.
    Template,
    /// The service account is there; the hook is not.
    Account,
    /// The hook was made; that is not remembered.
    HookMade,
    /// The hook may have a weak key; its key was not replaced.
    KeyAllowed,
    /// The hook has a new key beside the old one.
    KeyAdded,
    /// The old one is retired; the new one is not remembered.
    KeyRetired,
    /// The hook was changed; that is not remembered.
    HookChanged,
    /// All is done; that the template belongs to this AAP is not remembered.
    Done,
}

impl Place for At {
    const ALL: &'static [(&'static str, Self)] = &[
        ("tenant", Self::Tenant),
        ("project", Self::Project),
        ("controller", Self::Controller),
        ("controller.kept", Self::ControllerKept),
        ("template", Self::Template),
        ("account", Self::Account),
        ("hook.made", Self::HookMade),
        ("key.allowed", Self::KeyAllowed),
        ("key.added", Self::KeyAdded),
        ("key.retired", Self::KeyRetired),
        ("hook.changed", Self::HookChanged),
        ("done", Self::Done),
    ];
}
