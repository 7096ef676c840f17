//! Pages of lists, read row by row, so that also of a page that breaks off is known what came before.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::AwxError;
use super::scalar::Scalar;
use super::tree::{Tree, spent, unread};

/// A row that is filled in while it is read.
pub(super) trait Row: Default {
    /// Reads the row. What it keeps is taken off the bytes that are left.
    fn fill<'de, D: Deserializer<'de>>(&mut self, deserializer: D, left: &mut usize) -> Result<(), D::Error>;
}

impl Row for Value {
    fn fill<'de, D: Deserializer<'de>>(&mut self, deserializer: D, left: &mut usize) -> Result<(), D::Error> {
        *self = Tree(left).deserialize(deserializer)?;
        Ok(())
    }
}

/// What may be kept while the first row is looked for, bytes.
const FIRST: usize = 1024 * 1024;

/// One page of a list.
#[derive(Debug)]
pub(super) struct List<R> {
    /// How many rows there are in all, if it says so.
    count: Option<i64>,
    /// Whether it says that there is another page.
    next: bool,
    rows: Option<Vec<R>>,
}

impl<R> Default for List<R> {
    fn default() -> Self {
        Self { count: None, next: false, rows: None }
    }
}

impl<R: Row> List<R> {
    /// Reads a whole page, whose rows keep at most `left` bytes.
    pub(super) fn read(body: &[u8], left: &mut usize) -> Result<Self, AwxError> {
        let limit = *left;
        let mut list = Self::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let none = || AwxError::bad("a list without results");
        let read = Page(&mut list, left).deserialize(&mut json).and_then(|()| json.end());
        read.map_err(|error| match unread(&error, body, limit) {
            AwxError::BadAnswer { .. } if error.is_data() => none(),
            other => other,
        })?;
        if list.rows.is_none() { Err(none()) } else { Ok(list) }
    }

    /// The first row of a page of which only the beginning is there, with what came by of it.
    pub(super) fn first_of(beginning: &[u8]) -> Option<R> {
        let mut list = Self::default();
        let mut json = serde_json::Deserializer::from_slice(beginning);
        let _broken_off = Page(&mut list, &mut { FIRST }).deserialize(&mut json);
        list.rows?.into_iter().next()
    }

    pub(super) fn rows(&self) -> &[R] {
        self.rows.as_deref().unwrap_or_default()
    }

    pub(super) fn into_rows(self) -> Vec<R> {
        self.rows.unwrap_or_default()
    }

    /// Whether it announces another page after this.
    pub(super) fn has_next(&self) -> bool {
        self.next
    }

    /// Whether this is the last page: only then is what was not listed really absent.
    pub(super) fn is_last(&self) -> bool {
        let rows = i64::try_from(self.rows().len()).unwrap_or(i64::MAX);
        !self.next && self.count.is_none_or(|count| count <= rows)
    }
}

struct Page<'l, R>(&'l mut List<R>, &'l mut usize);

impl<'de, R: Row> DeserializeSeed<'de> for Page<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Count,
    Next,
    Results,
    #[serde(other)]
    Other,
}

impl<'de, R: Row> Visitor<'de> for Page<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a page of a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<Key>()? {
            match key {
                Key::Count => self.0.count = entries.next_value::<Scalar<'_>>()?.integer(),
                Key::Next => self.0.next = entries.next_value::<Scalar<'_>>()? != Scalar::Null,
                Key::Results => entries.next_value_seed(Results(&mut self.0.rows, &mut *self.1))?,
                Key::Other => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Results<'l, R>(&'l mut Option<Vec<R>>, &'l mut usize);

impl<'de, R: Row> DeserializeSeed<'de> for Results<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, R: Row> Visitor<'de> for Results<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let rows = self.0.insert(Vec::new());
        let left = self.1;
        loop {
            // An empty row takes its place, too.
            *left = left.checked_sub(2 * size_of::<R>()).ok_or_else(spent)?;
            // In its place before it is read, and still there when reading it fails.
            rows.push(R::default());
            let Some(row) = rows.last_mut() else { return Ok(()) };
            if items.next_element_seed(Element(row, &mut *left))?.is_none() {
                rows.pop();
                return Ok(());
            }
        }
    }
}

struct Element<'l, R>(&'l mut R, &'l mut usize);

impl<'de, R: Row> DeserializeSeed<'de> for Element<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.fill(deserializer, self.1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<List<Value>, AwxError> {
        List::read(text.as_bytes(), &mut (1 << 20))
    }

    #[test]
    fn a_page_is_its_rows_and_whether_it_is_the_last() {
        let list = read(r#"{"count": 2, "next": null, "previous": "/x", "results": [{"id": 1}, 5]}"#).unwrap();
        assert!(list.is_last());
        assert_eq!(list.into_rows(), [json!({"id": 1}), json!(5)]);
        assert!(read(r#"{"results": []}"#).unwrap().is_last());
        assert!(!read(r#"{"next": "/more", "results": []}"#).unwrap().is_last());
        assert!(!read(r#"{"count": 2, "next": null, "results": [1]}"#).unwrap().is_last(), "one of two is not all");
        assert!(read(r#"{"count": "many", "next": null, "results": [1]}"#).unwrap().is_last());
    }

    #[test]
    fn what_is_no_list_is_told_apart() {
        let detail = |text: &str| read(text).unwrap_err().to_string();
        assert!(detail("<html>").contains("web page"));
        for text in ["", "{", r#"{"results": [1]} x"#, r#"{"results": [1"#] {
            assert!(detail(text).contains("not JSON"), "{text}");
        }
        let many = format!(r#"{{"results": [{}1]}}"#, "1,".repeat(100_000));
        assert_eq!(read(&many).unwrap_err(), AwxError::TooLarge { limit: 1 << 20 });
        for text in ["{}", "[]", "5", r#"{"results": null}"#, r#"{"results": "x"}"#, r#"{"results": {}}"#] {
            assert!(detail(text).contains("without results"), "{text}");
        }
    }

    #[test]
    fn of_a_page_that_broke_off_the_first_row_is_known_as_far_as_it_came() {
        let whole = r#"{"next": null, "results": [{"id": 1}, {"id": 2}]}"#;
        let first = |length: usize| List::<Value>::first_of(&whole.as_bytes()[..length]);
        assert_eq!(first(20), None);
        assert_eq!(first(27), Some(Value::Null));
        assert_eq!(first(36), Some(json!({"id": 1})));
        assert_eq!(first(whole.len()), Some(json!({"id": 1})));
    }
}
