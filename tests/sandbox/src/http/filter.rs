//! Query parameters as filters, in the manner of Django: `field__lookup=value`, `not__`, `or__`.

use std::borrow::Cow;
use std::cmp::Ordering;

use http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::lookup::{Lookup, Part};
use super::reply::Refusal;

/// A value to compare.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Scalar<'a> {
    Int(i64),
    Text(Cow<'a, str>),
    Time(OffsetDateTime),
    Bool(bool),
}

/// What a row has in a field: nothing is null, several are a relation to many.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    None,
    One(Scalar<'a>),
    Many(Vec<Scalar<'a>>),
}

impl<'a> Values<'a> {
    pub(crate) fn all(&self) -> &[Scalar<'a>] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(crate) fn first(&self) -> Option<&Scalar<'a>> {
        self.all().first()
    }
}

impl<'a> From<Option<Scalar<'a>>> for Values<'a> {
    fn from(value: Option<Scalar<'a>>) -> Self {
        value.map_or(Self::None, Self::One)
    }
}

/// What sort of values a field has. Those that are quickest to compare come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Time,
    Int,
    Bool,
    Text,
    /// There, and not to be filtered on.
    Forbidden,
}

/// The filterable fields of a model.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) model: &'static str,
    pub(crate) fields: &'static [(&'static str, Kind)],
}

/// A row that can be filtered.
pub(crate) trait Record {
    fn values(&self, field: &str) -> Values<'_>;
}

/// Parameters that are never filters.
const RESERVED: &[&str] = &[
    "page",
    "page_size",
    "format",
    "order",
    "order_by",
    "search",
    "role_level",
    "type",
    "count_disabled",
    "no_truncate",
    "validate",
    "host_filter",
];

#[derive(Debug)]
struct Condition {
    field: &'static str,
    kind: Kind,
    lookup: Lookup,
    negated: bool,
    either: bool,
    /// In order, so that one of many is found quickly.
    values: Vec<Scalar<'static>>,
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
        filter.conditions.sort_by_key(|condition| condition.kind);
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

    /// Conditions that every row must meet.
    fn required(&self, field: &str) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(move |c| c.field == field && !c.negated && !c.either)
    }

    /// The ids that an `id__in` allows, if there is one: it spares looking at all rows.
    pub(crate) fn ids(&self) -> Option<Vec<u64>> {
        let condition = self.required("id").find(|c| c.lookup == Lookup::In)?;
        Some(condition.values.iter().filter_map(Scalar::id).collect())
    }

    /// The one id that a field must have, if it must.
    pub(crate) fn only(&self, field: &str) -> Option<u64> {
        self.required(field).find(|c| c.lookup == Lookup::Exact)?.values.first()?.id()
    }

    /// Rows up to this id need not be looked at.
    pub(crate) fn after(&self) -> u64 {
        let bound = |lookup| {
            self.required("id").filter(move |c| c.lookup == lookup).filter_map(|c| c.values.first()?.id()).max()
        };
        bound(Lookup::Greater).max(bound(Lookup::AtLeast).map(|id| id.saturating_sub(1))).unwrap_or(0)
    }
}

impl Scalar<'_> {
    fn id(&self) -> Option<u64> {
        match self {
            Self::Int(id) => u64::try_from(*id).ok(),
            Self::Text(_) | Self::Time(_) | Self::Bool(_) => None,
        }
    }

    fn plain(&self) -> Cow<'_, str> {
        match self {
            Self::Int(number) => number.to_string().into(),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Time(time) => super::rows::stamp(*time).into(),
            Self::Bool(flag) => flag.to_string().into(),
        }
    }
}

fn text_of(row: &impl Record, field: &str) -> Option<String> {
    match row.values(field).first() {
        Some(Scalar::Text(text)) => Some(text.clone().into_owned()),
        Some(Scalar::Int(_) | Scalar::Time(_) | Scalar::Bool(_)) | None => None,
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
    let named = rest.rsplit_once("__").and_then(|(path, name)| Some((path, Lookup::named(name)?)));
    let (path, lookup) = named.unwrap_or((rest, Lookup::Exact));
    // Any way of looking into a forbidden field is refused the same.
    let first = path.split("__").next().unwrap_or(path);
    if schema.kind(first).is_some_and(|(_, kind)| kind == Kind::Forbidden) {
        return Err(Refusal::detail(StatusCode::FORBIDDEN, format!("Filtering on {first} is not allowed.")));
    }
    let Some((field, kind)) = schema.kind(path) else {
        return Err(bad(format!("{} has no field named '{first}'", schema.model)));
    };
    let mut values = match lookup {
        Lookup::In if value.is_empty() => return Err(bad("cannot provide empty value for __in")),
        Lookup::In => value.split(',').map(|v| scalar(kind, v)).collect::<Result<_, _>>()?,
        Lookup::IsNull => vec![scalar(Kind::Bool, value)?],
        Lookup::Text { any_case: true, .. } => vec![Scalar::Text(value.to_lowercase().into())],
        Lookup::Text { any_case: false, .. } => vec![scalar(Kind::Text, value)?],
        Lookup::Exact | Lookup::Greater | Lookup::AtLeast | Lookup::Less | Lookup::AtMost => vec![scalar(kind, value)?],
    };
    values.sort_by(order);
    Ok(Condition { field, kind, lookup, negated, either, values })
}

/// Values of one field are of one sort, so any two of them have an order.
fn order(a: &Scalar<'_>, b: &Scalar<'_>) -> Ordering {
    a.partial_cmp(b).unwrap_or(Ordering::Equal)
}

fn bad(text: impl Into<String>) -> Refusal {
    Refusal::detail(StatusCode::BAD_REQUEST, text)
}

/// Validation errors come as a list inside of the text.
fn wrong(text: String) -> Refusal {
    bad(serde_json::Value::from(vec![text]).to_string())
}

fn scalar(kind: Kind, value: &str) -> Result<Scalar<'static>, Refusal> {
    match kind {
        Kind::Int => {
            value.trim().parse().map(Scalar::Int).map_err(|_| wrong(format!("“{value}” value must be an integer.")))
        }
        Kind::Text | Kind::Forbidden => Ok(Scalar::Text(value.to_owned().into())),
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
        let have = have.all();
        let found = match self.lookup {
            Lookup::IsNull => (self.values.first() == Some(&Scalar::Bool(true))) == have.is_empty(),
            Lookup::In => have.iter().any(|one| self.values.binary_search_by(|want| order(want, one)).is_ok()),
            Lookup::Exact => have.iter().any(|one| self.values.first() == Some(one)),
            Lookup::Greater => self.compares(have, Ordering::is_gt),
            Lookup::AtLeast => self.compares(have, Ordering::is_ge),
            Lookup::Less => self.compares(have, Ordering::is_lt),
            Lookup::AtMost => self.compares(have, Ordering::is_le),
            Lookup::Text { part, any_case } => have.iter().any(|one| self.contains(one, part, any_case)),
        };
        found != self.negated
    }

    fn compares(&self, have: &[Scalar<'_>], fits: fn(Ordering) -> bool) -> bool {
        let Some(want) = self.values.first() else { return false };
        have.iter().any(|one| one.partial_cmp(want).is_some_and(fits))
    }

    fn contains(&self, have: &Scalar<'_>, part: Part, any_case: bool) -> bool {
        let Some(want) = self.values.first() else { return false };
        let (have, want) = (have.plain(), want.plain());
        let have = if any_case { Cow::Owned(have.to_lowercase()) } else { have };
        match part {
            Part::Whole => have == want,
            Part::Within => have.contains(want.as_ref()),
            Part::Start => have.starts_with(want.as_ref()),
            Part::End => have.ends_with(want.as_ref()),
        }
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
        fn values(&self, field: &str) -> Values<'_> {
            match field {
                "id" => Values::One(Scalar::Int(7)),
                "name" => Values::One(Scalar::Text("Deploy".into())),
                "created" => Values::One(Scalar::Time(OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap())),
                _ => Values::None,
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
            ("id__in=9,7,1,3", true),
            ("id__in=9,8", false),
            ("not__id=7", false),
            ("id__gt=6&id__lt=8", true),
            ("or__id=1&or__name=Deploy", true),
            ("or__id=1&or__name=x", false),
            ("name__icontains=DEP", true),
            ("name__startswith=dep", false),
            ("name__iexact=dEPLOY", true),
            ("name__endswith=loy", true),
            ("id__contains=7", true),
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
    fn what_spares_looking_at_all_rows_is_never_more_than_the_filter_says() {
        let read = |query: &str| {
            let pairs: Vec<(String, String)> =
                query.split('&').filter_map(|p| p.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            let filter = Filter::parse(&SCHEMA, &pairs).unwrap();
            (filter.ids(), filter.only("id"), filter.after())
        };
        assert_eq!(read("id__in=3,1"), (Some(vec![1, 3]), None, 0));
        assert_eq!(read("id=7&id__gt=4"), (None, Some(7), 4));
        assert_eq!(read("id__gte=5&id__gt=2"), (None, None, 4));
        assert_eq!(read("or__id__in=3,1&not__id=7&or__id__gt=5"), (None, None, 0));
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
