//! The parameters of a job: from words, files and answers of a person to what the template's schema expects. Secrets
//! never come from the command line, which others can read while the command runs, and the shell remembers after.

mod assignment;
mod schema;
mod typed;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use runwarden_kit::schema::nearest;
use runwarden_kit::{ExposeSecret as _, json};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::{input, prompt};
use crate::terminal::plain;
use assignment::{Assignment, Source};
use schema::{Expected, Schema};

pub(in crate::client) use schema::{Schema as ParameterSchema, word};

/// What was given on the command line.
pub(super) struct Given<'a> {
    /// `KEY=VALUE` and its kin.
    pub(super) words: &'a [String],
    /// A file with a JSON object, or `-`.
    pub(super) file: Option<&'a Path>,
    /// Secrets to ask the person for.
    pub(super) ask: &'a [String],
}

/// Puts the parameters together. What is wrong is said all at once.
pub(super) async fn collect(schema: &Value, given: &Given<'_>) -> Result<Map<String, Value>, Failure> {
    let schema = Schema(schema);
    let mut wrong = Vec::new();
    let mut values = valued(schema, given, &mut wrong).await?;
    let secrets = missing(schema, given, &values, &mut wrong);
    if !wrong.is_empty() {
        // Names and choices are the server's: each is shown on a line, and steers nothing.
        let wrong: Vec<String> = wrong.iter().map(|why| plain(why)).collect();
        return Err(Failure::usage(format!("the parameters do not fit the template:\n  {}", wrong.join("\n  "))));
    }
    for name in secrets {
        values.insert(name.to_owned(), ask(name, schema).await?);
    }
    Ok(values)
}

/// What was given, as values: words go before the file.
async fn valued(schema: Schema<'_>, given: &Given<'_>, wrong: &mut Vec<String>) -> Result<Map<String, Value>, Failure> {
    let mut values = match given.file {
        Some(path) => object(path).await?,
        None => Map::new(),
    };
    wrong.extend(values.keys().filter(|name| schema.parameter(name).is_none()).map(|name| unknown(name, schema)));
    for (name, assignments) in grouped(given.words, wrong) {
        let value = match schema.parameter(&name) {
            Some(expected) => value(&name, &assignments, expected).await,
            None => Err(unknown(&name, schema)),
        };
        match value {
            Ok(value) => drop(values.insert(name, value)),
            Err(why) => wrong.push(why),
        }
    }
    Ok(values)
}

/// The secrets to ask for: those that the person wants to be asked for, and those that are required and were not given.
fn missing<'a>(
    schema: Schema<'a>,
    given: &Given<'a>,
    values: &Map<String, Value>,
    wrong: &mut Vec<String>,
) -> Vec<&'a str> {
    let mut secrets: Vec<&str> = given.ask.iter().map(String::as_str).collect();
    for name in &secrets {
        if schema.parameter(name).is_none() {
            wrong.push(unknown(name, schema));
        } else if values.contains_key(*name) {
            wrong.push(format!("{name}: is given, and asked for with --ask"));
        }
    }
    for name in schema.required().into_iter().filter(|name| !values.contains_key(*name)) {
        let expected = schema.parameter(name);
        if expected.is_some_and(Expected::is_secret) {
            secrets.push(name);
        } else if !secrets.contains(&name) {
            let described = expected.map_or_else(|| "any value".to_owned(), Expected::described);
            wrong.push(format!("{name}: is required: {described}"));
        }
    }
    secrets.sort_unstable();
    secrets.dedup();
    if !secrets.is_empty() && !prompt::can_ask() {
        wrong.extend(secrets.iter().map(|name| {
            format!(
                "{name}: is a secret, and there is no terminal to ask on: {name}=@FILE, or {name}=@- for standard input"
            )
        }));
    }
    secrets
}

/// Asks the person for a secret.
async fn ask(name: &str, schema: Schema<'_>) -> Result<Value, Failure> {
    let expected = schema.parameter(name).with_context(|| format!("{} is not a parameter", plain(name)))?;
    let question = expected.text("title").map_or_else(|| name.to_owned(), |title| format!("{title} ({name})"));
    let given = prompt::secret(&plain(&question)).await?.context("the terminal is gone")?;
    typed::typed(given.expose_secret(), expected).map_err(|why| Failure::usage(plain(&format!("{name}: {why}"))))
}

/// The parameters in a file.
async fn object(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = input::read(path).await.map_err(|error| Failure::usage(format!("{error:#}")))?;
    match json::parse(text.expose_secret().as_bytes()) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err(Failure::usage(format!("{}: must hold a JSON object", path.display()))),
        Err(error) => Err(Failure::usage(format!("{}: {}", path.display(), error.detail()))),
    }
}

/// What was said of each parameter, in order.
fn grouped(words: &[String], wrong: &mut Vec<String>) -> BTreeMap<String, Vec<Assignment>> {
    let mut groups: BTreeMap<String, Vec<Assignment>> = BTreeMap::new();
    for (number, text) in words.iter().enumerate() {
        match Assignment::read(text) {
            Ok(assignment) => groups.entry(assignment.name.clone()).or_default().push(assignment),
            Err(why) => wrong.push(format!("argument {} after the template {why}", number + 1)),
        }
    }
    groups
}

/// The value of one parameter.
async fn value(name: &str, assignments: &[Assignment], expected: Expected<'_>) -> Result<Value, String> {
    if expected.is_secret() && assignments.iter().any(|assignment| matches!(assignment.value, Source::Here(_))) {
        return Err(format!(
            "{name}: is a secret, and must not be on the command line: others can read it, and the shell keeps it. \
             Give {name}=@FILE, or {name}=@- for standard input, or leave it to be asked for (--ask {name}). \
             If what you typed was the real one, change it"
        ));
    }
    let mut texts = Vec::new();
    for assignment in assignments {
        texts.push(text(assignment, expected).await.map_err(|why| format!("{name}: {why}"))?);
    }
    let value = match (texts.as_slice(), assignments) {
        ([text], [Assignment { is_json: true, .. }]) => typed::from_json(text),
        ([text], _) => typed::typed(text, expected),
        _ if !expected.kinds().contains(&schema::Kind::Array) => Err("is given more than once".to_owned()),
        _ if assignments.iter().any(|assignment| assignment.is_json) => {
            Err("is given more than once: with := the whole list goes into one".to_owned())
        }
        _ => typed::list(&texts, expected),
    };
    value.map_err(|why| format!("{name}: {why}"))
}

/// What an assignment assigns.
async fn text(assignment: &Assignment, expected: Expected<'_>) -> Result<String, String> {
    let (path, hint) = match &assignment.value {
        Source::Here(text) => return Ok(text.clone()),
        Source::Input => ("-", ""),
        Source::File(path) if expected.is_secret() => (path.as_str(), ""),
        Source::File(path) => (path.as_str(), "; a value that begins with @ is given as JSON, KEY:='\"@…\"'"),
    };
    let text = input::read(Path::new(path)).await.map_err(|error| format!("{error:#}{hint}"))?;
    // A file's last line end is the editor's.
    let text = text.expose_secret();
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if expected.is_secret() && text.is_empty() {
        // What was to write it has failed, more likely than not.
        return Err("is a secret, and its source was empty".to_owned());
    }
    Ok(text.to_owned())
}

/// What to say about a name that the template does not know.
fn unknown(name: &str, schema: Schema<'_>) -> String {
    let names = schema.names();
    let hint = match nearest(name, names.iter().copied()) {
        Some(known) => format!(": did you mean {known}?"),
        None if names.is_empty() => "; it has none".to_owned(),
        None => format!("; it has {}", names.join(", ")),
    };
    format!("{name}: is not a parameter of this template{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "environment": {"enum": ["dev", "prod"]}, "replicas": {"type": "integer"},
                "hosts": {"type": "array", "items": {"type": "string"}},
                "password": {"type": "string", "writeOnly": true},
            },
            "required": ["environment"],
        })
    }

    async fn of(words: &[&str], file: Option<&Path>) -> Result<Value, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let given = Given { words: &words, file, ask: &[] };
        collect(&schema(), &given).await.map(Value::Object).map_err(|failure| format!("{failure:?}"))
    }

    #[tokio::test]
    async fn parameters_come_from_words_and_files_and_words_win() {
        let folder = tempfile::tempdir().unwrap();
        let (all, secret) = (folder.path().join("all.json"), folder.path().join("secret"));
        std::fs::write(&all, r#"{"environment": "dev", "replicas": 1}"#).unwrap();
        std::fs::write(&secret, "hunter2\n").unwrap();
        let from_file = format!("password=@{}", secret.display());
        let words = ["replicas=3", "hosts=a", "hosts=b", &from_file];
        assert_eq!(
            of(&words, Some(&all)).await.unwrap(),
            json!({"environment": "dev", "replicas": 3, "hosts": ["a", "b"], "password": "hunter2"})
        );
        assert_eq!(of(&["environment=dev", "hosts:=[\"@x\"]"], None).await.unwrap()["hosts"], json!(["@x"]));
    }

    #[tokio::test]
    async fn a_secret_is_not_taken_from_the_command_line_and_never_quoted() {
        for word in ["password=hunter2", "password:=\"hunter2\""] {
            let why = of(&["environment=dev", word], None).await.unwrap_err();
            assert!(why.contains("password=@FILE") && !why.contains("hunter2"), "{why}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_did_not_come_is_not_sent_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        for nothing in ["", "\n", "\r\n"] {
            std::fs::write(&secret, nothing).unwrap();
            let why = of(&["environment=dev", &format!("password=@{}", secret.display())], None).await.unwrap_err();
            assert!(why.contains("password: is a secret, and its source was empty"), "{why}");
        }
    }

    #[tokio::test]
    async fn names_and_choices_of_a_server_steer_no_terminal() {
        let schema = json!({"properties": {"a\u{9b}2J": {"enum": ["\u{1b}[2J"]}}, "required": ["a\u{9b}2J"]});
        let words = ["b=1".to_owned(), "c\u{9b}=1".to_owned()];
        let failure = collect(&schema, &Given { words: &words, file: None, ask: &[] }).await.err().unwrap();
        let said = failure.text();
        assert!(said.contains("is required") && !said.contains(['\u{9b}', '\u{1b}']), "{said:?}");
    }

    #[tokio::test]
    async fn all_that_is_wrong_is_said_with_what_to_do() {
        let why = of(&["enviroment=dev", "replicas=many", "nonsense", "x=1", "replicas=2"], None).await.unwrap_err();
        for part in [
            "enviroment: is not a parameter of this template: did you mean environment?",
            "environment: is required: one of dev, prod",
            "replicas: is given more than once",
            "argument 3 after the template is not KEY=VALUE",
            "x: is not a parameter of this template; it has environment, hosts, password, replicas",
        ] {
            assert!(why.contains(part), "{part} in {why}");
        }
        assert!(of(&["environment=@/nowhere"], None).await.unwrap_err().contains("begins with @"));
        let lost = of(&[], Some(Path::new("/nowhere"))).await.unwrap_err();
        assert!(lost.contains("/nowhere"), "{lost}");
    }
}
