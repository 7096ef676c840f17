//! What following a run needs of it. A sweep reads thousands of these: nothing else of a row is built.

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};
use time::OffsetDateTime;

use super::list::Row;
use super::read::shown;
use super::run::{self, Ending, RunKind, RunRef, RunStatus};
use super::scalar::Scalar;
use super::tree::spent;

const LONGEST_EXPLANATION: usize = 1000;

/// How a run is, without what it was launched with.
#[derive(Clone, PartialEq)]
pub struct RunSummary {
    /// Which run.
    pub run: RunRef,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it failed, erred or was canceled.
    pub failed: bool,
    /// When its row was made; for a late commit that is in the past.
    pub created: Option<OffsetDateTime>,
    /// When it began to run.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub finished: Option<OffsetDateTime>,
    /// How many seconds it ran.
    pub elapsed: f64,
    /// Why it waits or ended so, in the controller's words.
    pub job_explanation: String,
    /// The template it came from.
    pub unified_job_template: Option<i64>,
    /// Whether all its output has arrived; only the detail view shows this. After a crash it stays false.
    pub event_processing_finished: Option<bool>,
    lost: bool,
}

impl RunSummary {
    /// The same without the controller's words: for many that are kept.
    pub(super) fn without_words(self) -> Self {
        Self { job_explanation: String::new(), ..self }
    }

    /// How it ended; `None` while it has not.
    pub fn ending(&self) -> Option<Ending> {
        Ending::of(self.status, self.lost)
    }
}

impl std::fmt::Debug for RunSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunSummary")
            .field("run", &self.run)
            .field("status", &self.status)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// The parts of a row that describe a run; any JSON is accepted. What is missing or of another type is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) id: Option<i64>,
    pub(super) kind: ToldKind,
    pub(super) created: Option<OffsetDateTime>,
    pub(super) template: Option<i64>,
    status: RunStatus,
    failed: bool,
    started: Option<OffsetDateTime>,
    finished: Option<OffsetDateTime>,
    elapsed: f64,
    explanation: String,
    lost: bool,
    events_finished: Option<bool>,
}

/// What a row says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ToldKind {
    /// It does not say.
    #[default]
    None,
    /// Something that no launch becomes, such as an update of a project.
    Another,
    /// A run.
    Run(RunKind),
}

impl Told {
    /// The run it describes, if it has an id.
    pub(super) fn summary(self) -> Option<RunSummary> {
        let ToldKind::Run(kind) = self.kind else { return None };
        Some(RunSummary {
            run: RunRef { kind, id: self.id? },
            status: self.status,
            failed: self.failed,
            created: self.created,
            started: self.started,
            finished: self.finished,
            elapsed: self.elapsed,
            job_explanation: self.explanation,
            unified_job_template: self.template,
            event_processing_finished: self.events_finished,
            lost: self.lost,
        })
    }
}

impl Row for Told {
    fn fill<'de, D: Deserializer<'de>>(&mut self, deserializer: D, left: &mut usize) -> Result<(), D::Error> {
        // The one thing it keeps that has no fixed size, cut to what is shown.
        *left = left.checked_sub(LONGEST_EXPLANATION).ok_or_else(spent)?;
        self.read(deserializer)
    }
}

impl Told {
    /// Whether an entry of a row describes it.
    pub(super) fn wants(key: &str) -> bool {
        let key: de::value::StrDeserializer<'_, de::value::Error> = key.into_deserializer();
        !matches!(Key::deserialize(key), Ok(Key::Other) | Err(_))
    }

    /// Reads a row by itself.
    pub(super) fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Filling(self))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Type,
    Status,
    Failed,
    Created,
    Started,
    Finished,
    Elapsed,
    JobExplanation,
    UnifiedJobTemplate,
    EventProcessingFinished,
    #[serde(other)]
    Other,
}

struct Filling<'t>(&'t mut Told);

impl<'de> Visitor<'de> for Filling<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let told = self.0;
        while let Some(key) = entries.next_key::<Key>()? {
            if matches!(key, Key::Other) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Scalar<'_> = entries.next_value()?;
            match key {
                Key::Id => told.id = value.id(),
                Key::Type => {
                    let kind = |text| RunKind::parse(text).map_or(ToldKind::Another, ToldKind::Run);
                    told.kind = value.text().map_or(ToldKind::None, kind);
                }
                Key::Status => told.status = value.text().map_or(RunStatus::Other, RunStatus::read),
                Key::Failed => told.failed = value.flag().unwrap_or(false),
                Key::Created => told.created = value.time(),
                Key::Started => told.started = value.time(),
                Key::Finished => told.finished = value.time(),
                Key::Elapsed => told.elapsed = value.number().unwrap_or(0.0),
                Key::JobExplanation => {
                    let text = value.text().unwrap_or_default();
                    told.lost = run::tells_of_loss(text);
                    told.explanation = shown(text, LONGEST_EXPLANATION);
                }
                Key::UnifiedJobTemplate => told.template = value.id(),
                Key::EventProcessingFinished => told.events_finished = value.flag(),
                Key::Other => {}
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}
