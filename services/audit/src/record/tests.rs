//! The line is what is proven: its bytes must be the same for the same record, for ever.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn the_line_is_exactly_this() {
    let line = examples::record("acme", 7).to_line().unwrap();
    assert_eq!(
        line,
        concat!(
            r#"{"version":1,"tenant":"acme","index":7,"recorded_at":"2026-11-22T06:00:00.500007Z","entry":"#,
            r#"{"entry_id":"rec_7","occurred_at":"2026-11-22T06:00:00.000001Z","service":"executor","actor":"#,
            r#"{"principal":"sa_1","name":"ci","authenticated_by":"client_credentials","client_id":"client_1","home_tenant":"acme"},"#,
            r#""action":"job.submit","object_type":"job","object_id":"job_1","outcome":"success","decision_id":"dec_1","#,
            r#""policy_digest":"abababababababababababababababababababababababababababababababab","#,
            r#""payload_digest":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","#,
            r#""details":{"count":2,"template":"deploy"},"source_address":"192.0.2.7","request_id":"req_1","#,
            r#""trace_id":"0af7651916cd43dd8448eb211c80319c"}}"#,
        )
    );
}

#[test]
fn place_and_tenant_are_part_of_what_is_hashed() {
    let record = examples::record("acme", 3);
    let hash = |record: &Record| line_hash(record.to_line().unwrap().as_bytes());
    let moved = Record { index: 4, ..record.clone() };
    let copied = Record { tenant: "umbrella".to_owned(), ..record.clone() };
    assert_ne!(hash(&record), hash(&moved));
    assert_ne!(hash(&record), hash(&copied));
}

#[test]
fn details_are_an_object_with_distinct_keys_of_limited_size() {
    for bad in ["[]", "1", "null", "{", "{} {}", r#"{"a":1,"a":2}"#, r#"{"a":[{"b":1,"b":1}]}"#, "{\"a\":1e999}"] {
        assert_eq!(Details::parse(bad), Err(DetailsError::NotAnObject), "{bad}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(Details::parse(&deep), Err(DetailsError::NotAnObject));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(Details::MAX_LENGTH));
    assert_eq!(Details::parse(&long), Err(DetailsError::TooLong));
    assert_eq!(Details::parse("").unwrap().to_string(), "{}");
    assert_eq!(
        Details::parse(r#" { "b" : [ { "d" : 1 , "c" : null } ] , "a" : -1.5 } "#).unwrap().to_string(),
        r#"{"a":-1.5,"b":[{"c":null,"d":1}]}"#
    );
}

#[test]
fn times_are_read_in_the_form_they_are_written_in_only() {
    let time = Timestamp::from_micros(-1).unwrap();
    assert_eq!(time.to_string(), "1969-12-31T23:59:59.999999Z");
    assert_eq!(time.micros(), -1);
    for bad in [
        "",
        "2026-11-22T06:00:00Z",
        "2026-11-22T06:00:00.5Z",
        "2026-11-22 06:00:00.500000Z",
        "0000-01-01T00:00:00.000000Z",
    ] {
        assert!(Timestamp::parse(bad).is_err(), "{bad}");
    }
    assert!(Timestamp::from_micros(i64::MAX).is_err());
    assert!(Timestamp::from_micros(i64::MIN).is_err());
}

#[test]
fn the_job_is_the_object_or_what_the_details_name() {
    let mut entry = examples::entry("rec_1");
    assert_eq!(entry.job(), Some("job_1"));
    entry.object_type = "secret".to_owned();
    assert_eq!(entry.job(), None);
    entry.details = Details::parse(r#"{"job":"job_2"}"#).unwrap();
    assert_eq!(entry.job(), Some("job_2"));
    entry.details = Details::parse(r#"{"job":7}"#).unwrap();
    assert_eq!(entry.job(), None);
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Eighths of integers are the same in binary and decimal.
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,4}", inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_line_comes_back_as_the_same_line(
        tenant in "[a-z0-9-]{1,20}", index in 0..=i64::MAX as u64, name in ".{0,20}",
        micros in -62_135_596_800_000_000_i64..=253_402_300_799_999_999,
        details in prop::collection::btree_map(".{0,6}", json(), 0..6),
    ) {
        let mut entry = examples::entry("rec_x");
        entry.actor.name = name;
        entry.occurred_at = Timestamp::from_micros(micros).unwrap();
        entry.details = Details::parse(&serde_json::to_string(&details).unwrap()).unwrap();
        let line = Record::new(tenant.clone(), index, entry.occurred_at, entry).to_line().unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(Record::from_line(&line).unwrap().to_line().unwrap(), line.clone());
        let place = LogPosition::of(line.as_bytes()).unwrap();
        prop_assert_eq!((place.tenant, place.index), (tenant, index));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,200}") {
        let _ = Record::from_line(&text);
        let _ = LogPosition::of(text.as_bytes());
        let _ = Details::parse(&text);
        let _ = Timestamp::parse(&text);
    }
}
