//! The client for controllers (AWX, or the automation controller of AAP): the only one in Runwarden.
//!
//! Everything here is typed and pure of Runwarden's own state: no store, no gRPC, no clock. What a controller
//! answers is foreign input: nothing in it can make this crate panic, follow a redirect, read without a bound,
//! or build an address from anything but the configured base and parsed numeric ids.
//!
//! ```text
//! Client::new(&Target { url, api_root, ca_pem }, &Credential, Limits) -> Result<Client, TargetProblem>
//!
//! client.who_am_i()                          -> Account { product, version, id, username }
//! client.installation(Ask::{Once | Afresh})  -> Installation                which controller it is, however it is spelled
//! client.templates(after, page_size)         -> TemplatePage { items: Vec<ListedTemplate>, next: Option<TemplateCursor> }
//! client.template(TemplateKind, id)          -> TemplateView (summary, needs, project, steps, controller's time)
//! client.objects(&view, &fields)             -> Objects                     what a launch refers to, and our rights on it
//! client.launch(TemplateKind, id, &body)     -> Result<Launched, LaunchError { NotLaunched | Refused | Unresolved }>
//! client.runs(&[RunRef])                     -> Runs { rows: Vec<RunSummary>, missing, unreadable }  200 a request
//! client.run(RunRef)                         -> RunRow                      a RunSummary and what it was launched with
//! client.is_there(RunRef, created)           -> bool                        also if it cannot be read
//! client.goes_beyond(id, by)                 -> bool                        whether it had given greater ids by then
//! client.find(id)                            -> Option<RunRow>              of whatever kind
//! client.search(&Search, note)               -> Found { All | Part }        for the reconciler
//! client.sight(account, template)            -> TemplateSight { Clear | Gone | Hidden }
//! client.whereabouts(RunRef)                 -> Whereabouts { There | Hidden | Gone }   of a run that is not listed
//! client.output(RunRef, &OutputCursor, Stage, budget) -> OutputRead { text, cursor, more, waits, lacks }
//! client.steps(RunRef)                       -> Steps                       of a workflow, nested ones included
//! client.waiting(id)                         -> since when a workflow's approvals wait
//! client.events_finished(RunRef)             -> bool
//! client.cancel(RunRef)                      -> CancelAnswer { Accepted | AlreadyFinished | Gone }
//! ```
//!
//! Pure functions around it:
//!
//! ```text
//! TemplateSummary::schema()                  the survey as a JSON Schema 2020-12 ("import")
//! TemplateView::parts_at(..)                what makes the template what it is; changed_since(pinned) lists changes
//! MarkerPlacement::choose(&view)             where a launch can carry its marker
//! marker.is_in(&row, placement)              whether a run carries it; Marker::any_in(&row): any marker at all
//! LaunchBody::build(LaunchInput { schema, parameters, fixed, marker, default_skip_tags }) -> Result<_, Vec<Problem>>
//! preflight(&view, &body)                    -> Result<(), Vec<Problem>>    what the template would drop or refuse
//! view.misfits(&settings, &objects)            -> Vec<Problem>                what AWX refuses of a launch's fields, rights included
//! view.taken(&fixed, &objects)              what AWX takes for each field the template prompts for, as JSON Schemas
//! body.dropped_in(&row)                      -> Vec<String>                 what was sent and is visibly not in a run
//! body.matches(&row)                         whether nothing is: a run found by search may be this launch's
//! summary.ending()                           -> Option<Ending>              how a run ended, `Lost` separately
//! error.is_outage() / is_credential()        whether to pause the controller, or to fix the credential
//! ```
//!
//! # Launching once
//!
//! [`Client::launch`] sends one POST on a fresh connection and never repeats it. Its error says what is known:
//! [`LaunchError::NotLaunched`] and [`LaunchError::Refused`] are proof that nothing was launched, and only the second,
//! AWX's own refusal, ends a job; [`LaunchError::Unresolved`] is the absence of proof, and only the reconciler may
//! continue from there. Dropping the future after its first poll is the same as `Unresolved`: run it in a task of its
//! own.
//!
//! `Launched::ignored` must be empty; if it is not, the run does something
//! else than was asked and has to be cancelled. Of a run whose launch was never answered `body.dropped_in(&row)` says
//! as much of that as the run itself tells.
//!
//! # What is not there
//!
//! Absence is claimed only by a complete answer of the controller itself. What could not be read is kept apart:
//! [`Runs::unreadable`] is not [`Runs::missing`], and [`Found::Part`] does not prove that a launch did not happen. A
//! row that is too large, or over which the controller fails, costs itself and no other.
//!
//! And it is claimed only with the right to see: lists leave out what is hidden from our account. [`Client::sight`] and
//! [`Client::whereabouts`] distinguish what is hidden from what does not exist.
//!
//! # What it may cost
//!
//! Every operation has a budget of bytes to read and of bytes to keep ([`ClientLimits`]), and all of them together have
//! one for what is in memory at a time ([`Memory`]), of which a tenant gets a part. What is over a budget is not known.

mod address;
mod ansi;
mod answer;
mod browse;
mod cancel;
mod client;
mod clock;
mod compare;
mod credential;
mod delivery;
mod drift;
mod error;
#[cfg(feature = "examples")]
pub mod examples;
mod fingerprint;
mod fits;
mod http;
mod installation;
mod label;
mod launch;
mod launch_body;
mod limits;
mod list;
mod location;
mod marker;
mod meaning;
mod memory;
mod nodes;
mod objects;
mod output;
mod own;
mod own_values;
mod preflight;
mod problem;
mod read;
mod reading;
mod refusal;
mod resolve;
mod row;
mod run;
mod runs;
mod scalar;
mod schema;
mod search;
mod sight;
mod steps;
mod summary;
mod survey;
mod template;
mod tree;
mod unreached;

pub use address::{Target, TargetProblem};
pub use browse::{ListedTemplate, TemplateCursor, TemplatePage};
pub use cancel::CancelAnswer;
pub use client::{Account, Client};
pub use credential::Credential;
pub use drift::drift;
pub use error::AwxError;
pub use fingerprint::{fingerprint, pinned_installation};
pub use fits::Setting;
pub use installation::{Ask, Installation};
pub use label::LONGEST_LABEL;
pub use launch::{LaunchError, Launched, Proof, proof};
pub use launch_body::{LaunchBody, LaunchInput, refused_fields};
pub use limits::ClientLimits;
pub use marker::{MARKER_VARIABLE, Marker, MarkerPlacement, asked_for};
pub use memory::Memory;
pub use objects::Objects;
pub use output::{OutputCursor, OutputRead, Stage};
pub use preflight::{find_placeholder, preflight};
pub use problem::Problem;
pub use refusal::Refusal;
pub use row::RunRow;
pub use run::{Ending, RunKind, RunRef, RunStatus};
pub use runs::Runs;
pub use search::{BY_LAUNCH, Found, Search, Sighting};
pub use sight::{TemplateSight, Whereabouts};
pub use steps::{APPROVAL, Step, Steps, Waiting};
pub use summary::RunSummary;
pub use survey::{QuestionKind, Survey, SurveyQuestion};
pub use template::{Asks, Named, ProjectView, TemplateKind, TemplateSummary, TemplateView};

#[cfg(test)]
mod tests;
