//! What a worker may use, imposed by itself on itself before it reads a byte of anybody's policy.

use std::ffi::OsString;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

/// What a worker may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// Processor time over its whole life.
    pub cpu: Duration,
    /// How long the engine may take for one rule, as far as it looks at its clock.
    pub evaluation: Duration,
    /// How long one request may take before the worker ends itself, should nobody else do it.
    pub request: Duration,
}

impl WorkerLimits {
    /// As arguments for the worker's command line.
    pub(super) fn to_arguments(self) -> [String; 4] {
        [
            self.memory_bytes.to_string(),
            self.cpu.as_secs().max(1).to_string(),
            self.evaluation.as_millis().to_string(),
            self.request.as_millis().to_string(),
        ]
    }

    /// From the worker's command line.
    pub(super) fn from_arguments(arguments: &[OsString]) -> Option<Self> {
        let [memory_bytes, cpu, evaluation, request] = arguments else {
            return None;
        };
        let number = |argument: &OsString| argument.to_str()?.parse::<u64>().ok();
        Some(Self {
            memory_bytes: number(memory_bytes)?,
            cpu: Duration::from_secs(number(cpu)?),
            evaluation: Duration::from_millis(number(evaluation)?),
            request: Duration::from_millis(number(request)?),
        })
    }

    /// Makes them hold for this process, with no way back.
    pub(super) fn impose(self) -> std::io::Result<()> {
        let both = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
        // No core file, no file at all, no descriptor beyond the three there are and a few spare.
        setrlimit(Resource::Core, both(0))?;
        setrlimit(Resource::Fsize, both(0))?;
        setrlimit(Resource::Nofile, both(16))?;
        setrlimit(Resource::Cpu, both(self.cpu.as_secs()))?;
        setrlimit(Resource::As, both(self.memory_bytes))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arguments_carry_limits(memory_bytes: u64, cpu in 1..u64::MAX, evaluation: u32, request: u32) {
            let limits = WorkerLimits {
                memory_bytes,
                cpu: Duration::from_secs(cpu),
                evaluation: Duration::from_millis(evaluation.into()),
                request: Duration::from_millis(request.into()),
            };
            let arguments: Vec<OsString> = limits.to_arguments().into_iter().map(Into::into).collect();
            prop_assert_eq!(WorkerLimits::from_arguments(&arguments), Some(limits));
        }

        #[test]
        fn other_arguments_are_no_limits(arguments in prop::collection::vec("[a-z-]{0,9}", 0..6)) {
            let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
            prop_assert_eq!(WorkerLimits::from_arguments(&arguments), None);
        }
    }
}
