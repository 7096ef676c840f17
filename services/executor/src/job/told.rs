//! What a run is told about the request it answers, as its attempt keeps it: what was sent is known afterwards, whatever
//! has been changed since.

use runwarden_kit::contract::RequestInfo;
use runwarden_kit::request_info::{self, JOB_ID, JOB_URL, PROJECT, REFERENCE, REQUESTED_BY, TENANT};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Job;

/// What a run is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// As variables, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
    /// As labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl Told {
    /// What the run of a job is told. `public_url` is where callers reach us, empty if that is not known.
    #[must_use]
    pub fn of(job: &Job, info: RequestInfo, public_url: &str) -> Self {
        let reference = job.origin.as_ref().map(|origin| origin.reference.as_str()).unwrap_or_default();
        match info {
            RequestInfo::None => Self::default(),
            RequestInfo::Variables => {
                let url = match public_url {
                    "" => String::new(),
                    url => format!("{url}/api/v1/jobs/{}", job.id),
                };
                let all = [
                    (JOB_ID, job.id.as_str()),
                    (JOB_URL, &url),
                    (REQUESTED_BY, &job.requested_by_name),
                    (REFERENCE, reference),
                    (TENANT, job.tenant.as_str()),
                    (PROJECT, &job.project),
                ];
                let variables = all.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                Self { variables, labels: Vec::new() }
            }
            RequestInfo::Labels => {
                // Tenants may share an organization, and each may have a service account of this name.
                let by = format!("runwarden-by:{}/{}", job.tenant.as_str(), job.requested_by_name);
                let mut labels = vec![format!("runwarden-job:{}", job.id), by];
                // AWX trims the names of labels, and what is looked for must be what it stored.
                let reference = reference.trim();
                if !reference.is_empty() {
                    labels.push(format!("runwarden-ref:{reference}"));
                }
                Self { variables: Map::new(), labels }
            }
        }
    }

    /// A variable whose value Ansible might take for a template.
    #[must_use]
    pub fn may_be_template(&self) -> Option<&str> {
        let bad = |value: &Value| value.as_str().is_some_and(request_info::may_be_template);
        self.variables.iter().find(|(_, value)| bad(value)).map(|(name, _)| name.as_str())
    }

    /// Whether it is told nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.variables.is_empty() && self.labels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use runwarden_awx::LONGEST_LABEL;
    use runwarden_kit::request_info::VARIABLES;

    use super::*;
    use crate::job::Origin;
    use crate::job::tests::example;

    fn referred(reference: &str) -> Job {
        Job { origin: Some(Origin { reference: reference.to_owned(), ..Origin::default() }), ..example() }
    }

    #[test]
    fn every_variable_is_sent_whatever_was_asked_with() {
        let job = referred("CHG0012345");
        let told = Told::of(&job, RequestInfo::Variables, "https://runwarden.example");
        assert_eq!(told.variables.len(), VARIABLES.len());
        assert!(VARIABLES.iter().all(|name| told.variables.contains_key(*name)));
        assert_eq!(told.variables[JOB_URL], format!("https://runwarden.example/api/v1/jobs/{}", job.id));
        assert_eq!(told.variables[REFERENCE], "CHG0012345");
        let bare = Told::of(&example(), RequestInfo::Variables, "");
        assert_eq!((&bare.variables[JOB_URL], &bare.variables[REFERENCE]), (&"".into(), &"".into()));
        assert!(Told::of(&job, RequestInfo::None, "https://runwarden.example").is_nothing());
    }

    #[test]
    fn labels_fit_into_awx_even_with_the_longest_reference() {
        let told = Told::of(&referred(&"x".repeat(200)), RequestInfo::Labels, "");
        assert_eq!(told.labels.len(), 3);
        assert!(told.labels.iter().all(|label| label.chars().count() <= LONGEST_LABEL));
        for reference in ["", " \u{a0}"] {
            let told = Told::of(&referred(reference), RequestInfo::Labels, "");
            assert_eq!(told.labels.len(), 2, "no reference, no label for it");
        }
    }

    #[test]
    fn no_value_of_whatever_origin_is_handed_on_where_it_could_be_a_template() {
        let fine = Told::of(&referred("CHG1"), RequestInfo::Variables, "https://runwarden.example");
        assert_eq!(fine.may_be_template(), None);
        let federated = Job { requested_by_name: "{{ lookup('pipe', 'id') }}".to_owned(), ..example() };
        let told = Told::of(&federated, RequestInfo::Variables, "");
        assert_eq!(told.may_be_template(), Some(REQUESTED_BY));
    }

    #[test]
    fn who_asked_is_not_mixed_up_between_tenants_of_one_organization() {
        let other = Job { tenant: runwarden_kit::tenant::TenantId::trusted("other"), ..example() };
        let by = |job: &Job| Told::of(job, RequestInfo::Labels, "").labels[1].clone();
        assert_ne!(by(&example()), by(&other));
    }

    #[test]
    fn a_label_is_looked_for_by_the_name_that_awx_stores() {
        let told = Told::of(&referred(" CHG1 \u{a0}"), RequestInfo::Labels, "");
        assert!(told.labels.contains(&"runwarden-ref:CHG1".to_owned()), "{told:?}");
    }
}
