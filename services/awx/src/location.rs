//! The run that the head of an answer names: `Location: /api/v2/jobs/12/`.

use reqwest::Url;

use super::address::Address;
use super::run::{RunKind, RunRef};
use super::template::TemplateKind;

/// Where AWX's API begins, whatever way we came: behind AAP's gateway, and on the controller itself.
const ROOTS: [&str; 2] = ["/api/v2/", "/api/controller/v2/"];

/// Reads a location. It has to lead to a run of a kind the template can become, on this controller, and be written as
/// AWX writes it; anything else is not trusted.
pub(super) fn read(location: &str, address: &Address, template: TemplateKind) -> Option<RunRef> {
    let path = path(location, address)?;
    let roots = [address.root()].into_iter().chain(ROOTS);
    let (collection, id) = roots.filter_map(|root| path.strip_prefix(root)).find_map(|rest| rest.split_once('/'))?;
    let kind = match (collection, template) {
        ("jobs", TemplateKind::Job) => RunKind::Job,
        ("workflow_jobs", TemplateKind::Job | TemplateKind::Workflow) => RunKind::Workflow,
        _ => return None,
    };
    let id = id.strip_suffix('/').unwrap_or(id);
    let number: i64 = id.parse().ok().filter(|number| *number > 0)?;
    (number.to_string() == id).then_some(RunRef { kind, id: number })
}

/// The path, as it is written, of a location on the same host.
fn path<'l>(location: &'l str, address: &Address) -> Option<&'l str> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location);
    }
    let url = Url::parse(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // Behind a proxy the controller may be mistaken about scheme and port.
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.host_str() != address.host() {
        return None;
    }
    // As it is written, or not at all: no `..`, no query.
    location.strip_suffix(url.path()).and_then(|before| location.get(before.len()..))
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;
    use crate::tests::usual;

    fn address(api_root: &str) -> Address {
        let target = Target { url: "https://awx.example".into(), api_root: api_root.into(), ca_pem: String::new() };
        Address::parse(&target, &usual()).unwrap()
    }

    fn job(location: &str) -> Option<i64> {
        let named = read(location, &address(""), TemplateKind::Job)?;
        assert_eq!(named.kind, RunKind::Job);
        Some(named.id)
    }

    #[test]
    fn a_run_is_named_below_any_root_awx_has_relative_or_absolute() {
        for location in [
            "/api/v2/jobs/12/",
            "/api/v2/jobs/12",
            "/api/controller/v2/jobs/12/",
            "https://awx.example/api/v2/jobs/12/",
            "http://awx.example:8052/api/controller/v2/jobs/12/",
            "https://AWX.example/api/v2/jobs/12/",
        ] {
            assert_eq!(job(location), Some(12), "{location}");
        }
        assert_eq!(job("/api/v2/jobs/9223372036854775807/"), Some(i64::MAX));
        let own = read("/automation/awx/v2/jobs/12/", &address("/automation/awx/v2"), TemplateKind::Job);
        assert_eq!(own, Some(RunRef { kind: RunKind::Job, id: 12 }));
    }

    #[test]
    fn only_a_kind_the_template_can_become_is_named() {
        let read = |location, kind| read(location, &address(""), kind).map(|run| run.kind);
        assert_eq!(read("/api/v2/workflow_jobs/7/", TemplateKind::Workflow), Some(RunKind::Workflow));
        assert_eq!(read("/api/v2/workflow_jobs/7/", TemplateKind::Job), Some(RunKind::Workflow), "it was sliced");
        assert_eq!(read("/api/v2/jobs/7/", TemplateKind::Workflow), None);
        assert_eq!(read("/api/v2/project_updates/7/", TemplateKind::Job), None);
    }

    #[test]
    fn a_location_that_is_odd_in_any_way_names_nothing() {
        for location in [
            "",
            "/",
            "12",
            "jobs/12/",
            "/jobs/12/",
            "/api/v2/jobs/",
            "/api/v2/jobs//12/",
            "/api/v2/jobs/0/",
            "/api/v2/jobs/-12/",
            "/api/v2/jobs/+12/",
            "/api/v2/jobs/012/",
            "/api/v2/jobs/1_2/",
            "/api/v2/jobs/12x/",
            "/api/v2/jobs/12//",
            "/api/v2/jobs/12/stdout/",
            "/api/v2/jobs/12/../13/",
            "/api/v2/jobs/12/?next=/api/v2/jobs/13/",
            "/api/v2/jobs/12/#13",
            "/api/v2/jobs/12%2F",
            "/api/v2/jobs/9223372036854775808/",
            "/evil/api/v2/jobs/12/",
            "//awx.example/api/v2/jobs/12/",
            "//evil.example/api/v2/jobs/12/",
            "https://evil.example/api/v2/jobs/12/",
            "https://awx.example.evil.example/api/v2/jobs/12/",
            "https://awx.example@evil.example/api/v2/jobs/12/",
            "https://evil@awx.example/api/v2/jobs/12/",
            "https://awx.example\\@evil.example/api/v2/jobs/12/",
            "https://awx.example/api/v2/jobs/12/../13/",
            "https://awx.example/api/v2/jobs/12/?x",
            "ftp://awx.example/api/v2/jobs/12/",
            "javascript:/api/v2/jobs/12/",
            "/api/v2/jobs/12/ ",
        ] {
            assert_eq!(job(location), None, "{location}");
        }
    }
}
