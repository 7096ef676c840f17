//! The worker's side: read, do, answer.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::frame;
use super::limits::WorkerLimits;
use super::message::{PROTOCOL, Reply, Request};
use runwarden_rego::set::ModuleText;
use runwarden_rego::text::Problem;
use runwarden_rego::{Cache, Verdict, compile, compile_hook};

/// The stack policies are parsed and evaluated on.
const STACK_BYTES: usize = 32 * 1024 * 1024;

const DONE: i32 = 0;
const BROKEN: i32 = 1;
const MISUSED: i32 = 2;

/// Runs a worker to its end and says how it went, as an exit code. Nothing is logged: what happens
/// here is known to the one who asked.
pub(super) fn main(arguments: &[OsString]) -> i32 {
    let Some(limits) = WorkerLimits::from_arguments(arguments) else {
        return MISUSED;
    };
    if limits.impose().is_err() {
        return MISUSED;
    }
    let (busy, watch) = channel();
    let watchdog =
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watch_over(&watch, limits.request));
    let serving = std::thread::Builder::new()
        .name("policy".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&mut BufReader::new(io::stdin()), &mut io::stdout(), limits, &busy));
    match (watchdog, serving.map(std::thread::JoinHandle::join)) {
        (Ok(_), Ok(Ok(Ok(())))) => DONE,
        _ => BROKEN,
    }
}

/// Whether a request is being worked on.
enum Busy {
    Yes,
    No,
}

/// Ends the process when a request takes too long: the service kills a slow worker itself, but
/// may be gone.
fn watch_over(watch: &Receiver<Busy>, limit: Duration) {
    while let Ok(busy) = watch.recv() {
        if matches!(busy, Busy::Yes) && matches!(watch.recv_timeout(limit), Err(RecvTimeoutError::Timeout)) {
            std::process::abort();
        }
    }
}

fn serve(from: &mut impl Read, to: &mut impl Write, limits: WorkerLimits, busy: &Sender<Busy>) -> io::Result<()> {
    let mut cache = Cache::default();
    let hello = Reply::Hello { protocol: PROTOCOL.to_owned() };
    frame::write(to, &hello)?;
    while let Some(request) = frame::read(from)? {
        // The watchdog is gone only when this process is about to be.
        busy.send(Busy::Yes).map_err(io::Error::other)?;
        let reply = answer(request, &mut cache, limits.evaluation);
        busy.send(Busy::No).map_err(io::Error::other)?;
        frame::write(to, &reply)?;
    }
    Ok(())
}

fn answer(request: Request, cache: &mut Cache, limit: Duration) -> Reply {
    match request {
        Request::Prepare { key, modules } => {
            cache.make_room(modules.iter().map(|module| module.rego.len()).sum());
            match compile(&modules, limit) {
                Ok(compiled) => {
                    cache.put(key, compiled);
                    Reply::Prepared
                }
                Err(problems) => Reply::Problems { problems },
            }
        }
        Request::Decide { key, input } => match cache.get(&key) {
            Some(compiled) => Reply::Decided { outcome: compiled.evaluate(&input) },
            None => Reply::Missing,
        },
        Request::Check { modules, input } => check(&modules, &input, limit),
        Request::PrepareHook { key, module } => {
            cache.make_room(module.len());
            match compile_hook(&module, limit) {
                Ok(compiled) => {
                    cache.put(key, compiled);
                    Reply::Prepared
                }
                Err(problems) => Reply::Problems { problems },
            }
        }
        Request::RunHook { key, input } => match cache.get(&key) {
            Some(compiled) => Reply::Ran { outcome: compiled.map(&input) },
            None => Reply::Missing,
        },
    }
}

fn check(modules: &[ModuleText], input: &str, limit: Duration) -> Reply {
    match compile(modules, limit) {
        Err(problems) => Reply::Problems { problems },
        Ok(mut compiled) => match compiled.evaluate(input) {
            Verdict::Failed { problem } => Reply::Problems {
                problems: vec![Problem { detail: format!("with a sample request: {}", problem.detail), ..problem }],
            },
            Verdict::Allowed | Verdict::Denied { .. } => {
                let vetted = compiled.vet(modules).is_ok();
                Reply::Checked { advice: compiled.advice(), vetted }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converse(requests: &[Request]) -> Vec<Reply> {
        let mut from = Vec::new();
        for request in requests {
            from.extend(frame::encode(request).unwrap());
        }
        let mut to = Vec::new();
        let limits = WorkerLimits {
            memory_bytes: 0,
            cpu: Duration::ZERO,
            evaluation: Duration::from_secs(5),
            request: Duration::from_secs(5),
        };
        let (busy, _watch) = channel();
        serve(&mut from.as_slice(), &mut to, limits, &busy).unwrap();
        let mut to = to.as_slice();
        std::iter::from_fn(|| frame::read(&mut to).unwrap()).collect()
    }

    fn module(rego: &str) -> Vec<ModuleText> {
        vec![ModuleText { name: "m".to_owned(), rego: format!("package runwarden.authz\n{rego}\n") }]
    }

    #[test]
    fn a_set_is_prepared_once_and_decides_often() {
        let decide = || Request::Decide { key: "k".to_owned(), input: "{\"x\": 1}".to_owned() };
        let prepare = Request::Prepare { key: "k".to_owned(), modules: module("allow if input.x == 1") };
        let allowed = || Reply::Decided { outcome: Verdict::Allowed };
        let replies = converse(&[decide(), prepare, decide(), decide()]);
        assert_eq!(replies.get(1..).unwrap(), [Reply::Missing, Reply::Prepared, allowed(), allowed()]);
    }

    #[test]
    fn a_check_names_what_fails_on_a_sample() {
        let replies = converse(&[Request::Check {
            modules: module("allow := to_number(input.x)"),
            input: "{\"x\": \"word\"}".to_owned(),
        }]);
        let Reply::Problems { problems } = &replies[1] else {
            panic!("{replies:?}");
        };
        assert_eq!(problems[0].line, 2);
        assert!(problems[0].detail.starts_with("with a sample request"));
    }
}
