//! The parameters of a job: from words, files and answers of a person to what the template's schema expects. Secrets
//! never come from the command line, which others can read while the command runs, and the shell remembers after.

mod assignment;
mod schema;
mod typed;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use runwarden_kit::{ExposeSecret as _, SecretString, json};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::prompt;
use assignment::{Assignment, Source};
use schema::{Expected, Schema};

pub(in crate::client) use schema::{Schema as ParameterSchema, word};

/// The largest file that is read, in bytes: more than a request may hold.
const LARGEST_FILE: u64 = 1 << 20;
/// How alike two names must be for one to be proposed for the other, from 0 to 1.
const ALIKE: f64 = 0.75;

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
    let mut input = Input::default();
    let mut values = match given.file {
        Some(path) => object(path, &mut input)?,
        None => Map::new(),
    };
    for name in values.keys().filter(|name| schema.parameter(name).is_none()) {
        wrong.push(unknown(name, schema));
    }
    for (name, assignments) in grouped(given.words, &mut wrong) {
        match schema.parameter(&name).ok_or_else(|| unknown(&name, schema)) {
            Ok(expected) => match value(&name, &assignments, expected, &mut input) {
                Ok(value) => drop(values.insert(name, value)),
                Err(why) => wrong.push(why),
            },
            Err(why) => wrong.push(why),
        }
    }
    for name in given.ask {
        match schema.parameter(name) {
            None => wrong.push(unknown(name, schema)),
            Some(_) if values.contains_key(name) => wrong.push(format!("{name}: is given, and asked for with --ask")),
            Some(_) => {}
        }
    }
    let missing = schema.required().into_iter().filter(|name| !values.contains_key(*name));
    let (secret, open): (Vec<&str>, Vec<&str>) =
        missing.partition(|name| schema.parameter(name).is_some_and(Expected::is_secret));
    for name in open.into_iter().filter(|name| !given.ask.iter().any(|asked| asked == name)) {
        let expected = schema.parameter(name).map(Expected::described);
        wrong.push(format!("{name}: is required: {}", expected.unwrap_or_else(|| "any value".to_owned())));
    }
    let ask: Vec<&str> = given.ask.iter().map(String::as_str).chain(secret).collect();
    if !ask.is_empty() && !prompt::can_ask() {
        wrong.extend(ask.iter().map(|name| {
            format!(
                "{name}: is a secret, and there is no terminal to ask on: {name}=@FILE, or {name}=@- for standard input"
            )
        }));
    }
    if !wrong.is_empty() {
        return Err(Failure::usage(format!("the parameters do not fit the template:\n  {}", wrong.join("\n  "))));
    }
    for name in ask {
        if !values.contains_key(name) {
            values.insert(name.to_owned(), answer(name, schema).await?);
        }
    }
    Ok(values)
}

/// Asks the person for one.
async fn answer(name: &str, schema: Schema<'_>) -> Result<Value, Failure> {
    let expected = schema.parameter(name).with_context(|| format!("{name} is not a parameter"))?;
    let question = expected.text("title").map_or_else(|| name.to_owned(), |title| format!("{title} ({name})"));
    let given = prompt::secret(&crate::terminal::plain(&question)).await?.context("the terminal has gone")?;
    typed::typed(given.expose_secret(), expected).map_err(|why| Failure::usage(format!("{name}: {why}")))
}

/// Standard input can be read once.
#[derive(Default)]
struct Input {
    used: bool,
}

impl Input {
    fn read(&mut self) -> Result<SecretString, String> {
        if std::mem::replace(&mut self.used, true) {
            return Err("standard input can be read for one thing only".to_owned());
        }
        text(std::io::stdin().lock()).map_err(|error| format!("standard input: {error}"))
    }
}

fn text(from: impl std::io::Read) -> Result<SecretString, String> {
    let mut text = String::new();
    from.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LARGEST_FILE) {
        return Err(format!("is larger than {LARGEST_FILE} bytes"));
    }
    Ok(text.into())
}

fn file(path: &Path) -> Result<SecretString, String> {
    File::open(path)
        .map_err(|error| error.to_string())
        .and_then(text)
        .map_err(|why| format!("{}: {why}", path.display()))
}

/// The parameters in a file.
fn object(path: &Path, input: &mut Input) -> Result<Map<String, Value>, Failure> {
    let text = if path == Path::new("-") { input.read() } else { file(path) }.map_err(Failure::usage)?;
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
fn value(name: &str, assignments: &[Assignment], expected: Expected<'_>, input: &mut Input) -> Result<Value, String> {
    if expected.is_secret() && assignments.iter().any(|assignment| matches!(assignment.value, Source::Here(_))) {
        return Err(format!(
            "{name}: is a secret, and a command line is no place for one: others can read it, and the shell keeps it. \
             Give {name}=@FILE, or {name}=@- for standard input, or leave it to be asked for (--ask {name}). \
             If what you typed was the real one, change it"
        ));
    }
    let mut texts = Vec::new();
    for assignment in assignments {
        texts.push(match &assignment.value {
            Source::Here(text) => text.clone(),
            Source::Input => without_line_end(input.read().map_err(|why| format!("{name}: {why}"))?),
            Source::File(path) => without_line_end(file(Path::new(path)).map_err(|why| {
                let quoted = if expected.is_secret() {
                    ""
                } else {
                    "; a value that begins with @ is given as JSON, KEY:='\"@…\"'"
                };
                format!("{name}: {why}{quoted}")
            })?),
        });
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

/// A file's last line end is the editor's.
fn without_line_end(text: SecretString) -> String {
    let text = text.expose_secret();
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text).to_owned()
}

/// What to say about a name that the template does not know.
fn unknown(name: &str, schema: Schema<'_>) -> String {
    let names = schema.names();
    let alike = names.iter().map(|known| (strsim::jaro_winkler(name, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match alike {
        Some((score, known)) if score >= ALIKE => format!(": did you mean {known}?"),
        Some(_) => format!("; it has {}", names.join(", ")),
        None => "; it has none".to_owned(),
    };
    format!("{}: is not a parameter of this template{hint}", crate::terminal::plain(name))
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
