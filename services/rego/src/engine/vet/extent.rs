//! How large and how deep a value can be at most.

use crate::text::Problem;

/// The largest value.
pub(super) const MAX_SIZE: f64 = 64_000_000.0;
/// The deepest value.
const MAX_DEPTH: usize = 256;

/// What a value can be at most.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    /// What it takes written out, in bytes.
    pub(super) size: f64,
    /// How many levels it has.
    pub(super) depth: usize,
}

impl Extent {
    /// A text, a number or a truth value.
    pub(super) fn flat(size: f64) -> Self {
        Self { size, depth: 0 }
    }

    /// The one or the other.
    pub(super) fn or(self, other: Self) -> Self {
        Self { size: self.size.max(other.size), depth: self.depth.max(other.depth) }
    }

    /// Both, side by side.
    pub(super) fn and(self, other: Self) -> Self {
        Self { size: self.size + other.size, depth: self.depth.max(other.depth) }
    }

    /// Inside so many levels more.
    pub(super) fn inside(self, levels: usize) -> Self {
        Self { depth: self.depth.saturating_add(levels), ..self }
    }

    /// Whether nothing may become so large or so deep.
    pub(super) fn is_too_much(self) -> bool {
        self.size > MAX_SIZE || self.depth > MAX_DEPTH
    }
}

/// A bound, or why there is none.
pub(super) type Size = Result<Extent, Problem>;

/// A length, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "lengths of text that fits into memory")]
pub(super) fn length(bytes: usize) -> f64 {
    bytes as f64
}
