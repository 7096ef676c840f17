//! The head of a log: what is needed to grow it, believed only after it was checked.

use std::collections::VecDeque;

use runwarden_engines::StoreError;

use crate::merkle::{Frontier, Hash, TILE_WIDTH, TileId};
use crate::note::{Checkpoint, SigningKey};
use crate::record::{ACCEPT_RESTORE, Record, line_hash};
use crate::store::{ActionFilter, Filter, LogStore, Page, Tail};

use super::{LogError, origin};

/// How many earlier sizes a head knows the root of: more than there are services that saw one.
const MOST_ROOTS: usize = 64;
/// More than there can be in any life of a log.
const MOST_RESTORES: usize = 10_000;

/// A log's size and right edge, which its newest checkpoint was found to fit.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The right edge of its tree.
    pub frontier: Frontier,
    /// How many times an operator accepted that it was restored from a copy.
    pub restores: u64,
    /// Roots it is known to have had, by size: the last ones of this process's life.
    roots: VecDeque<(u64, Hash)>,
}

impl Head {
    /// The root it is known to have had at this size.
    pub(super) fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.iter().rev().find(|(known, _)| *known == size).map(|(_, root)| *root)
    }

    /// Takes notice of a root that it has had.
    pub(super) fn remember(&mut self, size: u64, root: Hash) {
        if self.roots.len() >= MOST_ROOTS {
            self.roots.pop_front();
        }
        self.roots.push_back((size, root));
    }
}

/// Loads the head of a log and checks that what is stored is what was signed last: the checkpoint's signature, the
/// tiles against its root, and the newest records against their tile. A log that fails is not to be grown: a new
/// signature would make the damage look sealed.
///
/// # Errors
/// When the store fails, or the log does.
pub async fn load(store: &dyn LogStore, tenant: &str, key: &SigningKey) -> Result<Head, LogError> {
    let tail = store.tail(tenant).await?;
    let Tail { records, checkpoint } = tail;
    let Some((stored_size, note)) = checkpoint else {
        return match records {
            0 if !store.has_tiles(tenant).await? => Ok(Head::default()),
            0 => Err(LogError::damaged(tenant, "it has tiles and no checkpoint")),
            _ => Err(LogError::damaged(tenant, "it has records and no checkpoint")),
        };
    };
    let verifier = key.verifier(&origin(tenant)).map_err(|error| LogError::Sealing(error.to_string()))?;
    let checkpoint = Checkpoint::open(&note, &verifier)
        .map_err(|why| LogError::damaged(tenant, format!("its newest checkpoint is refused: {why}")))?;
    let size = checkpoint.size;
    if size != stored_size || size != records {
        let why = format!("its newest checkpoint covers {size} records and there are {records}");
        return Err(LogError::damaged(tenant, why));
    }
    let mut needed = Frontier::needed(size);
    // The newest leaves: the unfinished tile, or the full one when there is none.
    let first = (size - 1) / TILE_WIDTH as u64 * TILE_WIDTH as u64;
    let newest = TileId { level: 0, index: first / TILE_WIDTH as u64 };
    if !needed.contains(&newest) {
        needed.push(newest);
    }
    let tiles = match store.tiles(tenant, &needed).await {
        Err(StoreError::Corrupt(why)) => return Err(LogError::damaged(tenant, why)),
        tiles => tiles?,
    };
    let frontier =
        Frontier::from_tiles(size, &tiles).ok_or_else(|| LogError::damaged(tenant, "tiles of its edge are missing"))?;
    if frontier.root() != checkpoint.root {
        return Err(LogError::damaged(tenant, "its tiles do not have the root of its newest checkpoint"));
    }
    let lines = store.lines(tenant, first..size).await?;
    let hashes = tiles.get(newest).map(|tile| tile.hashes()).unwrap_or_default();
    let count = usize::try_from(size - first).unwrap_or(usize::MAX);
    if lines.len() != count || hashes.len() != count {
        return Err(LogError::damaged(tenant, "some of its newest records or their hashes are missing"));
    }
    if let Some((at, _)) =
        lines.iter().zip(hashes).enumerate().find(|(_, (line, hash))| line_hash(line.as_bytes()) != **hash)
    {
        return Err(LogError::damaged(tenant, format!("record {} is not what was sealed", first + at as u64)));
    }
    let mut head = Head { frontier, restores: restores(store, tenant).await?, roots: VecDeque::new() };
    head.remember(size, checkpoint.root);
    Ok(head)
}

/// How many of its records accept a restore. Each says so itself; the column only finds it.
async fn restores(store: &dyn LogStore, tenant: &str) -> Result<u64, LogError> {
    let filter = Filter { action: Some(ActionFilter::Is(ACCEPT_RESTORE.to_owned())), ..Filter::default() };
    let page = Page { below: None, limit: MOST_RESTORES, look: MOST_RESTORES };
    let lines = store.list(tenant, &filter, page).await?.lines;
    let accepted =
        lines.iter().filter(|line| Record::from_line(line).is_ok_and(|record| record.entry.accepts_restore()));
    Ok(accepted.count() as u64)
}
