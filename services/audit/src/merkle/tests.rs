//! The tree against the vectors of Certificate Transparency and against the definitions.

use proptest::prelude::*;

use super::proof::{ProofError, consistency_ranges, inclusion_ranges, verify_consistency, verify_inclusion};
use super::*;

/// The leaves and roots that implementations of RFC 6962 have been tested with from the beginning.
const CT_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn ct_leaves() -> Vec<Hash> {
    CT_LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(format!("leaf {i}").as_bytes())).collect()
}

/// A tree as the log keeps it: every changed tile replaces the stored one after each batch.
fn grow(leaves: &[Hash], batch: usize) -> (Frontier, Tiles) {
    let mut frontier = Frontier::default();
    let mut tiles = Tiles::default();
    for chunk in leaves.chunks(batch.max(1)) {
        for leaf in chunk {
            frontier.append(*leaf);
        }
        for (id, tile) in frontier.take_changed() {
            tiles.insert(id, tile);
        }
    }
    (frontier, tiles)
}

fn hashes(tiles: &Tiles, ranges: &[std::ops::Range<u64>]) -> Vec<Hash> {
    ranges.iter().map(|range| tiles.range(range).unwrap()).collect()
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves = ct_leaves();
    for (size, root) in CT_ROOTS.iter().enumerate() {
        let (frontier, _) = grow(&leaves[..size], 3);
        assert_eq!(frontier.root().to_string(), *root, "size {size}");
        assert_eq!(naive::root(&leaves[..size]).to_string(), *root, "size {size}");
    }
}

#[test]
fn known_inclusion_proof_of_certificate_transparency() {
    let (frontier, tiles) = grow(&ct_leaves(), 8);
    let proof = hashes(&tiles, &inclusion_ranges(0, 8).unwrap());
    let known = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    assert_eq!(proof.iter().map(ToString::to_string).collect::<Vec<_>>(), known);
    verify_inclusion(0, 8, &ct_leaves()[0], &proof, &frontier.root()).unwrap();
}

#[test]
fn every_proof_in_every_small_tree_is_the_one_of_the_definition() {
    let leaves = leaves(40);
    let (_, tiles) = grow(&leaves, 7);
    for size in 1..=40_u64 {
        let tree = &leaves[..size as usize];
        let root = naive::root(tree);
        for index in 0..size {
            let proof = hashes(&tiles, &inclusion_ranges(index, size).unwrap());
            assert_eq!(proof, naive::path(index as usize, tree), "leaf {index} of {size}");
            verify_inclusion(index, size, &leaves[index as usize], &proof, &root).unwrap();
        }
        for old in 1..=size {
            let proof = hashes(&tiles, &consistency_ranges(old, size).unwrap());
            assert_eq!(proof, naive::proof(old as usize, tree), "{old} in {size}");
            let old_root = naive::root(&leaves[..old as usize]);
            verify_consistency(old, size, &old_root, &root, &proof).unwrap();
        }
    }
}

#[test]
fn a_tree_over_three_levels_of_tiles_is_the_naive_one() {
    let leaves = leaves(256 * 256 + 300);
    let (frontier, tiles) = grow(&leaves, 1000);
    assert_eq!(frontier.root(), naive::root(&leaves));
    let size = frontier.size();
    assert_eq!(tiles.get(TileId { level: 2, index: 0 }).unwrap().hashes().len(), 1);
    for index in [0, 1, 255, 256, 65_535, 65_536, 65_791, size - 1] {
        let proof = hashes(&tiles, &inclusion_ranges(index, size).unwrap());
        verify_inclusion(index, size, &leaves[index as usize], &proof, &frontier.root()).unwrap();
    }
    for old in [1, 255, 256, 257, 4096, 65_535, 65_536, 65_537, size] {
        let proof = hashes(&tiles, &consistency_ranges(old, size).unwrap());
        let (old_frontier, _) = grow(&leaves[..old as usize], 5000);
        verify_consistency(old, size, &old_frontier.root(), &frontier.root(), &proof).unwrap();
    }
}

#[test]
fn an_empty_tree_is_the_beginning_of_every_tree() {
    let root = naive::root(&leaves(5));
    assert_eq!(consistency_ranges(0, 5), Ok(Vec::new()));
    assert_eq!(verify_consistency(0, 5, &empty_root(), &root, &[]), Ok(()));
    assert_eq!(verify_consistency(0, 5, &root, &root, &[]), Err(ProofError::WrongRoot));
    assert_eq!(verify_consistency(0, 5, &empty_root(), &root, &[root]), Err(ProofError::WrongLength));
    assert_eq!(consistency_ranges(6, 5), Err(ProofError::OutOfRange));
    assert_eq!(inclusion_ranges(5, 5), Err(ProofError::OutOfRange));
}

#[test]
fn the_largest_sizes_do_not_overflow() {
    let size = i64::MAX as u64;
    for index in [0, 1, size / 2, size - 1] {
        assert!(inclusion_ranges(index, size).unwrap().len() <= 63);
        assert!(consistency_ranges(index, size).unwrap().len() <= 64);
    }
    assert!(Frontier::needed(size).len() <= 8);
    let hash = empty_root();
    assert!(verify_inclusion(size - 1, size, &hash, &[hash; 63], &hash).is_err());
    assert!(verify_consistency(size - 1, size, &hash, &hash, &[hash; 64]).is_err());
}

#[test]
fn tiles_read_back_only_whole_hashes() {
    assert_eq!(Tile::from_bytes(&[0; 33]), Err(HashError));
    assert_eq!(Tile::from_bytes(&[0; 257 * 32]), Err(HashError));
    let tile = Tile::new(leaves(9));
    assert_eq!(Tile::from_bytes(&tile.to_bytes()), Ok(tile));
}

proptest! {
    #[test]
    fn batches_of_any_size_grow_the_same_tree(count in 0_usize..900, batch in 1_usize..400) {
        let leaves = leaves(count);
        let (frontier, tiles) = grow(&leaves, batch);
        prop_assert_eq!(frontier.size(), count as u64);
        prop_assert_eq!(frontier.root(), naive::root(&leaves));
        let resumed = Frontier::from_tiles(count as u64, &tiles).unwrap();
        prop_assert_eq!(resumed.root(), frontier.root());
    }

    #[test]
    fn a_tree_resumed_from_tiles_grows_on_as_if_never_left(before in 0_usize..600, after in 0_usize..600) {
        let leaves = leaves(before + after);
        let (_, tiles) = grow(&leaves[..before], 37);
        let mut frontier = Frontier::from_tiles(before as u64, &tiles).unwrap();
        for leaf in &leaves[before..] {
            frontier.append(*leaf);
        }
        prop_assert_eq!(frontier.root(), naive::root(&leaves));
    }

    #[test]
    fn an_inclusion_proof_proves_nothing_else(
        size in 1_u64..400, pick in any::<u64>(), other in any::<u64>(), at in any::<usize>(), bit in 0_usize..256,
    ) {
        let leaves = leaves(size as usize);
        let (frontier, tiles) = grow(&leaves, 64);
        let (root, index) = (frontier.root(), pick % size);
        let leaf = leaves[index as usize];
        let proof = hashes(&tiles, &inclusion_ranges(index, size).unwrap());
        prop_assert_eq!(verify_inclusion(index, size, &leaf, &proof, &root), Ok(()));

        let elsewhere = other % size;
        if elsewhere != index {
            prop_assert!(verify_inclusion(elsewhere, size, &leaf, &proof, &root).is_err(), "another place");
            prop_assert!(verify_inclusion(index, size, &leaves[elsewhere as usize], &proof, &root).is_err(), "another leaf");
        }
        prop_assert!(verify_inclusion(index, size, &flip(&leaf, bit), &proof, &root).is_err(), "a changed leaf");
        prop_assert!(verify_inclusion(index, size, &leaf, &proof, &flip(&root, bit)).is_err(), "another root");
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert_eq!(verify_inclusion(index, size, &leaf, &longer, &root), Err(ProofError::WrongLength));
        if !proof.is_empty() {
            let mut changed = proof.clone();
            let at = at % changed.len();
            changed[at] = flip(&changed[at], bit);
            prop_assert_eq!(verify_inclusion(index, size, &leaf, &changed, &root), Err(ProofError::WrongRoot));
            prop_assert!(verify_inclusion(index, size, &leaf, &proof[1..], &root).is_err(), "a hash left out");
        }
    }

    #[test]
    fn a_consistency_proof_proves_nothing_else(
        size in 2_u64..400, pick in any::<u64>(), at in any::<usize>(), bit in 0_usize..256,
    ) {
        let leaves = leaves(size as usize);
        let (frontier, tiles) = grow(&leaves, 64);
        let (root, old) = (frontier.root(), 1 + pick % (size - 1));
        let old_root = naive::root(&leaves[..old as usize]);
        let proof = hashes(&tiles, &consistency_ranges(old, size).unwrap());
        prop_assert_eq!(verify_consistency(old, size, &old_root, &root, &proof), Ok(()));
        prop_assert!(verify_consistency(old, size, &flip(&old_root, bit), &root, &proof).is_err(), "another past");
        prop_assert!(verify_consistency(old, size, &old_root, &flip(&root, bit), &proof).is_err(), "another present");
        prop_assert!(verify_consistency(old, size, &root, &old_root, &proof).is_err(), "swapped");
        let mut changed = proof.clone();
        let at = at % changed.len();
        changed[at] = flip(&changed[at], bit);
        prop_assert_eq!(verify_consistency(old, size, &old_root, &root, &changed), Err(ProofError::WrongRoot));
        prop_assert!(verify_consistency(old, size, &old_root, &root, &proof[1..]).is_err(), "a hash left out");
        changed.push(root);
        prop_assert!(verify_consistency(old, size, &old_root, &root, &changed).is_err(), "a hash too many");
    }

    #[test]
    fn hostile_proofs_are_refused_without_panic(
        index in any::<u64>(), size in any::<u64>(), other in any::<u64>(), count in 0_usize..70,
    ) {
        let hash = leaf_hash(b"x");
        let proof = vec![hash; count];
        prop_assert!(verify_inclusion(index, size, &hash, &proof, &empty_root()).is_err());
        prop_assert!(verify_consistency(index, other, &empty_root(), &hash, &proof).is_err() || index == 0 && count == 0);
    }
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}
