//! The sandbox held against what AWX 24.6.1 does, over HTTP. One binary, so that there is one thing to link.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod answers;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod launching;
#[cfg(test)]
mod many;
#[cfg(test)]
mod markers;
#[cfg(test)]
mod notifications;
#[cfg(test)]
mod playbooks;
#[cfg(test)]
mod printing;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod watching;
