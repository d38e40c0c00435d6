//! Faults of the header.

use quarry::primitives::CompactTarget;

use super::{Core, Mutation, received};

/// All of them.
pub const ALL: &[Mutation] = &[
    received("bits are zero", "TargetInvalid", Core::Same, |draft, _| {
        bits(draft, 0)
    }),
    received(
        "bits are negative",
        "TargetInvalid",
        Core::Same,
        |draft, _| bits(draft, 0x2080_ffff),
    ),
    received("bits overflow", "TargetInvalid", Core::Same, |draft, _| {
        bits(draft, 0xff12_3456)
    }),
    received(
        "bits are easier than the limit",
        "TargetAboveLimit",
        Core::Same,
        |draft, _| bits(draft, 0x2100_ffff),
    ),
    received(
        "bits are harder than the rule says",
        "WrongBits",
        Core::Same,
        |draft, _| bits(draft, 0x207f_fffe),
    ),
    received(
        "the hash is too high",
        "HighHash",
        Core::Same,
        |draft, _| {
            draft.meet = false;
            true
        },
    ),
    received(
        "the time is the median",
        "TimeTooOld",
        Core::Same,
        |draft, bench| {
            draft.block.header.time = bench.view.median();
            true
        },
    ),
    received(
        "the time is decades ahead",
        "TimeTooNew",
        Core::Same,
        |draft, _| {
            draft.block.header.time = 4_000_000_000;
            true
        },
    ),
    received(
        "the version is 3",
        "VersionTooOld",
        Core::Same,
        |draft, _| {
            draft.block.header.version = 3;
            true
        },
    ),
    received(
        "the version is negative",
        "VersionTooOld",
        Core::Same,
        |draft, _| {
            draft.block.header.version = i32::MIN;
            true
        },
    ),
];

fn bits(draft: &mut super::Draft, bits: u32) -> bool {
    draft.block.header.bits = CompactTarget(bits);
    true
}
