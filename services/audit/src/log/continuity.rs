//! Whether a log continues what a service saw of it.

use super::head::Head;
use super::{LogError, origin};
use crate::merkle::Tiles;
use crate::merkle::proof::{consistency_ranges, verify_consistency};
use crate::note::SigningKey;
use crate::seen::SeenHead;
use crate::store::LogStore;

/// Checks that the log with this head continues what was seen of it, by the root it is known to have had at that size
/// or else by a proof of consistency from its tiles.
///
/// # Errors
/// [`LogError::RolledBack`] when it does not; others when it cannot be found out.
pub(super) async fn check(
    store: &dyn LogStore,
    key: &SigningKey,
    head: &Head,
    seen: &SeenHead,
) -> Result<(), LogError> {
    let SeenHead { by, log, .. } = seen;
    let broken = |why: String| Err(LogError::RolledBack { tenant: log.clone(), why });
    if seen.size == 0 || seen.restores < head.restores {
        // Nothing was seen, or an operator has accepted since that the log was restored.
        return Ok(());
    }
    if seen.restores > head.restores {
        return broken(format!(
            "{by} saw it after {} accepted restores, and it has records of {}",
            seen.restores, head.restores
        ));
    }
    let own = key.verifier(&origin(log)).map_err(|error| LogError::Sealing(error.to_string()))?;
    if seen.key != own.to_string() {
        return broken(format!("{by} saw it signed by another key, {}", seen.key));
    }
    let (size, root) = (head.frontier.size(), head.frontier.root());
    if seen.size > size {
        return broken(format!("{by} saw {} records, and it has {size}", seen.size));
    }
    let differs = || broken(format!("its first {} records are not those that {by} saw", seen.size));
    if let Some(known) = head.root_at(seen.size) {
        return if known == seen.root { Ok(()) } else { differs() };
    }
    let Ok(ranges) = consistency_ranges(seen.size, size) else { return differs() };
    let needed: Vec<_> = Tiles::needed(&ranges).into_iter().collect();
    let tiles = store.tiles(log, &needed).await?;
    let hashes: Option<Vec<_>> = ranges.iter().map(|range| tiles.range(range)).collect();
    let hashes = hashes.ok_or_else(|| LogError::damaged(log, "tiles are missing"))?;
    match verify_consistency(seen.size, size, &seen.root, &root, &hashes) {
        Ok(()) => Ok(()),
        Err(_) => differs(),
    }
}
