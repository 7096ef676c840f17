//! Values as both engines are given them: JSON in the input document, put together by a Rego expression where JSON has
//! no word for it (sets, keys that are not strings).

/// A value of Rego.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Null,
    Bool(bool),
    /// As it is written, so that `1e3` and `1.0` stay what they are.
    Number(String),
    Text(String),
    Array(Vec<Term>),
    Set(Vec<Term>),
    Object(Vec<(Term, Term)>),
}

impl Term {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn number(number: impl ToString) -> Self {
        Self::Number(number.to_string())
    }

    pub(super) fn is_json(&self) -> bool {
        match self {
            Self::Array(items) => items.iter().all(Self::is_json),
            Self::Object(fields) => fields.iter().all(|(key, value)| matches!(key, Self::Text(_)) && value.is_json()),
            Self::Set(_) => false,
            _ => true,
        }
    }

    /// What stands in the input document for it: sets are arrays, objects without string keys are arrays of pairs.
    pub(super) fn json(&self) -> String {
        let list = |items: &[Self]| format!("[{}]", items.iter().map(Self::json).collect::<Vec<_>>().join(","));
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(yes) => yes.to_string(),
            Self::Number(number) => number.clone(),
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Array(items) | Self::Set(items) => list(items),
            Self::Object(fields) if self.is_json() => {
                let fields: Vec<_> =
                    fields.iter().map(|(key, value)| format!("{}:{}", key.json(), value.json())).collect();
                format!("{{{}}}", fields.join(","))
            }
            Self::Object(fields) => {
                let pairs: Vec<_> =
                    fields.iter().map(|(key, value)| format!("[{},{}]", key.json(), value.json())).collect();
                format!("[{}]", pairs.join(","))
            }
        }
    }

    /// The Rego expression for it, where its JSON is found at `path`.
    pub(super) fn rego(&self, path: &str) -> String {
        if self.is_json() {
            return path.to_owned();
        }
        let list = |items: &[Self]| {
            let items: Vec<_> =
                items.iter().enumerate().map(|(index, item)| item.rego(&format!("{path}[{index}]"))).collect();
            items.join(", ")
        };
        match self {
            Self::Array(items) => format!("[{}]", list(items)),
            Self::Set(items) if items.is_empty() => "set()".to_owned(),
            Self::Set(items) => format!("{{{}}}", list(items)),
            Self::Object(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .enumerate()
                    .map(|(index, (key, value))| {
                        let (at_key, at_value) = (format!("{path}[{index}][0]"), format!("{path}[{index}][1]"));
                        format!("{}: {}", key.rego(&at_key), value.rego(&at_value))
                    })
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }
            _ => path.to_owned(),
        }
    }
}
