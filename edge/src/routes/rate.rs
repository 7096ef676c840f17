//! Rates: how many jobs may be started in a period. Tenants, controllers and templates have them.

use runwarden_proto::project::v1::StartRate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::body::Object;

/// How many jobs may be started in a sliding period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"jobs": 10, "period_seconds": 3600}))]
pub struct Rate {
    /// How many; 0 for no limit.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub jobs: i32,
    /// How long the period is, seconds; at most seven days.
    #[schema(minimum = 1, maximum = 604_800)]
    pub period_seconds: i64,
}

impl Rate {
    /// A rate as a service reports it; `None` for no limit.
    pub(super) fn read(rate: Option<StartRate>) -> Option<Self> {
        rate.filter(|rate| rate.jobs > 0).map(|rate| Self { jobs: rate.jobs, period_seconds: rate.period_seconds })
    }

    /// The rate of something to make; nothing for no limit.
    pub(super) fn sent(rate: Option<Object<Self>>) -> Option<StartRate> {
        rate.map(|Object(rate)| StartRate { jobs: rate.jobs, period_seconds: rate.period_seconds })
    }

    /// A changed rate: if not given it stays, null removes the limit.
    pub(super) fn changed(rate: Option<Option<Object<Self>>>) -> Option<StartRate> {
        rate.map(|rate| Self::sent(rate).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{Object, Rate, StartRate};
    use crate::extract::body::from_json;
    use crate::routes::field::nullable;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Change {
        #[serde(default, deserialize_with = "nullable")]
        rate: Option<Option<Object<Rate>>>,
    }

    fn sent(body: &str) -> Option<(i32, i64)> {
        let change: Change = from_json(body.as_bytes()).unwrap();
        Rate::changed(change.rate).map(|rate| (rate.jobs, rate.period_seconds))
    }

    #[test]
    fn a_rate_that_is_not_given_stays_and_null_or_no_jobs_take_it_away() {
        assert_eq!(sent("{}"), None);
        assert_eq!(sent(r#"{"rate":{"jobs":10,"period_seconds":3600}}"#), Some((10, 3600)));
        assert_eq!(sent(r#"{"rate":null}"#), Some((0, 0)));
        assert_eq!(sent(r#"{"rate":{"jobs":0,"period_seconds":60}}"#), Some((0, 60)));
    }

    #[test]
    fn half_a_rate_is_none() {
        for (bad, pointer) in [
            (r#"{"rate":{"jobs":1}}"#, "/rate/period_seconds"),
            (r#"{"rate":{"period_seconds":1}}"#, "/rate/jobs"),
            (r#"{"rate":{"jobs":1,"period_seconds":1,"burst":1}}"#, "/rate/burst"),
            (r#"{"rate":{"jobs":3000000000,"period_seconds":1}}"#, "/rate/jobs"),
            (r#"{"rate":[1,1]}"#, "/rate"),
        ] {
            let problem = from_json::<Change>(bad.as_bytes()).unwrap_err();
            assert_eq!(problem.error().fields()[0].pointer, pointer, "{bad}");
        }
    }

    #[test]
    fn no_limit_is_not_shown() {
        assert_eq!(Rate::read(None), None);
        assert_eq!(Rate::read(Some(StartRate::default())), None);
        let told = Rate::read(Some(StartRate { jobs: 2, period_seconds: 60 }));
        assert_eq!(told, Some(Rate { jobs: 2, period_seconds: 60 }));
    }
}
