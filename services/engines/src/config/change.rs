//! What a commit shall do, and under which conditions.

use crate::{Result, StoreError};

/// The limits every engine keeps. They are etcd's defaults, rounded down.
#[derive(Debug)]
pub struct ChangeLimits;

impl ChangeLimits {
    /// The longest key, in bytes.
    pub const KEY: usize = 1024;
    /// The longest value, in bytes.
    pub const VALUE: usize = 1 << 20;
    /// How many writes and guards one change may have, each.
    pub const OPERATIONS: usize = 128;
    /// How many bytes one change may write in all.
    pub const CHANGE: usize = 1_400_000;
}

/// A condition of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key does not exist.
    Absent(String),
    /// The key was last written at this revision.
    At(String, i64),
    /// No key begins with this prefix.
    Vacant(String),
}

impl Guard {
    /// The key or prefix it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::At(key, _) | Self::Vacant(key) => key,
        }
    }
}

/// What a change does to a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Write {
    /// Gives it this value.
    Put(String, Vec<u8>),
    /// Removes it, if it is there.
    Delete(String),
}

impl Write {
    /// The key it writes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }
}

impl std::fmt::Debug for Write {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete(key) => write!(f, "Delete({key})"),
        }
    }
}

/// Guards and writes that belong together.
///
/// ```
/// use runwarden_engines::config::Change;
/// let mut change = Change::new();
/// change.absent("tenants/acme").put("tenants/acme", b"{}".to_vec());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Change {
    guards: Vec<Guard>,
    writes: Vec<Write>,
}

impl Change {
    /// A change that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the key does not exist.
    pub fn absent(&mut self, key: impl Into<String>) -> &mut Self {
        self.guards.push(Guard::Absent(key.into()));
        self
    }

    /// Only if the key was last written at this revision.
    pub fn at(&mut self, key: impl Into<String>, revision: i64) -> &mut Self {
        self.guards.push(Guard::At(key.into(), revision));
        self
    }

    /// Only if no key begins with this prefix.
    pub fn vacant(&mut self, prefix: impl Into<String>) -> &mut Self {
        self.guards.push(Guard::Vacant(prefix.into()));
        self
    }

    /// Writes the key.
    pub fn put(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.push(Write::Put(key.into(), value.into()));
        self
    }

    /// Removes the key, if it is there.
    pub fn delete(&mut self, key: impl Into<String>) -> &mut Self {
        self.writes.push(Write::Delete(key.into()));
        self
    }

    /// Its conditions, in the order they were given.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// What it does, in the order it was given.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Refuses what no engine takes: empty or overlong keys, a key written twice, too much at once.
    pub fn check(&self) -> Result<()> {
        if self.writes.is_empty() {
            return Err(StoreError::Invalid("a change that writes nothing"));
        }
        if self.writes.len() > ChangeLimits::OPERATIONS || self.guards.len() > ChangeLimits::OPERATIONS {
            return Err(StoreError::Invalid("a change with too many operations"));
        }
        for key in self.guards.iter().map(Guard::key).chain(self.writes.iter().map(Write::key)) {
            check_key(key)?;
        }
        let mut keys: Vec<&str> = self.writes.iter().map(Write::key).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(StoreError::Invalid("a change that writes a key twice"));
        }
        let mut bytes = 0;
        for write in &self.writes {
            if let Write::Put(key, value) = write {
                if value.len() > ChangeLimits::VALUE {
                    return Err(StoreError::Invalid("a value that is too long"));
                }
                bytes += key.len() + value.len();
            }
        }
        if bytes > ChangeLimits::CHANGE {
            return Err(StoreError::Invalid("a change that writes too much"));
        }
        Ok(())
    }
}

/// Refuses keys that no engine takes.
fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > ChangeLimits::KEY || key.contains('\0') {
        return Err(StoreError::Invalid("a key that is empty, too long or has a NUL"));
    }
    Ok(())
}

/// The first key after all that begin with `prefix`, as bytes; `None` if there is no such bound.
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
    // The successor of the last character that has one. UTF-8 keeps the order of code points.
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_end_of_a_prefix_comes_after_all_its_keys_and_before_nothing_else(prefix in ".{0,6}", rest in ".{0,6}", other in ".{0,8}") {
            let key = format!("{prefix}{rest}");
            if let Some(end) = prefix_end(&prefix) {
                prop_assert!(key < end);
                let inside = other >= prefix && other < end;
                prop_assert_eq!(inside, other.starts_with(&prefix));
            } else {
                prop_assert!(prefix.chars().all(|c| c == char::MAX));
            }
        }
    }

    #[test]
    fn a_change_that_no_engine_takes_is_refused() {
        let refused = |build: &dyn Fn(&mut Change)| {
            let mut change = Change::new();
            build(&mut change);
            assert!(matches!(change.check(), Err(StoreError::Invalid(_))), "{change:?}");
        };
        refused(&|c| {
            c.absent("a");
        });
        refused(&|c| {
            c.put("", b"1");
        });
        refused(&|c| {
            c.put("a\0b", b"1");
        });
        refused(&|c| {
            c.put("k".repeat(ChangeLimits::KEY + 1), b"1");
        });
        refused(&|c| {
            c.put("a", b"1").delete("a");
        });
        refused(&|c| {
            c.put("a", vec![0; ChangeLimits::VALUE + 1]);
        });
        refused(&|c| {
            c.put("a", vec![0; ChangeLimits::VALUE]).put("b", vec![0; ChangeLimits::VALUE]);
        });
        refused(&|c| {
            for n in 0..=ChangeLimits::OPERATIONS {
                c.put(n.to_string(), b"1");
            }
        });
    }

    #[test]
    fn values_do_not_show_when_a_change_is_printed() {
        let mut change = Change::new();
        change.put("a", b"hunter2");
        assert_eq!(format!("{:?}", change.writes()), "[Put(a, 7 bytes)]");
    }
}
