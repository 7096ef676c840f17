//! How many requests the controller got and what it answered them with, so that others can be measured by it.

use std::collections::BTreeMap;

use serde::Serialize;

/// More classes than this are counted together: addresses come from outside.
const MOST_CLASSES: usize = 1000;
const OTHERS: &str = "(others)";

/// Requests of one method to addresses of one shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Count {
    /// How many came.
    pub(crate) count: u64,
    /// How many of them got an answer.
    pub(crate) answered: u64,
    /// How large the bodies of the answers were, as they announced it.
    pub(crate) bytes: u64,
}

/// A method and an address, with `ID` for every number in it.
pub(crate) type Class = (String, String);

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    classes: BTreeMap<Class, Count>,
}

impl Requests {
    /// A request came; answers with its class.
    pub(crate) fn came(&mut self, method: &str, path: &str) -> Class {
        let mut class = (method.to_owned(), shape(path));
        if !self.classes.contains_key(&class) && self.classes.len() >= MOST_CLASSES {
            class = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        self.classes.entry(class.clone()).or_default().count += 1;
        class
    }

    /// It is answered with this many bytes. What came before the counters were reset is not counted.
    pub(crate) fn answered(&mut self, class: &Class, bytes: u64) {
        if let Some(count) = self.classes.get_mut(class) {
            count.answered += 1;
            count.bytes += bytes;
        }
    }

    pub(crate) fn reset(&mut self) {
        self.classes.clear();
    }

    pub(crate) fn classes(&self) -> &BTreeMap<Class, Count> {
        &self.classes
    }
}

fn shape(path: &str) -> String {
    let number = |piece: &str| !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_digit());
    path.split('/').map(|piece| if number(piece) { "ID" } else { piece }).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_shape_of_their_address() {
        let mut requests = Requests::default();
        for path in ["/api/v2/jobs/7/", "/api/v2/jobs/123/", "/api/v2/jobs/"] {
            let class = requests.came("GET", path);
            requests.answered(&class, 10);
        }
        requests.came("GET", "/api/v2/jobs/8/");
        let count = |path: &str| requests.classes().get(&("GET".to_owned(), path.to_owned())).cloned();
        assert_eq!(count("/api/v2/jobs/ID/"), Some(Count { count: 3, answered: 2, bytes: 20 }));
        assert_eq!(count("/api/v2/jobs/"), Some(Count { count: 1, answered: 1, bytes: 10 }));
    }

    #[test]
    fn made_up_addresses_do_not_fill_the_memory() {
        let mut requests = Requests::default();
        for n in 0..3000 {
            requests.came("GET", &format!("/x{n}/"));
        }
        assert!(requests.classes().len() <= MOST_CLASSES + 1);
        assert_eq!(requests.classes().values().map(|count| count.count).sum::<u64>(), 3000);
    }
}
