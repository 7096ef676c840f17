//! How a process of ours is started, as often as wanted.

use std::path::PathBuf;

use crate::process::{Allowed, Process};

/// A program with its arguments and settings.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

impl Recipe {
    /// Starts it.
    pub(crate) fn start(&self, allowed: &Allowed) -> Process {
        self.start_with(&[], allowed)
    }

    /// Starts it with these settings on top, by their environment variables.
    pub(crate) fn start_with(&self, more: &[(String, String)], allowed: &Allowed) -> Process {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let variables = [self.variables.as_slice(), more].concat();
        Process::start(&self.program, &arguments, &variables, allowed.clone())
    }
}
