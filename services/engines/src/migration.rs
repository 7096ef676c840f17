//! How tables come about, in numbered steps, whatever the engine.

use crate::{Result, StoreError};

/// One step of a service's schema. Steps are never edited once released: an engine refuses to open a database where one
/// was made that is different now, or that it does not know.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number. The first is 1, and none is left out.
    pub version: i64,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// Its statements.
    pub sql: Sql,
}

/// The statements of a step: a field for each engine that has tables, so that a step of which one engine lacks its form
/// does not compile.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// For SQLite.
    pub sqlite: &'static str,
}

impl Migration {
    /// A step whose files are called `NNNN_name`.
    ///
    /// # Panics
    /// When they are not, which for a constant means that it does not compile.
    #[must_use]
    #[expect(clippy::panic, reason = "in a constant it is a compile error")]
    pub const fn of_file(file: &'static str, sql: Sql) -> Self {
        let [a, b, c, d, b'_', _, ..] = file.as_bytes() else { panic!("a migration is called NNNN_name") };
        let version = digit(*a) * 1000 + digit(*b) * 100 + digit(*c) * 10 + digit(*d);
        Self { version, name: file.split_at(5).1, sql }
    }

    /// Refuses steps that are not numbered from 1 without a gap.
    pub(crate) fn check(steps: &[Self]) -> Result<()> {
        if steps.iter().zip(1..).all(|(step, number)| step.version == number) {
            return Ok(());
        }
        Err(StoreError::Invalid("migrations that are not numbered 1, 2, 3 and so on"))
    }
}

const fn digit(of: u8) -> i64 {
    assert!(of.is_ascii_digit(), "a migration is called NNNN_name");
    (of - b'0') as i64
}

/// The steps of a service's schema, from the files of these names in `migrations/<engine>/` of its crate, or in a folder
/// in there.
///
/// ```ignore
/// const MIGRATIONS: &[Migration] = migrations!["0001_log", "0002_times"];
/// const OTHERS: &[Migration] = migrations!["folder" => "0001_log", "0002_times"];
/// ```
#[macro_export]
macro_rules! migrations {
    ($folder:literal => $($file:literal),+ $(,)?) => { $crate::migrations!(@ [$folder "/"] $($file)+) };
    ($($file:literal),+ $(,)?) => { $crate::migrations!(@ [""] $($file)+) };
    (@ $folder:tt $($file:literal)+) => {
        &[$($crate::Migration::of_file($file, $crate::Sql { sqlite: $crate::migrations!(! "sqlite" $folder $file) })),+]
    };
    (! $engine:literal [$($folder:literal)+] $file:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"), "/migrations/", $engine, "/", $($folder,)+ $file, ".sql"
        ))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Sql = Sql { sqlite: "" };

    #[test]
    fn a_step_is_what_its_file_is_called() {
        let step = Migration::of_file("0012_no_watch", NOTHING);
        assert_eq!((step.version, step.name), (12, "no_watch"));
        for wrong in ["12_no_watch", "0012", "0012_", "00x2_no_watch", "0012-no_watch"] {
            assert!(std::panic::catch_unwind(|| Migration::of_file(wrong, NOTHING)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_have_no_gap_and_no_twins() {
        let steps = |versions: &[&'static str]| {
            Migration::check(&Vec::from_iter(versions.iter().map(|file| Migration::of_file(file, NOTHING))))
        };
        steps(&[]).unwrap();
        steps(&["0001_a", "0002_b"]).unwrap();
        for wrong in [&["0002_b"][..], &["0001_a", "0003_c"], &["0001_a", "0001_b"], &["0002_b", "0001_a"]] {
            assert!(matches!(steps(wrong), Err(StoreError::Invalid(_))), "{wrong:?}");
        }
    }
}
