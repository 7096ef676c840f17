//! Reading Server-Sent Events (WHATWG HTML section 9.2) as far as the demo needs them.

use reqwest::Response;
use serde_json::Value;

/// A stream of events.
pub(super) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

/// One event: its name and what it carries.
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: Value,
}

impl Events {
    pub(super) fn of(response: Response) -> Self {
        Self { response, buffer: Vec::new() }
    }

    /// The next event; none when the stream has ended.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// One block of lines; none if it holds only comments.
fn parse(block: &str) -> Option<Event> {
    let (mut name, mut data) = (String::new(), Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let data = data.join("\n");
    Some(Event { name, data: serde_json::from_str(&data).unwrap_or(Value::String(data)) })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn comments_are_passed_over_and_data_lines_are_joined() {
        assert!(parse(": still here\n\n").is_none());
        let event = parse("id: 3\nevent: output\ndata: \"a\"\n\n").expect("an event");
        assert_eq!((event.name.as_str(), event.data.as_str()), ("output", Some("a")));
        assert_eq!(
            parse("data: a\ndata: b\n\n").and_then(|e| e.data.as_str().map(str::to_owned)).as_deref(),
            Some("a\nb")
        );
    }
}
