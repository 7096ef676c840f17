//! Reading Server-Sent Events (WHATWG HTML section 9.2), as far as the tests need them.

use reqwest::Response;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// `state`, `output`, `end`, `error`.
    pub name: String,
    /// What it carries.
    pub data: Value,
}

/// A stream of events.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// Those that an answer brings.
    #[must_use]
    pub fn of(response: Response) -> Self {
        Self { response, buffer: Vec::new() }
    }

    /// The next event; none when the stream has ended or broken off.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Some(event);
                }
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// All that come.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// What a list of events says was printed.
#[must_use]
pub fn printed(events: &[Event]) -> String {
    let texts = events.iter().filter(|event| event.name == "output");
    texts.filter_map(|event| event.data.get("text").and_then(Value::as_str)).collect()
}

fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (None, String::new(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = value.parse().ok(),
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    Some(Event { id, name, data: serde_json::from_str(&data.join("\n")).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_event_has_its_number_name_and_data() {
        let event = parse("id: 3\nevent: output\ndata: {\"text\":\ndata: \"a\"}\n\n").expect("an event");
        assert_eq!((event.id, event.name.as_str()), (Some(3), "output"));
        assert_eq!(event.data["text"], "a");
        assert!(parse(": still here\n\n").is_none());
    }
}
