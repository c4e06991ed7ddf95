//! Schemes that live side by side on one trace: ours, and those it is compared with. All are decided
//! by the one policy of `craftec-obj`; what differs is their aim, and how a repair is charged.

use craftec_obj::heal::aim::{Aim, ceiling};

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// One whole copy beside coded pieces.
    Ours,
    /// Our codes without a whole copy: decoded and re-encoded in batches.
    Batched,
    /// Lazy Reed-Solomon as Storj published it: k = 40, n = 120, repaired at 50.
    Lazy,
    /// Three copies.
    Replicas,
    /// n = 2.5 k, each loss mended at once for what the cut-set bound asks at minimum storage.
    Msr,
}

impl Scheme {
    pub(super) const ALL: [Self; 5] =
        [Self::Ours, Self::Batched, Self::Lazy, Self::Replicas, Self::Msr];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Batched => "ours_batched",
            Self::Lazy => "lazy_rs",
            Self::Replicas => "replicas",
            Self::Msr => "msr_bound",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours: a whole copy beside coded pieces",
            Self::Batched => "ours without the whole copy",
            Self::Lazy => "lazy Reed-Solomon (40, 120, 50)",
            Self::Replicas => "three copies",
            Self::Msr => "minimum-storage regenerating bound",
        }
    }

    /// How objects are kept at first; ours learns.
    pub(super) fn aim(self, k: u16) -> Aim {
        match self {
            Self::Ours => {
                let floor = k + k / 4;
                Aim { wholes: 1, group_most: k / 16, ..Aim::lazy(k, floor, floor) }
            }
            Self::Batched => Aim::lazy(k, k + k / 4, ceiling(k)),
            Self::Lazy => Aim::lazy(40, 50, 120),
            Self::Replicas => Aim::lazy(1, 3, 3),
            Self::Msr => Aim::lazy(k, ceiling(k), ceiling(k)),
        }
    }

    /// Pieces of a fresh object.
    pub(super) fn first_pieces(self, k: u16) -> u16 {
        match self {
            Self::Ours => ceiling(k),
            _ => self.aim(k).fill,
        }
    }
}
