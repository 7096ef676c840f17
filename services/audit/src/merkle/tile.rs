//! Tiles: the tree cut into rows of 256 hashes.
//!
//! Tile `(level, index)` holds the roots of the complete subtrees of `256^level` leaves number `256 * index` and
//! following. Whatever lies between two tile levels is computed from the lower one, so that the whole tree costs little
//! more than its leaves' hashes. A tile that is full never changes again; the last one of each level only grows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::hash::{Hash, HashError, node_hash};

/// How many hashes a full tile holds.
pub const TILE_WIDTH: usize = 256;
/// Tree levels per tile level.
const TILE_HEIGHT: u32 = 8;

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 for leaves; each level up stands for 256 times as many.
    pub level: u32,
    /// Its place in the level, from 0.
    pub index: u64,
}

/// A tile's hashes, at most [`TILE_WIDTH`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tile(Vec<Hash>);

impl Tile {
    /// A tile of these hashes; whatever is beyond [`TILE_WIDTH`] is left out.
    #[must_use]
    pub fn new(mut hashes: Vec<Hash>) -> Self {
        hashes.truncate(TILE_WIDTH);
        Self(hashes)
    }

    /// Reads the concatenated hashes.
    ///
    /// # Errors
    /// When it is not a whole number of hashes, or more than a tile holds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HashError> {
        if bytes.len() > TILE_WIDTH * Hash::LENGTH || !bytes.len().is_multiple_of(Hash::LENGTH) {
            return Err(HashError);
        }
        bytes.chunks_exact(Hash::LENGTH).map(Hash::try_from).collect::<Result<_, _>>().map(Self)
    }

    /// The hashes, concatenated.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// Its hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    pub(super) fn push(&mut self, hash: Hash) {
        self.0.push(hash);
    }

    /// Nothing can be added any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() == TILE_WIDTH
    }
}

/// The root over a power of two of hashes; `None` when there are none.
pub(super) fn complete_root(hashes: &[Hash]) -> Option<Hash> {
    debug_assert!(hashes.len().is_power_of_two(), "only complete subtrees have one root");
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                // A power of two has no odd one out; an odd one rises unchanged.
                rest => rest.first().copied().unwrap_or_else(super::empty_root),
            })
            .collect();
    }
    row.first().copied()
}

/// A complete subtree: `2^level` leaves, the `index`th such group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// The binary logarithm of how many leaves it has.
    pub level: u32,
    /// Its place among subtrees of that size, from 0.
    pub index: u64,
}

impl Node {
    /// The tile that has it, or what it is computed from: the place of the first hash and how many.
    fn place(self) -> (TileId, usize, usize) {
        let within = self.level % TILE_HEIGHT;
        let first = self.index << within;
        let width = TILE_WIDTH as u64;
        let id = TileId { level: self.level / TILE_HEIGHT, index: first / width };
        // Both are below 256 and fit any usize.
        (id, (first % width) as usize, 1_usize << within)
    }
}

/// The complete subtrees that make up a range of leaves, largest first, as RFC 9162 splits it.
///
/// The range must begin where the definition of the tree lets one begin (at a multiple of the next power of two), which
/// is true of every range in [`super::proof`].
#[must_use]
pub fn cover(range: &Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let level = (range.end - start).ilog2();
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// How many tiles a tree of this size is kept in.
#[must_use]
pub fn count_tiles(size: u64) -> u64 {
    let mut row = size;
    let mut count = 0;
    while row > 0 {
        count += row.div_ceil(TILE_WIDTH as u64);
        row /= TILE_WIDTH as u64;
    }
    count
}

/// Joins the roots of a [`cover`] into the root of the range.
pub(super) fn fold(hashes: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    hashes.rev().reduce(|right, left| node_hash(&left, &right))
}

/// Tiles that were fetched, to compute from.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<TileId, Tile>);

impl Tiles {
    /// The tiles that are needed to compute the hashes of these ranges.
    #[must_use]
    pub fn needed(ranges: &[Range<u64>]) -> BTreeSet<TileId> {
        ranges.iter().flat_map(cover).map(|node| node.place().0).collect()
    }

    /// Adds a tile.
    pub fn insert(&mut self, id: TileId, tile: Tile) {
        self.0.insert(id, tile);
    }

    /// The tile, if it is here.
    #[must_use]
    pub fn get(&self, id: TileId) -> Option<&Tile> {
        self.0.get(&id)
    }

    /// The root of a complete subtree; `None` when the tiles do not have it.
    #[must_use]
    pub fn node(&self, node: Node) -> Option<Hash> {
        let (id, first, count) = node.place();
        complete_root(self.0.get(&id)?.0.get(first..first + count)?)
    }

    /// The hash of a range of leaves (see [`cover`]); `None` when the tiles do not have it all.
    #[must_use]
    pub fn range(&self, range: &Range<u64>) -> Option<Hash> {
        let hashes = cover(range).into_iter().map(|node| self.node(node)).collect::<Option<Vec<_>>>()?;
        fold(hashes.into_iter())
    }
}

impl FromIterator<(TileId, Tile)> for Tiles {
    fn from_iter<T: IntoIterator<Item = (TileId, Tile)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}
