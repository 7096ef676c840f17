//! Chance that can be repeated: the same seed always throws the same (SplitMix64, Steele, Lea and Flood 2014).

use std::time::Duration;

/// A source of chance.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..sides`.
    pub(crate) fn below(&mut self, sides: u64) -> u64 {
        self.throw() % sides.max(1)
    }

    /// One of `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// True this often in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Between these many milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let sides = u64::try_from(of.len()).unwrap();
        &of[usize::try_from(self.below(sides)).unwrap()]
    }

    /// One of them, as often as its weight says.
    pub(crate) fn weighted<'a, T>(&mut self, of: &'a [(u64, T)]) -> &'a T {
        let mut at = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, thing) in of {
            if at < *weight {
                return thing;
            }
            at -= weight;
        }
        &of[of.len() - 1].1
    }

    /// Another source, which takes nothing from this one however often it is thrown.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.throw())
    }
}

#[test]
fn the_same_seed_throws_the_same() {
    let throw = |seed| {
        let mut dice = Dice::new(seed);
        (0..50).map(|_| dice.below(1000)).collect::<Vec<_>>()
    };
    assert_eq!(throw(7), throw(7));
    assert_ne!(throw(7), throw(8));
    let mut dice = Dice::new(7);
    let seen: Vec<u64> = (0..400).map(|_| *dice.weighted(&[(1, 1), (3, 2)])).collect();
    let ones = seen.iter().filter(|side| **side == 1).count();
    assert!((60..140).contains(&ones), "a weight of one in four: {ones}");
}
