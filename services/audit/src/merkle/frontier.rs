//! The right edge of a tree: all that is needed to grow it and to know its root.

use std::collections::BTreeSet;

use super::hash::{Hash, empty_root, node_hash};
use super::tile::{TILE_WIDTH, Tile, TileId, Tiles, complete_root};

/// A tree's size and the unfinished tile of each level.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// By level: the hashes of the last tile, fewer than a full one.
    edge: Vec<Tile>,
    /// Tiles that filled up since they were last taken.
    filled: Vec<(TileId, Tile)>,
    /// Levels whose last tile grew since it was last taken.
    grown: BTreeSet<u32>,
}

impl Frontier {
    /// The tiles that [`Frontier::from_tiles`] needs for a tree of this size.
    #[must_use]
    pub fn needed(size: u64) -> Vec<TileId> {
        edge_of(size).filter(|(_, count)| *count > 0).map(|(id, _)| id).collect()
    }

    /// The edge of a tree of this size, from its tiles; `None` when they do not reach that far. Tiles may be longer.
    #[must_use]
    pub fn from_tiles(size: u64, tiles: &Tiles) -> Option<Self> {
        let mut edge = Vec::new();
        for (id, count) in edge_of(size) {
            let hashes = match count {
                0 => Vec::new(),
                count => tiles.get(id)?.hashes().get(..count)?.to_vec(),
            };
            edge.push(Tile::new(hashes));
        }
        Some(Self { size, edge, ..Self::default() })
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let mut level = 0_u32;
        loop {
            let index = (self.size >> (8 * level)) / TILE_WIDTH as u64;
            let depth = level as usize;
            if self.edge.len() <= depth {
                self.edge.resize_with(depth + 1, Tile::default);
            }
            let Some(tile) = self.edge.get_mut(depth) else {
                break;
            };
            tile.push(hash);
            self.grown.insert(level);
            if !tile.is_full() {
                break;
            }
            let full = std::mem::take(tile);
            self.grown.remove(&level);
            let Some(root) = complete_root(full.hashes()) else {
                break;
            };
            self.filled.push((TileId { level, index }, full));
            hash = root;
            level += 1;
        }
        self.size += 1;
    }

    /// The root of the tree as it is now.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for tile in &self.edge {
            let hashes = tile.hashes();
            // The complete subtrees within a row are the set bits of its length, the smallest at the right end.
            let mut end = hashes.len();
            while end > 0 {
                let count = 1_usize << end.trailing_zeros();
                let start = end - count;
                if let Some(left) = hashes.get(start..end).and_then(complete_root) {
                    root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                }
                end = start;
            }
        }
        root.unwrap_or_else(empty_root)
    }

    /// The tiles that changed since this was last asked, as they are now.
    pub fn take_changed(&mut self) -> Vec<(TileId, Tile)> {
        let mut changed = std::mem::take(&mut self.filled);
        for level in std::mem::take(&mut self.grown) {
            if let Some(tile) = self.edge.get(level as usize) {
                let index = (self.size >> (8 * level)) / TILE_WIDTH as u64;
                changed.push((TileId { level, index }, tile.clone()));
            }
        }
        changed
    }
}

/// By level: the last tile of a tree of this size, and how many hashes it has (0 when the level just filled one).
fn edge_of(size: u64) -> impl Iterator<Item = (TileId, usize)> {
    (0..8_u32).map(move |level| (level, size >> (8 * level))).take_while(|(_, row)| *row > 0).map(|(level, row)| {
        let width = TILE_WIDTH as u64;
        // Below 256, which fits any usize.
        (TileId { level, index: row / width }, (row % width) as usize)
    })
}
