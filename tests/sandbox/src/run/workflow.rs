//! Workflow jobs: which node is next, and when it is all over.

use std::time::Instant;

use serde_json::Map;

use super::approvals;
use crate::launch::Accepted;
use crate::launch::make::{self, Origin};
use crate::state::State;
use crate::state::job::{Job, Node, Status};

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unstarted,
    Active,
    Good,
    Bad,
    Skipped,
}

/// What to do next with a workflow.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    start: Vec<usize>,
    skip: Vec<usize>,
    /// Every node has come to an end.
    over: bool,
}

/// One look at a workflow: starts what is due, ends it when nothing is left. `None` if there was nothing to do.
pub(crate) fn advance(state: &mut State, id: u64, speed: f64) -> Option<()> {
    let job = state.jobs.get(&id)?.clone();
    let now_standing = standings(state, &job.nodes);
    let plan = plan(&job.nodes, &now_standing);
    if job.status == Status::Running && plan.start.is_empty() && plan.skip.is_empty() && !plan.over {
        return None;
    }
    if job.status == Status::Pending {
        state.turn(id, Status::Running);
    }
    // What is started or left out now may decide about others. After that, whichever step ends has this looked at.
    state.schedule.look_at(id, Instant::now());
    for at in plan.start {
        let Some(node) = job.nodes.get(at) else { continue };
        let run = start(state, &job, node, at, speed);
        with_node(state, id, at, |node| match run {
            Some(run) => node.job = Some(run),
            None => node.do_not_run = true,
        });
    }
    for at in plan.skip {
        with_node(state, id, at, |node| node.do_not_run = true);
    }
    if plan.over {
        let unhandled = unhandled(&job.nodes, &now_standing);
        if let Some(job) = state.jobs.get_mut(&id) {
            job.event_processing_finished = true;
            if !unhandled.is_empty() {
                "No error handling paths found, marking workflow as failed".clone_into(&mut job.job_explanation);
            }
        }
        state.turn(id, if unhandled.is_empty() { Status::Successful } else { Status::Failed });
    }
    Some(())
}

fn with_node(state: &mut State, id: u64, at: usize, work: impl FnOnce(&mut Node)) {
    if let Some(node) = state.jobs.get_mut(&id).and_then(|job| job.nodes.get_mut(at)) {
        work(node);
    }
}

/// Starts a node's run. A workflow's variables reach it whether its template asks for them or not, as in AWX.
fn start(state: &mut State, parent: &Job, node: &Node, at: usize, speed: f64) -> Option<u64> {
    if let Some(approval) = &node.approval {
        return Some(approvals::start(state, parent, node, approval, speed));
    }
    let template = state.templates.get(&node.template)?.clone();
    let count = i64::try_from(parent.nodes.len()).unwrap_or(1);
    let slice = if parent.is_sliced { (i64::try_from(at).unwrap_or(0) + 1, count) } else { (0, 1) };
    let mut extra_vars = node.extra_data.clone();
    extra_vars.extend(parent.extra_vars.clone());
    let mut fields = Map::new();
    if !parent.limit.is_empty() && (parent.is_sliced || template.asks("limit")) {
        fields.insert("limit".to_owned(), parent.limit.clone().into());
    }
    let origin = Origin {
        account: parent.created_by,
        launch_type: "workflow",
        requested_at: state.now(),
        guid: parent.guid.clone(),
        parent: Some(parent.id),
        slice,
    };
    let accepted = Accepted { fields, extra_vars, ignored: Map::new() };
    let run = make::commit(state, &template, accepted, &origin);
    if let Some(job) = state.jobs.get_mut(&run) {
        job.secrets.extend(parent.secrets.iter().cloned());
        if parent.is_sliced {
            copy_inputs(parent, job);
        }
    }
    Some(run)
}

fn copy_inputs(parent: &Job, job: &mut Job) {
    job.inventory = parent.inventory;
    job.job_tags.clone_from(&parent.job_tags);
    job.skip_tags.clone_from(&parent.skip_tags);
    job.job_type.clone_from(&parent.job_type);
    job.verbosity = parent.verbosity;
    job.diff_mode = parent.diff_mode;
    job.timeout = parent.timeout;
    job.forks = parent.forks;
    job.labels.clone_from(&parent.labels);
}

fn standings(state: &State, nodes: &[Node]) -> Vec<Standing> {
    nodes
        .iter()
        .map(|node| match node.job {
            Some(run) => match state.jobs.get(&run).map(|job| job.status) {
                Some(status) if status.is_active() => Standing::Active,
                Some(Status::Successful) => Standing::Good,
                _ => Standing::Bad,
            },
            None if node.do_not_run => Standing::Skipped,
            None => Standing::Unstarted,
        })
        .collect()
}

fn plan(nodes: &[Node], standings: &[Standing]) -> Plan {
    let mut plan = Plan { start: Vec::new(), skip: Vec::new(), over: true };
    for (at, standing) in standings.iter().enumerate() {
        match standing {
            Standing::Active => plan.over = false,
            Standing::Good | Standing::Bad | Standing::Skipped => {}
            Standing::Unstarted => {
                plan.over = false;
                let mut root = true;
                let mut chosen = false;
                let mut open = false;
                for (parent, standing) in nodes.iter().zip(standings) {
                    let on = |list: &[usize]| list.contains(&at);
                    if !(on(&parent.success) || on(&parent.failure) || on(&parent.always)) {
                        continue;
                    }
                    root = false;
                    match standing {
                        Standing::Good => chosen |= on(&parent.success) || on(&parent.always),
                        Standing::Bad => chosen |= on(&parent.failure) || on(&parent.always),
                        Standing::Unstarted | Standing::Active => open = true,
                        Standing::Skipped => {}
                    }
                }
                if root || chosen {
                    plan.start.push(at);
                } else if !open {
                    plan.skip.push(at);
                }
            }
        }
    }
    plan
}

/// Ids of failed nodes after which nothing was meant to come.
fn unhandled(nodes: &[Node], standings: &[Standing]) -> Vec<u64> {
    nodes
        .iter()
        .zip(standings)
        .filter(|(node, standing)| **standing == Standing::Bad && node.failure.is_empty() && node.always.is_empty())
        .map(|(node, _)| node.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Node> {
        vec![
            Node { id: 1, success: vec![1], failure: vec![2], ..Node::default() },
            Node { id: 2, ..Node::default() },
            Node { id: 3, ..Node::default() },
        ]
    }

    #[test]
    fn the_way_follows_the_result() {
        use Standing::{Bad, Good, Skipped, Unstarted};
        assert_eq!(plan(&chain(), &[Unstarted; 3]), Plan { start: vec![0], skip: vec![], over: false });
        assert_eq!(plan(&chain(), &[Good, Unstarted, Unstarted]), Plan { start: vec![1], skip: vec![2], over: false });
        assert_eq!(plan(&chain(), &[Bad, Unstarted, Unstarted]), Plan { start: vec![2], skip: vec![1], over: false });
        assert!(plan(&chain(), &[Good, Bad, Skipped]).over);
        assert_eq!(unhandled(&chain(), &[Good, Bad, Skipped]), [2]);
        assert_eq!(unhandled(&chain(), &[Bad, Skipped, Good]), Vec::<u64>::new());
    }
}
