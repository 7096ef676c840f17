//! Foreign JSON as values, within a budget. A few bytes of JSON can stand for a hundred in memory, so how long a text is
//! says little about what it takes.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::AwxError;
use super::answer::no_json;
use super::list::Row;

/// What a value takes in a list that has grown, bytes.
const VALUE: usize = 2 * size_of::<Value>();
/// What an entry of an object takes besides its key's text.
const ENTRY: usize = size_of::<String>() + size_of::<Value>() + 16;
/// What an object takes as soon as it has an entry: its tree is made of nodes for eleven.
const OBJECT: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 32;

/// Reads a whole text into a value that takes at most `left` bytes, and takes those off.
pub(super) fn read(body: &[u8], left: &mut usize) -> Result<Value, AwxError> {
    let limit = *left;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Tree(left).deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    read.map_err(|error| unread(&error, body, limit))
}

/// Why a text could not be read into values.
pub(super) fn unread(error: &serde_json::Error, body: &[u8], limit: usize) -> AwxError {
    if is_spent(error) { AwxError::TooLarge { limit } } else { no_json(body) }
}

/// What says in an error that the budget was used up; serde has errors of one kind only.
const SPENT: &str = "more than may be kept";

/// The error of a budget that is used up.
pub(super) fn spent<E: serde::de::Error>() -> E {
    E::custom(SPENT)
}

fn is_spent(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(SPENT)
}

/// One value, counted off a budget.
pub(super) struct Tree<'b>(pub(super) &'b mut usize);

impl Tree<'_> {
    fn take<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        *self.0 = self.0.checked_sub(bytes).ok_or_else(spent)?;
        Ok(())
    }

    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<String, E> {
        self.take(text.len())?;
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        self.take(VALUE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from(n))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Value, E> {
        Ok(Number::from_f64(n).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Value, E> {
        Ok(Value::String(self.text(text)?))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Tree(&mut *self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        object(self, entries, |_| true)
    }
}

/// The entries of an object with the wanted keys; the others are skipped without being built.
fn object<'de, A: MapAccess<'de>>(
    mut tree: Tree<'_>,
    mut entries: A,
    wanted: impl Fn(&str) -> bool,
) -> Result<Value, A::Error> {
    let mut map = Map::new();
    while let Some(key) = entries.next_key::<std::borrow::Cow<'de, str>>()? {
        if !wanted(&key) {
            entries.next_value::<IgnoredAny>()?;
            continue;
        }
        tree.take::<A::Error>(if map.is_empty() { OBJECT + ENTRY } else { ENTRY })?;
        let key = tree.text::<A::Error>(&key)?;
        let value = entries.next_value_seed(Tree(&mut *tree.0))?;
        map.insert(key, value);
    }
    Ok(Value::Object(map))
}

/// Which entries of a row are wanted.
pub(super) trait Wanted {
    /// Whether this one is.
    fn wants(key: &str) -> bool;
}

/// A row of which only some entries are built.
pub(super) struct Picked<W> {
    pub(super) row: Value,
    wanted: PhantomData<W>,
}

impl<W> Default for Picked<W> {
    fn default() -> Self {
        Self { row: Value::Null, wanted: PhantomData }
    }
}

impl<W: Wanted> Picked<W> {
    /// Reads a document that is one row.
    pub(super) fn read(body: &[u8], left: &mut usize) -> Result<Value, AwxError> {
        let limit = *left;
        let mut picked = Self::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = picked.fill(&mut json, left).and_then(|()| json.end());
        read.map_err(|error| unread(&error, body, limit))?;
        Ok(picked.row)
    }
}

impl<W: Wanted> Row for Picked<W> {
    fn fill<'de, D: Deserializer<'de>>(&mut self, deserializer: D, left: &mut usize) -> Result<(), D::Error> {
        *left = left.checked_sub(VALUE).ok_or_else(spent)?;
        self.row = deserializer.deserialize_any(Picking(Tree(left), PhantomData::<W>))?;
        Ok(())
    }
}

struct Picking<'b, W>(Tree<'b>, PhantomData<W>);

impl<'de, W: Wanted> Visitor<'de> for Picking<'_, W> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        object(self.0, entries, W::wants)
    }

    // Anything but an object has no entries.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Few;

    impl Wanted for Few {
        fn wants(key: &str) -> bool {
            matches!(key, "id" | "name")
        }
    }

    #[test]
    fn a_text_that_grows_is_not_built_beyond_the_budget() {
        for (piece, times) in [("[],", 300_000), (r#"{"":0},"#, 150_000), ("0,", 500_000)] {
            let text = format!("[{}0]", piece.repeat(times));
            assert!(text.len() < 2 << 20);
            let mut left = 8 << 20;
            assert_eq!(read(text.as_bytes(), &mut left), Err(AwxError::TooLarge { limit: 8 << 20 }), "{piece}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_built() {
        let junk = "x".repeat(1 << 20);
        let body = format!(r#"{{"junk": "{junk}", "id": 4, "more": {{"id": 5}}, "name": ["n"]}}"#);
        let mut left = 4096;
        assert_eq!(Picked::<Few>::read(body.as_bytes(), &mut left).unwrap(), json!({"id": 4, "name": ["n"]}));
        for odd in ["5", "null", "[1]", "\"x\""] {
            assert_eq!(Picked::<Few>::read(odd.as_bytes(), &mut left).unwrap(), Value::Null);
        }
        assert!(matches!(Picked::<Few>::read(b"{\"id\": 4", &mut left), Err(AwxError::BadAnswer { .. })));
    }

    proptest! {
        #[test]
        fn within_the_budget_a_text_is_read_as_it_is(text in "[ -~]{0,40}") {
            let texts = [text.clone(), json!({"a": [text, 1, -1, 1.5, null, true, {"b": {}}]}).to_string()];
            for text in texts {
                let ours = read(text.as_bytes(), &mut (1 << 20)).ok();
                prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).ok());
            }
        }
    }
}
