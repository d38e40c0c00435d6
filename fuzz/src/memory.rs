//! How much memory a call takes, measured by an allocator that counts.

/// Runs `call` and fails where it held more than `factor` bytes for each byte of input, above `fixed`, at any one time.
///
/// Only the calling thread is counted.
pub fn bounded<T>(
    what: &str,
    input: usize,
    factor: u64,
    fixed: u64,
    call: impl FnOnce() -> T,
) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(call())).bytes_max;
    let allowed = fixed + factor * u64::try_from(input).expect("a length fits in 64 bits");
    assert!(
        used <= allowed,
        "{what}: {used} bytes of memory for {input} bytes of input, {allowed} are allowed"
    );
    result.expect("the call was made")
}
