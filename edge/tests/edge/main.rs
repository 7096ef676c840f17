//! The edge as its callers see it, over the real routers, with services in memory behind it.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod document;
#[cfg(test)]
mod door;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod resolving;
#[cfg(test)]
mod room;
#[cfg(test)]
mod support;
#[cfg(test)]
mod templates;
