//! What is done with an event before anything is asked of the executor: the same for a delivery and for a test.

use runwarden_kit::Result;
use serde_json::Map;

use crate::hook::Hook;
use crate::ports::{Made, Modules};

/// What a hook makes of an event.
pub(super) async fn make(modules: &dyn Modules, hook: &Hook, module: &str, event: &str) -> Result<Made> {
    if module.is_empty() {
        return Ok(Made::Wanted { parameters: Map::new(), reference: String::new() });
    }
    modules.run(&hook.tenant, module, event).await
}

/// How many parameters there are and how they are called.
pub(super) fn named(parameters: &Map<String, serde_json::Value>) -> String {
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    let told = match names.len() {
        0 => "no parameters".to_owned(),
        1 => format!("1 parameter: {}", names.join(", ")),
        many => format!("{many} parameters: {}", names.join(", ")),
    };
    runwarden_kit::text::shortened(told, MAX_NAMES)
}

/// What an error says, with the fields that it names.
pub(super) fn words(error: &runwarden_kit::Error) -> String {
    let fields: Vec<String> = error
        .fields()
        .iter()
        .filter(|field| !field.pointer.is_empty())
        .map(|field| format!("{} {}", field.pointer, field.detail))
        .collect();
    let all = if fields.is_empty() {
        error.detail().to_owned()
    } else {
        format!("{} ({})", error.detail(), fields.join("; "))
    };
    runwarden_kit::text::shortened(all, MAX_WORDS)
}

/// The longest list of names, in bytes.
const MAX_NAMES: usize = 500;
/// The longest detail of a step, in bytes.
pub(super) const MAX_WORDS: usize = 2000;
