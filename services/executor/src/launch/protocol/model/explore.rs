//! Visiting every world.

use std::collections::HashMap;

use super::Rules;
use super::promises::{broken, is_settled};
use super::steps::successors;
use super::world::{Setting, World};

/// A visited world, what led to it, and from which one.
struct Visited {
    world: World,
    what: &'static str,
    from: usize,
}

/// Visits every world. Answers how many there are, or the first broken promise with how it came about.
pub(super) fn explore(setting: &Setting, rules: &Rules) -> Result<usize, String> {
    let start = World::new(setting);
    let mut known = HashMap::from([(start.key(), 0)]);
    let mut visited = vec![Visited { world: start, what: "jobs are accepted", from: 0 }];
    // From where each world can be reached, to see in the end that there is a way on from everywhere.
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut next = 0;
    while next < visited.len() {
        let world = visited[next].world.clone();
        for (what, after) in successors(&world, setting, rules) {
            if let Some(promise) = broken(&world, &after, setting) {
                return Err(format!("{promise}: {}", told(&visited, next, what)));
            }
            let found = visited.len();
            let at = *known.entry(after.key()).or_insert(found);
            if at == found {
                visited.push(Visited { world: after, what, from: next });
                before.push(Vec::new());
            }
            before[at].push(next);
        }
        next += 1;
    }
    match without_a_way(&visited, &before) {
        Some(stuck) => Err(format!("a job can never end: {}", told(&visited, stuck, "and it stays there"))),
        None => Ok(visited.len()),
    }
}

/// A world from which no way leads to one in which all jobs are settled.
fn without_a_way(visited: &[Visited], before: &[Vec<usize>]) -> Option<usize> {
    let mut reaches: Vec<bool> = visited.iter().map(|visited| is_settled(&visited.world)).collect();
    let mut todo: Vec<usize> = (0..visited.len()).filter(|at| reaches[*at]).collect();
    while let Some(at) = todo.pop() {
        for from in &before[at] {
            if !reaches[*from] {
                reaches[*from] = true;
                todo.push(*from);
            }
        }
    }
    reaches.iter().position(|reaches| !reaches)
}

fn told(visited: &[Visited], mut at: usize, last: &str) -> String {
    let mut way = vec![last.to_owned()];
    while at != 0 {
        way.push(visited[at].what.to_owned());
        at = visited[at].from;
    }
    way.reverse();
    way.join(", ")
}
