//! The Open Policy Agent's own program.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use regorus::Value;

use super::Answer;
use crate::engine::functions::json;

pub(super) struct Opa(PathBuf);

/// What it says of a case.
pub(super) struct Said {
    pub(super) answer: Answer,
    /// Whether it is a set, which JSON cannot tell.
    pub(super) set: bool,
}

/// The one that tests/tools/backends built, or the first on the PATH.
pub(super) fn find() -> Option<Opa> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let backends = std::env::var_os("RUNWARDEN_BACKENDS").map_or_else(|| root.join(".backends"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(backends.join("go/bin"))
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("opa"))
        .find(|program| Command::new(program).arg("version").output().is_ok_and(|said| said.status.success()))
        .map(Opa)
}

impl Opa {
    pub(super) fn version(&self) -> String {
        let said = Command::new(&self.0).arg("version").output().unwrap();
        String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned()
    }

    /// What each of the rules `c0`, `c1` … of a module says, the first of which is on its second line.
    pub(super) fn answers(&self, module: &str, input: &str, rules: usize) -> Vec<Said> {
        let folder = tempfile::tempdir().unwrap();
        let (module_file, input_file) = (folder.path().join("m.rego"), folder.path().join("input.json"));
        let sets: String = (0..rules).map(|rule| format!("sets contains \"c{rule}\" if is_set(c{rule})\n")).collect();
        std::fs::write(&module_file, format!("{module}{sets}")).unwrap();
        std::fs::write(&input_file, input).unwrap();
        let output = Command::new(&self.0)
            .args(["eval", "--format", "json", "--show-builtin-errors", "--data"])
            .arg(&module_file)
            .arg("--input")
            .arg(&input_file)
            .arg("data.runwarden.authz")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let answer = json::read(&text).unwrap_or_else(|error| {
            panic!("{error}: {}", String::from_utf8_lossy(&output.stderr).chars().take(2000).collect::<String>())
        });
        let values = &answer["result"][0]["expressions"][0]["value"];
        assert!(values.as_object().is_ok(), "{}", text.chars().take(2000).collect::<String>());
        let failed: HashMap<u64, String> = answer["errors"]
            .as_array()
            .map(|errors| {
                errors
                    .iter()
                    .filter_map(|error| Some((error["location"]["row"].as_u64().ok()?, error["message"].to_string())))
                    .collect()
            })
            .unwrap_or_default();
        let sets: BTreeSet<Value> =
            values["sets"].as_array().map(|sets| sets.iter().cloned().collect()).unwrap_or_default();
        (0..rules)
            .map(|rule| {
                let name = Value::from(format!("c{rule}"));
                let row = u64::try_from(rule).unwrap() + 2;
                let answer = match (&values[&name], failed.get(&row)) {
                    (Value::Undefined, Some(why)) => Answer::Error(why.clone()),
                    (Value::Undefined, None) => Answer::Undefined,
                    (value, _) => Answer::Value(value.clone()),
                };
                Said { answer, set: sets.contains(&name) }
            })
            .collect()
    }
}
