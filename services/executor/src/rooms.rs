//! Which room may use which. A line of code that reaches further does not pass.

use std::path::Path;

/// The rooms, and what each may use of the others: all of a room, or one file of it. Files beside the rooms are used by
/// several of them.
const ROOMS: [(&str, &[&str]); 8] = [
    ("job", &[]),
    ("accept", &["job", "store", "wait::limits", "launch::authority"]),
    ("wait", &["job", "store", "launch::prepare", "launch::protocol"]),
    ("launch", &["job", "store", "wait"]),
    ("follow", &["job", "store"]),
    ("store", &["job", "wait::limits", "wait::place", "wait::scheduler", "launch::protocol"]),
    ("access", &["job", "store", "wait", "launch::resolver"]),
    // Not the store: a caller's request reaches jobs through `access` only.
    ("rpc", &["job", "accept", "access", "wait", "launch", "store::Room"]),
];

/// Every path `crate::…` in the code of a folder, tests left out.
fn paths(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["tests", "model"].contains(&name.as_str()) {
            paths(&path, found);
        }
        if path.is_dir() || name == "tests.rs" || !name.ends_with(".rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let code = code.split("#[cfg(test)]\npub(crate) mod tests").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let of_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let after = line.split("crate::").skip(1);
            found.extend(after.map(|path| path.chars().take_while(|c| of_word(*c)).collect::<String>()));
        }
    }
}

#[test]
fn each_room_uses_only_what_it_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, may) in ROOMS {
        let mut found = Vec::new();
        paths(&source.join(room), &mut found);
        for path in &found {
            let (first, _) = path.split_once("::").unwrap_or((path, ""));
            let is_room = first != room && ROOMS.iter().any(|(other, _)| *other == first);
            let allowed = may.iter().any(|may| format!("{path}::").starts_with(&format!("{may}::")));
            assert!(!is_room || allowed, "{room} uses crate::{path}");
        }
        // What everybody else works with contains the store.
        let bypass = found.iter().find(|path| room == "rpc" && path.starts_with("shared"));
        assert_eq!(bypass, None, "rpc uses it");
        assert!(room == "job" || !found.is_empty(), "the sources of {room} were read");
    }
}
