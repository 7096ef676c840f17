//! Lines on the standard streams. `println!` and `eprintln!` panic when the reader has gone, and neither a service nor a
//! command may end because of that: what writes for people and scripts writes with these.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A line on standard output that nothing depends on, such as "is ready". If its reader has gone, it is lost.
pub fn announce(line: impl Display) {
    let _gone = print(format!("{line}\n").as_bytes());
}

/// A line on standard error. If its reader has gone, it is lost.
pub fn say(line: impl Display) {
    let _gone = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints requested output to standard output.
///
/// # Errors
/// When it cannot be written: `BrokenPipe` if its reader has gone.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}
