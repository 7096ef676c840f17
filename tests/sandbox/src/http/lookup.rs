//! The ways in which a filter compares, by Django's names.

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Exact,
    In,
    IsNull,
    Greater,
    AtLeast,
    Less,
    AtMost,
    Text { part: Part, any_case: bool },
}

/// Which part of a text has to be the wanted one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Within,
    Start,
    End,
}

impl Lookup {
    /// What a filter's last word means, if it is the name of a look-up.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let text = |part, any_case| Self::Text { part, any_case };
        Some(match name {
            "exact" => Self::Exact,
            "in" => Self::In,
            "isnull" => Self::IsNull,
            "gt" => Self::Greater,
            "gte" => Self::AtLeast,
            "lt" => Self::Less,
            "lte" => Self::AtMost,
            "iexact" => text(Part::Whole, true),
            "contains" => text(Part::Within, false),
            "icontains" => text(Part::Within, true),
            "startswith" => text(Part::Start, false),
            "istartswith" => text(Part::Start, true),
            "endswith" => text(Part::End, false),
            "iendswith" => text(Part::End, true),
            _ => return None,
        })
    }
}
