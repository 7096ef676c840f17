//! Runwarden's gRPC contracts, compiled: one module per package, the descriptors for reflection, and the table of
//! who may call what. There is no logic here.

macro_rules! package {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1.
            #[allow(
                missing_docs,
                unreachable_pub,
                clippy::all,
                clippy::allow_attributes,
                reason = "generated; which of these fire depends on the generator's version"
            )]
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/runwarden.", stringify!($name), ".v1.rs"));
            }
        }
    };
}

package!(
    /// What all contracts share: `runwarden.common.v1`.
    common
);
package!(
    /// Who is asking: `runwarden.auth.v1`.
    auth
);
package!(
    /// What may be done: `runwarden.policy.v1`.
    policy
);
package!(
    /// What exists: `runwarden.project.v1`.
    project
);
package!(
    /// Secrets: `runwarden.secret.v1`.
    secret
);
package!(
    /// What happened: `runwarden.audit.v1`.
    audit
);
package!(
    /// What is run: `runwarden.executor.v1`.
    executor
);
package!(
    /// Events in, results out: `runwarden.hook.v1`.
    hook
);
package!(
    /// What has changed: `runwarden.watch.v1`.
    watch
);

mod redacted {
    //! `Debug` for messages with secret fields.
    include!(concat!(env!("OUT_DIR"), "/redacted.rs"));
}

mod names {
    //! The names of the values of enumerations.
    use crate::{audit, auth, executor, hook, project};

    include!(concat!(env!("OUT_DIR"), "/names.rs"));
}

mod permission;

/// Who may call one RPC, from its `access` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The HTTP/2 path: `/runwarden.executor.v1.JobService/SubmitJob`.
    pub path: &'static str,
    /// The services whose mesh certificate may open the call.
    pub services: &'static [&'static str],
    /// The permission the caller token must grant in some scope; none if no caller token is needed.
    pub permission: Option<common::v1::Permission>,
    /// Why no caller token is needed; empty if one is.
    pub without_caller: &'static str,
    /// Whether the call may be repeated without harm.
    pub idempotent: bool,
    /// Whether the call changes nothing.
    pub reads: bool,
    /// Whether either side streams.
    pub streaming: bool,
    /// Whether the platform may make the call for a tenant that is disabled: it changes nothing, or says so.
    pub for_disabled_tenant: bool,
}

/// One row for each RPC of all contracts.
pub const ACCESS: &[Access] = include!(concat!(env!("OUT_DIR"), "/access.rs"));

/// All contracts with their comments, as an encoded `FileDescriptorSet`, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// Finds the access row of an RPC by its path.
#[must_use]
pub fn access(path: &str) -> Option<&'static Access> {
    ACCESS.iter().find(|row| row.path == path)
}

#[cfg(test)]
mod tests {
    use super::{ACCESS, DESCRIPTORS, access};
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    fn descriptors() -> FileDescriptorSet {
        FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptor set decodes")
    }

    #[test]
    fn every_rpc_says_who_may_call_it() {
        let mut seen = 0;
        for file in descriptors().file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let row = access(&path).unwrap_or_else(|| panic!("{path} has no access row"));
                    assert!(!row.services.is_empty(), "{path} names no service");
                    assert_ne!(
                        row.permission.is_none(),
                        row.without_caller.is_empty(),
                        "{path} needs a permission or a reason for none"
                    );
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, ACCESS.len(), "the table has a row for something that is no RPC");
        assert!(seen > 40, "the contracts were found");
    }

    #[test]
    fn only_known_services_are_named() {
        let known = ["edge", "auth", "policy", "project", "secret", "audit", "executor", "hook", "operator"];
        for row in ACCESS {
            for service in row.services {
                assert!(known.contains(service), "{} names {service}", row.path);
            }
        }
    }

    #[test]
    fn secret_fields_do_not_reach_debug_output() {
        let request = crate::auth::v1::IssueTokenRequest {
            client_id: "client_1".into(),
            client_secret: "do-not-print".into(),
            ..Default::default()
        };
        assert!(!format!("{request:?}").contains("do-not-print"));
        let nested = crate::project::v1::CreateControllerRequest {
            credential: Some(crate::project::v1::Credential { token: "do-not-print".into(), ..Default::default() }),
            ..Default::default()
        };
        assert!(!format!("{nested:?}").contains("do-not-print"));
    }

    #[test]
    fn every_error_reason_has_a_sentence_an_example_and_retry_advice() {
        let files = descriptors();
        let file = files
            .file
            .iter()
            .find(|f| f.name().ends_with("error_reason.proto"))
            .expect("error_reason.proto is in the set");
        let info = file.source_code_info.as_ref().expect("comments are kept");
        let reasons = &file.enum_type[0].value;
        for (at, reason) in reasons.iter().enumerate() {
            // Path of a value's comment: enum_type (5), first, value (2), its index.
            let path = [5, 0, 2, i32::try_from(at).expect("few reasons")];
            let comment = info
                .location
                .iter()
                .find(|l| l.path == path)
                .map(|l| l.leading_comments().to_owned())
                .unwrap_or_default();
            assert!(comment.contains("Example:"), "{} lacks an example: {comment}", reason.name());
            assert!(comment.contains("Retry:"), "{} lacks retry advice", reason.name());
        }
    }
}
