//! Templates and controllers, answered from memory for as long as the project service vouches for them.

use std::sync::Arc;

use async_trait::async_trait;
use runwarden_kit::Result;
use runwarden_kit::tenant::TenantId;
use runwarden_kit::watched::{Follower, Watched};

use crate::ports::{Controller, Template, Templates};

/// How many templates are kept.
const MOST_TEMPLATES: usize = 2048;
/// How many controllers are kept.
const MOST_CONTROLLERS: usize = 512;

/// Keeps what it asked for once.
pub(crate) struct KnownTemplates {
    source: Arc<dyn Templates>,
    templates: Arc<Watched<Arc<Template>>>,
    controllers: Arc<Watched<Controller>>,
}

impl KnownTemplates {
    /// Asks this source for what is not known.
    pub(crate) fn new(source: Arc<dyn Templates>) -> Self {
        Self {
            source,
            templates: Watched::new("templates", MOST_TEMPLATES),
            controllers: Watched::new("controllers", MOST_CONTROLLERS),
        }
    }

    /// The same, for tests of what time does to it.
    #[cfg(test)]
    fn with_clocks(source: Arc<dyn Templates>, clocks: &runwarden_kit::watched::Clocks) -> Self {
        Self {
            source,
            templates: Watched::with_clocks("templates", MOST_TEMPLATES, clocks.clone()),
            controllers: Watched::with_clocks("controllers", MOST_CONTROLLERS, clocks.clone()),
        }
    }

    /// Who must hear of changes at the source. Until they do, each question goes there.
    pub(crate) fn followers(&self) -> Vec<Arc<dyn Follower>> {
        vec![self.templates.clone(), self.controllers.clone()]
    }
}

#[async_trait]
impl Templates for KnownTemplates {
    async fn template(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
        self.templates.get_or_ask(tenant.as_str(), name, || self.source.template(tenant, name)).await
    }

    async fn template_now(&self, tenant: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
        self.templates.ask(tenant.as_str(), name, || self.source.template_now(tenant, name)).await
    }

    async fn controller(&self, tenant: &TenantId, name: &str) -> Result<Option<Controller>> {
        self.controllers.get_or_ask(tenant.as_str(), name, || self.source.controller(tenant, name)).await
    }

    async fn report_drift(&self, template: &Template, drift: &[String]) -> Result<()> {
        self.source.report_drift(template, drift).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use runwarden_kit::clock::Moment;
    use runwarden_kit::revoked::Present;
    use runwarden_kit::watched::News;

    use super::*;
    use crate::ports;
    use crate::test_doubles::template;

    /// A source that counts its questions.
    #[derive(Default)]
    struct Source {
        asked: AtomicUsize,
        revision: Mutex<Option<i64>>,
    }

    impl Source {
        fn asked(&self) -> usize {
            self.asked.swap(0, Ordering::SeqCst)
        }
    }

    #[async_trait]
    impl Templates for Source {
        async fn template(&self, _: &TenantId, name: &str) -> Result<Option<Arc<Template>>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let revision = *self.revision.lock().unwrap();
            Ok(revision.map(|revision| Arc::new(Template { name: name.to_owned(), revision, ..template() })))
        }

        async fn controller(&self, _: &TenantId, _: &str) -> Result<Option<Controller>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Ok(Some(template().controller))
        }

        async fn report_drift(&self, _: &Template, _: &[String]) -> Result<()> {
            Ok(())
        }
    }

    /// With clocks that stand still.
    fn known() -> (Arc<Source>, KnownTemplates, Present) {
        let source = Arc::new(Source { revision: Mutex::new(Some(1)), ..Source::default() });
        let now = Present { wall: Moment::from_micros(1_800_000_000_000_000), steady: Instant::now() };
        let clocks: runwarden_kit::watched::Clocks = Arc::new(move || now);
        (source.clone(), KnownTemplates::with_clocks(source, &clocks), now)
    }

    fn hear(known: &KnownTemplates, asked: Present, everything: bool) {
        for follower in known.followers() {
            follower.heard(asked, &News { everything, ..News::default() });
        }
    }

    async fn revision(known: &KnownTemplates) -> i64 {
        known.template(&TenantId::trusted("acme"), "deploy").await.unwrap().unwrap().revision
    }

    #[tokio::test]
    async fn what_is_known_is_not_asked_for_again_unless_the_watch_is_broken() {
        let (source, known, now) = known();
        let acme = TenantId::trusted("acme");
        hear(&known, now, true);
        for _ in 0..10 {
            assert_eq!(revision(&known).await, 1);
            known.controller(&acme, "awx").await.unwrap().unwrap();
        }
        assert_eq!(source.asked(), 2, "once for each");
        hear(&known, Present { wall: now.wall.minus(Duration::from_secs(2)), ..now }, false);
        for revision_now in 2..5 {
            *source.revision.lock().unwrap() = Some(revision_now);
            assert_eq!(revision(&known).await, revision_now);
        }
        assert_eq!(source.asked(), 3, "each time");
    }

    #[tokio::test]
    async fn old_news_refuses_nothing_and_what_is_not_there_is_asked_for_each_time() {
        let (source, known, now) = known();
        let acme = TenantId::trusted("acme");
        hear(&known, now, true);
        assert_eq!(revision(&known).await, 1);
        // Changed, and not heard of yet.
        *source.revision.lock().unwrap() = Some(2);
        let at_least = async |wanted: i64| {
            let judge = |template: Option<Arc<Template>>| {
                let found = template.map_or(0, |template| template.revision);
                if found >= wanted { Ok(found) } else { Err(runwarden_kit::Error::not_found("revision")) }
            };
            ports::judged(&known, &acme, "deploy", judge).await
        };
        source.asked();
        assert_eq!((at_least(1).await.unwrap(), source.asked()), (1, 0));
        assert_eq!((at_least(2).await.unwrap(), source.asked()), (2, 1));
        assert_eq!((at_least(2).await.unwrap(), source.asked()), (2, 0), "what was asked for is known from then on");
        assert!(at_least(3).await.is_err());
        assert_eq!(source.asked(), 1);
        *source.revision.lock().unwrap() = None;
        hear(&known, now, true);
        for _ in 0..3 {
            assert!(at_least(1).await.is_err());
        }
        assert_eq!(source.asked(), 3, "an answer from the source is judged once");
    }
}
