//! Who is under way, and when the dispatcher has to look at whom again. Nothing here is looked through as a whole: runs
//! that only go on, or hang, cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// The dispatcher's book.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// How long a launched job stays pending before the dispatcher looks at it.
    pub(crate) pending: Duration,
    /// Jobs that are not over.
    active: BTreeSet<u64>,
    of_template: BTreeMap<u64, BTreeSet<u64>>,
    /// Since when they wait to be started.
    waiting: BTreeMap<u64, Instant>,
    agenda: BTreeSet<(Instant, u64)>,
    /// Those that wait for another of their template to be over.
    blocked: BTreeMap<u64, BTreeSet<u64>>,
    /// Those that could start if there is room.
    queue: BTreeSet<u64>,
    /// Those that take up room.
    busy: BTreeSet<u64>,
    /// What ends a run's work, for as long as there is any.
    switches: BTreeMap<u64, CancellationToken>,
}

impl Schedule {
    /// A job is there, to be looked at after a while.
    pub(crate) fn enter(&mut self, id: u64, template: Option<u64>) {
        let now = Instant::now();
        self.active.insert(id);
        if let Some(template) = template {
            self.of_template.entry(template).or_default().insert(id);
        }
        self.waiting.insert(id, now);
        self.look_at(id, now + self.pending);
    }

    /// A job is over or gone. Those that waited for it are to be looked at.
    pub(crate) fn leave(&mut self, id: u64, template: Option<u64>) {
        self.active.remove(&id);
        if let Some(template) = template {
            if let Some(ids) = self.of_template.get_mut(&template) {
                ids.remove(&id);
            }
            let now = Instant::now();
            let freed = self.blocked.remove(&template).unwrap_or_default();
            self.agenda.extend(freed.into_iter().map(|other| (now, other)));
        }
        self.waiting.remove(&id);
        self.queue.remove(&id);
        self.busy.remove(&id);
    }

    /// In the order of their ids.
    pub(crate) fn active(&self) -> impl Iterator<Item = u64> {
        self.active.iter().copied()
    }

    pub(crate) fn active_of(&self, template: u64) -> impl Iterator<Item = u64> {
        self.of_template.get(&template).into_iter().flatten().copied()
    }

    /// Since when a job waits to be started.
    pub(crate) fn waits_since(&self, id: u64) -> Option<Instant> {
        self.waiting.get(&id).copied()
    }

    /// The dispatcher shall look at it then. Looking once more than needed does no harm.
    pub(crate) fn look_at(&mut self, id: u64, when: Instant) {
        self.agenda.insert((when, id));
    }

    /// When the dispatcher has something to do next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.agenda.first().map(|(when, _)| *when)
    }

    /// A job to be looked at by now.
    pub(crate) fn take_due(&mut self) -> Option<u64> {
        self.next().filter(|when| *when <= Instant::now())?;
        self.agenda.pop_first().map(|(_, id)| id)
    }

    /// It has to wait until another of its template is over.
    pub(crate) fn block(&mut self, id: u64, template: u64) {
        self.blocked.entry(template).or_default().insert(id);
    }

    /// It could start.
    pub(crate) fn queue(&mut self, id: u64) {
        self.queue.insert(id);
    }

    /// The next that could start, while fewer than `room` are busy.
    pub(crate) fn take_queued(&mut self, room: usize) -> Option<u64> {
        if self.busy.len() < room { self.queue.pop_first() } else { None }
    }

    /// A job is started; answers with the switch that ends its work.
    pub(crate) fn begin(&mut self, id: u64) -> CancellationToken {
        self.waiting.remove(&id);
        self.queue.remove(&id);
        self.busy.insert(id);
        self.switches.entry(id).or_default().clone()
    }

    /// Ends a job's work, if there is any.
    pub(crate) fn throw_switch(&self, id: u64) {
        if let Some(switch) = self.switches.get(&id) {
            switch.cancel();
        }
    }

    /// Whether any work goes on of those with greater ids than this.
    pub(crate) fn works_beyond(&self, id: u64) -> bool {
        self.switches.range((Bound::Excluded(id), Bound::Unbounded)).next().is_some()
    }

    /// Its work has ended.
    pub(crate) fn forget_switch(&mut self, id: u64) {
        self.switches.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_looked_at_in_time_and_started_in_order_while_there_is_room() {
        let mut book = Schedule::default();
        for id in [3, 1, 2] {
            book.enter(id, Some(9));
        }
        book.look_at(4, Instant::now() + Duration::from_secs(3600));
        while let Some(id) = book.take_due() {
            book.queue(id);
        }
        assert!(book.next().is_some_and(|when| when > Instant::now()), "the one of later is not due");
        let start = |book: &mut Schedule| {
            let id = book.take_queued(2)?;
            book.begin(id);
            Some(id)
        };
        assert_eq!((start(&mut book), start(&mut book), start(&mut book)), (Some(1), Some(2), None));
        book.leave(1, Some(9));
        assert_eq!(start(&mut book), Some(3));
        assert_eq!(book.active_of(9).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn what_left_is_neither_started_nor_active() {
        let mut book = Schedule::default();
        book.enter(1, Some(9));
        book.queue(1);
        book.leave(1, Some(9));
        assert_eq!((book.take_queued(5), book.active().count(), book.waits_since(1)), (None, 0, None));
    }

    #[test]
    fn whoever_waits_for_another_is_looked_at_when_that_is_over() {
        let mut book = Schedule::default();
        book.enter(1, Some(17));
        book.enter(2, Some(17));
        while book.take_due().is_some() {}
        book.block(2, 17);
        assert_eq!(book.take_due(), None);
        book.leave(1, Some(17));
        assert_eq!(book.take_due(), Some(2));
    }
}
