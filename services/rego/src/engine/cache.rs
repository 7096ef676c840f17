//! The sets a worker keeps ready.

use super::compile::Compiled;

/// The most sets that a worker keeps.
const MAX_SETS: usize = 64;
/// The most source text of kept sets; their syntax trees take a hundred times as much.
const MAX_SOURCE_BYTES: usize = 2 * 1024 * 1024;

/// Compiled sets by key, the one used last at the end.
pub struct Cache {
    sets: Vec<(String, Compiled)>,
    most: usize,
    most_bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self::holding(MAX_SETS, MAX_SOURCE_BYTES)
    }
}

impl Cache {
    /// At most so many sets, of at most so much text together.
    #[must_use]
    pub fn holding(most: usize, most_bytes: usize) -> Self {
        Self { sets: Vec::new(), most, most_bytes }
    }

    /// The set of this key, now the one used last.
    pub fn get(&mut self, key: &str) -> Option<&Compiled> {
        let place = self.sets.iter().position(|(kept, _)| kept == key)?;
        let set = self.sets.remove(place);
        self.sets.push(set);
        self.sets.last().map(|(_, compiled)| compiled)
    }

    /// Makes room for a set of this size, before it is compiled.
    pub fn make_room(&mut self, bytes: usize) {
        let kept = |sets: &[(String, Compiled)]| sets.iter().map(|(_, set)| set.bytes).sum::<usize>();
        while !self.sets.is_empty()
            && (self.sets.len() >= self.most || kept(&self.sets).saturating_add(bytes) > self.most_bytes)
        {
            self.sets.remove(0);
        }
    }

    /// Keeps this set no longer.
    pub fn forget(&mut self, key: &str) {
        self.sets.retain(|(kept, _)| kept != key);
    }

    /// Keeps a set.
    pub fn put(&mut self, key: String, compiled: Compiled) {
        self.forget(&key);
        self.make_room(compiled.bytes);
        self.sets.push((key, compiled));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::compile;
    use crate::set::ModuleText;

    fn compiled(bytes: usize) -> Compiled {
        let module = ModuleText { name: "m".to_owned(), rego: "package runwarden.authz\n".to_owned() };
        let mut compiled = compile(&[module], Duration::from_secs(5)).ok().unwrap();
        compiled.bytes = bytes;
        compiled
    }

    #[test]
    fn the_set_that_was_not_used_longest_goes_first() {
        let mut cache = Cache::default();
        for index in 0..MAX_SETS {
            cache.put(index.to_string(), compiled(1));
        }
        assert!(cache.get("0").is_some());
        cache.put("one more".to_owned(), compiled(1));
        assert!(cache.get("1").is_none());
        assert!(cache.get("0").is_some());
        assert_eq!(cache.sets.len(), MAX_SETS);
    }

    #[test]
    fn source_text_is_bounded() {
        let mut cache = Cache::default();
        cache.put("a".to_owned(), compiled(MAX_SOURCE_BYTES / 2));
        cache.put("b".to_owned(), compiled(MAX_SOURCE_BYTES / 2));
        cache.put("c".to_owned(), compiled(1));
        assert!(cache.get("a").is_none());
        assert!(cache.get("b").is_some());
        cache.put("huge".to_owned(), compiled(MAX_SOURCE_BYTES * 2));
        assert!(cache.get("huge").is_some(), "what is needed now is kept");
        assert_eq!(cache.sets.len(), 1);
    }
}
