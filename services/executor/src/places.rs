//! Whose jobs the launcher may be at work on at once. A controller that hangs holds each launch for minutes, and no
//! tenant's controllers may take all of the launcher with them: there are places by tenant and by controller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::job::Job;
use crate::work::WorkBell;

/// A tenant and a controller of it.
type Controller = (String, String);

/// The places there are.
#[derive(Clone)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Controller, usize>>>,
    of_tenant: usize,
    of_controller: usize,
    work: WorkBell,
}

/// Whose places are all taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Full {
    /// These tenants'.
    pub tenants: Vec<String>,
    /// These controllers', tenants first.
    pub controllers: Vec<Controller>,
}

/// One taken place; free again when it is dropped.
pub struct Place {
    places: Places,
    controller: Controller,
}

impl Places {
    /// Places for a launcher that takes so many jobs at once. `work` rings when one comes free.
    #[must_use]
    pub fn new(at_once: usize, work: WorkBell) -> Self {
        let share = |part: usize| at_once.div_ceil(part).max(1);
        Self { taken: Arc::default(), of_tenant: share(4), of_controller: share(8), work }
    }

    /// Whose jobs have to wait.
    #[must_use]
    pub fn full(&self) -> Full {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_tenant: HashMap<&str, usize> = HashMap::new();
        for ((tenant, _), places) in taken.iter() {
            *by_tenant.entry(tenant).or_default() += places;
        }
        let tenants = by_tenant.iter().filter(|(_, places)| **places >= self.of_tenant);
        let controllers = taken.iter().filter(|(_, places)| **places >= self.of_controller);
        Full {
            tenants: tenants.map(|(tenant, _)| (*tenant).to_owned()).collect(),
            controllers: controllers.map(|(controller, _)| controller.clone()).collect(),
        }
    }

    /// Takes a place for a job.
    #[must_use]
    pub fn take(&self, job: &Job) -> Place {
        let controller = (job.tenant.clone(), job.controller.clone());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken.entry(controller.clone()).or_default() += 1;
        Place { places: self.clone(), controller }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get_mut(&self.controller) {
            *places = places.saturating_sub(1);
            if *places == 0 {
                taken.remove(&self.controller);
            }
        }
        drop(taken);
        self.places.work.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::example;

    #[test]
    fn no_tenant_and_no_controller_takes_all() {
        let places = Places::new(16, WorkBell::default());
        let of =
            |tenant: &str, controller: &str| Job { tenant: tenant.into(), controller: controller.into(), ..example() };
        assert_eq!(places.full(), Full::default());
        let first: Vec<Place> = (0..2).map(|_| places.take(&of("evil", "hangs"))).collect();
        let hangs = ("evil".to_owned(), "hangs".to_owned());
        assert_eq!(places.full(), Full { tenants: Vec::new(), controllers: vec![hangs] });
        let _more: Vec<Place> = (0..2).map(|n| places.take(&of("evil", &format!("c{n}")))).collect();
        let _other = places.take(&of("acme", "awx"));
        assert_eq!(places.full().tenants, ["evil"]);
        drop(first);
        assert_eq!(places.full(), Full::default());
    }

    #[test]
    fn there_is_a_place_even_in_the_smallest_launcher() {
        let places = Places::new(1, WorkBell::default());
        assert_eq!(places.full(), Full::default());
        let _place = places.take(&example());
        assert_eq!(places.full().tenants, ["acme"]);
    }
}
