//! Checking exported files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use super::{CliError, parse_key, read_text};
use crate::verify::{Claim, Report, Verifier};

/// A record's line is far shorter.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Where records are read from.
#[derive(Debug, Clone, Copy)]
pub enum Records<'a> {
    /// A file with one record a line.
    File(&'a Path),
    /// The same on standard input.
    Stdin,
}

impl<'a> From<&'a Path> for Records<'a> {
    /// A file; `-` means standard input.
    fn from(path: &'a Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path) }
    }
}

/// Checks exported records, one a line from index 0 on, against the checkpoint exported with them, and, if one is
/// given, against an earlier checkpoint that was kept elsewhere.
///
/// # Errors
/// When a file cannot be read or the key is not valid. A log that is not whole is not an error but a report.
pub fn verify_files(
    records: Records<'_>,
    checkpoint: &Path,
    key: &str,
    since: Option<&Path>,
) -> Result<Report, CliError> {
    let mut verifier = Verifier::new(parse_key(key)?);
    verifier.checkpoint(&read_text(checkpoint)?, Claim::Own);
    if let Some(since) = since {
        verifier.checkpoint(&read_text(since)?, Claim::Trusted);
    }
    let failed = |path: &Path, source| CliError::File { path: path.to_owned(), source };
    match records {
        Records::File(path) => {
            let file = File::open(path).map_err(|source| failed(path, source))?;
            read_lines(BufReader::new(file), &mut verifier).map_err(|source| failed(path, source))?;
        }
        Records::Stdin => {
            read_lines(io::stdin().lock(), &mut verifier)
                .map_err(|source| failed(Path::new("standard input"), source))?;
        }
    }
    Ok(verifier.finish())
}

/// Checks an export that ends with its checkpoint, as `GET /api/v1/audit/export` answers it. The export is held in
/// memory: its checkpoint comes last and is needed first. An export that was cut off has no checkpoint and is not whole.
///
/// # Errors
/// When a file cannot be read or the key is not valid. A log that is not whole is not an error but a report.
pub fn verify_export(export: Records<'_>, key: &str, since: Option<&Path>) -> Result<Report, CliError> {
    let mut verifier = Verifier::new(parse_key(key)?);
    let mut bytes = Vec::new();
    match export {
        Records::File(path) => File::open(path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|source| CliError::File { path: path.to_owned(), source })?,
        Records::Stdin => io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(|source| CliError::File { path: Path::new("standard input").to_owned(), source })?,
    };
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let begin_of_last = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (records, last) = text.split_at_checked(begin_of_last).unwrap_or((text, b""));
    let checkpoint = serde_json::from_slice::<serde_json::Value>(last)
        .ok()
        .and_then(|line| line.get("checkpoint").and_then(serde_json::Value::as_str).map(str::to_owned));
    let records = match checkpoint {
        Some(note) => {
            verifier.checkpoint(&note, Claim::Own);
            records
        }
        // Without its last line an export proves nothing: the verifier says so.
        None => text,
    };
    if let Some(since) = since {
        verifier.checkpoint(&read_text(since)?, Claim::Trusted);
    }
    // Reading from memory cannot fail.
    read_lines(records, &mut verifier)
        .map_err(|source| CliError::File { path: Path::new("the export").to_owned(), source })?;
    Ok(verifier.finish())
}

/// Feeds every line; one that is longer than any record is skipped without being held in memory.
fn read_lines(mut from: impl BufRead, verifier: &mut Verifier) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            verifier.record(&line);
        } else if (read as u64) < LONGEST_LINE {
            // The last line need not end with a line feed.
            verifier.record(&line);
        } else {
            verifier.oversized();
            skip_line(&mut from)?;
        }
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(buffer.len(), |at| at + 1);
        from.consume(length);
        if end.is_some() {
            return Ok(());
        }
    }
}
