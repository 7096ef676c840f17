//! The Merkle tree of RFC 9162, section 2.1, kept in tiles of 256 hashes as C2SP tlog-tiles lays them out.
//!
//! Nothing here knows where hashes are kept: [`Frontier`] grows a tree and says which tiles changed, [`Tiles`] answers
//! from tiles that somebody fetched, [`proof`] says which hashes a proof consists of and checks proofs.

mod frontier;
mod hash;
pub mod proof;
mod tile;

pub use frontier::Frontier;
pub use hash::{Hash, HashError, empty_root, leaf_hash, node_hash};
pub use tile::{Node, TILE_WIDTH, Tile, TileId, Tiles, count_tiles, cover};

#[cfg(test)]
pub(crate) mod naive;
#[cfg(test)]
mod tests;
