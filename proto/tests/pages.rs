//! Pages that repeat what the contracts and the code say: they are held against both.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use runwarden_proto::ACCESS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.replace("\r\n", "\n")
}

/// The table of who may call whom, as the contracts say it. RPCs of a service that may be called alike share a row.
fn map() -> String {
    let mut table = "| | RPC | from | permission |\n|---|---|---|---|\n".to_owned();
    for package in ["auth", "policy", "project", "secret", "audit", "executor", "hook", "watch"] {
        writeln!(table, "| **{package}** | | | |").unwrap();
        let mut rows: Vec<(&str, String, String, Vec<&str>)> = Vec::new();
        for access in ACCESS {
            let path = access.path.trim_start_matches('/');
            let (service, method) = path.split_once('/').unwrap();
            let Some(service) = service.strip_prefix(&format!("runwarden.{package}.v1.")) else { continue };
            let permission = access.permission.map_or("—".to_owned(), |permission| format!("`{permission}`"));
            let row = (service, access.services.join(", "), permission);
            match rows
                .iter_mut()
                .find(|(s, from, needs, _)| (*s, from.as_str(), needs.as_str()) == (row.0, &row.1, &row.2))
            {
                Some((.., methods)) => methods.push(method),
                None => rows.push((row.0, row.1, row.2, vec![method])),
            }
        }
        assert!(!rows.is_empty(), "{package} has RPCs");
        for (service, from, permission, methods) in rows {
            writeln!(table, "| {service} | {} | {from} | {permission} |", methods.join(", ")).unwrap();
        }
    }
    table
}

#[test]
fn the_map_says_who_may_call_whom() {
    let page = read("services/README.md");
    let start = page.find("| | RPC | from | permission |").expect("the table is on the page");
    let end = start + page[start..].find("\n\n").expect("text follows the table") + 1;
    let fresh = map();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(root().join("services/README.md"), format!("{}{fresh}{}", &page[..start], &page[end..]))
            .unwrap();
        return;
    }
    assert!(
        page[start..end] == fresh,
        "the table in services/README.md is not what the contracts say. If the change is meant, accept it with\n\
         UPDATE_SNAPSHOTS=1 cargo nextest run -p runwarden-proto the_map_says_who_may_call_whom"
    );
}

const RECIPE: &str = "docs/adding-a-noun.md";

/// What stands on a page below a line that names a file, ``### `path` ``: the file, and its blocks of code.
fn quoted(page: &str) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    // The block that is being read, and whether it is a quote: what is for the shell is not.
    let mut block: Option<(bool, String)> = None;
    for line in page.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(language)) => block = Some((language != "sh", String::new())),
            (Some((is_quote, text)), Some(_)) => {
                if *is_quote {
                    files.last_mut().expect("a quote belongs to a file").1.push(std::mem::take(text));
                }
                block = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {
                if let Some(path) = line.strip_prefix("### `").and_then(|rest| rest.split('`').next()) {
                    files.push((path.to_owned(), Vec::new()));
                }
            }
        }
    }
    assert!(block.is_none(), "a block has no end");
    files
}

/// The first piece of a quote that the file does not have where it should; a line `…` leaves some of the file out.
fn strays<'quote>(quote: &'quote str, file: &str) -> Option<&'quote str> {
    let mut rest = file;
    for piece in quote.split_inclusive('\n').collect::<Vec<_>>().split(|line| line.trim() == "…") {
        let Some(first) = piece.first() else { continue };
        let text = piece.concat();
        // From the start of a line, so that a quote is whole lines.
        let found = rest.match_indices(&text).find(|(at, _)| *at == 0 || rest[..*at].ends_with('\n'));
        let Some((at, _)) = found else { return Some(first) };
        rest = &rest[at + text.len()..];
    }
    None
}

#[test]
fn the_recipe_for_a_noun_is_the_code_that_compiles() {
    let files = quoted(&read(RECIPE));
    assert!(files.len() > 10, "the page names its files");
    for (path, quotes) in &files {
        let file = read(path);
        for quote in quotes {
            if let Some(stray) = strays(quote, &file) {
                panic!("{RECIPE} quotes what {path} does not say there: {stray}");
            }
        }
    }
    let quotes: usize = files.iter().map(|(_, quotes)| quotes.len()).sum();
    assert!(quotes > 10, "the page quotes the files");
}

/// Text that shows where the page's noun is defined or registered, to find files that the page leaves out.
const SIGNS: [&str; 8] = [
    "service ProjectService",
    "PERMISSION_PROJECTS_READ",
    "P::ProjectsRead",
    "ProjectServiceServer::new",
    "ProjectService for",
    "ProjectServiceClient",
    "mod projects;",
    "mod project;",
];
/// Who uses the noun without being part of it.
const USERS: [&str; 6] = [
    "services/auth/src/rpc/project.rs",
    "services/auth/src/rpc/mod.rs",
    "services/auth/tests/mesh.rs",
    "services/hook/src/rpc/ports.rs",
    "src/up/drop_in/install.rs",
    "proto/tests/pages.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".proto") {
            found.push(path);
        }
    }
}

#[test]
fn the_recipe_for_a_noun_leaves_no_file_out() {
    let page = read(RECIPE);
    let named: BTreeSet<String> = quoted(&page).into_iter().map(|(path, _)| path).collect();
    let mut all = Vec::new();
    for folder in ["proto", "services", "edge", "src"] {
        sources(&root().join(folder), &mut all);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        for sign in SIGNS.iter().filter(|sign| text.contains(**sign)) {
            *seen.entry(sign).or_default() += 1;
            assert!(
                named.contains(&path) || USERS.contains(&path.as_str()),
                "{path} has `{sign}`, and {RECIPE} does not name it"
            );
        }
    }
    assert_eq!(seen.len(), SIGNS.len(), "every sign is somewhere: {seen:?}");
    let by_hand = format!("**{} files by hand**", named.len());
    assert!(page.contains(&by_hand), "{RECIPE} says how many files it takes: {by_hand}");
}

#[test]
fn a_quote_is_whole_lines_in_order() {
    let file = "one\ntwo\nthree\nfour\n";
    for good in ["two\nthree\n", "one\n…\nfour\n", "…\nfour\n"] {
        assert_eq!(strays(good, file), None, "{good}");
    }
    for bad in ["wo\n", "two\nfour\n", "three\n…\none\n", "five\n"] {
        assert!(strays(bad, file).is_some(), "{bad}");
    }
}
