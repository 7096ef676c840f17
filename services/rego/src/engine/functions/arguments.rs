//! What a function is called with.

use anyhow::{Result, anyhow, bail};
use regorus::Value;

/// The arguments of a call. There are as many as the function wants.
pub(super) struct Arguments<'a>(pub(super) &'a [Value]);

impl<'a> Arguments<'a> {
    pub(super) fn value(&self, place: usize) -> Result<&'a Value> {
        self.0.get(place).ok_or_else(|| anyhow!("an argument is missing"))
    }

    pub(super) fn text(&self, place: usize) -> Result<&'a str> {
        match self.value(place)? {
            Value::String(text) => Ok(text),
            _ => bail!("argument {} must be a string", place + 1),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self, place: usize) -> Result<i64> {
        let value = self.value(place)?;
        value.as_i64().map_err(|_| anyhow!("argument {} must be a whole number", place + 1))
    }

    /// The elements of an array or a set.
    pub(super) fn items(&self, place: usize) -> Result<Vec<&'a Value>> {
        match self.value(place)? {
            Value::Array(items) => Ok(items.iter().collect()),
            Value::Set(items) => Ok(items.iter().collect()),
            _ => bail!("argument {} must be an array or a set", place + 1),
        }
    }

    /// The elements of an array.
    pub(super) fn array(&self, place: usize) -> Result<Vec<&'a Value>> {
        match self.value(place)? {
            Value::Array(items) => Ok(items.iter().collect()),
            _ => bail!("argument {} must be an array", place + 1),
        }
    }
}

pub(super) fn array_of(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(items.into_iter().collect::<Vec<_>>())
}

pub(super) fn set_of(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(items.into_iter().collect::<std::collections::BTreeSet<_>>())
}

/// The elements of a set as OPA lists them: sets come last, here they come before objects.
pub(super) fn in_order<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut items: Vec<&Value> = items.collect();
    items.sort_by_key(|item| matches!(item, Value::Set(_)));
    items
}
