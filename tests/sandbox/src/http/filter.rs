//! Query parameters as filters, in the manner of Django: `field__lookup=value`, `not__`, `or__`.

use http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::reply::Refusal;

/// A value to compare.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Scalar {
    Int(i64),
    Text(String),
    Time(OffsetDateTime),
    Bool(bool),
}

/// What sort of values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Time,
    Bool,
    /// There, and not to be filtered on.
    Forbidden,
}

/// The filterable fields of a model.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) model: &'static str,
    pub(crate) fields: &'static [(&'static str, Kind)],
}

/// A row that can be filtered: no value is null, several are a relation to many.
pub(crate) trait Record {
    fn values(&self, field: &str) -> Vec<Scalar>;
}

/// Parameters that are never filters.
const RESERVED: &[&str] = &[
    "page",
    "page_size",
    "format",
    "order",
    "order_by",
    "search",
    "type",
    "count_disabled",
    "no_truncate",
    "validate",
    "host_filter",
];

const LOOKUPS: &[&str] = &[
    "exact",
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "isnull",
];

#[derive(Debug)]
struct Condition {
    field: &'static str,
    lookup: String,
    negated: bool,
    either: bool,
    values: Vec<Scalar>,
}

/// Conditions of one request.
#[derive(Debug)]
pub(crate) struct Filter {
    conditions: Vec<Condition>,
    search: Vec<String>,
    kinds: Vec<String>,
}

impl Schema {
    pub(crate) fn kind(&self, field: &str) -> Option<(&'static str, Kind)> {
        self.fields.iter().find(|(name, _)| *name == field).copied()
    }
}

impl Filter {
    /// Reads the filters, in AWX's words where they are wrong.
    pub(crate) fn parse(schema: &Schema, query: &[(String, String)]) -> Result<Self, Refusal> {
        let mut filter = Self { conditions: Vec::new(), search: Vec::new(), kinds: Vec::new() };
        for (name, value) in query {
            match name.as_str() {
                "search" => {
                    filter.search.extend(value.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_lowercase))
                }
                "type" => filter.kinds.extend(value.split(',').map(str::to_owned)),
                reserved if RESERVED.contains(&reserved) => {}
                _ => filter.conditions.push(condition(schema, name, value)?),
            }
        }
        Ok(filter)
    }

    /// Whether a row stays.
    pub(crate) fn keeps(&self, row: &impl Record) -> bool {
        let mut either = self.conditions.iter().filter(|c| c.either).peekable();
        let any = either.peek().is_none() || either.any(|c| c.holds(row));
        any && self.conditions.iter().filter(|c| !c.either).all(|c| c.holds(row))
            && (self.kinds.is_empty() || text_of(row, "type").is_none_or(|kind| self.kinds.contains(&kind)))
            && self.search.iter().all(|word| {
                ["name", "description"].iter().any(|f| text_of(row, f).is_some_and(|t| t.to_lowercase().contains(word)))
            })
    }

    /// The ids that an `id__in` allows, if there is one: it spares looking at all rows.
    pub(crate) fn ids(&self) -> Option<Vec<u64>> {
        let condition =
            self.conditions.iter().find(|c| c.field == "id" && c.lookup == "in" && !c.negated && !c.either)?;
        let ids = condition.values.iter().filter_map(|v| match v {
            Scalar::Int(id) => u64::try_from(*id).ok(),
            _ => None,
        });
        Some(ids.collect())
    }
}

fn text_of(row: &impl Record, field: &str) -> Option<String> {
    match row.values(field).into_iter().next() {
        Some(Scalar::Text(text)) => Some(text),
        _ => None,
    }
}

fn condition(schema: &Schema, name: &str, value: &str) -> Result<Condition, Refusal> {
    let mut rest = name;
    let (mut negated, mut either) = (false, false);
    loop {
        if let Some(after) = rest.strip_prefix("not__") {
            (negated, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix("or__") {
            (either, rest) = (true, after);
        } else if let Some(after) = rest.strip_prefix("chain__") {
            rest = after;
        } else {
            break;
        }
    }
    let (path, lookup) = match rest.rsplit_once("__") {
        Some((path, lookup)) if LOOKUPS.contains(&lookup) => (path, lookup),
        _ => (rest, "exact"),
    };
    // Any way of looking into a forbidden field is refused the same.
    let first = path.split("__").next().unwrap_or(path);
    if schema.kind(first).is_some_and(|(_, kind)| kind == Kind::Forbidden) {
        return Err(Refusal::detail(StatusCode::FORBIDDEN, format!("Filtering on {first} is not allowed.")));
    }
    let Some((field, kind)) = schema.kind(path) else {
        return Err(bad(format!("{} has no field named '{first}'", schema.model)));
    };
    let values = match lookup {
        "in" => {
            if value.is_empty() {
                return Err(bad("cannot provide empty value for __in"));
            }
            value.split(',').map(|v| scalar(kind, v)).collect::<Result<_, _>>()?
        }
        "isnull" => vec![scalar(Kind::Bool, value)?],
        _ => vec![scalar(if is_textual(lookup) { Kind::Text } else { kind }, value)?],
    };
    Ok(Condition { field, lookup: lookup.to_owned(), negated, either, values })
}

fn is_textual(lookup: &str) -> bool {
    lookup.ends_with("contains") || lookup.ends_with("with") || lookup == "iexact"
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::detail(StatusCode::BAD_REQUEST, text)
}

/// Validation errors come as a list inside of the text.
fn wrong(text: String) -> Refusal {
    bad(serde_json::Value::from(vec![text]).to_string())
}

fn scalar(kind: Kind, value: &str) -> Result<Scalar, Refusal> {
    match kind {
        Kind::Int => {
            value.trim().parse().map(Scalar::Int).map_err(|_| wrong(format!("“{value}” value must be an integer.")))
        }
        Kind::Text | Kind::Forbidden => Ok(Scalar::Text(value.to_owned())),
        Kind::Bool => match value.to_lowercase().as_str() {
            "true" | "1" => Ok(Scalar::Bool(true)),
            "false" | "0" => Ok(Scalar::Bool(false)),
            _ => Err(bad(format!("\"Unable to parse \"{value}\" as boolean\""))),
        },
        Kind::Time => time(value).map(Scalar::Time).ok_or_else(|| {
            wrong(format!(
                "“{value}” value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format."
            ))
        }),
    }
}

/// A time with or without zone, or a date.
fn time(value: &str) -> Option<OffsetDateTime> {
    let joined = value.trim().replacen(' ', "T", 1);
    [joined.clone(), format!("{joined}Z"), format!("{joined}:00Z"), format!("{joined}T00:00:00Z")]
        .iter()
        .find_map(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
}

impl Condition {
    fn holds(&self, row: &impl Record) -> bool {
        let have = row.values(self.field);
        let found = match self.lookup.as_str() {
            "isnull" => (self.values.first() == Some(&Scalar::Bool(true))) == have.is_empty(),
            _ => have.iter().any(|one| self.values.iter().any(|want| compare(&self.lookup, one, want))),
        };
        found != self.negated
    }
}

fn compare(lookup: &str, have: &Scalar, want: &Scalar) -> bool {
    match lookup {
        "gt" => have > want,
        "gte" => have >= want,
        "lt" => have < want,
        "lte" => have <= want,
        "exact" | "in" => have == want,
        _ => {
            let (mut have, mut want) = (plain(have), plain(want));
            let lookup = match lookup.strip_prefix('i') {
                Some(insensitive) => {
                    (have, want) = (have.to_lowercase(), want.to_lowercase());
                    insensitive
                }
                None => lookup,
            };
            match lookup {
                "contains" => have.contains(&want),
                "startswith" => have.starts_with(&want),
                "endswith" => have.ends_with(&want),
                _ => have == want,
            }
        }
    }
}

fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Int(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
        Scalar::Time(time) => super::rows::stamp(*time),
        Scalar::Bool(flag) => flag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEMA: Schema = Schema {
        model: "Job",
        fields: &[
            ("id", Kind::Int),
            ("name", Kind::Text),
            ("created", Kind::Time),
            ("failed", Kind::Bool),
            ("extra_vars", Kind::Forbidden),
        ],
    };

    struct Row;
    impl Record for Row {
        fn values(&self, field: &str) -> Vec<Scalar> {
            match field {
                "id" => vec![Scalar::Int(7)],
                "name" => vec![Scalar::Text("Deploy".to_owned())],
                "created" => vec![Scalar::Time(OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap())],
                _ => Vec::new(),
            }
        }
    }

    fn keeps(query: &str) -> Result<bool, String> {
        let pairs: Vec<(String, String)> =
            query.split('&').filter_map(|p| p.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        Filter::parse(&SCHEMA, &pairs).map(|f| f.keeps(&Row)).map_err(|r| format!("{:?}", r.content))
    }

    #[test]
    fn lookups_work_as_in_awx() {
        for (query, want) in [
            ("id=7", true),
            ("id__in=1,7", true),
            ("not__id=7", false),
            ("id__gt=6&id__lt=8", true),
            ("or__id=1&or__name=Deploy", true),
            ("or__id=1&or__name=x", false),
            ("name__icontains=DEP", true),
            ("name__startswith=dep", false),
            ("created__gte=2023-11-14T22:13:20Z", true),
            ("created__gt=2023-11-14T22:13:20.000000Z", false),
            ("created__gte=2024-01-01", false),
            ("failed__isnull=true", true),
            ("search=deploy", true),
            ("page_size=5", true),
        ] {
            assert_eq!(keeps(query), Ok(want), "{query}");
        }
    }

    #[test]
    fn mistakes_are_told_as_in_awx() {
        assert!(keeps("id__in=1,abc").unwrap_err().contains("value must be an integer."));
        assert!(keeps("id__in=").unwrap_err().contains("cannot provide empty value for __in"));
        assert!(keeps("nothing=1").unwrap_err().contains("Job has no field named 'nothing'"));
        assert!(keeps("extra_vars__icontains=x").unwrap_err().contains("Filtering on extra_vars is not allowed."));
    }

    proptest! {
        #[test]
        fn never_panics(name in "(not__|or__)?(id|created|name|failed)(__[a-z]{0,9})?", value in "\\PC{0,24}") {
            let _ = Filter::parse(&SCHEMA, &[(name, value)]).map(|f| f.keeps(&Row));
        }
    }
}
